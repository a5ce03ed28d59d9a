/*
 * The description of the API, OpenAPI 3.1, as it stands in src/daemon/openapi.json: bytes, no
 * string.
 */
#pragma once

#include <stddef.h>

extern const char openapi_json[];
extern const size_t openapi_json_len;

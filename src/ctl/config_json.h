/*
 * A configuration as config_show() writes it, as JSON: what is a whole number by the table of
 * options is a number, all else stays the text that it is.
 */
#pragma once

#include "util/buf.h"

void config_json_write(const char *yaml, struct buf *out);

/*
 * Signatures of webhooks as "Standard Webhooks" has them
 * (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
 * HMAC-SHA256 over "id.timestamp.body", one for each secret, so that a secret can be replaced while
 * receivers know either. Pure: no clock, no file; keys are wiped after use.
 */
#pragma once

#include <stddef.h>

#include "core/credential.h"
#include "util/buf.h"

/*
 * Appends "v1,BASE64", one for each key of the secrets (core/credential.h), separated by a space;
 * or says why they cannot be used, with nothing appended.
 */
enum credential_error sign_webhook(const char *secrets, const char *id, const char *timestamp,
        const char *body, size_t body_len, struct buf *out);

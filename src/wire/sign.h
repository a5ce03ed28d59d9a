/*
 * Signatures of webhooks as "Standard Webhooks" has them
 * (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
 * HMAC-SHA256 over "id.timestamp.body", one for each secret, so that a secret can be replaced while
 * receivers know either. Pure: no clock, no file; keys are wiped after use.
 */
#pragma once

#include <stddef.h>

#include "util/buf.h"

enum { SIGN_SECRET_MAX_BYTES = 4096, SIGN_SECRETS_MAX = 8 };

enum {
	SIGN_E_NO_SECRET = 1, /* nothing but empty lines */
	SIGN_E_BASE64,   /* "whsec_" is followed by something else than base64, or by nothing */
	SIGN_E_TOO_MANY, /* more than SIGN_SECRETS_MAX */
};
/* A sentence's part for each of these. */
const char *sign_error_words(int error);

/*
 * Appends "v1,BASE64", one for each secret, separated by a space. secrets: one a line, empty lines
 * left out; "whsec_" and base64, else the line's own bytes. 0, or SIGN_E_* with nothing appended.
 */
int sign_webhook(const char *secrets, const char *id, const char *timestamp, const char *body,
        size_t body_len, struct buf *out);

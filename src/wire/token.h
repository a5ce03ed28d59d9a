/*
 * The accounts server's replies to "an access token, please": an HTTP answer becomes a struct
 * token_reply.
 *
 * POST {accounts}/oauth/v2/token with grant_type=refresh_token (docs/zoho.md, "Access tokens").
 * Errors come with HTTP 200, throttling in words of the caller's language, the expiry in seconds or
 * milliseconds: all of it is told apart here, and nothing is decided.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"

enum {
	TOKEN_REPLY_MAX_BYTES = 64 * 1024,
	TOKEN_MAX_BYTES = 2048,
	TOKEN_DOMAIN_MAX_BYTES = 255,
	TOKEN_LIFE_MIN_MS = 60 * 1000,
	TOKEN_LIFE_MAX_MS = 3600 * 1000, /* as documented, and what is taken if nothing is said */
};

enum token_reply_kind {
	TOKEN_REPLY_GRANTED,
	TOKEN_REPLY_REFUSED,   /* until somebody acts: message says what is wrong with what */
	TOKEN_REPLY_THROTTLED, /* too many requests: hold long */
	TOKEN_REPLY_PASSING,   /* anything else: try again */
};

struct token_reply {
	enum token_reply_kind kind;
	char access_token[TOKEN_MAX_BYTES + 1]; /* printable ASCII without a space */
	char api_domain[TOKEN_DOMAIN_MAX_BYTES +
	                1];              /* as token_origin() writes it; "" = not given */
	int64_t life_ms;                 /* within TOKEN_LIFE_MIN_MS..TOKEN_LIFE_MAX_MS */
	char message[MESSAGE_MAX_BYTES]; /* unless granted: one line for people, no secret */
};

/* What came over the wire; borrowed. */
struct token_answer {
	int http_status;
	const char *body;
	size_t len;
	/* What was sent and shall not come back in a message; up to the first NULL. */
	const char *secrets[3];
};

/* Wipe the reply with token_reply_wipe when done. */
void token_reply_read(const struct token_answer *answer, struct token_reply *out);
void token_reply_wipe(struct token_reply *reply);

/*
 * An origin as it is compared: lower case, without the scheme's own port, a dot or a slash at the
 * end. False, and out is "", if the text is no http(s) origin that fits.
 */
bool token_origin(const char *text, char out[static TOKEN_DOMAIN_MAX_BYTES + 1]);

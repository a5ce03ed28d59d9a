/*
 * Any bytes as a reply of the accounts server: the first one chooses the HTTP status. What is taken
 * as a token must be fit for a header, and no message may hold a secret or a control character.
 */
#include <string.h>

#include "fuzz.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/token.h"

static const char secret[] = "s3cret";
static const int statuses[] = {200, 400, 401, 429, 500, 302, 204};

static void fuzz_granted(const struct token_reply *reply)
{
	size_t len = strlen(reply->access_token);
	char again[TOKEN_DOMAIN_MAX_BYTES + 1];

	must(len > 0 && len <= TOKEN_MAX_BYTES);
	must(!str_has_control(reply->access_token, len) && !strchr(reply->access_token, ' '));
	must(reply->life_ms >= TOKEN_LIFE_MIN_MS && reply->life_ms <= TOKEN_LIFE_MAX_MS);
	/* An origin is written one way alone. */
	must(!reply->api_domain[0] ||
	        (token_origin(reply->api_domain, again) && strlen(again) > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct token_reply reply;

	if (size == 0)
		return 0;
	/* A corpus of plain JSON is of status 200. */
	bool is_plain = data[0] == '{';
	size_t at = is_plain ? 0 : data[0] % ARRAY_LEN(statuses);
	struct token_answer answer = {
	        .http_status = statuses[at],
	        .body = (const char *)data + !is_plain,
	        .len = size - !is_plain,
	        .secrets = {secret},
	};

	token_reply_read(&answer, &reply);
	if (reply.kind == TOKEN_REPLY_GRANTED)
		fuzz_granted(&reply);
	else
		must(reply.message[0] && !reply.access_token[0] && !strstr(reply.message, secret));
	must(!str_has_control(reply.message, strlen(reply.message)));
	must(str_is_utf8(reply.message, strlen(reply.message), NULL));
	token_reply_wipe(&reply);
	return 0;
}

#include "wire/token.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/mem.h"
#include "util/str.h"
#include "wire/json.h"

enum {
	SECONDS_MAX = 86400, /* a greater `expires_in` is in milliseconds */
	ERROR_WORD_SIZE = 65,
};

/* What is permanent until somebody acts, and what to do (docs/zoho.md, "Access tokens"). */
static const struct {
	const char *error, *advice;
} refusals[] = {
        {"invalid_code", "the refresh token is wrong, revoked, or of another data center: check "
                         "refresh_token_file and datacenter"},
        {"invalid_client", "no such client in this data center: check client_id and datacenter"},
        {"invalid_client_secret", "the client secret is wrong: check client_secret_file"},
};

void token_reply_wipe(struct token_reply *reply)
{
	explicit_bzero(reply, sizeof(*reply));
}

static void __attribute__((format(printf, 3, 4)))
set(struct token_reply *out, enum token_reply_kind kind, const char *format, ...)
{
	char text[4 * MESSAGE_MAX_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (char *c = text; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
	out->kind = kind;
	str_copy(out->message, sizeof(out->message), text);
}

/* The server's own words are told only if none of them is a secret; NULL = not told. They are
 * looked at decoded: escapes hide nothing. */
static const char *quotable(const struct token_answer *answer, const char *words)
{
	for (size_t i = 0; words && i < ARRAY_LEN(answer->secrets) && answer->secrets[i]; i++) {
		if (answer->secrets[i][0] && strstr(words, answer->secrets[i]))
			return NULL;
	}
	return words;
}

static bool is_token(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		if (text[i] <= 0x20 || text[i] > 0x7e)
			return false;
	}
	return len > 0 && len <= TOKEN_MAX_BYTES;
}

/* A number, or one in a string; false for all else. */
static bool get_number(
        const struct json *json, const struct json_node *root, const char *key, int64_t *out)
{
	const char *text = json_get_string(json, root, key);

	if (text)
		return str_to_int(text, 0, INT64_MAX / 1000, out) == 0;
	return json_get_integer(json, root, key, out) && *out >= 0 && *out <= INT64_MAX / 1000;
}

/* Old replies give milliseconds in expires_in, and seconds beside it in expires_in_sec. */
static int64_t life_ms(const struct json *json, const struct json_node *root)
{
	int64_t value, ms = TOKEN_LIFE_MAX_MS;

	if (get_number(json, root, "expires_in_sec", &value) ||
	        get_number(json, root, "expires_in", &value))
		ms = value > SECONDS_MAX ? value : value * 1000;
	if (ms < TOKEN_LIFE_MIN_MS)
		return TOKEN_LIFE_MIN_MS;
	return ms > TOKEN_LIFE_MAX_MS ? TOKEN_LIFE_MAX_MS : ms;
}

static void read_error(const struct token_answer *answer, const struct json *json,
        const struct json_node *root, struct token_reply *out)
{
	const char *error = json_get_string(json, root, "error");
	const char *words = quotable(answer, json_get_string(json, root, "error_description"));
	const char *status = json_get_string(json, root, "status");

	for (size_t i = 0; error && i < ARRAY_LEN(refusals); i++) {
		if (strcmp(error, refusals[i].error) == 0) {
			set(out, TOKEN_REPLY_REFUSED, "%s: %s", error, refusals[i].advice);
			return;
		}
	}
	char word[ERROR_WORD_SIZE] = "an error";

	if (quotable(answer, error))
		str_copy(word, sizeof(word), error);
	if (!words)
		words = "";
	/* Its words are translated, its status is not. */
	if (answer->http_status == 429 || str_is_equal(status, "failure"))
		set(out, TOKEN_REPLY_THROTTLED, "HTTP %d, too many requests for tokens: %s%s%s",
		        answer->http_status, word, words[0] ? ": " : "", words);
	else
		set(out, TOKEN_REPLY_PASSING, "HTTP %d without a token: %s%s%s",
		        answer->http_status, word, words[0] ? ": " : "", words);
}

static void read_object(const struct token_answer *answer, const struct json *json,
        const struct json_node *root, struct token_reply *out)
{
	const char *token = json_get_string(json, root, "access_token");
	const char *domain = json_get_string(json, root, "api_domain");

	if (!token || json_get(json, root, "error") || answer->http_status != 200) {
		read_error(answer, json, root, out);
	} else if (!is_token(token)) {
		set(out, TOKEN_REPLY_PASSING,
		        "HTTP 200, but its access_token is no token that could be sent");
	} else if (domain && !token_origin(domain, out->api_domain)) {
		set(out, TOKEN_REPLY_PASSING, "HTTP 200, but its api_domain is no address");
	} else {
		out->kind = TOKEN_REPLY_GRANTED;
		out->life_ms = life_ms(json, root);
		str_copy(out->access_token, sizeof(out->access_token), token);
	}
}

void token_reply_read(const struct token_answer *answer, struct token_reply *out)
{
	cleanup(json_free_p) struct json *json = NULL;
	int status = answer->http_status;

	*out = (struct token_reply){0};
	enum json_error error =
	        status >= 500 ? JSON_E_SYNTAX
	                      : json_parse(answer->body, answer->len, TOKEN_REPLY_MAX_BYTES, &json);

	if (error && status == 429)
		set(out, TOKEN_REPLY_THROTTLED, "HTTP 429, too many requests for tokens");
	else if (error && status == 200)
		set(out, TOKEN_REPLY_PASSING, "HTTP 200, but it is %s", json_error_words(error));
	else if (error)
		set(out, TOKEN_REPLY_PASSING, "HTTP %d", status);
	else
		read_object(answer, json, json_root(json), out);
}

static bool is_host_char(char c)
{
	return isalnum((unsigned char)c) || strchr(".-_:[]", c);
}

bool token_origin(const char *text, char out[static TOKEN_DOMAIN_MAX_BYTES + 1])
{
	size_t len = strlen(text), scheme;

	out[0] = '\0';
	if (len > 0 && text[len - 1] == '/')
		len--;
	if (len > TOKEN_DOMAIN_MAX_BYTES)
		return false;
	for (size_t i = 0; i < len; i++)
		out[i] = (char)tolower((unsigned char)text[i]);
	out[len] = '\0';
	bool is_https = str_has_prefix(out, "https://");

	scheme = is_https ? strlen("https://") : strlen("http://");
	bool is_right = (is_https || str_has_prefix(out, "http://")) && len > scheme;

	for (size_t i = scheme; is_right && i < len; i++)
		is_right = is_host_char(out[i]);
	if (!is_right) {
		out[0] = '\0';
		return false;
	}
	const char *port = is_https ? ":443" : ":80";

	if (len > scheme + strlen(port) && strcmp(out + len - strlen(port), port) == 0)
		len -= strlen(port);
	if (len > scheme + 1 && out[len - 1] == '.')
		len--;
	out[len] = '\0';
	return true;
}

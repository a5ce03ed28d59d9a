#include "wire/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "util/hash.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/json.h"

enum { CODE_SHOWN_BYTES = 65 };

/* Zoho's error codes, and what they mean for us: docs/zoho.md, "Errors of the API". */
static const struct {
	const char *code;
	enum observation_kind kind;
	enum error_class error;
} codes[] = {
        {"INVALID_TOKEN", OBSERVED_REFUSED, ERROR_TOKEN},
        {"AUTHENTICATION_FAILURE", OBSERVED_REFUSED, ERROR_TOKEN},
        {"INVALID_OAUTHTOKEN", OBSERVED_REFUSED, ERROR_TOKEN},
        {"OAUTH_SCOPE_MISMATCH", OBSERVED_REFUSED, ERROR_SCOPE},
        {"NO_PERMISSION", OBSERVED_REFUSED, ERROR_PERMISSION},
        {"AUTHORIZATION_FAILED", OBSERVED_REFUSED, ERROR_PERMISSION},
        {"INVALID_URL_PATTERN", OBSERVED_REFUSED, ERROR_PATH},
        {"RESOURCE_NOT_FOUND", OBSERVED_NOT_FOUND, ERROR_NOT_FOUND},
        {"TOO_MANY_REQUESTS", OBSERVED_THROTTLED, ERROR_THROTTLED},
        {"INTERNAL_ERROR", OBSERVED_UNREACHABLE, ERROR_SERVER},
        {"INTERNAL_SERVER_ERROR", OBSERVED_UNREACHABLE, ERROR_SERVER},
};

void reply_texts_deinit(struct reply_texts *texts)
{
	buf_deinit(&texts->operation);
	buf_deinit(&texts->created_by);
	buf_deinit(&texts->created_time);
	buf_deinit(&texts->query);
	buf_deinit(&texts->result);
	buf_deinit(&texts->other);
}

static void __attribute__((format(printf, 4, 5))) set(struct observation *out,
        enum observation_kind kind, enum error_class error, const char *format, ...)
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
	out->error = error;
	str_copy(out->message, sizeof(out->message), text);
}

static void set_bad_reply(struct observation *out, const char *why)
{
	set(out, OBSERVED_GARBLED, ERROR_BAD_REPLY, "HTTP %d, but %s", out->http_status, why);
}

static int64_t clamp_retry_after_ms(int64_t seconds)
{
	if (seconds == -1 || seconds == 0)
		return -1;
	if (seconds < RETRY_AFTER_MIN_MS / 1000)
		return RETRY_AFTER_MIN_MS;
	return seconds > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : seconds * 1000;
}

static bool repeats_token(const struct json *json, const struct reply_question *question)
{
	return question->token && json_has_text(json, question->token);
}

/* The error envelope {"code","details","message","status":"error"}; false if the node is none. */
static bool observe_error(const struct json *json, const struct json_node *node,
        const struct reply_question *question, struct observation *out)
{
	const char *given = json_get_string(json, node, "code");
	const char *message = json_get_string(json, node, "message");
	char code[CODE_SHOWN_BYTES];

	if (!given || !str_is_equal(json_get_string(json, node, "status"), "error"))
		return false;
	if (!message)
		message = "(no message)";
	if (repeats_token(json, question))
		message = "(its message repeats the access token)";
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (strcmp(given, codes[i].code) == 0) {
			set(out, codes[i].kind, codes[i].error, "HTTP %d %s: %s", out->http_status,
			        given, message);
			return true;
		}
	}
	str_copy(code, sizeof(code), repeats_token(json, question) ? "(withheld)" : given);
	set(out, OBSERVED_GARBLED, ERROR_HTTP, "HTTP %d with the unknown code %s: %s",
	        out->http_status, code, message);
	return true;
}

static const char *raw_text(const struct json *json, const struct json_node *node, struct buf *buf)
{
	buf_clear(buf);
	if (!node || node->type == JSON_NULL)
		return NULL;
	json_add_raw(json, node, buf);
	return buf_str(buf);
}

/* /bigin/bulk/vN/read/<id>/result or the same below /crm: nothing else is ever made into a URL. */
static bool is_download_path(const char *path, const char *job_id)
{
	char expected[64];
	size_t version;

	if (str_has_prefix(path, "/bigin/bulk/v"))
		path += strlen("/bigin/bulk/v");
	else if (str_has_prefix(path, "/crm/bulk/v"))
		path += strlen("/crm/bulk/v");
	else
		return false;
	version = strspn(path, "0123456789");
	snprintf(expected, sizeof(expected), "/read/%s/result", job_id);
	return version >= 1 && version <= 3 && strcmp(path + version, expected) == 0;
}

/* The result as given, completed by `url`. */
static const char *result_text(const struct json *json, const struct json_node *result,
        const struct reply_question *question, struct buf *buf)
{
	struct json_out w;

	buf_clear(buf);
	if (!result || result->type != JSON_OBJECT)
		return raw_text(json, result, buf);
	const char *path = json_get_string(json, result, "download_url");
	cleanup(mem_free_p) char *url = NULL;
	cleanup(buf_deinit) struct buf raw = {0};

	if (path && is_download_path(path, question->job_id))
		url = mem_printf("%s%s", question->api_url, path);
	json_out_init(&w, buf, false);
	json_open_object(&w, NULL);
	for (const struct json_node *m = json_first(json, result); m; m = json_next(json, m)) {
		if (strcmp(m->key, "url") == 0)
			continue;
		buf_clear(&raw);
		json_add_raw(json, m, &raw);
		json_put_raw(&w, m->key, buf_str(&raw));
	}
	json_put_string(&w, "url", url);
	json_close_object(&w);
	json_out_deinit(&w);
	return buf_str(buf);
}

static bool is_known_member(const char *key)
{
	static const char *const known[] = {
	        "id", "operation", "state", "query", "created_by", "created_time", "result"};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(key, known[i]) == 0)
			return true;
	}
	return false;
}

static const char *other_text(
        const struct json *json, const struct json_node *data, struct buf *buf)
{
	struct json_out w;
	cleanup(buf_deinit) struct buf raw = {0};
	const struct json_node *first = json_first(json, data);

	while (first && is_known_member(first->key))
		first = json_next(json, first);
	if (!first)
		return NULL;
	buf_clear(buf);
	json_out_init(&w, buf, false);
	json_open_object(&w, NULL);
	for (const struct json_node *m = first; m; m = json_next(json, m)) {
		if (is_known_member(m->key))
			continue;
		buf_clear(&raw);
		json_add_raw(json, m, &raw);
		json_put_raw(&w, m->key, buf_str(&raw));
	}
	json_close_object(&w);
	json_out_deinit(&w);
	return buf_str(buf);
}

static void observe_job(const struct json *json, const struct json_node *data,
        const struct reply_question *question, struct reply_texts *texts, struct observation *out)
{
	const char *state = json_get_string(json, data, "state");
	const char *operation = json_get_string(json, data, "operation");

	if (!state || !job_state_is_sayable(state)) {
		set_bad_reply(out,
		        state ? "its state is no word that Zoho could say" : "it has no state");
		return;
	}
	out->kind = OBSERVED_STATUS;
	out->error = ERROR_NONE;
	out->message[0] = '\0';
	str_copy(texts->state, sizeof(texts->state), state);
	out->state = texts->state;
	buf_clear(&texts->operation);
	if (operation)
		buf_adds(&texts->operation, operation);
	out->document = (struct job_document){
	        .operation = operation ? buf_str(&texts->operation) : NULL,
	        .created_by =
	                raw_text(json, json_get(json, data, "created_by"), &texts->created_by),
	        .created_time =
	                raw_text(json, json_get(json, data, "created_time"), &texts->created_time),
	        .query = raw_text(json, json_get(json, data, "query"), &texts->query),
	        .result =
	                result_text(json, json_get(json, data, "result"), question, &texts->result),
	        .other = other_text(json, data, &texts->other),
	};
}

/* The id as a string of digits; as a number only if it is written alike (2^53 is no limit of ours).
 */
static bool has_id(const struct json *json, const struct json_node *data, const char *id)
{
	const struct json_node *node = json_get(json, data, "id");

	return node && (node->type == JSON_STRING || node->type == JSON_NUMBER) &&
	       strcmp(node->text, id) == 0;
}

static void observe_data(const struct json *json, const struct reply_question *question,
        struct reply_texts *texts, struct observation *out)
{
	const struct json_node *data = json_get(json, json_root(json), "data");

	if (!data || data->type != JSON_ARRAY) {
		set_bad_reply(out, "it has no array `data`");
		return;
	}
	for (const struct json_node *item = json_first(json, data); item;
	        item = json_next(json, item)) {
		if (has_id(json, item, question->job_id)) {
			observe_job(json, item, question, texts, out);
			return;
		}
		if (observe_error(json, item, question, out))
			return;
	}
	set_bad_reply(out, "it does not speak of the job that was asked for");
}

static bool is_json_type(const char *content_type)
{
	static const char type[] = "application/json";
	size_t len = strlen(type);

	return strncasecmp(content_type, type, len) == 0 &&
	       strchr("; \t", content_type[len]) != NULL;
}

/* What the status alone says, before or without a body that can be read. */
static void observe_status_line(int status, struct observation *out)
{
	if (status >= 500)
		set(out, OBSERVED_UNREACHABLE, ERROR_SERVER, "HTTP %d", status);
	else if (status == 204)
		set(out, OBSERVED_NOT_FOUND, ERROR_NOT_FOUND, "HTTP 204: no such job");
	else if (status >= 300)
		set(out, OBSERVED_GARBLED, ERROR_HTTP, "HTTP %d without a known error code",
		        status);
	else
		set_bad_reply(out, status == 200 ? "it is not JSON" : "200 was expected");
}

uint64_t reply_fingerprint(const struct reply *reply, const struct reply_question *question)
{
	const char *token = question->token ? question->token : "";
	uint64_t hashes[] = {
	        hash_bytes(reply->body, reply->len),
	        hash_bytes(question->job_id, strlen(question->job_id)),
	        hash_bytes(question->api_url, strlen(question->api_url)),
	        hash_bytes(token, strlen(token)),
	};

	if (reply->http_status != 200 || !is_json_type(reply->content_type))
		return 0;
	return hash_bytes(hashes, sizeof(hashes));
}

void reply_observe(const struct reply *reply, const struct reply_question *question,
        struct reply_texts *texts, struct observation *out)
{
	cleanup(json_free_p) struct json *json = NULL;

	*out = (struct observation){.http_status = reply->http_status,
	        .retry_after_ms = clamp_retry_after_ms(reply->retry_after_s)};
	observe_status_line(reply->http_status, out);
	/* A 3xx is nobody's error code, and never followed. */
	if (reply->http_status == 204 || reply->http_status / 100 == 3 ||
	        !is_json_type(reply->content_type))
		return;
	enum json_error error = json_parse(reply->body, reply->len, REPLY_MAX_BYTES, &json);

	if (error) {
		if (reply->http_status == 200)
			set(out, OBSERVED_GARBLED, ERROR_BAD_REPLY, "HTTP 200, but %s",
			        json_error_words(error));
		return;
	}
	if (reply->http_status >= 500) {
		observe_error(json, json_root(json), question, out);
		out->kind = OBSERVED_UNREACHABLE; /* whatever the code: the server is not well */
		out->error = ERROR_SERVER;
		return;
	}
	if (observe_error(json, json_root(json), question, out))
		return;
	const struct json_node *data = json_get(json, json_root(json), "data");

	if (reply->http_status == 200 && repeats_token(json, question))
		set_bad_reply(out, "it repeats the access token");
	else if (reply->http_status == 200)
		observe_data(json, question, texts, out);
	else if (reply->http_status >= 400)
		observe_error(json, json_first(json, data), question, out);
}

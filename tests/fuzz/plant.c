/*
 * Planted faults, one a target (PLANT_<target>): a function whose check is gone, as the linker's
 * --wrap puts it in the place of the real one. A target that does not find its own proves nothing.
 */
#include "fuzz.h"

#if defined(PLANT_config)

#include "util/clock.h"

char *__real_clock_format_duration(int64_t ms, char text[static CLOCK_DURATION_SIZE]);
char *__wrap_clock_format_duration(int64_t ms, char text[static CLOCK_DURATION_SIZE]);

/* Milliseconds beyond a whole second are one too many. */
char *__wrap_clock_format_duration(int64_t ms, char text[static CLOCK_DURATION_SIZE])
{
	return __real_clock_format_duration(ms > 1000 && ms % 1000 ? ms + 1 : ms, text);
}

#elif defined(PLANT_json)

#include "wire/json.h"

void __real_json_add_raw(const struct json *json, const struct json_node *node, struct buf *out);
void __wrap_json_add_raw(const struct json *json, const struct json_node *node, struct buf *out);

/* An array in an array loses its end. */
void __wrap_json_add_raw(const struct json *json, const struct json_node *node, struct buf *out)
{
	__real_json_add_raw(json, node, out);
	if (out->len > 8 && out->data[out->len - 1] == ']' && out->data[out->len - 2] == ']')
		out->data[--out->len] = '\0';
}

#elif defined(PLANT_token)

#include "wire/token.h"

void __real_token_reply_read(const struct token_answer *answer, struct token_reply *out);
void __wrap_token_reply_read(const struct token_answer *answer, struct token_reply *out);

/* A long life is not cut to the most. */
void __wrap_token_reply_read(const struct token_answer *answer, struct token_reply *out)
{
	__real_token_reply_read(answer, out);
	if (out->kind == TOKEN_REPLY_GRANTED && out->life_ms == TOKEN_LIFE_MAX_MS)
		out->life_ms *= 2;
}

#elif defined(PLANT_reply)

#include "wire/json.h"

bool __wrap_json_has_text(const struct json *json, const char *text);

/* A token that is repeated is not noticed. */
bool __wrap_json_has_text(const struct json *json, const char *text)
{
	(void)json, (void)text;
	return false;
}

#elif defined(PLANT_webhook)

#include "daemon/webhook.h"

struct webhook_result __real_webhook_result_of(const struct http_answer *answer);
struct webhook_result __wrap_webhook_result_of(const struct http_answer *answer);

/* What a server asks for is taken without bounds. */
struct webhook_result __wrap_webhook_result_of(const struct http_answer *answer)
{
	struct webhook_result result = __real_webhook_result_of(answer);

	if (result.retry_after_ms > 0)
		result.retry_after_ms = answer->retry_after_s * 1000;
	return result;
}

#elif defined(PLANT_request)

#include <string.h>

#include "daemon/control.h"

void __real_control_on_query(void *arg, struct listen_request *request);
void __wrap_control_on_query(void *arg, struct listen_request *request);

/* query.sock takes one of the changes. */
void __wrap_control_on_query(void *arg, struct listen_request *request)
{
	if (listen_method(request) == LISTEN_POST && strstr(listen_path(request), "/pause"))
		control_on_admin(arg, request);
	else
		__real_control_on_query(arg, request);
}

#elif defined(PLANT_answer)

#include "ctl/term.h"

void __wrap_text_add_safe(struct buf *out, const char *text, bool is_utf8);

/* Text goes to the terminal as it is. */
void __wrap_text_add_safe(struct buf *out, const char *text, bool is_utf8)
{
	(void)is_utf8;
	buf_adds(out, text);
}

#elif defined(PLANT_stored)

#include "util/str.h"

int __real_str_to_int(const char *text, int64_t min, int64_t max, int64_t *out);
int __wrap_str_to_int(const char *text, int64_t min, int64_t max, int64_t *out);

/* The least value is not looked at. */
int __wrap_str_to_int(const char *text, int64_t min, int64_t max, int64_t *out)
{
	(void)min;
	return __real_str_to_int(text, INT64_MIN, max, out);
}

#endif

/* JSON out: yajl's generator, which keeps track of commas and nesting, printing into a struct buf.
 */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>

#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/json.h"
#include "wire/json_private.h"

static void print_into_buf(void *ctx, const char *text, size_t len)
{
	buf_add(ctx, text, len);
}

void json_out_init(struct json_out *w, struct buf *buf, bool is_pretty)
{
	yajl_gen gen = yajl_gen_alloc(&json_memory);

	yajl_gen_config(gen, yajl_gen_print_callback, print_into_buf, buf);
	if (is_pretty) {
		yajl_gen_config(gen, yajl_gen_beautify, 1);
		yajl_gen_config(gen, yajl_gen_indent_string, "  ");
	}
	*w = (struct json_out){.gen = gen, .buf = buf};
}

void json_out_deinit(struct json_out *w)
{
	yajl_gen_free(w->gen);
	w->gen = NULL;
}

/* The generator refuses only what would be a bug of ours: keys that are no strings, wrong nesting.
 */
static void must(yajl_gen_status status)
{
	assert(status == yajl_gen_status_ok || status == yajl_gen_generation_complete);
	(void)status;
}

/* Each byte that no reader should be given (it is no UTF-8, or a NUL, which many refuse) becomes
 * U+FFFD. In one pass: a program may print nothing but such bytes. */
static void add_mended(struct buf *out, const char *bytes, size_t len)
{
	static const char replacement[] = "\xef\xbf\xbd";

	for (;;) {
		const char *nul = memchr(bytes, '\0', len);
		size_t n = nul ? (size_t)(nul - bytes) : len, bad;

		len -= n;
		while (!str_is_utf8(bytes, n, &bad)) {
			buf_add(out, bytes, bad);
			buf_adds(out, replacement);
			bytes += bad + 1;
			n -= bad + 1;
		}
		buf_add(out, bytes, n);
		if (!nul)
			return;
		buf_adds(out, replacement);
		bytes = nul + 1;
		len--;
	}
}

static void put_text(struct json_out *w, const char *bytes, size_t len)
{
	cleanup(buf_deinit) struct buf mended = {0};

	if (memchr(bytes, '\0', len) || !str_is_utf8(bytes, len, NULL)) {
		add_mended(&mended, bytes, len);
		bytes = mended.data;
		len = mended.len;
	}
	must(yajl_gen_string(w->gen, (const unsigned char *)bytes, len));
}

static void put_key(struct json_out *w, const char *key)
{
	if (key)
		put_text(w, key, strlen(key));
}

void json_open_object(struct json_out *w, const char *key)
{
	put_key(w, key);
	must(yajl_gen_map_open(w->gen));
}

void json_close_object(struct json_out *w)
{
	must(yajl_gen_map_close(w->gen));
}

void json_open_array(struct json_out *w, const char *key)
{
	put_key(w, key);
	must(yajl_gen_array_open(w->gen));
}

void json_close_array(struct json_out *w)
{
	must(yajl_gen_array_close(w->gen));
}

void json_put_bytes(struct json_out *w, const char *key, const char *bytes, size_t len)
{
	put_key(w, key);
	put_text(w, bytes, len);
}

void json_put_null(struct json_out *w, const char *key)
{
	put_key(w, key);
	must(yajl_gen_null(w->gen));
}

void json_put_string(struct json_out *w, const char *key, const char *value)
{
	if (value)
		json_put_bytes(w, key, value, strlen(value));
	else
		json_put_null(w, key);
}

/* yajl prints a "number" as it is given, which is how texts that are JSON already go through. */
static void put_verbatim(struct json_out *w, const char *text, size_t len)
{
	must(yajl_gen_number(w->gen, text, len));
}

void json_put_integer(struct json_out *w, const char *key, int64_t value)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%" PRId64, value);

	put_key(w, key);
	put_verbatim(w, text, (size_t)len);
}

void json_put_number(struct json_out *w, const char *key, double value)
{
	char text[40];

	if (!isfinite(value)) {
		json_put_null(w, key);
		return;
	}
	int len = snprintf(text, sizeof(text), "%.15g", value);

	if (strtod(text, NULL) != value)
		len = snprintf(text, sizeof(text), "%.17g", value);
	put_key(w, key);
	put_verbatim(w, text, (size_t)len);
}

void json_put_bool(struct json_out *w, const char *key, bool value)
{
	put_key(w, key);
	must(yajl_gen_bool(w->gen, value));
}

void json_put_raw(struct json_out *w, const char *key, const char *json_text)
{
	if (!json_text) {
		json_put_null(w, key);
		return;
	}
	put_key(w, key);
	put_verbatim(w, json_text, strlen(json_text));
}

void json_put_time(struct json_out *w, const char *key, int64_t wall_ms)
{
	char text[CLOCK_TEXT_SIZE];

	json_put_string(w, key, wall_ms ? clock_format(wall_ms, text) : NULL);
}

/*
 * JSON out, straight into a struct buf. Every event has a snapshot of its job, so this is on the
 * path of each transition and of a first start with a million jobs: yajl's generator, which prints
 * each member in six pieces and looks at each byte in three places, was a third of the latter.
 */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/json.h"

enum { DEPTH_MAX = 63 };

void json_out_init(struct json_out *w, struct buf *buf, bool is_pretty)
{
	*w = (struct json_out){.buf = buf, .is_pretty = is_pretty};
}

void json_out_deinit(struct json_out *w)
{
	if (w->is_pretty)
		buf_addc(w->buf, '\n');
}

/* ---- strings ---- */

/* ASCII that stands for itself. Whether char has a sign is the machine's matter. */
static bool is_plain(char c)
{
	return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
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

static void add_escaped(struct buf *out, char c)
{
	static const char letters[] = "\b\f\n\r\t\"\\", names[] = "bfnrt\"\\";
	const char *letter = strchr(letters, c);

	if (!letter) {
		buf_addf(out, "\\u%04X", (unsigned)c);
		return;
	}
	buf_addc(out, '\\');
	buf_addc(out, names[letter - letters]);
}

/* Without NULs, and valid UTF-8. */
static void add_text(struct buf *out, const char *text, size_t len)
{
	for (size_t i = 0, from = 0;; i++) {
		if (i < len && (is_plain(text[i]) || (unsigned char)text[i] >= 0x80))
			continue;
		buf_add(out, text + from, i - from);
		if (i == len)
			return;
		add_escaped(out, text[i]);
		from = i + 1;
	}
}

static void put_odd_text(struct buf *out, const char *bytes, size_t len)
{
	cleanup(buf_deinit) struct buf mended = {0};

	if (memchr(bytes, '\0', len) || !str_is_utf8(bytes, len, NULL)) {
		add_mended(&mended, bytes, len);
		bytes = mended.data;
		len = mended.len;
	}
	buf_addc(out, '"');
	add_text(out, bytes, len);
	buf_addc(out, '"');
}

/* Nearly all of it is plain, and copied as it is looked at. */
static void put_text(struct buf *out, const char *bytes, size_t len)
{
	char *to = buf_room(out, len + 2);

	to[0] = '"';
	for (size_t i = 0; i < len; i++) {
		if (!is_plain(bytes[i])) {
			put_odd_text(out, bytes, len);
			return;
		}
		to[1 + i] = bytes[i];
	}
	to[len + 1] = '"';
	buf_grow(out, len + 2);
}

/* ---- structure ---- */

static void new_line(struct json_out *w)
{
	buf_addc(w->buf, '\n');
	for (unsigned i = 0; i < w->depth; i++)
		buf_adds(w->buf, "  ");
}

/* What stands before a value: a comma, its name. */
static void begin(struct json_out *w, const char *key)
{
	uint64_t level = UINT64_C(1) << w->depth;

	if (w->has_some & level)
		buf_addc(w->buf, ',');
	if (w->is_pretty && w->depth > 0)
		new_line(w);
	w->has_some |= level;
	if (!key)
		return;
	put_text(w->buf, key, strlen(key));
	buf_addc(w->buf, ':');
	if (w->is_pretty)
		buf_addc(w->buf, ' ');
}

static void open_level(struct json_out *w, const char *key, char bracket)
{
	assert(w->depth < DEPTH_MAX);
	begin(w, key);
	buf_addc(w->buf, bracket);
	w->depth++;
	w->has_some &= ~(UINT64_C(1) << w->depth);
}

static void close_level(struct json_out *w, char bracket)
{
	bool has_some = w->has_some >> w->depth & 1;

	assert(w->depth > 0);
	w->depth--;
	if (w->is_pretty && has_some)
		new_line(w);
	buf_addc(w->buf, bracket);
}

void json_open_object(struct json_out *w, const char *key)
{
	open_level(w, key, '{');
}

void json_close_object(struct json_out *w)
{
	close_level(w, '}');
}

void json_open_array(struct json_out *w, const char *key)
{
	open_level(w, key, '[');
}

void json_close_array(struct json_out *w)
{
	close_level(w, ']');
}

/* ---- values ---- */

static void put_verbatim(struct json_out *w, const char *key, const char *text, size_t len)
{
	begin(w, key);
	buf_add(w->buf, text, len);
}

void json_put_null(struct json_out *w, const char *key)
{
	put_verbatim(w, key, "null", 4);
}

void json_put_bool(struct json_out *w, const char *key, bool value)
{
	put_verbatim(w, key, value ? "true" : "false", value ? 4 : 5);
}

void json_put_bytes(struct json_out *w, const char *key, const char *bytes, size_t len)
{
	begin(w, key);
	put_text(w->buf, bytes, len);
}

void json_put_string(struct json_out *w, const char *key, const char *value)
{
	if (value)
		json_put_bytes(w, key, value, strlen(value));
	else
		json_put_null(w, key);
}

void json_put_integer(struct json_out *w, const char *key, int64_t value)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%" PRId64, value);

	put_verbatim(w, key, text, (size_t)len);
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
	put_verbatim(w, key, text, (size_t)len);
}

void json_put_raw(struct json_out *w, const char *key, const char *json_text)
{
	if (json_text)
		put_verbatim(w, key, json_text, strlen(json_text));
	else
		json_put_null(w, key);
}

void json_put_time(struct json_out *w, const char *key, int64_t wall_ms)
{
	char text[CLOCK_TEXT_SIZE];

	json_put_string(w, key, wall_ms ? clock_format(wall_ms, text) : NULL);
}

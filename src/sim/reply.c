#include "sim/reply.h"

#include <string.h>
#include <time.h>

#include "sim/http.h"
#include "util/clock.h"

enum { REPLY_PIECE_BYTES = 16 * 1024 };

void reply_deinit(struct reply *reply)
{
	buf_deinit(&reply->headers);
	buf_deinit(&reply->body);
}

int reply_status(const struct reply *reply)
{
	switch (reply->manner) {
	case REPLY_HANG:
	case REPLY_DROP:
	case REPLY_RESET:
		return 0;
	default:
		return reply->status ? reply->status : 200;
	}
}

void reply_add_header(struct reply *reply, const char *name, const char *value)
{
	buf_addf(&reply->headers, "%s: %s\r\n", name, value);
}

void reply_set_body(struct reply *reply, const char *content_type, const char *body, size_t len)
{
	reply->content_type = content_type;
	buf_clear(&reply->body);
	buf_add(&reply->body, body, len);
}

bool reply_closes(const struct reply *reply)
{
	return reply->is_last || reply->is_http10 || reply->framing == REPLY_CLOSED ||
	       reply->manner != REPLY_WHOLE;
}

static void reply_add_date(struct buf *out)
{
	time_t seconds = (time_t)(clock_now().wall_ms / 1000);
	char text[40];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	buf_addf(out, "Date: %s\r\n", text);
}

static void reply_encode_head(const struct reply *reply, struct buf *out)
{
	int status = reply_status(reply);

	buf_addf(out, "HTTP/1.%d %d %s\r\nServer: bulkwatch-sim\r\n", reply->is_http10 ? 0 : 1,
	        status, http_reason(status));
	reply_add_date(out);
	if (reply->content_type)
		buf_addf(out, "Content-Type: %s\r\n", reply->content_type);
	buf_add(out, buf_str(&reply->headers), reply->headers.len);
	if (reply->manner == REPLY_ENDLESS_HEADERS)
		return;
	if (reply->framing == REPLY_LENGTH)
		buf_addf(out, "Content-Length: %zu\r\n", reply->body.len);
	else if (reply->framing == REPLY_CHUNKED)
		buf_adds(out, "Transfer-Encoding: chunked\r\n");
	/* A cut one does not announce that the connection is about to close. */
	if (reply_closes(reply) && reply->manner == REPLY_WHOLE && !reply->is_http10)
		buf_adds(out, "Connection: close\r\n");
	buf_adds(out, "\r\n");
}

void reply_encode(const struct reply *reply, struct buf *out)
{
	size_t len = reply->body.len;

	if (reply_status(reply) == 0)
		return;
	reply_encode_head(reply, out);
	if (reply->framing == REPLY_BARE || reply->manner == REPLY_ENDLESS_HEADERS)
		return;
	if (reply->manner == REPLY_CUT && reply->cut_bytes < len)
		len = reply->cut_bytes;
	if (reply->framing == REPLY_CHUNKED && len > 0)
		buf_addf(out, "%zx\r\n", reply->body.len);
	buf_add(out, buf_str(&reply->body), len);
	if (reply->framing == REPLY_CHUNKED && len == reply->body.len) {
		if (len > 0)
			buf_adds(out, "\r\n");
		if (reply->manner == REPLY_WHOLE)
			buf_adds(out, "0\r\n\r\n");
	}
}

void reply_encode_more(const struct reply *reply, struct buf *out)
{
	size_t end = out->len + REPLY_PIECE_BYTES;

	if (reply->manner == REPLY_ENDLESS_HEADERS) {
		while (out->len < end)
			buf_adds(out, "X-Endless: and so on, and so on, and so on\r\n");
		return;
	}
	buf_addf(out, "%x\r\n", REPLY_PIECE_BYTES);
	buf_reserve(out, REPLY_PIECE_BYTES + 2);
	memset(out->data + out->len, ' ', REPLY_PIECE_BYTES);
	out->len += REPLY_PIECE_BYTES;
	out->data[out->len] = '\0';
	buf_adds(out, "\r\n");
}

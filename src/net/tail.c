/*
 * The ring behind struct tail. It is turned into one run of bytes at most once a stream, at its
 * end, so that adding stays a copy of what came.
 */
#include "net/tail.h"

#include <string.h>

#include "util/mem.h"

void tail_deinit(struct tail *tail)
{
	free(tail->bytes);
	*tail = (struct tail){0};
}

/* Room for len bytes, up to the limit; only while the ring is not full, when first is 0. */
static void tail_grow(struct tail *tail, size_t len)
{
	size_t cap = tail->cap ? tail->cap : 1024;

	while (cap < len)
		cap *= 2;
	if (cap > TAIL_MAX_BYTES)
		cap = TAIL_MAX_BYTES;
	if (cap == tail->cap)
		return;
	tail->bytes = mem_resize(tail->bytes, cap + 1, 1);
	tail->cap = cap;
}

void tail_add(struct tail *tail, const char *bytes, size_t len)
{
	size_t at;
	size_t n;

	if (len > TAIL_MAX_BYTES) {
		size_t skipped = len - TAIL_MAX_BYTES;

		tail->dropped += skipped;
		bytes += skipped;
		len -= skipped;
	}
	tail_grow(tail, tail->len + len);
	at = (tail->first + tail->len) % tail->cap;
	n = len < tail->cap - at ? len : tail->cap - at;
	memcpy(tail->bytes + at, bytes, n);
	memcpy(tail->bytes, bytes + n, len - n);
	tail->len += len;
	if (tail->len > tail->cap) {
		size_t lost = tail->len - tail->cap;

		tail->first = (tail->first + lost) % tail->cap;
		tail->len = tail->cap;
		tail->dropped += lost;
	}
}

const char *tail_text(struct tail *tail)
{
	if (!tail->bytes)
		return "";
	if (tail->first > 0) {
		char *turned = mem_new(tail->cap + 1, 1);

		memcpy(turned, tail->bytes + tail->first, tail->cap - tail->first);
		memcpy(turned + tail->cap - tail->first, tail->bytes, tail->first);
		free(tail->bytes);
		tail->bytes = turned;
		tail->first = 0;
	}
	tail->bytes[tail->len] = '\0';
	return tail->bytes;
}

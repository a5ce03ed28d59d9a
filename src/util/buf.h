/*
 * A byte buffer that grows. Embedded: zero-initialise it (struct buf b = {0}), end with buf_deinit.
 * The bytes are always followed by a NUL that does not count, so .data serves as a C string (NULL
 * while nothing was ever added; buf_str gives "" then).
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

struct buf {
	char *data; /* owned */
	size_t len;
	size_t cap;
};

void buf_deinit(struct buf *b);
void buf_clear(struct buf *b);
/* Room for n more bytes and a NUL. */
void buf_reserve(struct buf *b, size_t n);
/* Where n bytes may be written, of which buf_grow() then takes some; valid until the next call. */
static inline char *buf_room(struct buf *b, size_t n)
{
	if (b->len + n + 1 > b->cap)
		buf_reserve(b, n);
	return b->data + b->len;
}
static inline void buf_grow(struct buf *b, size_t n)
{
	b->len += n;
	b->data[b->len] = '\0';
}
static inline void buf_addc(struct buf *b, char c)
{
	*buf_room(b, 1) = c;
	buf_grow(b, 1);
}
void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_addv(struct buf *b, const char *format, va_list args)
        __attribute__((format(printf, 2, 0)));
/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);
const char *buf_str(const struct buf *b);
/* The bytes as a string that the caller owns; the buffer is empty afterwards. Never NULL. */
char *buf_steal(struct buf *b);

/*
 * The last bytes of a stream: a ring that grows up to its limit and then forgets the oldest.
 * Embedded: zero-initialise it, end with tail_deinit.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { TAIL_MAX_BYTES = 64 * 1024 };

struct tail {
	char *bytes; /* owned; the ring, and room for a NUL */
	size_t cap;
	size_t first; /* index of the oldest byte; 0 until the ring is full */
	size_t len;
	uint64_t dropped; /* bytes that came before those kept */
};

void tail_deinit(struct tail *tail);
void tail_add(struct tail *tail, const char *bytes, size_t len);
/* All that is kept, in order, followed by a NUL; borrowed until the next call. */
const char *tail_text(struct tail *tail);

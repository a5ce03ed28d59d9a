/* What every fuzz target includes: its one entry, which libFuzzer, AFL++ and replay.c call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Bytes of nobody's making. Returns 0; what must never be ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Evaluates it once. */
#define must(is_so) ((is_so) ? (void)0 : fuzz_broken(#is_so, __FILE__, __LINE__))

static inline void fuzz_broken(const char *words, const char *file, int line)
{
	/* Some targets have a stderr of their own. */
	dprintf(STDERR_FILENO, "%s:%d: it must be that %s\n", file, line, words);
	abort();
}

/* Pieces of an input: up to the next two bytes of 0xff, or to the end. */
struct fuzz_piece {
	const char *bytes;
	size_t len;
};

static inline struct fuzz_piece fuzz_piece_next(struct fuzz_piece *rest)
{
	struct fuzz_piece piece = *rest;

	for (size_t i = 0; i + 1 < rest->len; i++) {
		if ((uint8_t)rest->bytes[i] != 0xff || (uint8_t)rest->bytes[i + 1] != 0xff)
			continue;
		piece.len = i;
		rest->bytes += i + 2;
		rest->len -= i + 2;
		return piece;
	}
	rest->bytes += rest->len;
	rest->len = 0;
	return piece;
}

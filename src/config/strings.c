#include "config/strings.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "util/mem.h"

enum { CHUNK_BYTES = 64 * 1024, CHUNK_PIECE_MAX = CHUNK_BYTES / 8 };

struct config_strings {
	void **chunks; /* owned, each of them too */
	size_t n_chunks, cap_chunks;
	char *free_at; /* into the chunk that is being filled */
	size_t n_free;
};

struct config_strings *config_strings_new(void)
{
	return MEM_NEW(struct config_strings);
}

struct config_strings *config_strings_free(struct config_strings *strings)
{
	if (!strings)
		return NULL;
	for (size_t i = 0; i < strings->n_chunks; i++)
		free(strings->chunks[i]);
	free(strings->chunks);
	free(strings);
	return NULL;
}

void config_strings_adopt(struct config_strings *strings, void *memory)
{
	if (strings->n_chunks == strings->cap_chunks) {
		strings->cap_chunks = strings->cap_chunks ? strings->cap_chunks * 2 : 8;
		strings->chunks =
		        mem_resize(strings->chunks, strings->cap_chunks, sizeof(*strings->chunks));
	}
	strings->chunks[strings->n_chunks++] = memory;
}

static char *strings_take(struct config_strings *strings, size_t size)
{
	char *piece;

	if (size > CHUNK_PIECE_MAX) {
		piece = mem_new(1, size);
		config_strings_adopt(strings, piece);
		return piece;
	}
	if (size > strings->n_free) {
		strings->free_at = mem_new(1, CHUNK_BYTES);
		strings->n_free = CHUNK_BYTES;
		config_strings_adopt(strings, strings->free_at);
	}
	piece = strings->free_at;
	strings->free_at += size;
	strings->n_free -= size;
	return piece;
}

void *config_strings_alloc(struct config_strings *strings, size_t size)
{
	size_t gap = strings->n_free % alignof(max_align_t);

	/* A chunk's size is a multiple of the alignment, so what is left tells where we stand. */
	if (gap > 0) {
		strings->free_at += gap;
		strings->n_free -= gap;
	}
	return strings_take(strings, size);
}

char *config_strings_add(struct config_strings *strings, const char *text, size_t len)
{
	char *copy = strings_take(strings, len + 1);

	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

#include "util/texts.h"

#include <assert.h>
#include <string.h>

#include "util/mem.h"

/* A text's number is 1 + the place of its first granule. Chunks never move. */
enum {
	GRANULE_BYTES = 8,
	CHUNK_GRANULES = 8192,
	GRANULES_MAX = (TEXTS_MAX_BYTES + 1) / GRANULE_BYTES,
};

struct texts {
	char **chunks; /* owned, each of them too */
	uint32_t n_chunks;
	uint32_t n_left; /* granules at the end of the last chunk */
	/* Of so many granules, what was given back: each begins with the number of the next. */
	uint32_t free[GRANULES_MAX + 1];
};

struct texts *texts_new(void)
{
	return MEM_NEW(struct texts);
}

struct texts *texts_free(struct texts *texts)
{
	if (!texts)
		return NULL;
	for (uint32_t i = 0; i < texts->n_chunks; i++)
		free(texts->chunks[i]);
	free(texts->chunks);
	free(texts);
	return NULL;
}

static char *at(const struct texts *texts, uint32_t number)
{
	uint32_t place = number - 1;

	assert(number > 0 && place / CHUNK_GRANULES < texts->n_chunks);
	return texts->chunks[place / CHUNK_GRANULES] +
	       (size_t)(place % CHUNK_GRANULES) * GRANULE_BYTES;
}

static uint32_t n_granules_of(const char *s)
{
	return (uint32_t)(strlen(s) + GRANULE_BYTES) / GRANULE_BYTES;
}

static void give_back(struct texts *texts, uint32_t number, uint32_t n_granules)
{
	memcpy(at(texts, number), &texts->free[n_granules], sizeof(uint32_t));
	texts->free[n_granules] = number;
}

static uint32_t first_left(const struct texts *texts)
{
	return texts->n_chunks * CHUNK_GRANULES - texts->n_left + 1;
}

static uint32_t take(struct texts *texts, uint32_t n_granules)
{
	uint32_t number = texts->free[n_granules];

	if (number) {
		memcpy(&texts->free[n_granules], at(texts, number), sizeof(uint32_t));
		return number;
	}
	if (texts->n_left < n_granules) {
		if (texts->n_left > 0)
			give_back(texts, first_left(texts), texts->n_left);
		texts->chunks =
		        mem_resize(texts->chunks, texts->n_chunks + 1, sizeof(*texts->chunks));
		texts->chunks[texts->n_chunks++] = mem_new(CHUNK_GRANULES, GRANULE_BYTES);
		texts->n_left = CHUNK_GRANULES;
	}
	number = first_left(texts);
	texts->n_left -= n_granules;
	return number;
}

uint32_t texts_add(struct texts *texts, const char *s)
{
	if (!s)
		return 0;
	assert(strlen(s) <= TEXTS_MAX_BYTES);
	uint32_t number = take(texts, n_granules_of(s));

	memcpy(at(texts, number), s, strlen(s) + 1);
	return number;
}

const char *texts_get(const struct texts *texts, uint32_t number)
{
	return number ? at(texts, number) : NULL;
}

void texts_drop(struct texts *texts, uint32_t number)
{
	if (number)
		give_back(texts, number, n_granules_of(at(texts, number)));
}

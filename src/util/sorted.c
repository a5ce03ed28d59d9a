#include "util/sorted.h"

#include <assert.h>
#include <string.h>

#include "util/mem.h"

void sorted_deinit(struct sorted *sorted)
{
	for (size_t i = 0; i < sorted->n_blocks; i++)
		free(sorted->blocks[i]);
	free(sorted->blocks);
	*sorted = (struct sorted){0};
}

/* The last block whose first key is not greater than this one; the first if there is none. */
static size_t block_of(
        const struct sorted *sorted, int64_t key, sorted_key_fn *key_of, const void *ctx)
{
	size_t low = 0, high = sorted->n_blocks;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (key_of(ctx, sorted->blocks[middle]->handles[0]) <= key)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* How many of the block have a key that is not greater. */
static size_t place_in(
        const struct sorted_block *block, int64_t key, sorted_key_fn *key_of, const void *ctx)
{
	size_t low = 0, high = block->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (key_of(ctx, block->handles[middle]) <= key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct sorted_block *add_block(struct sorted *sorted, size_t at)
{
	struct sorted_block *block = MEM_NEW(struct sorted_block);

	if (sorted->n_blocks == sorted->cap) {
		sorted->cap = sorted->cap ? sorted->cap * 2 : 4;
		sorted->blocks = mem_resize(sorted->blocks, sorted->cap, sizeof(*sorted->blocks));
	}
	memmove(&sorted->blocks[at + 1], &sorted->blocks[at],
	        (sorted->n_blocks - at) * sizeof(*sorted->blocks));
	sorted->blocks[at] = block;
	sorted->n_blocks++;
	return block;
}

static void drop_block(struct sorted *sorted, size_t at)
{
	free(sorted->blocks[at]);
	sorted->n_blocks--;
	memmove(&sorted->blocks[at], &sorted->blocks[at + 1],
	        (sorted->n_blocks - at) * sizeof(*sorted->blocks));
}

static void put(struct sorted_block *block, size_t i, uint32_t handle)
{
	memmove(&block->handles[i + 1], &block->handles[i],
	        (block->n - i) * sizeof(block->handles[0]));
	block->handles[i] = handle;
	block->n++;
}

/* The upper half of a full block gets one of its own. */
static void split(struct sorted *sorted, size_t at)
{
	struct sorted_block *upper = add_block(sorted, at + 1), *lower = sorted->blocks[at];

	lower->n = SORTED_BLOCK / 2;
	upper->n = SORTED_BLOCK - lower->n;
	memcpy(upper->handles, &lower->handles[lower->n], upper->n * sizeof(upper->handles[0]));
}

void sorted_insert(
        struct sorted *sorted, uint32_t handle, int64_t key, sorted_key_fn *key_of, const void *ctx)
{
	if (sorted->n_blocks == 0)
		add_block(sorted, 0);
	size_t at = block_of(sorted, key, key_of, ctx);
	size_t i = place_in(sorted->blocks[at], key, key_of, ctx);

	if (sorted->blocks[at]->n < SORTED_BLOCK) {
		put(sorted->blocks[at], i, handle);
	} else if (i == SORTED_BLOCK) {
		/* Most come at the end of all: those blocks stay full. */
		put(add_block(sorted, at + 1), 0, handle);
	} else {
		split(sorted, at);
		at += i > SORTED_BLOCK / 2;
		put(sorted->blocks[at], place_in(sorted->blocks[at], key, key_of, ctx), handle);
	}
}

/* Takes over the next block if there is ample room for it. */
static void merge(struct sorted *sorted, size_t at)
{
	if (at + 1 >= sorted->n_blocks)
		return;
	struct sorted_block *block = sorted->blocks[at], *next = sorted->blocks[at + 1];

	if (block->n + next->n > SORTED_BLOCK / 2)
		return;
	memcpy(&block->handles[block->n], next->handles, next->n * sizeof(next->handles[0]));
	block->n += next->n;
	drop_block(sorted, at + 1);
}

void sorted_remove(
        struct sorted *sorted, uint32_t handle, int64_t key, sorted_key_fn *key_of, const void *ctx)
{
	assert(sorted->n_blocks > 0);
	size_t at = block_of(sorted, key, key_of, ctx);
	struct sorted_block *block = sorted->blocks[at];
	size_t i = place_in(block, key, key_of, ctx) - 1;

	assert(i < block->n && block->handles[i] == handle);
	(void)handle;
	block->n--;
	memmove(&block->handles[i], &block->handles[i + 1],
	        (block->n - i) * sizeof(block->handles[0]));
	if (block->n == 0)
		drop_block(sorted, at);
	else
		merge(sorted, at);
}

struct sorted_place sorted_seek(
        const struct sorted *sorted, int64_t after, sorted_key_fn *key_of, const void *ctx)
{
	struct sorted_place place = {0};

	if (sorted->n_blocks == 0)
		return place;
	place.block = block_of(sorted, after, key_of, ctx);
	place.i = place_in(sorted->blocks[place.block], after, key_of, ctx);
	return place;
}

uint32_t sorted_next(
        const struct sorted *sorted, struct sorted_place *place, const struct sorted_wish *wish)
{
	for (; place->block < sorted->n_blocks; place->block++, place->i = 0) {
		const struct sorted_block *block = sorted->blocks[place->block];

		while (place->i < block->n) {
			uint32_t handle = block->handles[place->i++];

			if ((wish->marks[handle] & wish->mask) == wish->bits)
				return handle;
		}
	}
	return SORTED_NONE;
}

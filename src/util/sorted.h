/*
 * Handles of 32 bits in the order of 64-bit keys that stand elsewhere: four bytes an entry, in
 * blocks, so that what comes in the middle moves a block and not all. No two keys are equal.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { SORTED_BLOCK = 1024 };

struct sorted_block {
	uint32_t n;
	uint32_t handles[SORTED_BLOCK];
};

struct sorted {
	struct sorted_block **blocks; /* owned, each of them too; none is empty */
	size_t n_blocks, cap;
};

/* Where a walk stands; it ends with the next change of the struct sorted. */
struct sorted_place {
	size_t block, i;
};

#define SORTED_NONE UINT32_MAX

typedef int64_t sorted_key_fn(const void *ctx, uint32_t handle);

void sorted_deinit(struct sorted *sorted);
void sorted_insert(struct sorted *sorted, uint32_t handle, int64_t key, sorted_key_fn *key_of,
        const void *ctx);
/* The handle must be in it, by this key. */
void sorted_remove(struct sorted *sorted, uint32_t handle, int64_t key, sorted_key_fn *key_of,
        const void *ctx);
/* Before the first whose key is greater than `after`. */
struct sorted_place sorted_seek(
        const struct sorted *sorted, int64_t after, sorted_key_fn *key_of, const void *ctx);
/* Of handles by bits that stand elsewhere, an element a handle. */
struct sorted_wish {
	const uint32_t *marks;
	uint32_t mask, bits; /* wanted: marks[handle] & mask is bits */
};
/* The next one that is wanted; SORTED_NONE at the end. */
uint32_t sorted_next(
        const struct sorted *sorted, struct sorted_place *place, const struct sorted_wish *wish);

/*
 * A set of 32-bit handles found by a 64-bit hash: open addressing, eight bytes an entry. It knows
 * nothing of keys: whoever looks up compares the candidates itself, through a callback.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_slot {
	uint32_t tag;    /* of the hash */
	uint32_t handle; /* HASH_NONE or HASH_GONE or the caller's */
};

struct hash {
	struct hash_slot *slots; /* owned */
	size_t n_slots;          /* 0 = none yet */
	size_t n_live;
	size_t n_used; /* live and gone */
};

#define HASH_NONE UINT32_MAX
#define HASH_GONE (UINT32_MAX - 1)

typedef bool hash_equal_fn(const void *ctx, const void *key, uint32_t handle);

void hash_deinit(struct hash *h);
/* The handle whose key equals, or HASH_NONE. */
uint32_t hash_find(const struct hash *h, uint64_t hash, hash_equal_fn *equal, const void *ctx,
        const void *key);
/* The handle must not be in it. */
void hash_insert(struct hash *h, uint64_t hash, uint32_t handle);
/* Does nothing if it is not there. */
void hash_remove(struct hash *h, uint64_t hash, uint32_t handle);

/*
 * SipHash-1-3 of the bytes under a key drawn at random once a process: names come from outside,
 * and nobody shall choose them to collide. (Aumasson, Bernstein 2012, "SipHash: a fast short-input
 * PRF".)
 */
uint64_t hash_bytes(const void *bytes, size_t len);

#include "util/hash.h"

#include <string.h>
#include <sys/random.h>

#include "util/mem.h"

enum { HASH_FIRST_SLOTS = 16 };

void hash_deinit(struct hash *h)
{
	free(h->slots);
	*h = (struct hash){0};
}

static uint32_t hash_tag(uint64_t hash)
{
	return (uint32_t)(hash >> 32);
}

uint32_t hash_find(
        const struct hash *h, uint64_t hash, hash_equal_fn *equal, const void *ctx, const void *key)
{
	size_t mask = h->n_slots - 1;

	if (h->n_slots == 0)
		return HASH_NONE;
	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		const struct hash_slot *slot = &h->slots[i];

		if (slot->handle == HASH_NONE)
			return HASH_NONE;
		if (slot->handle != HASH_GONE && slot->tag == hash_tag(hash) &&
		        equal(ctx, key, slot->handle))
			return slot->handle;
	}
}

static void hash_place(struct hash *h, uint64_t hash, uint32_t handle)
{
	size_t mask = h->n_slots - 1, i = hash & mask;

	while (h->slots[i].handle != HASH_NONE)
		i = (i + 1) & mask;
	h->slots[i] = (struct hash_slot){.tag = hash_tag(hash), .handle = handle};
}

static void hash_rebuild(struct hash *h, hash_of_fn *hash_of, const void *ctx)
{
	struct hash_slot *old = h->slots;
	size_t n_old = h->n_slots, n_slots = HASH_FIRST_SLOTS;

	while (n_slots < (h->n_live + 1) * 2)
		n_slots *= 2;
	h->slots = mem_new(n_slots, sizeof(*h->slots));
	memset(h->slots, 0xff, n_slots * sizeof(*h->slots));
	h->n_slots = n_slots;
	h->n_used = h->n_live;
	for (size_t i = 0; i < n_old; i++) {
		if (old[i].handle < HASH_GONE)
			hash_place(h, hash_of(ctx, old[i].handle), old[i].handle);
	}
	free(old);
}

void hash_insert(
        struct hash *h, uint64_t hash, uint32_t handle, hash_of_fn *hash_of, const void *ctx)
{
	if ((h->n_used + 1) * 4 > h->n_slots * 3)
		hash_rebuild(h, hash_of, ctx);
	hash_place(h, hash, handle);
	h->n_live++;
	h->n_used++;
}

void hash_remove(struct hash *h, uint64_t hash, uint32_t handle)
{
	size_t mask = h->n_slots - 1;

	if (h->n_slots == 0)
		return;
	for (size_t i = hash & mask; h->slots[i].handle != HASH_NONE; i = (i + 1) & mask) {
		if (h->slots[i].handle == handle) {
			h->slots[i].handle = HASH_GONE;
			h->n_live--;
			return;
		}
	}
}

static uint64_t sip_rotate(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

static inline void __attribute__((always_inline)) sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = sip_rotate(v[1], 13) ^ v[0];
	v[0] = sip_rotate(v[0], 32);
	v[2] += v[3];
	v[3] = sip_rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = sip_rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = sip_rotate(v[1], 17) ^ v[2];
	v[2] = sip_rotate(v[2], 32);
}

uint64_t hash_bytes(const void *bytes, size_t len)
{
	static uint64_t key[2];
	static bool is_keyed;
	const unsigned char *p = bytes;
	uint64_t v[4], word;
	size_t left = len;

	if (!is_keyed) {
		/* Without entropy (early boot) the key stays zero: slower under attack, never
		 * wrong. */
		ssize_t n = getrandom(key, sizeof(key), GRND_NONBLOCK);

		(void)n;
		is_keyed = true;
	}
	v[0] = UINT64_C(0x736f6d6570736575) ^ key[0];
	v[1] = UINT64_C(0x646f72616e646f6d) ^ key[1];
	v[2] = UINT64_C(0x6c7967656e657261) ^ key[0];
	v[3] = UINT64_C(0x7465646279746573) ^ key[1];
	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&word, p, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = (uint64_t)len << 56;
	for (size_t i = 0; i < left; i++)
		word |= (uint64_t)p[i] << (8 * i);
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

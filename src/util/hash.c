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
	return (uint32_t)hash ^ (uint32_t)(hash >> 32);
}

/* Where a tag's search begins. In the order of (mixed) tags, so that a table that grows is read and
 * written from front to back, and no key is hashed again. */
static size_t hash_home(const struct hash *h, uint32_t tag)
{
	return (size_t)((uint64_t)(tag * UINT32_C(0x9e3779b1)) * h->n_slots >> 32);
}

static size_t hash_after(const struct hash *h, size_t i)
{
	return i + 1 < h->n_slots ? i + 1 : 0;
}

uint32_t hash_find(
        const struct hash *h, uint64_t hash, hash_equal_fn *equal, const void *ctx, const void *key)
{
	uint32_t tag = hash_tag(hash);

	if (h->n_slots == 0)
		return HASH_NONE;
	for (size_t i = hash_home(h, tag);; i = hash_after(h, i)) {
		const struct hash_slot *slot = &h->slots[i];

		if (slot->handle == HASH_NONE)
			return HASH_NONE;
		if (slot->handle != HASH_GONE && slot->tag == tag && equal(ctx, key, slot->handle))
			return slot->handle;
	}
}

static void hash_place(struct hash *h, uint32_t tag, uint32_t handle)
{
	size_t i = hash_home(h, tag);

	while (h->slots[i].handle != HASH_NONE)
		i = hash_after(h, i);
	h->slots[i] = (struct hash_slot){.tag = tag, .handle = handle};
}

/* Five eighths full when made anew, four fifths at most: 10 to 13 bytes a handle. */
static bool hash_is_full(const struct hash *h)
{
	return (h->n_used + 1) * 5 > h->n_slots * 4;
}

static void hash_rebuild(struct hash *h)
{
	struct hash_slot *old = h->slots;
	size_t n_old = h->n_slots, n_slots = (h->n_live + 1) * 8 / 5;

	if (n_slots < HASH_FIRST_SLOTS)
		n_slots = HASH_FIRST_SLOTS;
	h->slots = mem_new(n_slots, sizeof(*h->slots));
	memset(h->slots, 0xff, n_slots * sizeof(*h->slots));
	h->n_slots = n_slots;
	h->n_used = h->n_live;
	for (size_t i = 0; i < n_old; i++) {
		if (old[i].handle < HASH_GONE)
			hash_place(h, old[i].tag, old[i].handle);
	}
	free(old);
}

void hash_insert(struct hash *h, uint64_t hash, uint32_t handle)
{
	if (hash_is_full(h))
		hash_rebuild(h);
	hash_place(h, hash_tag(hash), handle);
	h->n_live++;
	h->n_used++;
}

void hash_remove(struct hash *h, uint64_t hash, uint32_t handle)
{
	if (h->n_slots == 0)
		return;
	for (size_t i = hash_home(h, hash_tag(hash)); h->slots[i].handle != HASH_NONE;
	        i = hash_after(h, i)) {
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

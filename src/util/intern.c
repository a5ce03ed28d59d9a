#include "util/intern.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "util/hash.h"
#include "util/mem.h"

struct intern_entry {
	uint32_t handle;
	uint32_t n_users;
	char text[];
};

struct intern_pool {
	struct hash by_text;
	struct intern_entry **entries; /* by handle; NULL = free */
	uint32_t n_entries;            /* handles ever given out */
	uint32_t cap;
	uint32_t *free_handles;
	uint32_t n_free;
};

struct intern_pool *intern_pool_new(void)
{
	return MEM_NEW(struct intern_pool);
}

struct intern_pool *intern_pool_free(struct intern_pool *pool)
{
	if (!pool)
		return NULL;
	for (uint32_t i = 0; i < pool->n_entries; i++)
		free(pool->entries[i]);
	free(pool->entries);
	free(pool->free_handles);
	hash_deinit(&pool->by_text);
	free(pool);
	return NULL;
}

static bool intern_equal(const void *ctx, const void *key, uint32_t handle)
{
	const struct intern_pool *pool = ctx;

	return strcmp(pool->entries[handle]->text, key) == 0;
}

static uint64_t intern_hash_of(const void *ctx, uint32_t handle)
{
	const struct intern_pool *pool = ctx;
	const char *text = pool->entries[handle]->text;

	return hash_bytes(text, strlen(text));
}

static uint32_t intern_new_handle(struct intern_pool *pool)
{
	if (pool->n_free > 0)
		return pool->free_handles[--pool->n_free];
	if (pool->n_entries == pool->cap) {
		pool->cap = pool->cap ? pool->cap * 2 : 16;
		pool->entries = mem_resize(pool->entries, pool->cap, sizeof(*pool->entries));
		pool->free_handles =
		        mem_resize(pool->free_handles, pool->cap, sizeof(*pool->free_handles));
	}
	return pool->n_entries++;
}

const char *intern_get(struct intern_pool *pool, const char *s)
{
	struct intern_entry *entry;
	uint32_t handle;
	uint64_t hash;
	size_t len;

	if (!s)
		return NULL;
	len = strlen(s);
	hash = hash_bytes(s, len);
	handle = hash_find(&pool->by_text, hash, intern_equal, pool, s);
	if (handle != HASH_NONE) {
		pool->entries[handle]->n_users++;
		return pool->entries[handle]->text;
	}
	handle = intern_new_handle(pool);
	entry = mem_new(1, sizeof(*entry) + len + 1);
	entry->handle = handle;
	entry->n_users = 1;
	memcpy(entry->text, s, len + 1);
	pool->entries[handle] = entry;
	hash_insert(&pool->by_text, hash, handle, intern_hash_of, pool);
	return entry->text;
}

void intern_put(struct intern_pool *pool, const char *s)
{
	uint32_t handle;

	if (!s)
		return;
	handle = hash_find(&pool->by_text, hash_bytes(s, strlen(s)), intern_equal, pool, s);
	assert(handle != HASH_NONE && pool->entries[handle]->text == s);
	if (--pool->entries[handle]->n_users > 0)
		return;
	hash_remove(&pool->by_text, hash_bytes(s, strlen(s)), handle);
	free(pool->entries[handle]);
	pool->entries[handle] = NULL;
	pool->free_handles[pool->n_free++] = handle;
}

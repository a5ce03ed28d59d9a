#include "util/intern.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "util/hash.h"
#include "util/mem.h"

struct intern_entry {
	uint32_t n_users;
	char text[];
};

struct intern_pool {
	struct hash by_text;
	struct intern_entry **entries; /* owned, each of them too; by handle - 1; NULL = free */
	uint32_t n_entries;            /* handles ever given out */
	uint32_t cap;
	uint32_t *free_handles; /* owned */
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

static struct intern_entry *entry_of(const struct intern_pool *pool, uint32_t handle)
{
	assert(handle > 0 && handle <= pool->n_entries && pool->entries[handle - 1]);
	return pool->entries[handle - 1];
}

static bool intern_equal(const void *ctx, const void *key, uint32_t handle)
{
	return strcmp(entry_of(ctx, handle)->text, key) == 0;
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
	return ++pool->n_entries;
}

uint32_t intern_get(struct intern_pool *pool, const char *s)
{
	struct intern_entry *entry;
	uint32_t handle;
	uint64_t hash;
	size_t len;

	if (!s)
		return 0;
	len = strlen(s);
	hash = hash_bytes(s, len);
	handle = hash_find(&pool->by_text, hash, intern_equal, pool, s);
	if (handle != HASH_NONE) {
		entry_of(pool, handle)->n_users++;
		return handle;
	}
	handle = intern_new_handle(pool);
	entry = mem_new(1, sizeof(*entry) + len + 1);
	entry->n_users = 1;
	memcpy(entry->text, s, len + 1);
	pool->entries[handle - 1] = entry;
	hash_insert(&pool->by_text, hash, handle);
	return handle;
}

uint32_t intern_find(const struct intern_pool *pool, const char *s)
{
	uint32_t handle =
	        hash_find(&pool->by_text, hash_bytes(s, strlen(s)), intern_equal, pool, s);

	return handle == HASH_NONE ? 0 : handle;
}

const char *intern_text(const struct intern_pool *pool, uint32_t handle)
{
	return handle ? entry_of(pool, handle)->text : NULL;
}

void intern_put(struct intern_pool *pool, uint32_t handle)
{
	if (!handle)
		return;
	struct intern_entry *entry = entry_of(pool, handle);

	if (--entry->n_users > 0)
		return;
	hash_remove(&pool->by_text, hash_bytes(entry->text, strlen(entry->text)), handle);
	free(entry);
	pool->entries[handle - 1] = NULL;
	pool->free_handles[pool->n_free++] = handle;
}

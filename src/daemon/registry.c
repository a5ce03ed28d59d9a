#include "daemon/registry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "util/hash.h"
#include "util/intern.h"
#include "util/mem.h"
#include "util/str.h"

/* Chunks never move: queues hold pointers into them. */
enum { CHUNK = 1024 };

struct registry {
	struct tracked **chunks; /* owned */
	size_t n_chunks;
	uint32_t *free_handles; /* owned; a stack */
	size_t n_free, cap_free;
	struct hash index; /* (account, id) -> handle */
	struct intern_pool *strings;
	struct tracked **order; /* owned; by key; holes are NULL until there are many */
	int64_t *order_keys;    /* owned; beside it, so that holes keep the order searchable */
	size_t n_order, cap_order, n_holes;
};

struct job_name {
	uint32_t account;
	const char *id;
};

struct registry *registry_new(void)
{
	struct registry *registry = MEM_NEW(struct registry);

	registry->strings = intern_pool_new();
	return registry;
}

struct registry *registry_free(struct registry *registry)
{
	if (!registry)
		return NULL;
	for (size_t i = 0; i < registry->n_chunks; i++) {
		for (size_t k = 0; k < CHUNK; k++)
			free(registry->chunks[i][k].error);
		free(registry->chunks[i]);
	}
	free(registry->chunks);
	free(registry->free_handles);
	hash_deinit(&registry->index);
	intern_pool_free(registry->strings);
	free(registry->order);
	free(registry->order_keys);
	free(registry);
	return NULL;
}

size_t registry_count(const struct registry *registry)
{
	return registry->index.n_live;
}

static struct tracked *at(const struct registry *registry, uint32_t handle)
{
	return &registry->chunks[handle / CHUNK][handle % CHUNK];
}

static bool is_in_use(const struct tracked *tracked)
{
	return tracked->id[0] != '\0';
}

static uint64_t hash_name(uint32_t account, const char *id)
{
	char bytes[sizeof(account) + JOB_ID_MAX];
	size_t len = strlen(id);

	memcpy(bytes, &account, sizeof(account));
	memcpy(bytes + sizeof(account), id, len);
	return hash_bytes(bytes, sizeof(account) + len);
}

static uint64_t hash_of_handle(const void *ctx, uint32_t handle)
{
	const struct tracked *tracked = at(ctx, handle);

	return hash_name(tracked->account, tracked->id);
}

static bool handle_has_name(const void *ctx, const void *key, uint32_t handle)
{
	const struct tracked *tracked = at(ctx, handle);
	const struct job_name *name = key;

	return tracked->account == name->account && strcmp(tracked->id, name->id) == 0;
}

static void push_free(struct registry *registry, uint32_t handle)
{
	if (registry->n_free == registry->cap_free) {
		registry->cap_free = registry->cap_free ? registry->cap_free * 2 : CHUNK;
		registry->free_handles = mem_resize(registry->free_handles, registry->cap_free,
		        sizeof(*registry->free_handles));
	}
	registry->free_handles[registry->n_free++] = handle;
}

static void add_chunk(struct registry *registry)
{
	uint32_t first = (uint32_t)(registry->n_chunks * CHUNK);

	registry->chunks =
	        mem_resize(registry->chunks, registry->n_chunks + 1, sizeof(*registry->chunks));
	registry->chunks[registry->n_chunks++] = mem_new(CHUNK, sizeof(struct tracked));
	for (uint32_t i = CHUNK; i > 0; i--)
		push_free(registry, first + i - 1);
}

struct tracked *registry_add(struct registry *registry, uint32_t account, const char *id)
{
	assert(id[0] && strlen(id) <= JOB_ID_MAX);
	if (registry->n_free == 0)
		add_chunk(registry);
	uint32_t handle = registry->free_handles[--registry->n_free];
	struct tracked *tracked = at(registry, handle);

	*tracked = (struct tracked){
	        .account = account, .handle = handle, .generation = tracked->generation + 1};
	str_copy(tracked->id, sizeof(tracked->id), id);
	registry_set_state(registry, tracked, JOB_STATE_PENDING);
	hash_insert(&registry->index, hash_name(account, id), handle, hash_of_handle, registry);
	return tracked;
}

/* The place of the first in the order whose key is greater than `after`. */
static size_t order_place(const struct registry *registry, int64_t after)
{
	size_t low = 0, high = registry->n_order;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (registry->order_keys[middle] <= after)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void order_compact(struct registry *registry)
{
	size_t n = 0;

	for (size_t i = 0; i < registry->n_order; i++) {
		if (!registry->order[i])
			continue;
		registry->order[n] = registry->order[i];
		registry->order_keys[n++] = registry->order_keys[i];
	}
	registry->n_order = n;
	registry->n_holes = 0;
}

static void order_remove(struct registry *registry, const struct tracked *tracked)
{
	if (!tracked->key)
		return;
	size_t place = order_place(registry, tracked->key - 1);

	assert(place < registry->n_order && registry->order[place] == tracked);
	registry->order[place] = NULL;
	registry->n_holes++;
	if (registry->n_holes > CHUNK && registry->n_holes > registry->n_order / 2)
		order_compact(registry);
}

/* Nearly always at the end: only a job that is watched once more has an old key. */
static void order_insert(struct registry *registry, struct tracked *tracked)
{
	size_t place = order_place(registry, tracked->key);

	if (place > 0 && registry->order_keys[place - 1] == tracked->key) {
		assert(!registry->order[place - 1]);
		registry->order[place - 1] = tracked;
		registry->n_holes--;
		return;
	}
	if (registry->n_order == registry->cap_order) {
		registry->cap_order = registry->cap_order ? registry->cap_order * 2 : CHUNK;
		registry->order =
		        mem_resize(registry->order, registry->cap_order, sizeof(struct tracked *));
		registry->order_keys =
		        mem_resize(registry->order_keys, registry->cap_order, sizeof(int64_t));
	}
	size_t n_behind = registry->n_order - place;

	memmove(&registry->order[place + 1], &registry->order[place],
	        n_behind * sizeof(struct tracked *));
	memmove(&registry->order_keys[place + 1], &registry->order_keys[place],
	        n_behind * sizeof(int64_t));
	registry->order[place] = tracked;
	registry->order_keys[place] = tracked->key;
	registry->n_order++;
}

void registry_set_key(struct registry *registry, struct tracked *tracked, int64_t key)
{
	if (tracked->key == key)
		return;
	order_remove(registry, tracked);
	tracked->key = key;
	if (key)
		order_insert(registry, tracked);
}

void registry_remove(struct registry *registry, struct tracked *tracked)
{
	assert(!heap_node_is_queued(&tracked->due));
	order_remove(registry, tracked);
	hash_remove(&registry->index, hash_name(tracked->account, tracked->id), tracked->handle);
	intern_put(registry->strings, tracked->job.state);
	intern_put(registry->strings, tracked->name);
	free(tracked->error);
	tracked->error = NULL;
	tracked->id[0] = '\0';
	push_free(registry, tracked->handle);
}

struct tracked *registry_find(const struct registry *registry, uint32_t account, const char *id)
{
	struct job_name name = {.account = account, .id = id};

	if (strlen(id) > JOB_ID_MAX)
		return NULL;
	uint32_t handle = hash_find(
	        &registry->index, hash_name(account, id), handle_has_name, registry, &name);

	return handle == HASH_NONE ? NULL : at(registry, handle);
}

uint64_t registry_ticket(const struct tracked *tracked)
{
	return (uint64_t)tracked->generation << 32 | tracked->handle;
}

struct tracked *registry_by_ticket(const struct registry *registry, uint64_t ticket)
{
	uint32_t handle = (uint32_t)ticket;

	if (handle >= registry->n_chunks * CHUNK)
		return NULL;
	struct tracked *tracked = at(registry, handle);

	return is_in_use(tracked) && registry_ticket(tracked) == ticket ? tracked : NULL;
}

struct tracked *registry_next(const struct registry *registry, int64_t after)
{
	for (size_t i = order_place(registry, after); i < registry->n_order; i++) {
		if (registry->order[i])
			return registry->order[i];
	}
	return NULL;
}

struct tracked *registry_each(const struct registry *registry, uint32_t *cursor)
{
	while (*cursor < registry->n_chunks * CHUNK) {
		struct tracked *tracked = at(registry, (*cursor)++);

		if (is_in_use(tracked))
			return tracked;
	}
	return NULL;
}

void registry_set_state(struct registry *registry, struct tracked *tracked, const char *state)
{
	const char *old = tracked->job.state;

	tracked->job.state = intern_get(registry->strings, state);
	tracked->job.kind = (uint8_t)job_kind_of(state);
	intern_put(registry->strings, old);
}

void registry_set_name(struct registry *registry, struct tracked *tracked, const char *name)
{
	const char *old = tracked->name;

	tracked->name = intern_get(registry->strings, name);
	intern_put(registry->strings, old);
}

void registry_set_error(
        struct tracked *tracked, enum error_class class, const char *message, int64_t at_wall_ms)
{
	size_t len = strlen(message);

	free(tracked->error);
	tracked->error = mem_new(1, sizeof(*tracked->error) + len + 1);
	tracked->error->at_wall_ms = at_wall_ms;
	tracked->error->class = class;
	memcpy(tracked->error->message, message, len + 1);
}

void registry_clear_error(struct tracked *tracked)
{
	free(tracked->error);
	tracked->error = NULL;
}

#include "daemon/registry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/census.h"
#include "daemon/marks.h"
#include "util/hash.h"
#include "util/intern.h"
#include "util/mem.h"
#include "util/str.h"
#include "util/texts.h"

/* Chunks never move: queues hold pointers into them. */
enum { CHUNK = 1024, NO_DIGIT = 0xf };

struct failure {
	struct int48 at_wall_ms;
	uint8_t class;    /* enum error_class */
	uint32_t message; /* interned: one trouble makes many jobs say the same */
	uint32_t next_free;
};

struct registry {
	struct tracked **chunks; /* owned */
	size_t n_chunks;
	uint32_t *free_handles; /* owned; a stack */
	size_t n_free, cap_free;
	struct hash index;    /* (account, id) -> handle */
	struct sorted by_key; /* handles */
	uint32_t *marks;      /* owned; by handle */
	struct census *census;
	struct intern_pool *words; /* states and messages */
	struct texts *names;
	struct terms *terms;
	struct failure *failures; /* owned; [0] stands for none */
	uint32_t n_failures, cap_failures, first_free_failure;
};

struct job_name {
	uint32_t account;
	uint8_t digits[JOB_ID_MAX / 2];
};

struct registry *registry_new(void)
{
	struct registry *registry = MEM_NEW(struct registry);

	registry->words = intern_pool_new();
	registry->names = texts_new();
	registry->terms = terms_new();
	registry->census = census_new();
	registry->n_failures = 1;
	return registry;
}

struct registry *registry_free(struct registry *registry)
{
	if (!registry)
		return NULL;
	for (size_t i = 0; i < registry->n_chunks; i++)
		free(registry->chunks[i]);
	free(registry->chunks);
	free(registry->free_handles);
	hash_deinit(&registry->index);
	sorted_deinit(&registry->by_key);
	intern_pool_free(registry->words);
	texts_free(registry->names);
	terms_free(registry->terms);
	census_free(registry->census);
	free(registry->marks);
	free(registry->failures);
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
	return tracked->state != 0;
}

/* ---- ids ---- */

static void pack_id(const char *id, uint8_t digits[static JOB_ID_MAX / 2])
{
	for (size_t i = 0; i < JOB_ID_MAX / 2; i++) {
		uint8_t high = *id ? (uint8_t)(*id++ - '0') : NO_DIGIT;
		uint8_t low = *id ? (uint8_t)(*id++ - '0') : NO_DIGIT;

		digits[i] = (uint8_t)(high << 4 | low);
	}
}

struct job_id tracked_id(const struct tracked *tracked)
{
	struct job_id id = {0};

	for (size_t i = 0; i < JOB_ID_MAX; i++) {
		uint8_t digit = tracked->digits[i / 2] >> (i % 2 ? 0 : 4) & 0xf;

		if (digit == NO_DIGIT)
			break;
		id.text[i] = (char)('0' + digit);
	}
	return id;
}

static bool is_id(const char *id)
{
	size_t len = strspn(id, "0123456789");

	return len > 0 && len <= JOB_ID_MAX && id[len] == '\0';
}

static uint64_t hash_name(uint32_t account, const uint8_t digits[static JOB_ID_MAX / 2])
{
	uint8_t bytes[sizeof(account) + JOB_ID_MAX / 2];

	memcpy(bytes, &account, sizeof(account));
	memcpy(bytes + sizeof(account), digits, JOB_ID_MAX / 2);
	return hash_bytes(bytes, sizeof(bytes));
}

static bool handle_has_name(const void *ctx, const void *key, uint32_t handle)
{
	const struct tracked *tracked = at(ctx, handle);
	const struct job_name *name = key;

	return tracked->account == name->account &&
	       memcmp(tracked->digits, name->digits, sizeof(name->digits)) == 0;
}

/* ---- who is wanted ---- */

static void set_mark(struct registry *registry, const struct tracked *tracked)
{
	struct mark mark = {0};

	mark_account(&mark, tracked->account);
	mark_state(&mark, tracked->state);
	mark_finished(&mark, job_kind_is_finished((enum job_kind)tracked->kind));
	mark_name(&mark, registry_name(registry, tracked));
	registry->marks[tracked->handle] = mark.bits;
}

static bool is_wanted(const struct registry_walk *walk, const struct tracked *tracked)
{
	const struct registry_filter *filter = &walk->filter;

	if (filter->is_of_account && tracked->account != filter->account)
		return false;
	if (filter->state && tracked->state != walk->state)
		return false;
	if (filter->name && !str_is_equal(registry_name(walk->registry, tracked), filter->name))
		return false;
	return filter->finished < 0 ||
	       job_kind_is_finished((enum job_kind)tracked->kind) == (filter->finished == 1);
}

/* ---- coming and going ---- */

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
	registry->marks =
	        mem_resize(registry->marks, registry->n_chunks * CHUNK, sizeof(*registry->marks));
	for (uint32_t i = CHUNK; i > 0; i--)
		push_free(registry, first + i - 1);
}

struct tracked *registry_add(struct registry *registry, uint32_t account, const char *id)
{
	assert(is_id(id));
	if (registry->n_free == 0)
		add_chunk(registry);
	uint32_t handle = registry->free_handles[--registry->n_free];
	struct tracked *tracked = at(registry, handle);

	*tracked = (struct tracked){
	        .account = account,
	        .handle = handle,
	        .generation = (tracked->generation + 1) & 0xffffff,
	        .state = intern_get(registry->words, JOB_STATE_PENDING),
	        .kind = JOB_PENDING,
	};
	pack_id(id, tracked->digits);
	hash_insert(&registry->index, hash_name(account, tracked->digits), handle);
	census_move(registry->census, account, 0, tracked->state);
	set_mark(registry, tracked);
	return tracked;
}

static int64_t key_of(const void *ctx, uint32_t handle)
{
	return tracked_key(at(ctx, handle));
}

void registry_set_key(struct registry *registry, struct tracked *tracked, int64_t key)
{
	int64_t old = tracked_key(tracked);

	if (old == key)
		return;
	if (old)
		sorted_remove(&registry->by_key, tracked->handle, old, key_of, registry);
	tracked->key = int48_of(key);
	if (key)
		sorted_insert(&registry->by_key, tracked->handle, key, key_of, registry);
}

void registry_remove(struct registry *registry, struct tracked *tracked)
{
	assert(!heap_node_is_queued(&tracked->due));
	registry_set_key(registry, tracked, 0);
	hash_remove(
	        &registry->index, hash_name(tracked->account, tracked->digits), tracked->handle);
	registry_set_name(registry, tracked, NULL);
	registry_clear_error(registry, tracked);
	terms_put(registry->terms, tracked->terms);
	census_move(registry->census, tracked->account, tracked->state, 0);
	intern_put(registry->words, tracked->state);
	tracked->terms = tracked->state = 0;
	push_free(registry, tracked->handle);
}

/* ---- finding ---- */

struct tracked *registry_find(const struct registry *registry, uint32_t account, const char *id)
{
	struct job_name name = {.account = account};

	if (!is_id(id))
		return NULL;
	pack_id(id, name.digits);
	uint32_t handle = hash_find(&registry->index, hash_name(account, name.digits),
	        handle_has_name, registry, &name);

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

void registry_walk_begin(const struct registry *registry, int64_t after,
        const struct registry_filter *filter, struct registry_walk *walk)
{
	struct mark mark = {0};

	*walk = (struct registry_walk){
	        .registry = registry,
	        .filter = *filter,
	        .place = sorted_seek(&registry->by_key, after, key_of, registry),
	};
	if (filter->state)
		walk->state = intern_find(registry->words, filter->state);
	walk->is_over = filter->state && !walk->state;
	if (filter->is_of_account)
		mark_account(&mark, filter->account);
	if (filter->state)
		mark_state(&mark, walk->state);
	if (filter->finished >= 0)
		mark_finished(&mark, filter->finished == 1);
	if (filter->name)
		mark_name(&mark, filter->name);
	walk->wish = (struct sorted_wish){
	        .marks = registry->marks, .mask = mark.mask, .bits = mark.bits};
}

struct tracked *registry_next(struct registry_walk *walk)
{
	uint32_t handle = SORTED_NONE;

	if (!walk->is_over)
		handle = sorted_next(&walk->registry->by_key, &walk->place, &walk->wish);
	while (handle != SORTED_NONE && !is_wanted(walk, at(walk->registry, handle)))
		handle = sorted_next(&walk->registry->by_key, &walk->place, &walk->wish);
	return handle == SORTED_NONE ? NULL : at(walk->registry, handle);
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

/* ---- what is known of a job ---- */

bool tracked_is_polled(const struct tracked *tracked)
{
	struct job job = {.kind = tracked->kind, .is_revived = tracked->is_revived};

	return job_is_polled(&job);
}

bool tracked_is_unknown(const struct tracked *tracked)
{
	return tracked->n_not_found > 0 || tracked->kind == JOB_LOST;
}

struct job registry_job(const struct registry *registry, const struct tracked *tracked)
{
	return (struct job){
	        .state = intern_text(registry->words, tracked->state),
	        .watched_mono_ms = int48_value(tracked->watched_mono_ms),
	        .since_wall_ms = int48_value(tracked->since_wall_ms),
	        .not_found_since_mono_ms = int48_value(tracked->not_found_since_mono_ms),
	        .n_failures = tracked->n_failures,
	        .n_not_found = tracked->n_not_found,
	        .kind = tracked->kind,
	        .is_overdue_told = tracked->is_overdue_told,
	        .is_revived = tracked->is_revived,
	};
}

static void set_state(struct registry *registry, struct tracked *tracked, const char *state)
{
	uint32_t old = tracked->state;

	/* Got before the old one is given back: state may be a part of it. */
	tracked->state = intern_get(registry->words, state);
	census_move(registry->census, tracked->account, old, tracked->state);
	intern_put(registry->words, old);
}

void registry_set_job(struct registry *registry, struct tracked *tracked, const struct job *job)
{
	const char *state = intern_text(registry->words, tracked->state);

	if (state != job->state && strcmp(state, job->state) != 0)
		set_state(registry, tracked, job->state);
	tracked->watched_mono_ms = int48_of(job->watched_mono_ms);
	tracked->since_wall_ms = int48_of(job->since_wall_ms);
	tracked->not_found_since_mono_ms = int48_of(job->not_found_since_mono_ms);
	tracked->n_failures = job->n_failures;
	tracked->n_not_found = job->n_not_found;
	tracked->kind = job->kind;
	tracked->is_overdue_told = job->is_overdue_told;
	tracked->is_revived = job->is_revived;
	set_mark(registry, tracked);
}

const char *registry_state(const struct registry *registry, const struct tracked *tracked)
{
	return intern_text(registry->words, tracked->state);
}

const char *registry_name(const struct registry *registry, const struct tracked *tracked)
{
	return texts_get(registry->names, tracked->name);
}

void registry_set_name(struct registry *registry, struct tracked *tracked, const char *name)
{
	uint32_t old = tracked->name;

	tracked->name = texts_add(registry->names, name);
	texts_drop(registry->names, old);
	set_mark(registry, tracked);
}

size_t registry_states(const struct registry *registry, uint32_t account,
        struct registry_state counts[static REGISTRY_STATES_MAX])
{
	struct census_count found[CENSUS_STATES_MAX + 1];
	size_t n = census_of(registry->census, account, found);

	for (size_t i = 0; i < n; i++)
		counts[i] = (struct registry_state){
		        .word = found[i].state,
		        .state = found[i].state ? intern_text(registry->words, found[i].state)
		                                : "other",
		        .n = found[i].n,
		};
	return n;
}

struct job_terms registry_terms(const struct registry *registry, const struct tracked *tracked)
{
	return terms_at(registry->terms, tracked->terms);
}

void registry_set_terms(
        struct registry *registry, struct tracked *tracked, const struct job_terms *terms)
{
	uint32_t old = tracked->terms;

	tracked->terms = terms_get(registry->terms, terms);
	terms_put(registry->terms, old);
}

/* ---- the last failure ---- */

static uint32_t take_failure(struct registry *registry)
{
	uint32_t number = registry->first_free_failure;

	if (number) {
		registry->first_free_failure = registry->failures[number].next_free;
		return number;
	}
	if (registry->n_failures >= registry->cap_failures) {
		registry->cap_failures = registry->cap_failures ? registry->cap_failures * 2 : 64;
		registry->failures = mem_resize(
		        registry->failures, registry->cap_failures, sizeof(*registry->failures));
	}
	return registry->n_failures++;
}

struct tracked_error registry_error(const struct registry *registry, const struct tracked *tracked)
{
	if (!tracked->error)
		return (struct tracked_error){0};
	const struct failure *failure = &registry->failures[tracked->error];

	return (struct tracked_error){
	        .at_wall_ms = int48_value(failure->at_wall_ms),
	        .class = (enum error_class)failure->class,
	        .message = intern_text(registry->words, failure->message),
	};
}

void registry_set_error(struct registry *registry, struct tracked *tracked, enum error_class class,
        const char *message, int64_t at_wall_ms)
{
	uint32_t interned = intern_get(registry->words, message);

	registry_clear_error(registry, tracked);
	tracked->error = take_failure(registry);
	registry->failures[tracked->error] = (struct failure){
	        .at_wall_ms = int48_of(at_wall_ms), .class = (uint8_t) class, .message = interned};
}

void registry_clear_error(struct registry *registry, struct tracked *tracked)
{
	if (!tracked->error)
		return;
	struct failure *failure = &registry->failures[tracked->error];

	intern_put(registry->words, failure->message);
	failure->next_free = registry->first_free_failure;
	registry->first_free_failure = tracked->error;
	tracked->error = 0;
}

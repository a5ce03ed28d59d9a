/*
 * The jobs that are watched, in memory: found by account and id, by ticket, and in the order of
 * their keys. The truth is in the store; what stands here is what was committed.
 *
 * A million jobs are a normal load, so a struct tracked is small: the wide parts of a job (what
 * Zoho said of it) stay in the store.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/job.h"
#include "core/observe.h"
#include "store/store.h"
#include "util/heap.h"

struct hook_set;

/* The last failure of a job, until a good answer clears it. */
struct tracked_error {
	int64_t at_wall_ms;
	enum error_class class;
	char message[]; /* NUL-terminated */
};

struct tracked {
	struct job job;       /* job.state is interned here */
	struct heap_node due; /* in its account's queue, while it waits for its time */
	uint32_t account;     /* handle (daemon/account.h) */
	uint32_t handle, generation;
	uint32_t polls;
	uint32_t document_hash; /* of what is stored; 0 = nothing yet */
	uint64_t fingerprint;   /* of the reply that says all that is known of it; 0 = not known */
	uint8_t module;         /* daemon/learned; 0 = not known */
	int64_t key;            /* of the store; 0 = not committed yet */
	int64_t overdue_after_ms;
	int64_t seen_mono_ms; /* if is_seen: when Zoho last said that it was not finished */
	int64_t watched_since_wall_ms, last_polled_wall_ms, last_answered_wall_ms;
	const char *name;             /* interned; NULL = none */
	struct tracked_error *error;  /* owned; NULL = none */
	const struct hook_set *hooks; /* NULL = those of the account */
	char id[JOB_ID_MAX + 1];
	bool is_seen : 1;
	bool is_in_flight : 1;     /* waits for an answer */
	bool is_changing : 1;      /* a change of it is written, not yet committed */
	bool is_paused : 1;        /* by somebody's wish */
	bool is_from_socket : 1;   /* ORIGIN_SOCKET */
	bool is_contact_dirty : 1; /* contact fields are newer than the store's */
	bool is_asked_for : 1;     /* somebody wants it polled now: the circuit does not stop it */
	bool is_marked : 1;        /* found in the configuration that is being applied */
};

struct registry;

struct registry *registry_new(void);
struct registry *registry_free(struct registry *registry);
size_t registry_count(const struct registry *registry);

/* A fresh one, in the index; state PENDING. The key may come later (registry_set_key). */
struct tracked *registry_add(struct registry *registry, uint32_t account, const char *id);
/* The tracked must be in no queue. */
void registry_remove(struct registry *registry, struct tracked *tracked);
void registry_set_key(struct registry *registry, struct tracked *tracked, int64_t key);
/* NULL if there is none. */
struct tracked *registry_find(const struct registry *registry, uint32_t account, const char *id);

/* An id across time: of this job and no later one in its place. */
uint64_t registry_ticket(const struct tracked *tracked);
struct tracked *registry_by_ticket(
        const struct registry *registry, uint64_t ticket); /* NULL = gone */

/* In the order of keys: the first whose key is greater than after (those without a key are left
 * out). NULL at the end. */
struct tracked *registry_next(const struct registry *registry, int64_t after);
/* Every one, keyed or not, in no order: *cursor from 0; NULL at the end. Removing the returned one
 * is allowed. */
struct tracked *registry_each(const struct registry *registry, uint32_t *cursor);

/* Interned strings, given back by registry_remove. */
void registry_set_state(struct registry *registry, struct tracked *tracked, const char *state);
void registry_set_name(struct registry *registry, struct tracked *tracked, const char *name);
void registry_set_error(
        struct tracked *tracked, enum error_class class, const char *message, int64_t at_wall_ms);
void registry_clear_error(struct tracked *tracked);

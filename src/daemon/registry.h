/*
 * The jobs that are watched, in memory: found by account and id, by ticket, and in the order of
 * their keys. The truth is in the store; what stands here is what was committed.
 *
 * A million jobs are a normal load, so a struct tracked is small and has no allocation of its own:
 * times in six bytes, digits by twos, words and what many have in common by numbers that the
 * registry resolves. The wide parts of a job (what Zoho said of it) stay in the store.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/job.h"
#include "core/observe.h"
#include "daemon/census.h"
#include "daemon/terms.h"
#include "store/store.h"
#include "util/heap.h"
#include "util/int48.h"
#include "util/sorted.h"

struct tracked {
	uint64_t fingerprint; /* of the reply that says all that is known of it; 0 = not known */
	struct int48 key;     /* of the store; 0 = not committed yet (tracked_key) */
	/* These three and the fields of the same names below are those of struct job. */
	struct int48 since_wall_ms, watched_mono_ms, not_found_since_mono_ms;
	struct int48 seen_mono_ms; /* if is_seen: when Zoho last said that it was not finished */
	struct int48 watched_since_wall_ms, last_polled_wall_ms, last_answered_wall_ms;
	uint8_t digits[JOB_ID_MAX / 2]; /* the id; what is left of it is 0xf (tracked_id) */
	uint16_t n_failures;
	struct heap_node due; /* in its account's queue, while it waits for its time */
	uint32_t account;     /* handle (daemon/account.h) */
	uint32_t handle;
	uint32_t generation : 24; /* of the handle: tells tickets apart */
	uint32_t module : 8;      /* daemon/learned; 0 = not known */
	uint32_t polls;
	uint32_t document_hash; /* of what is stored; 0 = nothing yet */
	uint32_t state;         /* these four: registry_job, _name, _error, _terms */
	uint32_t name;
	uint32_t error;
	uint32_t terms;
	uint8_t n_not_found;
	uint8_t kind; /* enum job_kind */
	bool is_overdue_told : 1;
	bool is_revived : 1;
	bool is_seen : 1;
	bool is_in_flight : 1;     /* waits for an answer */
	bool is_changing : 1;      /* a change of it is written, not yet committed */
	bool is_paused : 1;        /* by somebody's wish */
	bool is_from_socket : 1;   /* ORIGIN_SOCKET */
	bool is_contact_dirty : 1; /* contact fields are newer than the store's */
	bool is_asked_for : 1;     /* somebody wants it polled now: the circuit does not stop it */
	bool is_marked : 1;        /* found in the configuration that is being applied */
};
_Static_assert(sizeof(struct tracked) <= 112, "a tracked job has grown (docs/performance.md)");

struct job_id {
	char text[JOB_ID_MAX + 1];
};
struct job_id tracked_id(const struct tracked *tracked);

static inline int64_t tracked_key(const struct tracked *tracked)
{
	return int48_value(tracked->key);
}

bool tracked_is_polled(const struct tracked *tracked);  /* job_is_polled */
bool tracked_is_unknown(const struct tracked *tracked); /* the last answer was "no such job" */

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

/* Who is wanted of all. */
struct registry_filter {
	bool is_of_account;
	uint32_t account;
	const char *state, *name; /* NULL = any; borrowed while the walk lasts */
	int finished;             /* 0 or 1; -1 = either */
};
struct registry_walk {
	const struct registry *registry;
	struct registry_filter filter;
	uint32_t state; /* the filter's; 0 = nobody is in it */
	bool is_over;
	struct sorted_wish wish;
	struct sorted_place place;
};
/*
 * In the order of keys, from the first whose key is greater than after (those without a key are
 * left out); NULL at the end. The walk ends with the next change of the registry. A million jobs
 * that are not wanted are passed over in two milliseconds.
 */
void registry_walk_begin(const struct registry *registry, int64_t after,
        const struct registry_filter *filter, struct registry_walk *walk);
struct tracked *registry_next(struct registry_walk *walk);
/* Every one, keyed or not, in no order: *cursor from 0; NULL at the end. Removing the returned one
 * is allowed. */
struct tracked *registry_each(const struct registry *registry, uint32_t *cursor);

/* As core/machine decides on it. The state is borrowed: until that of this job changes. */
struct job registry_job(const struct registry *registry, const struct tracked *tracked);
void registry_set_job(struct registry *registry, struct tracked *tracked, const struct job *job);
const char *registry_state(const struct registry *registry, const struct tracked *tracked);
/* NULL = none. */
const char *registry_name(const struct registry *registry, const struct tracked *tracked);
void registry_set_name(struct registry *registry, struct tracked *tracked, const char *name);

/* The account's jobs by state, in no order; how many counts there are. */
enum { REGISTRY_STATES_MAX = CENSUS_STATES_MAX + 1 };
struct registry_state {
	uint32_t word; /* the same for the same state in all accounts; 0 = many that are others */
	const char *state; /* borrowed, until one of the account's changes; "other" */
	uint32_t n;
};
size_t registry_states(const struct registry *registry, uint32_t account,
        struct registry_state counts[static REGISTRY_STATES_MAX]);

struct job_terms registry_terms(const struct registry *registry, const struct tracked *tracked);
void registry_set_terms(
        struct registry *registry, struct tracked *tracked, const struct job_terms *terms);

/* The last failure of a job, until a good answer clears it. */
struct tracked_error {
	int64_t at_wall_ms; /* 0 = there is none */
	enum error_class class;
	const char *message; /* NULL if there is none; borrowed: until the job's next */
};
struct tracked_error registry_error(const struct registry *registry, const struct tracked *tracked);
void registry_set_error(struct registry *registry, struct tracked *tracked, enum error_class class,
        const char *message, int64_t at_wall_ms);
void registry_clear_error(struct registry *registry, struct tracked *tracked);

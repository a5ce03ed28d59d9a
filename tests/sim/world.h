/*
 * The world around the daemon, as the simulation plays it: the clock, Zoho's servers, hooks,
 * clients, and what was seen of the daemon so far.
 *
 * All of it is one struct in memory shared by the judge (the first process) and the lives of the
 * daemon (its forked children), so that it survives whatever a life dies of. It holds no pointer.
 * Everything random in it comes from one seeded generator: a seed is a whole history.
 *
 * The functions of net/ have no place for a context of ours, hence the one global, `world`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/event.h"
#include "store/store.h"
#include "util/clock.h"
#include "util/rng.h"

enum {
	WORLD_DATACENTERS_MAX = 8,
	WORLD_ACCOUNTS_MAX = 1024,
	WORLD_JOBS_MAX = 16384,
	WORLD_EVENTS_MAX = 1 << 18,
	WORLD_DELIVERIES_MAX = 1 << 19,
	WORLD_HOOKS = 3,
	WORLD_VARIANTS =
	        4, /* configurations that reloads go between; the last life ends in the first */
	WORLD_TROUBLES_MAX = 6,
	WORLD_PHASES_MAX = 6,
	WORLD_TOKENS_MAX = 4,
	WORLD_PLANS_MAX = 64,
	WORLD_CREDITS_MAX = 512,
	WORLD_READERS = 3,
	WORLD_NO_JOB = -1,
};

/* The words of a job's state, by number: as small as the evidence wants them. */
enum word {
	WORD_NONE,
	WORD_PENDING,
	WORD_ADDED,
	WORD_QUEUED,
	WORD_IN_PROGRESS,
	WORD_ASLEEP, /* one that the daemon does not know */
	WORD_COMPLETED,
	WORD_FAILURE,
	WORD_FAILED,
	WORD_LOST,
	WORDS,
};
const char *word_text(enum word word); /* NULL for WORD_NONE */
enum word word_of(const char *text);   /* WORD_NONE for NULL; WORDS if it is none of them */
bool word_is_final(enum word word);    /* Zoho says nothing else after it */

enum trouble_kind {
	TROUBLE_NONE,
	/* of a data center */
	TROUBLE_REFUSES,
	TROUBLE_STALLS,
	TROUBLE_DROPS,
	TROUBLE_SERVER, /* 5xx */
	TROUBLE_DNS,
	TROUBLE_TLS,
	TROUBLE_GARBLES,
	/* of an account */
	TROUBLE_THROTTLED,
	TROUBLE_SCOPE,
	TROUBLE_PERMISSION,
	/* of the disk */
	TROUBLE_FULL,
};

struct trouble {
	int64_t from_mono_ms, to_mono_ms;
	enum trouble_kind kind;
};

struct world_datacenter {
	char name[24];
	char url[64];
	struct trouble troubles[WORLD_TROUBLES_MAX];
	size_t n_troubles;
	int64_t well_from_mono_ms; /* by when the daemon should have noticed that it is well */
};

struct world_account {
	char name[24];
	int datacenter;
	int max_in_flight[WORLD_VARIANTS];
	int64_t min_interval_ms[WORLD_VARIANTS];
	bool has_other_file[WORLD_VARIANTS]; /* another path of the token's file */
	struct trouble troubles[WORLD_TROUBLES_MAX];
	size_t n_troubles;
	/* The n-th token is refused from its end on; its successor is in the file from then. */
	int64_t token_ends_mono_ms[WORLD_TOKENS_MAX], token_follows_mono_ms[WORLD_TOKENS_MAX];
	int n_tokens, n_written; /* tokens that ever were; the one in the file */

	int credits;                              /* a day; 0 = so many that it does not matter */
	int64_t spent_mono_ms[WORLD_CREDITS_MAX]; /* a ring: when the last ones were spent */
	int64_t n_spent; /* since the daemon could last be wrong about the time */

	/* In this life. */
	bool has_asked;
	int n_in_flight;
	int64_t held_until_mono_ms;    /* told to wait; 0 = not so */
	int64_t refused_since_mono_ms; /* 0 = not so; then probes go by other rules */
	int64_t well_from_mono_ms;     /* as a data center's */
	/* For ever. */
	int32_t last_event; /* about the account itself; 0 = none */
	bool is_paused;     /* as that event says */
};

struct phase {
	int64_t from_mono_ms;
	enum word word;
};

struct world_job {
	char id[JOB_ID_MAX + 1];
	int account;
	uint8_t absent_in; /* bits: variants of the configuration that lack it */
	uint8_t hooks;     /* bits; 0 = the account's, which are all */
	bool is_by_socket; /* never in the configuration */
	struct phase phases[WORLD_PHASES_MAX];
	int n_phases;
	int64_t unknown_from_mono_ms, unknown_to_mono_ms; /* Zoho says that there is no such job */

	/* What the daemon was told in this life. */
	enum word told;
	int n_not_found; /* in a row */
	int64_t not_found_since_mono_ms;
	int64_t next_poll_mono_ms; /* none sooner */
	int64_t heard_mono_ms;     /* when something happened that puts off its next poll */
	bool is_in_flight;
	bool is_asked_for; /* by a client: may be sooner */
	bool is_revived;   /* likewise, after it was LOST */
	int refused_token; /* 1 + number: may be sooner with another; 0 = none */
	bool is_paused_by_client, may_be_paused; /* surely; as a client may have had it */

	/* What was committed, or found on disk. */
	int32_t last_event;
	enum word state; /* WORD_PENDING before the first */
	int watches;     /* how often it became watched */
	int polls;       /* that nobody asked for */
	bool is_watched;
};

/* A committed event. */
struct seen_event {
	uint64_t hash;       /* of all that it says */
	uint64_t input_hash; /* of what hooks were given; 0 = none was yet */
	uint64_t line_hash;  /* of what readers were given; likewise */
	int32_t job, account;
	int32_t previous;       /* of the same job (or account): seq; 0 = none */
	int32_t first_delivery; /* 1 + index; 0 = none */
	uint8_t type, from, to;
	uint8_t variant; /* of the configuration in force */
};

/* A committed delivery. */
struct seen_delivery {
	int64_t id;
	int32_t seq, next; /* next of the event: 1 + index */
	uint8_t hook;
	uint8_t state; /* enum delivery_state */
	uint16_t attempts, n_started;
	bool is_running;    /* a program of it, in this life */
	bool has_gone_well; /* a run of it exited 0, and the daemon was told */
	bool has_failed_for_good;
};

enum plan_kind { PLAN_TOKEN, PLAN_VARIANT, PLAN_BAD_CONFIG, PLAN_WALL, PLAN_STOP };

/* What the world will do of its own accord, by time. */
struct plan {
	int64_t at_mono_ms;
	enum plan_kind kind;
	int64_t value; /* account, variant, or milliseconds */
};

struct world_reader {
	int64_t seq; /* of the last event got */
};

struct world_hook {
	const char *name; /* a literal: the same address in every process */
	event_set on;
	int attempts;
	int64_t timeout_ms;
	int parallel;
	uint8_t absent_in;
};

/* How a life ends, if not by itself. */
struct world_end {
	int64_t kill_at_step;   /* of this life; 0 = not so */
	int64_t reload_at_turn; /* of this life; 0 = not so */
	int64_t stop_at_turn;
	bool is_power_cut;    /* what was not synced may be gone */
	int64_t fail_at_step; /* a write or sync at this step or after it ends in an I/O error */
};

struct world {
	uint64_t seed;
	struct rng rng;
	int64_t mono_ms, wall_ms;
	int64_t trouble_until_mono_ms; /* all is well on the other side from here on */
	int64_t deadline_mono_ms;      /* all must be done by then */
	char dir[128];
	bool has_faults, has_clients;

	struct world_datacenter datacenters[WORLD_DATACENTERS_MAX];
	size_t n_datacenters;
	struct world_account accounts[WORLD_ACCOUNTS_MAX];
	size_t n_accounts;
	struct world_job jobs[WORLD_JOBS_MAX];
	size_t n_jobs;
	struct world_hook hooks[WORLD_HOOKS];
	size_t n_hooks;
	struct plan plans[WORLD_PLANS_MAX];
	size_t n_plans, next_plan;
	int variant; /* of the configuration in force */

	struct trouble fullness[WORLD_TROUBLES_MAX]; /* of the disk; the kind says nothing */
	size_t n_fullness;
	bool has_leapt; /* the wall clock, forward: the next life believes that so much time has
	                   passed */

	/* The life that is on. */
	int life;
	struct world_end end;
	int64_t step, turn;
	int64_t busy_step; /* the step at the last sign of work */
	bool was_killed, was_told_to_stop, is_over, had_io_error;

	/* Evidence. */
	char instance[17];
	int64_t committed_seq;
	struct seen_event events[WORLD_EVENTS_MAX]; /* by seq */
	struct seen_delivery deliveries[WORLD_DELIVERIES_MAX];
	size_t n_deliveries;
	size_t n_open_jobs, n_watched_jobs, n_open_deliveries;
	struct world_reader readers[WORLD_READERS];
	int64_t n_polls, n_runs, n_commits, n_requests;
	int n_running[WORLD_HOOKS]; /* programs */

	char failure[1024]; /* "" = none */
};

extern struct world *world;

/* Maps it, zeroed; for the whole process. */
void world_map(void);
void world_reset(uint64_t seed);

struct now world_now(void);
/* Moves the clock forward; what the world planned for the way is the caller's. */
void world_advance_to(int64_t mono_ms);
uint64_t world_below(uint64_t bound);
bool world_chance(double probability);
/* lo <= . <= hi */
int64_t world_between(int64_t lo, int64_t hi);
const struct trouble *world_trouble(const struct trouble *troubles, size_t n, int64_t mono_ms);

bool world_disk_is_full(void);
/* The disk is full, or was until a moment ago. */
bool world_disk_was_full(int64_t moment_ms);
/* A place where the daemon may die. */
void world_step(const char *what);
/* Something was achieved: the loop is not spinning. */
void world_was_busy(void);
/* Says what is wrong and ends this process. */
void world_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* The same without ending it. The first one counts. */
void world_note_failure(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* -1 if there is none. */
int world_find_account(const char *name);
int world_find_job(int account, const char *id);
int world_find_hook(const char *name);

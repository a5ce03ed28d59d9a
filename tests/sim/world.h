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
#include "kinds.h"
#include "store/store.h"
#include "util/clock.h"
#include "util/rng.h"

enum { TURN_MAX_MS = 1000 }; /* the daemon takes a turn's time from its beginning */

enum {
	WORLD_DATACENTERS_MAX = 8,
	WORLD_ACCOUNTS_MAX = 8192,
	WORLD_JOBS_MAX = 1 << 17,
	WORLD_EVENTS_MAX = 1 << 19,
	WORLD_DELIVERIES_MAX = 1 << 19,
	WORLD_HOOKS = 3,
	WORLD_VARIANTS =
	        4, /* configurations that reloads go between; the last life ends in the first */
	WORLD_TROUBLES_MAX = 64,
	WORLD_PHASES_MAX = 6,
	WORLD_TOKENS_MAX = 4,
	WORLD_PLANS_MAX = 128,
	WORLD_CREDITS_MAX = 512,
	WORLD_GRANTS_MAX = 8,
	WORLD_GRANT_TOKENS_MAX = 32,
	WORLD_READERS = 3,
	WORLD_NO_JOB = -1,
	WORLD_START_MONO_MS = 1000 * 1000,
	WORLD_LATE_MAX_MS = 20 * 1000,       /* that a wakening comes late */
	WORLD_RETRY_MAX_MS = 10 * 60 * 1000, /* of each hook */
};
/* If the configuration says nothing. */
#define WORLD_RETAIN_MS (INT64_C(90) * 24 * 60 * 60 * 1000)

/*
 * Who throws dice: each with its own sequence, so that leaving out one kind of trouble does not
 * change all the others.
 */
enum dice {
	DICE_SCENARIO,
	DICE_ENDS,
	DICE_ZOHO,
	DICE_HOOKS,
	DICE_DISK,
	DICE_CLIENTS,
	DICE_CLOCK,
	DICE_DAEMON,
	DICE_RECEIVERS,
	DICES,
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
	/* of a data center, or of those that webhooks call */
	TROUBLE_REFUSES,
	TROUBLE_STALLS,
	TROUBLE_DROPS,
	TROUBLE_SERVER, /* 5xx */
	TROUBLE_DNS,
	TROUBLE_TLS,
	TROUBLE_GARBLES,
	/* of an account, or of those that webhooks call */
	TROUBLE_THROTTLED,
	/* of an account */
	TROUBLE_SCOPE,
	TROUBLE_PERMISSION,
	/* of a grant */
	TROUBLE_TOKENS_THROTTLED,
	TROUBLE_TOKENS_UNREACHABLE,
	TROUBLE_TOKENS_GARBLED,
	/* of the disk */
	TROUBLE_FULL,
};

struct trouble {
	int64_t from_mono_ms, to_mono_ms;
	enum trouble_kind kind;
	bool is_flapping;
};

struct world_datacenter {
	char name[24];
	char url[64];
	struct trouble troubles[WORLD_TROUBLES_MAX];
	size_t n_troubles;
	int64_t well_from_mono_ms; /* by when the daemon should have noticed that it is well */

	/* In this life. */
	int n_in_flight;
	int64_t full_mono_ms; /* when last as many were in flight as there are connections */
};

/* In every secret and every token: to be found nowhere but in requests to Zoho. Also in the keys
 * and the addresses of webhooks. */
#define WORLD_CANARY "canary4711"

struct world_token {
	int64_t ends_mono_ms;
	int secret;    /* the refresh token that it was made from */
	bool is_given; /* the daemon has it */
	bool is_foreign;
};

/* What access tokens are made from; accounts of one data center may share it. */
struct world_grant {
	int datacenter;
	int secret; /* the number of the refresh token that is in the file, and good */
	bool is_revoked;
	struct trouble troubles[WORLD_TROUBLES_MAX];
	size_t n_troubles;
	struct world_token tokens[WORLD_GRANT_TOKENS_MAX]; /* a ring: the last ones */
	int n_made;

	int64_t asked_mono_ms[5]; /* a ring: requests that came through */
	int64_t n_asked;
	int64_t held_until_mono_ms, given_mono_ms;
	bool is_asking;
};

/* Of Zoho's two services, below a data center's URL. */
#define WORLD_PATH_BIGIN "bigin/bulk/v2"
#define WORLD_PATH_CRM   "crm/bulk/v8"

struct world_account {
	char name[24];
	int datacenter;
	bool is_of_crm;
	int grant; /* -1: its token is in a file */
	int max_in_flight[WORLD_VARIANTS];
	int64_t min_interval_ms[WORLD_VARIANTS];
	int64_t max_interval_ms[WORLD_VARIANTS];
	bool has_other_file[WORLD_VARIANTS]; /* another path of the token's file */
	struct trouble troubles[WORLD_TROUBLES_MAX];
	size_t n_troubles;
	/* The n-th token is refused from its end on; its successor is in the file from then. */
	int64_t token_ends_mono_ms[WORLD_TOKENS_MAX], token_follows_mono_ms[WORLD_TOKENS_MAX];
	int n_tokens, n_written; /* tokens that ever were; the one in the file */

	int credits;                              /* a day; 0 = so many that it does not matter */
	int64_t spent_mono_ms[WORLD_CREDITS_MAX]; /* a ring: when the last ones were spent */
	bool shares_credits;                      /* with an account that has few */
	int64_t n_spent; /* since the daemon could last be wrong about the time */

	/* In this life. */
	bool has_asked;
	int n_in_flight;
	int64_t full_mono_ms;              /* when last as many were in flight as may be */
	int64_t held_until_mono_ms;        /* told to wait; 0 = not so */
	int64_t refused_since_mono_ms;     /* 0 = not so; then probes go by other rules */
	int64_t well_from_mono_ms;         /* as a data center's */
	int64_t line_mono_ms[WORLD_HOOKS]; /* as a job's, of what is told of the account itself */
	/* For ever. */
	int64_t n_polls;    /* while there are troubles */
	int32_t first_job;  /* 1 + number, then along next_job; 0 = none */
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
	int32_t next_job;        /* of the account: 1 + number */
	uint8_t absent_in;       /* bits: variants of the configuration that lack it */
	uint8_t hooks;           /* bits; 0 = the account's, which are all */
	bool is_by_socket;       /* never in the configuration */
	int64_t appears_mono_ms; /* then it is added, if by socket */
	bool is_unknown;         /* Zoho said so in its last answer */
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
	int64_t due_mono_ms; /* as the daemon decided; 0 = not so, or not any more */
	bool is_asked_for;   /* by a client: may be sooner */
	bool is_revived;     /* likewise, after it was LOST */
	int refused_token;   /* 1 + number: may be sooner with another; 0 = none */
	bool is_paused_by_client, may_be_paused; /* surely; as a client may have had it */
	int64_t line_mono_ms[WORLD_HOOKS]; /* when its line of deliveries to a hook last moved */

	/* What was committed, or found on disk. */
	int32_t last_event;
	enum word state;       /* WORD_PENDING before the first */
	int64_t ended_wall_ms; /* when it was last unwatched */
	int watches;           /* how often it became watched */
	int polls;             /* that nobody asked for */
	bool is_watched;
};

/* A committed event. */
struct seen_event {
	uint64_t hash;       /* of all that it says */
	uint64_t input_hash; /* of what hooks were given; 0 = none was yet */
	uint64_t line_hash;  /* of what readers were given; likewise */
	uint64_t data_hash;  /* of its data */
	int64_t at_wall_ms;
	int32_t job, account;
	int32_t previous;       /* of the same job (or account): seq; 0 = none */
	int32_t first_delivery; /* 1 + index; 0 = none */
	uint8_t type, from, to;
	uint8_t variant; /* of the configuration in force */
	bool is_forgotten;
};

/* A committed delivery. */
struct seen_delivery {
	int64_t id;
	int32_t seq, next; /* next of the event: 1 + index */
	uint8_t hook;
	uint8_t state; /* enum delivery_state */
	uint16_t attempts, n_started;
	uint16_t granted;           /* attempts when somebody last asked for another try */
	uint16_t begun;             /* the number of the last attempt that began */
	int64_t not_before_mono_ms; /* as its receiver said, if that is on disk; 0 = not so */
	int64_t next_wall_ms;       /* when it is to be given, as it is on disk */
	int64_t due_mono_ms;        /* the same, as this life must see it */
	struct now claimed, ended;  /* the last attempt */
	int32_t behind;             /* of its line, what ran when it was replayed: up to this seq */
	bool may_be_retried; /* somebody asked for it: it may overtake, and come back from the dead
	                      */
	bool is_running;     /* an attempt, in this life */
	bool has_gone_well;  /* it ended with exit 0 or 2xx, and the daemon was told */
	bool has_failed_for_good;
};

enum plan_kind {
	PLAN_TOKEN,
	PLAN_REVOKE,
	PLAN_SECRET,
	PLAN_KEY,
	PLAN_KEY_SPOILT,
	PLAN_VARIANT,
	PLAN_BAD_CONFIG,
	PLAN_WALL,
	PLAN_SUSPEND,
	PLAN_STOP
};

/* What the world will do of its own accord, by time. */
struct plan {
	int64_t at_mono_ms;
	enum plan_kind kind;
	int64_t value; /* account, grant, hook, variant, or milliseconds */
};

/* Polls by account (crowd.h). */
struct world_shares {
	size_t n; /* accounts */
	int64_t n_polls, least, median, most;
	double jain;
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

	bool is_webhook; /* else a program */
	bool is_signed;
	uint8_t moved_in; /* bits: variants in which it calls another host */
	int key;          /* the number of the newest in its file, beside which is the one before */
	bool is_key_spoilt;
	struct trouble troubles[WORLD_TROUBLES_MAX]; /* of the one that it calls */
	size_t n_troubles;

	/* In this life. */
	int64_t replayed_from;       /* events from there on are wished for again; 0 = none */
	int64_t held_until_mono_ms;  /* it was told to call nobody before; 0 = not so */
	int64_t held_turn;           /* when it was told */
	int64_t quiet_until_mono_ms; /* for so long the daemon may believe that */
	int n_claimed;               /* places taken, as is committed */
	int64_t free_mono_ms;        /* when last it was away, or had no free place */
};

/* How a life ends, if not by itself. Steps are counted from from_mono_ms on; 0 = not so. */
struct world_end {
	int64_t from_mono_ms;
	int64_t kill_at_step;
	int64_t fail_at_step; /* the next call of the disk ends in an I/O error */
	bool is_lasting;      /* and all that follow */
	bool is_power_cut;    /* what was not synced may be gone, however the life ends */
	int64_t reload_at_turn, stop_at_turn; /* of this life */
};

struct world {
	uint64_t seed;
	struct rng rngs[DICES];
	kind_set kinds; /* of trouble */
	bool is_crowd;
	int64_t n_happened[HAPPENINGS];
	int64_t mono_ms, wall_ms;
	int64_t woken_mono_ms;         /* the last time that the clock went on without the daemon */
	int64_t trouble_until_mono_ms; /* all is well on the other side from here on */
	int64_t deadline_mono_ms;      /* all must be done by then */
	int64_t pace_ms;               /* about how often clients do something */
	int64_t retain_ms;             /* 0 = the configuration says nothing */
	char dir[128];

	struct world_datacenter datacenters[WORLD_DATACENTERS_MAX];
	size_t n_datacenters;
	struct world_account accounts[WORLD_ACCOUNTS_MAX];
	size_t n_accounts;
	struct world_grant grants[WORLD_GRANTS_MAX];
	size_t n_grants;
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
	int64_t end_step;  /* steps since end.from_mono_ms */
	int64_t busy_step; /* the step at the last sign of work */
	bool was_killed, was_told_to_stop, is_over, ended_of_error;
	bool had_io_error, may_have_io_error; /* that it must notice; that it may */
	int64_t told_to_stop_mono_ms, born_mono_ms;
	/* When it last looked for what is old, and what was old then: before that. */
	int64_t forgotten_mono_ms, forgotten_wall_ms;
	size_t memory_bytes;      /* of the process, when it had settled; 0 = not yet */
	bool was_killed_at_start; /* in this life, or the one before it while this one starts */

	/* Evidence. */
	char instance[17];
	int64_t committed_seq;
	struct seen_event events[WORLD_EVENTS_MAX]; /* by seq */
	struct seen_delivery deliveries[WORLD_DELIVERIES_MAX];
	size_t n_deliveries, n_forgotten_deliveries;
	int64_t pruned_through; /* the last event that is forgotten; 0 = none */
	size_t n_open_jobs, n_watched_jobs, n_open_deliveries;
	struct world_reader readers[WORLD_READERS];
	int64_t n_polls, n_runs, n_commits, n_requests;
	int n_running[WORLD_HOOKS]; /* attempts */
	int64_t free_mono_ms;       /* when last all the places that the daemon has were taken */
	struct world_shares shares, large_shares; /* of a crowd, at its end */

	char failure[1024]; /* "" = none */
};

extern struct world *world;

/* Maps it, zeroed; for the whole process. */
void world_map(void);
void world_reset(uint64_t seed);

struct now world_now(void);
/* Moves the clock forward; what the world planned for the way is the caller's. */
void world_advance_to(int64_t mono_ms);
uint64_t world_below(enum dice dice, uint64_t bound);
bool world_chance(enum dice dice, double probability);
/* lo <= . <= hi */
int64_t world_between(enum dice dice, int64_t lo, int64_t hi);

bool world_has(enum kind kind);
/* The kind is on, and its time is not over. */
bool world_may(enum kind kind);
void world_happened(enum happening happening);
/* The machine slept: nobody could do anything meanwhile. */
void world_suspend(int64_t ms);

const struct trouble *world_trouble(const struct trouble *troubles, size_t n, int64_t mono_ms);

bool world_disk_is_full(void);
/* The disk is full, or was until a moment ago. */
bool world_disk_was_full(int64_t moment_ms);
/* There is room again, maybe, but not so long that the daemon must have noticed: it looks every two
 * seconds, when it is awake. */
bool world_room_may_be_news(void);
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
/* Of whichever account. */
int world_find_job_by_id(const char *id);
int world_find_hook(const char *name);

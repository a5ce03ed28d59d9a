/* Shared by hooks.c (tables and queues) and attempt.c (one attempt from claim to record). */
#pragma once

#include "daemon/hooks.h"
#include "daemon/secret.h"
#include "net/http.h"
#include "util/hash.h"
#include "util/heap.h"

/* Scheme, host and port that webhooks are called at (webhook.c). */
struct webhook_origin {
	char *base;             /* owned */
	struct http_host *host; /* owned; NULL = could not be made */
	size_t n_hooks;         /* of the configuration */
};

struct hook {
	char *name;
	struct config_hook config;     /* its strings are copies, owned */
	struct webhook_origin *origin; /* borrowed; NULL = a program, or parked */
	struct secret secret;          /* of a webhook; path NULL = unsigned */
	int64_t held_until_mono_ms;    /* a webhook's receiver wants nothing before this */
	bool is_configured;
	size_t n_running;    /* places taken, claimed ones included */
	size_t n_deliveries; /* open ones */
	struct heap due;     /* struct chain by the mono time of its first delivery */
	struct metrics_hook metrics;
};

/* What is open for one hook and one job (or account), oldest first: only the first may run. */
struct chain {
	uint32_t hook;
	uint32_t handle;
	int64_t order; /* job key, or the negative of a hash of the account's name */
	struct delivery *first, **tail;
	struct heap_node due;
};

struct delivery {
	int64_t id, event_seq;
	struct chain *chain;
	struct delivery *next;  /* in its chain */
	char *account, *job_id; /* NULL = none */
	int64_t job_key;
	uint64_t attempts, attempts_base;
	int64_t next_mono_ms, next_wall_ms;
	int64_t created_wall_ms;
	int64_t started_wall_ms; /* of the attempt that runs */
	bool is_claimed; /* has a place: about to run, running, or ended and not yet recorded */
};

/* What an attempt came to, kept until it is on disk. */
struct outcome {
	struct journal_change change;
	struct hooks *hooks;
	struct delivery *delivery;
	enum delivery_state state; /* afterwards */
	enum attempt_end end;
	int code;
	bool is_delivered, is_permanent; /* how it ended; neither = to be tried again */
	int64_t wait_at_least_ms;        /* before that; 0 = nobody asked */
	int64_t duration_ms;
	int64_t ended_wall_ms;
	int64_t next_mono_ms, next_wall_ms; /* if pending again */
	char *output;                       /* owned */
	size_t output_len;
	struct outcome *next; /* while it waits for room on the disk */
};

struct hooks {
	struct loop *loop;
	struct children *children;
	struct http *http;
	struct journal *journal;
	struct rng *rng;
	struct webhook_origin **origins; /* owned */
	size_t n_origins;
	struct hook **hooks; /* owned, by handle; never shrinks */
	size_t n_hooks;
	event_set *on; /* by handle, for hookmatch; 0 = parked */
	struct hook_set **sets;
	size_t n_sets;
	struct chain **chains; /* owned, by handle; NULL = free */
	uint32_t n_chains, cap_chains;
	uint32_t *free_chains;
	size_t n_free_chains;
	struct hash by_order;
	struct delivery *running[HOOK_RUNNING_MAX];
	size_t n_running; /* places taken in all */
	struct outcome *unsaved;
	struct hook_test *tests; /* under way (hook_test.c) */
	size_t n_tests;
	struct replay *replays; /* under way (replay.c) */
	bool is_draining;
	char *path, *lang, *home, *tz; /* of our own environment; NULL = not set */
};

/* Takes a place for the delivery; false: none is free. */
bool hooks_take_place(struct hooks *hooks, struct delivery *delivery);
void hooks_give_place(struct hooks *hooks, struct delivery *delivery);
/* (Re)places the chain in its hook's queue by its first delivery; not there while that is claimed.
 */
void hooks_queue(struct hooks *hooks, struct chain *chain);
/* Takes the delivery out of its chain and frees both if they are of no more use. */
void hooks_forget(struct hooks *hooks, struct delivery *delivery);

/* Brings a row of the store into memory, at the end of its chain. */
struct delivery *hooks_open(struct hooks *hooks, const struct store_delivery *row);
/* The same, in the order of events; what runs stays the first. */
struct delivery *hooks_open_in_order(struct hooks *hooks, const struct store_delivery *row);

/* attempt.c: the row of the delivery as it is in memory. */
struct store_delivery attempt_row(
        const struct hooks *hooks, const struct delivery *delivery, enum delivery_state state);
/* The claim of the next attempt, as rows; the delivery has its place. */
bool attempt_write_claim(struct hooks *hooks, struct delivery *delivery);
/* After the claim's commit: starts the program, or calls the webhook. */
void attempt_start(struct hooks *hooks, struct delivery *delivery);
/* Without a program: its attempts are used up (the daemon died in the last of them). */
void attempt_give_up(struct hooks *hooks, struct delivery *delivery);
/* Tries again what could not be recorded for want of room. */
void attempt_record_unsaved(struct hooks *hooks);
enum attempt_end attempt_end_of_child(enum child_end end);

/* hook_test.c: those under way, whose programs have been ended without telling. */
void hooks_forget_tests(struct hooks *hooks);

/* replay.c: the next slice of each, as rows. After everything else that may claim in a turn. */
void hooks_replay_turn(struct hooks *hooks);
void hooks_forget_replays(struct hooks *hooks);

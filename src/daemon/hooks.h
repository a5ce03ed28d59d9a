/*
 * Deliveries of events to hooks: at least once, never zero, in order per hook and job.
 *
 * A delivery is written in the transaction of its event (hooks_offer). An attempt is claimed
 * (counted, committed) before its program is started, and its end is committed before the next one
 * of the same hook and job is looked at: whatever instruction the daemon dies at, the delivery is
 * still there or its program has run.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "daemon/journal.h"
#include "daemon/metrics.h"
#include "net/child.h"
#include "net/http.h"
#include "util/rng.h"

struct hooks;

/* A set of hooks by handle, shared by all who have the same; lives as long as struct hooks. */
struct hook_set {
	size_t n;
	uint32_t hooks[];
};

struct hooks *hooks_new(struct loop *loop, struct children *children, struct http *http,
        struct journal *journal, struct rng *rng);
/* Nothing may be running but what children_free has ended without telling. */
struct hooks *hooks_free(struct hooks *hooks);

/*
 * Takes over the hooks of a configuration. Those that are gone are parked: they keep their
 * deliveries and start none.
 */
void hooks_apply(struct hooks *hooks, const struct config *config);
/* The set of the configuration's indexes, as handles. */
const struct hook_set *hooks_set_of(
        struct hooks *hooks, const struct config *config, const struct config_hook_set *set);
/* All that are configured. */
const struct hook_set *hooks_all(struct hooks *hooks);

/* Brings back what the store holds as pending. Once, after hooks_apply. 0 or a store error. */
int hooks_load(struct hooks *hooks);

/* A journal_offer_fn; arg is the struct hooks. */
int hooks_offer(void *arg, const struct store_event *event, const uint32_t *candidates, size_t n,
        uint32_t about);

/* Part of the turn's end, before the commit: claims what is due and finds a free place. */
void hooks_dispatch(struct hooks *hooks);
/* When hooks_dispatch should be called next (mono); INT64_MAX = only after something happened. */
int64_t hooks_next_mono(const struct hooks *hooks);

/* Starts nothing more; what runs goes on. */
void hooks_drain(struct hooks *hooks);
/* Claimed or running; not those that ended and wait for room on the disk. */
size_t hooks_running(const struct hooks *hooks);

/* Grants a delivery its attempts anew and makes it due now, for the next commit. 0, one of these,
 * or a store error. */
enum { HOOKS_E_NONE = 1, HOOKS_E_DELIVERED, HOOKS_E_RUNNING, HOOKS_E_BUSY, HOOKS_E_UNFIT };
int hooks_retry(struct hooks *hooks, int64_t delivery_id);

struct hook_test_result {
	const char *const *envp;    /* of a program; NULL = a webhook */
	const char *const *headers; /* of a webhook's request; NULL = a program */
	const char *input;
	bool is_delivered;
	enum attempt_end end;
	int code;
	int64_t duration_ms;
	const char *output;
	size_t output_len;
};
/* result NULL: the daemon ends before the test does. */
typedef void hooks_test_fn(void *arg, const struct hook_test_result *result);
/*
 * Runs the hook once with the event of this seq (0 = a made-up job.completed); fn is told once,
 * later. 0; HOOKS_E_NONE: no such event; HOOKS_E_BUSY: too many tests, draining, or a parked hook;
 * HOOKS_E_UNFIT: the webhook's request cannot be made, words tell why; or a store error.
 */
int hooks_test(struct hooks *hooks, uint32_t handle, int64_t event_seq, hooks_test_fn *fn,
        void *arg, struct buf *words);

/* The hooks that an event of the past was for, but for its type: those of its job or account. */
typedef const struct hook_set *hooks_set_fn(void *arg, const struct store_event *event);
/* All are made; the disk is full; the database failed; the hook is not configured any more. */
enum replay_end { REPLAY_DONE, REPLAY_FULL, REPLAY_LOST, REPLAY_PARKED };
/* Told once, after the last commit; n deliveries were made. */
typedef void hooks_replay_fn(void *arg, enum replay_end end, int64_t n);
/*
 * Makes deliveries to this hook of past events, from seq `since` to the last one committed: those
 * that it is for and that it has not got yet. A slice a turn. 0, or HOOKS_E_BUSY: this hook is
 * parked or has a replay under way, or the daemon stops. At a stop fn is not told.
 */
struct replay_wish {
	uint32_t hook;
	int64_t since;
	hooks_set_fn *set_of;
	void *set_arg;
	hooks_replay_fn *fn;
	void *arg;
};
int hooks_replay(struct hooks *hooks, const struct replay_wish *wish);

struct hook_info {
	const char *name;
	const struct config_hook *config; /* NULL = parked */
	const char *origin;               /* of a webhook, without path and query; else NULL */
	size_t n_running, n_pending;      /* n_pending with those that run */
	int64_t oldest_seq;               /* of an event not delivered yet; 0 = none */
	int64_t oldest_wall_ms;           /* when it was */
	const struct metrics_hook *metrics;
};
/* False beyond the last. Names and config live until the next hooks_apply. */
bool hooks_info(const struct hooks *hooks, uint32_t handle, struct hook_info *info);
/* HOOKMATCH_NOBODY if there is none. */
uint32_t hooks_find(const struct hooks *hooks, const char *name);

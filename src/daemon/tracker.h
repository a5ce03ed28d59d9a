/*
 * The one writer of jobs: what was decided of a job goes through here to the journal, and after the
 * commit into memory and back into the queue.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/observe.h"
#include "daemon/account.h"
#include "daemon/journal.h"
#include "daemon/queue.h"
#include "daemon/registry.h"
#include "util/rng.h"

/* The job of this ticket is finished, or no longer watched: committed, but not told yet. */
typedef void tracker_over_fn(void *arg, uint64_t ticket);

struct tracker {
	struct loop *loop;
	struct journal *journal;
	struct registry *registry;
	struct accounts *accounts;
	struct hooks *hooks;
	struct queue *queue;
	struct rng *rng;
	int64_t overdue_next_mono_ms;    /* when to look for overdue jobs again */
	int64_t overdue_soonest_mono_ms; /* of those that the present look has seen */
	uint32_t overdue_cursor;
	int64_t contact_next_mono_ms; /* when to write contact fields again */
	uint32_t contact_cursor, learned_cursor;
	tracker_over_fn *over; /* NULL = nobody waits */
	void *over_arg;
	bool wants_credits;    /* a ledger is to be written with the next commit */
	bool has_account_news; /* an account was paused or came back since it was last told */
};

/*
 * The answer to a poll of this job: decides (core/machine) and writes. True: the job is lost, but
 * so is every job of its account, which shall be paused.
 */
bool tracker_observe(
        struct tracker *tracker, struct tracked *tracked, const struct observation *observation);

/* A decision that no answer led to; the document stays, and so does the time of the next poll. */
struct step;
void tracker_write_step(struct tracker *tracker, struct tracked *tracked, const struct step *step);

/* A job to watch. */
struct tracker_wish {
	struct account *account;
	const char *id;
	const char *name;             /* NULL = none */
	const struct hook_set *hooks; /* NULL = the account's */
	int64_t overdue_after_ms;
	bool is_from_socket;
	size_t n_together; /* how many are added at once: their first polls are spread */
};
/* False: the configuration wishes for a job that was removed by hand. Job row and job.watched,
 * written for the next commit; in the registry at once, without a key until then. */
bool tracker_watch(struct tracker *tracker, const struct tracker_wish *wish);
/* is_removed: by hand, so that the configuration does not bring it back. */
void tracker_unwatch(struct tracker *tracker, struct tracked *tracked, bool is_removed);
/* By somebody's wish: not polled until resumed. Takes effect with the commit. */
void tracker_pause(struct tracker *tracker, struct tracked *tracked, bool is_paused);
/* Writes a changed name, origin or pause; no event. */
void tracker_rewrite(struct tracker *tracker, struct tracked *tracked);

/* At the start: the watched jobs of the store into registry and queue. 0 or a store error. */
int tracker_load(struct tracker *tracker);

/* Parts of the turn's end, before the commit. */
void tracker_tell_overdue(struct tracker *tracker);
void tracker_tell_accounts(struct tracker *tracker);
void tracker_write_contact(struct tracker *tracker);
/* All of it, at the stop. */
void tracker_write_all_contact(struct tracker *tracker);
/* When the parts above want to be called next (mono). */
int64_t tracker_next_mono(const struct tracker *tracker);

/* Restores what the journal said last of the accounts: a paused one is probed first. */
int tracker_load_accounts(struct tracker *tracker);

/*
 * At most one commit a turn: whoever writes to the store during a turn of the loop registers a
 * change here; at the turn's end all of it is committed at once, and only then does each change
 * reach memory and the world.
 *
 * A commit costs as much as dozens of polls. So one that holds nothing but what polls brought
 * (journal_change.can_wait) comes no sooner than JOURNAL_SPACING_MS after the one before: the first
 * after a quiet time is not delayed, the many of a busy time share theirs. Until then nothing of it
 * is told, and nobody reads what is not on disk (journal_settle_all).
 *
 * A full disk undoes the whole batch: every change is told so, nothing of it was announced, and
 * writing stops until there is room again (journal_is_full). An I/O error is fatal (journal_commit
 * returns it): what is on disk must be read again by a new process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/metrics.h"
#include "net/loop.h"
#include "store/store.h"

enum { JOURNAL_SPACING_MS = 50 };

struct journal;
struct journal_change;

/* Frees the change. Writes to the store are not allowed in it (loop_defer or the next turn is the
 * place). */
typedef void journal_done_fn(struct journal_change *change, bool is_committed);

/* Embedded in what the writer needs to remember. */
struct journal_change {
	journal_done_fn *done;
	struct journal_change *next;
	bool can_wait; /* for others to share its commit with */
};

/* Writes the outbox rows of an event; candidates: hooks by handle. A store error is returned. */
typedef int journal_offer_fn(void *arg, const struct store_event *event, const uint32_t *candidates,
        size_t n, uint32_t about);

struct journal *journal_new(struct loop *loop, struct store *store);
/* Tells every change that waits for a commit that none will come: the end, after a fatal error. */
void journal_abandon(struct journal *journal);
/* Nothing may wait for a commit. Takes NULL, returns NULL. */
struct journal *journal_free(struct journal *journal);
void journal_set_outbox(struct journal *journal, journal_offer_fn *offer, void *arg);

const struct metrics_journal *journal_metrics(const struct journal *journal);
struct store *journal_store(const struct journal *journal);
/* The disk is full: nothing should be written now, so nothing should be begun that must be written.
 */
bool journal_is_full(const struct journal *journal);
/* At the stop: what is left is written whether the disk is full or not; the store's ballast was
 * given up for this. */
void journal_write_last(struct journal *journal);
/* The batch is lost already (its end will say so): further writes of this turn are pointless. */
bool journal_is_lost(const struct journal *journal);

/* Takes the result of a writing call of the store's; remembers the first error of the batch. True
 * if it was 0. */
bool journal_wrote(struct journal *journal, int error);
/* In the order of their writing; done is called at the turn's end. */
void journal_add(struct journal *journal, struct journal_change *change);

/* An event with its outbox rows: hooks by handle, `about` as in core/hookmatch. event->seq is set.
 * True if written. */
bool journal_append(struct journal *journal, struct store_event *event, const uint32_t *hooks,
        size_t n, uint32_t about);

/*
 * Commits, then calls every change. 0 (committed, nothing to do, or a full disk, which is logged
 * and waited for), or the fatal error.
 */
int journal_commit(struct journal *journal);
/* The turn's end: the same, unless it is too soon and the batch can wait. */
int journal_end_turn(struct journal *journal);
/* Before a change: commits what waits from earlier turns, which could be of the same job. An error
 * is returned by the end of this turn or of the next one. */
void journal_settle(struct journal *journal);
/* Before somebody reads the store for others, or wants it without a transaction: what this turn
 * wrote so far, too. */
void journal_settle_all(struct journal *journal);

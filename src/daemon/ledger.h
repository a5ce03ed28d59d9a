/*
 * The credits of one or more accounts: core/budget on a clock that never steps, kept in a value of
 * the store. Which account uses which ledger is daemon/sharing's matter; here those that use one
 * join it and leave it.
 *
 * One that nobody uses any more is let go as soon as the disk knows all of it.
 *
 * A credit is used only after the block that it belongs to is on disk: whoever finds none reserved
 * says so (ledger_want), waits, and is touched after the commit.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/budget.h"
#include "store/store.h"
#include "util/clock.h"
#include "wire/json.h"

struct account;
struct ledgers;

struct ledger {
	struct ledgers *ledgers;
	uint64_t id;            /* never given twice */
	char *name;             /* owned */
	struct account **users; /* owned; in the order of joining */
	size_t n_users;
	size_t n_references; /* besides */
	bool is_fresh;       /* nothing was on disk when it was got, and no turn has passed since */
	struct budget budget;
	int64_t offset_ms;     /* from the monotonic clock to the ledgers' */
	bool is_wanting;       /* a block is to be reserved with the next commit */
	bool is_reserving;     /* it is on its way to disk */
	bool is_dirty;         /* more was spent than was reserved */
	enum budget_mark mark; /* as last told */
};

/* Their clock begins at the wall clock, and steps no more while the machine runs. */
struct ledgers *ledgers_new(struct now now);
/* Everybody must have left. Takes NULL, returns NULL. */
struct ledgers *ledgers_free(struct ledgers *ledgers);
size_t ledgers_count(const struct ledgers *ledgers);
struct ledger *ledgers_at(const struct ledgers *ledgers, size_t i);
/* NULL = it is gone. */
struct ledger *ledgers_by_id(const struct ledgers *ledgers, uint64_t id);

/* A counted reference to the ledger of that name, from memory or from the store: 0 or a store
 * error. ledger_put gives it back. */
int ledgers_get(struct ledgers *ledgers, struct store *store, const char *name, struct now now,
        struct ledger **out);
struct ledger *ledger_reference(struct ledger *ledger);
/* Takes NULL, returns NULL. May let go of other ledgers than this one: not while walking them. */
struct ledger *ledger_put(struct ledger *ledger);

/* account->ledger is this one from now on, until it leaves. */
void ledger_join(struct ledger *ledger, struct account *account);
void ledger_leave(struct account *account);
/* The lowest ceiling of its users is its own. */
void ledger_set_ceiling(struct ledger *ledger);
/* See budget_take_over; to be written then. */
void ledger_take_over(
        struct ledger *ledger, const struct ledger *other, bool is_apart, struct now now);

/* Reserves a block if one is wanted, and writes the ledger into the open transaction. */
int ledger_write(struct ledger *ledger, struct store *store, struct now now);
/* The end of that transaction. */
void ledger_written(struct ledger *ledger, bool is_committed);

/* As gate_closed_until_mono: INT64_MAX while a block is waited for. */
int64_t ledger_closed_until_mono(const struct ledger *ledger, int64_t mono_ms);
bool ledger_has_credit(const struct ledger *ledger, struct now now);
/* Nothing is left for now. */
bool ledger_is_spent(const struct ledger *ledger, struct now now);
/* At the stop: nothing more is sent, and what is reserved need not be forfeited. */
void ledger_close(struct ledger *ledger);
void ledger_want(struct ledger *ledger);
/* A request went out; then, with its answer, how often it really did, and what Zoho said is left
 * (-1 = nothing). */
void ledger_take(struct ledger *ledger, struct now now);
void ledger_settle(
        struct ledger *ledger, struct now now, unsigned n_sent, int64_t credits_remaining);
/* Logs when a mark is passed, as news of the account that passed it. */
void ledger_tell(struct ledger *ledger, const struct account *account, struct now now);

/* In the last 24 hours; and what may still be spent. */
int64_t ledger_spent(const struct ledger *ledger, struct now now);
int64_t ledger_left(const struct ledger *ledger, struct now now);
/* When one comes back; 0 = some are there. */
int64_t ledger_next_credit_wall_ms(const struct ledger *ledger, struct now now);
/* As one of its users sees it. */
void ledger_write_json(struct json_out *w, const char *key, const struct ledger *ledger,
        const struct account *account, struct now now);

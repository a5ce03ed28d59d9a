/*
 * The credits of an account: core/budget on a clock that never steps, kept in a value of the store.
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

struct ledger {
	struct budget budget;
	int64_t offset_ms;     /* from the monotonic clock to the ledger's */
	bool is_wanting;       /* a block is to be reserved with the next commit */
	bool is_reserving;     /* it is on its way to disk */
	bool is_dirty;         /* more was spent than was reserved */
	enum budget_mark mark; /* as last told */
};

int ledger_load(struct store *store, const char *account, struct now now, struct ledger **out);
/* Reserves a block if one is wanted, and writes the ledger into the open transaction. */
int ledger_write(struct ledger *ledger, struct store *store, const char *account, struct now now);
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
/* Logs when a mark is passed. */
void ledger_tell(struct ledger *ledger, const char *account, struct now now);

void ledger_write_json(
        struct json_out *w, const char *key, const struct ledger *ledger, struct now now);

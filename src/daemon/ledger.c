#include "daemon/ledger.h"

#include <inttypes.h>
#include <stdlib.h>

#include "util/log.h"
#include "util/mem.h"

static int64_t clock_of(const struct ledger *ledger, struct now now)
{
	return now.mono_ms + ledger->offset_ms;
}

static char *value_name(const char *account)
{
	return mem_printf("ledger.%s", account);
}

struct reading {
	struct ledger *ledger;
	const char *account;
	struct now now;
};

static int take_value(void *arg, const char *value)
{
	struct reading *reading = arg;

	if (value && !budget_decode(&reading->ledger->budget, value,
	                     clock_of(reading->ledger, reading->now)))
		log_warning("account %s: its ledger of credits cannot be read and begins anew",
		        reading->account);
	return 0;
}

int ledger_load(struct store *store, const char *account, struct now now, struct ledger **out)
{
	struct ledger *ledger = MEM_NEW(struct ledger);
	struct reading reading = {.ledger = ledger, .account = account, .now = now};
	cleanup(mem_free_p) char *name = value_name(account);

	ledger->offset_ms = now.wall_ms - now.mono_ms;
	int r = store_value_get(store, name, take_value, &reading);

	*out = ledger;
	if (r == 0)
		return 0;
	free(ledger);
	*out = NULL;
	return r;
}

int ledger_write(struct ledger *ledger, struct store *store, const char *account, struct now now)
{
	cleanup(mem_free_p) char *name = value_name(account);
	char text[BUDGET_TEXT_MAX];

	if (ledger->is_wanting)
		budget_reserve(&ledger->budget, clock_of(ledger, now));
	ledger->is_wanting = ledger->is_dirty = false;
	ledger->is_reserving = true;
	budget_encode(&ledger->budget, text);
	return store_value_put(store, name, text);
}

void ledger_written(struct ledger *ledger, bool is_committed)
{
	ledger->is_reserving = false;
	if (is_committed)
		return;
	budget_return_reserved(&ledger->budget);
	ledger->is_dirty = true;
}

int64_t ledger_closed_until_mono(const struct ledger *ledger, int64_t mono_ms)
{
	int64_t at_ms = mono_ms + ledger->offset_ms;

	if (ledger->is_wanting || ledger->is_reserving)
		return INT64_MAX;
	int64_t until = budget_closed_until_ms(&ledger->budget, at_ms);

	return until ? until - ledger->offset_ms : 0;
}

bool ledger_has_credit(const struct ledger *ledger, struct now now)
{
	return budget_has_reserved(&ledger->budget, clock_of(ledger, now));
}

bool ledger_is_spent(const struct ledger *ledger, struct now now)
{
	return budget_mark(&ledger->budget, clock_of(ledger, now)) == BUDGET_SPENT;
}

void ledger_close(struct ledger *ledger)
{
	budget_return_reserved(&ledger->budget);
	ledger->is_wanting = false;
	ledger->is_dirty = true;
}

void ledger_want(struct ledger *ledger)
{
	ledger->is_wanting = true;
}

void ledger_take(struct ledger *ledger, struct now now)
{
	if (!budget_take(&ledger->budget, clock_of(ledger, now)))
		ledger_settle(ledger, now, 2, -1); /* it went out: it counts */
}

void ledger_settle(
        struct ledger *ledger, struct now now, unsigned n_sent, int64_t credits_remaining)
{
	int64_t at_ms = clock_of(ledger, now);

	if (n_sent == 0)
		budget_give_back(&ledger->budget, at_ms);
	if (n_sent > 1) {
		budget_take_more(&ledger->budget, at_ms, (int64_t)n_sent - 1);
		ledger->is_dirty = true;
	}
	if (credits_remaining >= 0)
		budget_tell(&ledger->budget, at_ms, credits_remaining);
}

void ledger_tell(struct ledger *ledger, const char *account, struct now now)
{
	int64_t at_ms = clock_of(ledger, now);
	enum budget_mark mark = budget_mark(&ledger->budget, at_ms);
	int64_t spent = budget_spent(&ledger->budget, at_ms);

	if (mark == ledger->mark)
		return;
	if (mark == BUDGET_SPENT)
		log_warning("account %s: held: its credits are spent (%" PRId64 " of %" PRId64
		            " in the last 24 hours)",
		        account, spent, ledger->budget.ceiling);
	else if (mark == BUDGET_LOW && ledger->mark == BUDGET_FINE)
		log_notice("account %s: 80 %% of its credits are spent (%" PRId64 " of %" PRId64
		           " in the last 24 hours)",
		        account, spent, ledger->budget.ceiling);
	else if (ledger->mark == BUDGET_SPENT)
		log_info("account %s: has credits again", account);
	ledger->mark = mark;
}

void ledger_write_json(
        struct json_out *w, const char *key, const struct ledger *ledger, struct now now)
{
	const struct budget *budget = &ledger->budget;
	int64_t at_ms = clock_of(ledger, now);
	int64_t until = budget_closed_until_ms(budget, at_ms);

	json_open_object(w, key);
	json_put_integer(w, "credits_per_day", budget->ceiling);
	json_put_integer(w, "spent", budget_spent(budget, at_ms));
	json_put_integer(w, "left", budget_left(budget, at_ms));
	json_put_time(w, "next_credit", until ? now.wall_ms + (until - at_ms) : 0);
	if (budget->told_at_ms)
		json_put_integer(w, "remaining_by_zoho", budget->told);
	else
		json_put_null(w, "remaining_by_zoho");
	json_put_time(
	        w, "told_at", budget->told_at_ms ? now.wall_ms + budget->told_at_ms - at_ms : 0);
	json_close_object(w);
}

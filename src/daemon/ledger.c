#include "daemon/ledger.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/account.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"

struct ledgers {
	struct ledger **list; /* owned */
	size_t n;
	uint64_t last_id;
	int64_t offset_ms; /* from the monotonic clock to theirs */
	bool is_clock_read, is_clock_written;
};

#define CLOCK_NAME "ledgers.clock"

static int64_t clock_of(const struct ledger *ledger, struct now now)
{
	return now.mono_ms + ledger->offset_ms;
}

/* ---- all of them ---- */

struct ledgers *ledgers_new(struct now now)
{
	struct ledgers *ledgers = MEM_NEW(struct ledgers);

	ledgers->offset_ms = now.wall_ms - now.mono_ms;
	return ledgers;
}

static void ledger_free(struct ledger *ledger)
{
	free(ledger->users);
	free(ledger->name);
	free(ledger);
}

struct ledgers *ledgers_free(struct ledgers *ledgers)
{
	if (!ledgers)
		return NULL;
	for (size_t i = 0; i < ledgers->n; i++) {
		assert(ledgers->list[i]->n_users == 0 && ledgers->list[i]->n_references == 0);
		ledger_free(ledgers->list[i]);
	}
	free(ledgers->list);
	free(ledgers);
	return NULL;
}

size_t ledgers_count(const struct ledgers *ledgers)
{
	return ledgers->n;
}

struct ledger *ledgers_at(const struct ledgers *ledgers, size_t i)
{
	assert(i < ledgers->n);
	return ledgers->list[i];
}

struct ledger *ledgers_by_id(const struct ledgers *ledgers, uint64_t id)
{
	for (size_t i = 0; i < ledgers->n; i++) {
		if (ledgers->list[i]->id == id)
			return ledgers->list[i];
	}
	return NULL;
}

static struct ledger *by_name(const struct ledgers *ledgers, const char *name)
{
	for (size_t i = 0; i < ledgers->n; i++) {
		if (strcmp(ledgers->list[i]->name, name) == 0)
			return ledgers->list[i];
	}
	return NULL;
}

/* ---- their clock ---- */

/* Within one boot it goes on where it was, whatever became of the wall clock: "BOOT OFFSET". */
static int take_clock(void *arg, const char *value)
{
	struct ledgers *ledgers = arg;
	char boot[CLOCK_BOOT_SIZE];
	size_t len = strlen(clock_boot(boot));

	ledgers->is_clock_read = true;
	ledgers->is_clock_written =
	        value && len > 0 && strncmp(value, boot, len) == 0 && value[len] == ' ' &&
	        str_to_int(value + len + 1, INT64_MIN / 4, INT64_MAX / 4, &ledgers->offset_ms) == 0;
	return 0;
}

static int write_clock(struct ledgers *ledgers, struct store *store)
{
	char boot[CLOCK_BOOT_SIZE];
	cleanup(mem_free_p) char *value =
	        mem_printf("%s %" PRId64, clock_boot(boot), ledgers->offset_ms);

	if (ledgers->is_clock_written)
		return 0;
	ledgers->is_clock_written = true;
	return store_value_put(store, CLOCK_NAME, value);
}

/* ---- from disk and back ---- */

static char *value_name(const struct ledger *ledger)
{
	return mem_printf("ledger.%s", ledger->name);
}

struct reading {
	struct ledger *ledger;
	struct now now;
};

static int take_value(void *arg, const char *value)
{
	struct reading *reading = arg;
	struct ledger *ledger = reading->ledger;

	ledger->is_fresh = !value;
	if (value && !budget_decode(&ledger->budget, value, clock_of(ledger, reading->now)))
		log_warning("ledger %s: its credits cannot be read and begin anew", ledger->name);
	return 0;
}

int ledgers_get(struct ledgers *ledgers, struct store *store, const char *name, struct now now,
        struct ledger **out)
{
	struct ledger *ledger = by_name(ledgers, name);

	*out = NULL;
	if (ledger) {
		*out = ledger_reference(ledger);
		return 0;
	}
	int r = ledgers->is_clock_read ? 0
	                               : store_value_get(store, CLOCK_NAME, take_clock, ledgers);

	if (r)
		return r;
	ledger = MEM_NEW(struct ledger);
	ledger->ledgers = ledgers;
	ledger->name = mem_strdup(name);
	ledger->offset_ms = ledgers->offset_ms;
	struct reading reading = {.ledger = ledger, .now = now};
	cleanup(mem_free_p) char *value = value_name(ledger);

	r = store_value_get(store, value, take_value, &reading);
	if (r) {
		ledger_free(ledger);
		return r;
	}
	ledger->id = ++ledgers->last_id;
	ledgers->list = mem_resize(ledgers->list, ledgers->n + 1, sizeof(*ledgers->list));
	ledgers->list[ledgers->n++] = ledger;
	*out = ledger_reference(ledger);
	return 0;
}

struct ledger *ledger_reference(struct ledger *ledger)
{
	ledger->n_references++;
	return ledger;
}

static void drop_if_unused(struct ledger *ledger)
{
	struct ledgers *ledgers = ledger->ledgers;

	if (ledger->n_users > 0 || ledger->n_references > 0 || ledger->is_dirty)
		return;
	for (size_t i = 0; i < ledgers->n; i++) {
		if (ledgers->list[i] == ledger) {
			ledgers->list[i] = ledgers->list[--ledgers->n];
			break;
		}
	}
	ledger_free(ledger);
}

struct ledger *ledger_put(struct ledger *ledger)
{
	if (!ledger)
		return NULL;
	ledger->n_references--;
	drop_if_unused(ledger);
	return NULL;
}

int ledger_write(struct ledger *ledger, struct store *store, struct now now)
{
	cleanup(mem_free_p) char *name = value_name(ledger);
	char text[BUDGET_TEXT_MAX];
	int r = write_clock(ledger->ledgers, store);

	if (r)
		return r;
	if (ledger->is_wanting)
		budget_reserve(&ledger->budget, clock_of(ledger, now));
	ledger->is_wanting = ledger->is_dirty = false;
	ledger->is_reserving = true;
	budget_encode(&ledger->budget, text);
	return store_value_put(store, name, text);
}

/* ---- its users ---- */

void ledger_join(struct ledger *ledger, struct account *account)
{
	assert(!account->ledger);
	ledger->users = mem_resize(ledger->users, ledger->n_users + 1, sizeof(struct account *));
	ledger->users[ledger->n_users++] = account;
	account->ledger = ledger;
}

/* The last one gives back what is reserved. */
void ledger_leave(struct account *account)
{
	struct ledger *ledger = account->ledger;
	size_t i = 0;

	if (!ledger)
		return;
	while (ledger->users[i] != account)
		i++;
	ledger->n_users--;
	memmove(&ledger->users[i], &ledger->users[i + 1],
	        (ledger->n_users - i) * sizeof(struct account *));
	account->ledger = NULL;
	if (ledger->n_users == 0)
		ledger_close(ledger);
	drop_if_unused(ledger);
}

void ledger_set_ceiling(struct ledger *ledger)
{
	int64_t ceiling = INT64_MAX;

	for (size_t i = 0; i < ledger->n_users; i++) {
		if (ledger->users[i]->credits_per_day < ceiling)
			ceiling = ledger->users[i]->credits_per_day;
	}
	if (ledger->n_users > 0 && ledger->budget.ceiling != ceiling)
		budget_set_ceiling(&ledger->budget, ceiling);
}

void ledger_take_over(
        struct ledger *ledger, const struct ledger *other, bool is_apart, struct now now)
{
	budget_take_over(&ledger->budget, &other->budget, clock_of(ledger, now), is_apart);
	ledger->is_dirty = true;
}

/* ---- spending ---- */

void ledger_written(struct ledger *ledger, bool is_committed)
{
	ledger->is_reserving = false;
	if (is_committed)
		return;
	ledger->ledgers->is_clock_written = false;
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

/* Whose credits they are, in words. */
static const char *whose(const struct ledger *ledger, char words[static 64])
{
	if (ledger->n_users < 2)
		return "its credits";
	snprintf(words, 64, "the credits that it shares with %zu others", ledger->n_users - 1);
	return words;
}

void ledger_tell(struct ledger *ledger, const struct account *account, struct now now)
{
	char words[64];
	int64_t at_ms = clock_of(ledger, now);
	enum budget_mark mark = budget_mark(&ledger->budget, at_ms);

	if (mark == ledger->mark)
		return;
	int64_t spent = budget_spent(&ledger->budget, at_ms);

	if (mark == BUDGET_SPENT)
		log_warning("account %s: held: %s are spent (%" PRId64 " of %" PRId64
		            " in the last 24 hours)",
		        account->name, whose(ledger, words), spent, ledger->budget.ceiling);
	else if (mark == BUDGET_LOW && ledger->mark == BUDGET_FINE)
		log_notice("account %s: 80 %% of %s are spent (%" PRId64 " of %" PRId64
		           " in the last 24 hours)",
		        account->name, whose(ledger, words), spent, ledger->budget.ceiling);
	else if (ledger->mark == BUDGET_SPENT)
		log_info("account %s: has credits again", account->name);
	ledger->mark = mark;
}

int64_t ledger_spent(const struct ledger *ledger, struct now now)
{
	return budget_spent(&ledger->budget, clock_of(ledger, now));
}

int64_t ledger_left(const struct ledger *ledger, struct now now)
{
	return budget_left(&ledger->budget, clock_of(ledger, now));
}

int64_t ledger_next_credit_wall_ms(const struct ledger *ledger, struct now now)
{
	int64_t at_ms = clock_of(ledger, now);
	int64_t until = budget_closed_until_ms(&ledger->budget, at_ms);

	return until ? now.wall_ms + (until - at_ms) : 0;
}

void ledger_write_json(struct json_out *w, const char *key, const struct ledger *ledger,
        const struct account *account, struct now now)
{
	const struct budget *budget = &ledger->budget;
	int64_t at_ms = clock_of(ledger, now);

	json_open_object(w, key);
	json_put_integer(w, "credits_per_day", budget->ceiling);
	json_put_integer(w, "spent", budget_spent(budget, at_ms));
	json_put_integer(w, "left", budget_left(budget, at_ms));
	json_put_time(w, "next_credit", ledger_next_credit_wall_ms(ledger, now));
	if (budget->told_at_ms)
		json_put_integer(w, "remaining_by_zoho", budget->told);
	else
		json_put_null(w, "remaining_by_zoho");
	json_put_time(
	        w, "told_at", budget->told_at_ms ? now.wall_ms + budget->told_at_ms - at_ms : 0);
	json_open_array(w, "shared_with");
	for (size_t i = 0; i < ledger->n_users; i++) {
		if (ledger->users[i] != account)
			json_put_string(w, NULL, ledger->users[i]->name);
	}
	json_close_array(w);
	json_close_object(w);
}

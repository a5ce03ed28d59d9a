#include "daemon/thrift.h"

#include <stdlib.h>

#include "daemon/learned.h"
#include "daemon/ledger.h"
#include "daemon/sharing.h"
#include "util/mem.h"
#include "wire/event.h"

static struct account *account_of(const struct tracker *tracker, const struct tracked *tracked)
{
	return accounts_get(tracker->accounts, tracked->account);
}

struct learned *thrift_learned(struct tracker *tracker, struct account *account)
{
	if (!account->learned)
		journal_wrote(tracker->journal, learned_load(journal_store(tracker->journal),
		                                        account->name, &account->learned));
	return account->learned;
}

/* ---- durations ---- */

static double jobs_a_day(const struct account *account, struct now now)
{
	double running = (double)(account->due.n + account->n_in_flight);
	double ended = account->learned ? learned_jobs_a_day(account->learned, now) : 0;

	return ended > running ? ended : running;
}

/* Of a shared ledger, by the jobs of each. */
static int64_t credits_of(const struct account *account, struct now now)
{
	const struct ledger *ledger = account->ledger;
	double own = jobs_a_day(account, now), all = 0;

	if (!ledger)
		return account->credits_per_day;
	for (size_t i = 0; ledger->n_users > 1 && i < ledger->n_users; i++)
		all += jobs_a_day(ledger->users[i], now);
	return all > own ? (int64_t)((double)ledger->budget.ceiling * own / all)
	                 : ledger->budget.ceiling;
}

double thrift_polls(struct tracker *tracker, struct account *account)
{
	const struct learned *learned = thrift_learned(tracker, account);
	struct now now = loop_now(tracker->loop);

	if (!learned)
		return (double)account->policy.polls_per_job;
	return learned_polls(learned, &account->policy, credits_of(account, now),
	        account->due.n + account->n_in_flight, now);
}

void thrift_shape(
        struct tracker *tracker, const struct tracked *tracked, struct poll_policy *policy)
{
	struct account *account = account_of(tracker, tracked);
	struct learned *learned = thrift_learned(tracker, account);

	if (learned)
		learned_shape(learned, (uint8_t)tracked->module, thrift_polls(tracker, account),
		        loop_now(tracker->loop), policy);
}

void thrift_take_module(struct tracker *tracker, struct tracked *tracked, const char *query)
{
	struct learned *learned = thrift_learned(tracker, account_of(tracker, tracked));
	char module[EVENT_MODULE_MAX_BYTES];

	if (!learned)
		return;
	event_module_of_query(query, module);
	tracked->module = learned_module(learned, module);
}

/*
 * Counted are the jobs that were found unfinished at the first look, from their beginning: those
 * that were finished by then may have been so for days. A LOST job did not finish.
 */
void thrift_teach(struct tracker *tracker, struct tracked *tracked, const struct step *step)
{
	struct now now = loop_now(tracker->loop);
	struct account *account = account_of(tracker, tracked);
	struct learned *learned = thrift_learned(tracker, account);
	int64_t begin = step->job.watched_mono_ms;
	int64_t seen_mono_ms = int48_value(tracked->seen_mono_ms);
	int64_t seen_ms = tracked->is_seen ? seen_mono_ms - begin : 0;
	bool is_finished = job_kind_is_finished((enum job_kind)step->job.kind);

	if (learned && tracked->is_seen && is_finished)
		learned_finished(
		        learned, (uint8_t)tracked->module, seen_ms, now.mono_ms - begin, now);
	else if (learned && !is_finished)
		learned_passed(learned, (uint8_t)tracked->module, seen_ms, now.mono_ms - begin);
	/* It finished some time since it was last seen unfinished: on average in the middle. */
	if (tracked->is_seen && is_finished)
		metrics_observe(&account->datacenter->metrics.delay, &metrics_delay_bounds,
		        (double)(now.mono_ms - seen_mono_ms) / 2000);
	tracked->is_seen = !is_finished;
	tracked->seen_mono_ms = int48_of(now.mono_ms);
}

void thrift_remember(struct tracker *tracker, struct tracked *tracked, int64_t seen_wall_ms)
{
	struct now now = loop_now(tracker->loop);
	int64_t ago = now.wall_ms - seen_wall_ms;

	tracked->is_seen = seen_wall_ms > 0 && tracked->kind != JOB_PENDING;
	tracked->seen_mono_ms = int48_of(now.mono_ms - (ago > 0 ? ago : 0));
}

int64_t thrift_first_ms(struct tracker *tracker, const struct tracked *tracked, size_t n)
{
	struct now now = loop_now(tracker->loop);
	const struct learned *learned = thrift_learned(tracker, account_of(tracker, tracked));
	int64_t begin = int48_value(tracked->watched_mono_ms);

	if (!learned || !tracked->is_seen)
		return schedule_first_ms(n, rng_next(tracker->rng));
	double chance = learned_chance(learned, (uint8_t)tracked->module,
	        int48_value(tracked->seen_mono_ms) - begin, now.mono_ms - begin);

	return schedule_resume_ms(n, chance, rng_next(tracker->rng));
}

bool thrift_write_learned(struct tracker *tracker, uint32_t *cursor, size_t n)
{
	for (; *cursor < accounts_count(tracker->accounts); ++*cursor, n--) {
		struct account *account = accounts_get(tracker->accounts, *cursor);

		if (n == 0 || journal_is_lost(tracker->journal))
			return false;
		if (account->learned)
			journal_wrote(tracker->journal,
			        learned_write(account->learned, journal_store(tracker->journal),
			                account->name));
	}
	return true;
}

/* ---- credits ---- */

bool thrift_has_credit(struct tracker *tracker, struct account *account)
{
	struct now now = loop_now(tracker->loop);
	struct ledger *ledger = sharing_ledger(tracker, account);

	if (!ledger)
		return false;
	if (ledger_closed_until_mono(ledger, now.mono_ms) == 0) {
		if (ledger_has_credit(ledger, now))
			return true;
		ledger_want(ledger);
		tracker->wants_credits = true;
		loop_wake(tracker->loop); /* the turn that reserves it */
	}
	queue_touch(tracker->queue, account, now.mono_ms);
	return false;
}

uint64_t thrift_take_credit(struct tracker *tracker, struct account *account)
{
	struct now now = loop_now(tracker->loop);
	struct ledger *ledger = account->ledger;

	ledger_take(ledger, now);
	ledger_tell(ledger, account, now);
	tracker->wants_credits |= ledger->is_dirty;
	return ledger->id;
}

static void settle(struct tracker *tracker, struct account *account, struct ledger *ledger,
        unsigned n_sent, int64_t credits_remaining)
{
	struct now now = loop_now(tracker->loop);

	ledger_settle(ledger, now, n_sent, credits_remaining);
	ledger_tell(ledger, account, now);
	tracker->wants_credits |= ledger->is_dirty;
	sharing_touch(tracker, ledger);
}

void thrift_settle(struct tracker *tracker, struct account *account, uint64_t ledger_id,
        unsigned n_sent, int64_t credits_remaining)
{
	struct ledger *charged = account->ledger;

	if (!charged || charged->id != ledger_id)
		charged = ledgers_by_id(accounts_ledgers(tracker->accounts), ledger_id);
	if (charged)
		settle(tracker, account, charged, n_sent, credits_remaining);
	/* The one that it moved to took over what was spent by then: the first request. */
	if (account->ledger && account->ledger != charged && n_sent > 1)
		settle(tracker, account, account->ledger, n_sent, -1);
}

struct ledger_change {
	struct journal_change change;
	struct tracker *tracker;
	struct ledger *ledger; /* a reference */
};

static void ledger_change_on_done(struct journal_change *base, bool is_committed)
{
	struct ledger_change *change = container_of(base, struct ledger_change, change);
	struct tracker *tracker = change->tracker;

	ledger_written(change->ledger, is_committed);
	if (!is_committed) {
		sharing_unwritten(change->ledger);
		tracker->wants_credits = true;
	}
	sharing_touch(tracker, change->ledger);
	ledger_put(change->ledger);
	free(change);
}

static void write_ledger(struct tracker *tracker, struct ledger *ledger)
{
	struct store *store = journal_store(tracker->journal);
	struct ledger_change *change = MEM_NEW(struct ledger_change);

	*change = (struct ledger_change){
	        .change.done = ledger_change_on_done,
	        .tracker = tracker,
	        .ledger = ledger_reference(ledger),
	};
	journal_add(tracker->journal, &change->change);
	if (journal_wrote(tracker->journal, ledger_write(ledger, store, loop_now(tracker->loop))))
		journal_wrote(tracker->journal, sharing_write(ledger, store));
}

void thrift_write_ledgers(struct tracker *tracker)
{
	struct ledgers *ledgers = accounts_ledgers(tracker->accounts);

	if (!tracker->wants_credits || journal_is_full(tracker->journal) ||
	        journal_is_lost(tracker->journal))
		return;
	tracker->wants_credits = false;
	for (size_t i = 0; i < ledgers_count(ledgers); i++) {
		struct ledger *ledger = ledgers_at(ledgers, i);

		if (ledger->is_wanting || ledger->is_dirty)
			write_ledger(tracker, ledger);
	}
}

void thrift_write_last(struct tracker *tracker)
{
	struct ledgers *ledgers = accounts_ledgers(tracker->accounts);

	thrift_write_learned(tracker, &(uint32_t){0}, SIZE_MAX);
	for (size_t i = 0; i < ledgers_count(ledgers); i++)
		ledger_close(ledgers_at(ledgers, i));
	tracker->wants_credits = true;
	thrift_write_ledgers(tracker);
}

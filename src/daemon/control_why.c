/* GET /v1/jobs/{account}/{id}/why: when the next poll is due, and for which reasons; GET /v1/plan:
 * what polls will cost, and what another polls_per_job would do. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/control_private.h"
#include "daemon/learned.h"
#include "daemon/ledger.h"
#include "daemon/sharing.h"
#include "daemon/thrift.h"
#include "util/mem.h"
#include "util/str.h"

enum { REASONS_MAX = 12, NEVER = -1 };

struct reason {
	const char *name;
	int64_t until_mono_ms; /* INT64_MAX: until something happens; NEVER */
	char words[320];
};

struct why {
	struct call *call;
	struct tracked *tracked;
	struct account *account;
	struct reason reasons[REASONS_MAX];
	size_t n;
};

static void __attribute__((format(printf, 4, 5)))
add(struct why *why, const char *name, int64_t until_mono_ms, const char *format, ...)
{
	struct reason *reason = &why->reasons[why->n++];
	va_list args;

	reason->name = name;
	reason->until_mono_ms = until_mono_ms;
	va_start(args, format);
	vsnprintf(reason->words, sizeof(reason->words), format, args);
	va_end(args);
}

/* ---- the job ---- */

/* What follows an answer to this job now; is_learned and the hazard with it. */
struct interval {
	struct poll_policy policy;
	int64_t age_ms, wait_ms;
};

static struct interval interval_of(const struct why *why)
{
	struct interval interval = {
	        .policy = why->account->policy,
	        .age_ms = why->call->now.mono_ms - int48_value(why->tracked->watched_mono_ms),
	};

	thrift_shape(why->call->control->context.tracker, why->tracked, &interval.policy);
	interval.wait_ms = schedule_next_ms(&interval.policy, interval.age_ms, false, 0);
	return interval;
}

static void add_turn(struct why *why, const struct interval *interval)
{
	const struct tracked *tracked = why->tracked;
	int64_t due = heap_key(&why->account->due, &tracked->due);
	char text[CLOCK_DURATION_SIZE], failures[32];

	clock_format_duration(
	        interval->wait_ms < 1000 ? interval->wait_ms : interval->wait_ms / 1000 * 1000,
	        text);
	if (tracked->n_failures == 1)
		str_copy(failures, sizeof(failures), "poll brought");
	else
		snprintf(failures, sizeof(failures), "%u polls brought", tracked->n_failures);
	if (tracked->is_asked_for)
		add(why, "asked", due, "somebody asked for it");
	else if (tracked->kind == JOB_PENDING && tracked->n_failures == 0)
		add(why, "first", due, "its first poll");
	else if (tracked->n_failures > 0)
		add(why, "backoff", due, "the last %s no answer about it", failures);
	else if (interval->policy.curve)
		add(why, "learned", due,
		        "jobs like it that are as old are asked every %s or so, as likely as they "
		        "are to finish now",
		        text);
	else
		add(why, "age", due,
		        "too few jobs were seen to finish: those of its age are asked every %s",
		        text);
}

static bool add_job(struct why *why, const struct interval *interval)
{
	const struct tracked *tracked = why->tracked;

	if (!tracked_is_polled(tracked))
		add(why, "finished", NEVER, "it is finished (%.64s)",
		        registry_state(why->call->control->context.tracker->registry, tracked));
	else if (!why->account->is_configured)
		add(why, "account_gone", NEVER, "its account is not in the configuration");
	else if (tracked->is_paused)
		add(why, "paused_by_hand", INT64_MAX, "somebody paused it: bulkwatch resume");
	else if (tracked->is_in_flight)
		add(why, "in_flight", INT64_MAX, "a poll is under way");
	else if (tracked->is_changing)
		add(why, "writing", INT64_MAX, "its last change is being written");
	else
		add_turn(why, interval);
	return heap_node_is_queued(&tracked->due);
}

/* ---- what stands before its account ---- */

static void add_gate(struct why *why)
{
	const struct account *account = why->account;
	const struct gate *gate = &account->gate;
	int64_t mono_ms = why->call->now.mono_ms;

	if (gate->state == GATE_OK)
		return;
	add(why, gate->state == GATE_HELD ? "held" : "paused",
	        gate_closed_until_mono(gate, mono_ms), "account %s is %s: %s", account->name,
	        gate_state_name(gate->state), account->problem);
}

static void add_credits(struct why *why)
{
	const struct ledger *ledger = why->account->ledger;
	struct now now = why->call->now;

	if (ledger && ledger_is_spent(ledger, now))
		add(why, "credits", ledger_closed_until_mono(ledger, now.mono_ms),
		        "the %" PRId64 " credits of 24 hours %s are spent", ledger->budget.ceiling,
		        ledger->n_users > 1 ? "that the account shares with others"
		                            : "of the account");
}

static void add_limits(struct why *why)
{
	const struct account *account = why->account;
	int64_t mono_ms = why->call->now.mono_ms;

	if (account->n_in_flight >= (size_t)account->max_in_flight)
		add(why, "max_in_flight", INT64_MAX, "the account has %zu requests under way",
		        account->n_in_flight);
	if (account->is_waiting)
		add(why, "connections", INT64_MAX, "every connection to data center %s is in use",
		        account->datacenter->name);
	if (account->token_wait_until_mono_ms > mono_ms)
		add(why, "token", account->token_wait_until_mono_ms,
		        "the account waits for an access token");
}

static void add_circuit(struct why *why)
{
	const struct datacenter *datacenter = why->account->datacenter;

	if (datacenter->circuit.is_open && !why->tracked->is_asked_for)
		add(why, "circuit",
		        circuit_open_until_mono(&datacenter->circuit, why->call->now.mono_ms),
		        "data center %s is not well: %s", datacenter->name, datacenter->problem);
}

static void add_disk(struct why *why)
{
	if (journal_is_full(why->call->control->context.tracker->journal))
		add(why, "disk", INT64_MAX, "the disk is full");
}

static void collect(struct why *why, const struct interval *interval)
{
	if (!add_job(why, interval))
		return;
	add_gate(why);
	add_credits(why);
	add_limits(why);
	add_circuit(why);
	add_disk(why);
}

/* The one that it waits for longest: never, until something happens, the latest time. */
static const struct reason *decisive(const struct why *why)
{
	const struct reason *worst = &why->reasons[0];

	for (size_t i = 1; i < why->n && worst->until_mono_ms != NEVER; i++) {
		if (why->reasons[i].until_mono_ms > worst->until_mono_ms)
			worst = &why->reasons[i];
	}
	return worst;
}

/* ---- the answer ---- */

static char *sentence_of(const struct reason *reason, int64_t mono_ms)
{
	char text[CLOCK_DURATION_SIZE];
	int64_t wait = reason->until_mono_ms - mono_ms;

	if (reason->until_mono_ms == NEVER)
		return mem_printf("Never: %s.", reason->words);
	if (reason->until_mono_ms == INT64_MAX)
		return mem_printf("Nobody can say when: %s.", reason->words);
	if (wait < 1000)
		return mem_printf("Now: %s.", reason->words);
	clock_format_duration(wait / 1000 * 1000, text);
	return mem_printf("In %s: %s.", text, reason->words);
}

static void put_mono(struct json_out *w, const char *key, int64_t at_mono_ms, struct now now)
{
	int64_t wait = at_mono_ms > now.mono_ms ? at_mono_ms - now.mono_ms : 0;
	bool is_known = at_mono_ms != NEVER && at_mono_ms != INT64_MAX;

	json_put_time(w, key, is_known ? now.wall_ms + wait : 0);
}

static void write_interval(
        struct json_out *w, const struct why *why, const struct interval *interval)
{
	const struct learn_curve *curve = interval->policy.curve;
	const struct learned *learned = why->account->learned;

	json_open_object(w, "interval");
	json_put_bool(w, "learned", curve);
	json_put_string(w, "module",
	        learned ? learned_module_name(learned, (uint8_t)why->tracked->module) : NULL);
	json_put_integer(w, "age_ms", interval->age_ms);
	json_put_integer(w, "wait_ms", interval->wait_ms);
	if (curve)
		json_put_number(
		        w, "hazard_per_minute", 60000 * learn_hazard(curve, interval->age_ms));
	else
		json_put_null(w, "hazard_per_minute");
	json_put_integer(w, "min_interval_ms", interval->policy.min_interval_ms);
	json_put_integer(w, "max_interval_ms", interval->policy.max_interval_ms);
	json_put_integer(w, "polls_per_job", interval->policy.polls_per_job);
	json_close_object(w);
}

static void write_reasons(struct json_out *w, const struct why *why)
{
	json_open_array(w, "reasons");
	for (size_t i = 0; i < why->n; i++) {
		const struct reason *reason = &why->reasons[i];

		json_open_object(w, NULL);
		json_put_string(w, "reason", reason->name);
		put_mono(w, "until", reason->until_mono_ms, why->call->now);
		json_put_string(w, "detail", reason->words);
		json_close_object(w);
	}
	json_close_array(w);
}

static void answer(struct why *why, const struct interval *interval)
{
	const struct reason *reason = decisive(why);
	cleanup(mem_free_p) char *sentence = sentence_of(reason, why->call->now.mono_ms);
	cleanup(buf_deinit) struct buf body = {0};
	struct json_out w;

	json_out_init(&w, &body, false);
	json_open_object(&w, NULL);
	json_put_string(&w, "sentence", sentence);
	json_put_string(&w, "account", why->call->account);
	json_put_string(&w, "id", why->call->id);
	put_mono(&w, "next_poll", reason->until_mono_ms, why->call->now);
	json_put_string(&w, "reason", reason->name);
	write_reasons(&w, why);
	if (interval)
		write_interval(&w, why, interval);
	else
		json_put_null(&w, "interval");
	json_close_object(&w);
	json_out_deinit(&w);
	call_reply(why->call, 200, &body);
}

static int ignore_row(void *arg, const struct store_job *row)
{
	(void)arg, (void)row;
	return 0;
}

void control_get_why(struct call *call)
{
	struct why why = {.call = call, .tracked = call_job(call)};
	int r;

	if (why.tracked) {
		why.account = accounts_get(
		        call->control->context.tracker->accounts, why.tracked->account);
		struct interval interval = interval_of(&why);

		collect(&why, &interval);
		answer(&why, &interval);
		return;
	}
	r = store_job_find(call_store(call), call->account, call->id, ignore_row, NULL);
	if (r == 0) {
		add(&why, "unwatched", NEVER, "it is no longer watched");
		answer(&why, NULL);
	} else if (r == STORE_E_NONE) {
		call_problem(call, 404, "account %.63s has no job %.63s", call->account, call->id);
	} else {
		call_problem(call, 500, "the database cannot be read");
	}
}

/* ---- the plan ---- */

static void write_plan(struct call *call, struct json_out *w, struct account *account)
{
	struct tracker *tracker = call->control->context.tracker;
	const struct learned *learned = thrift_learned(tracker, account);
	const struct ledger *ledger = sharing_ledger(tracker, account);

	if (!learned)
		return;
	json_open_object(w, NULL);
	json_put_string(w, "account", account->name);
	json_put_integer(w, "running", (int64_t)(account->due.n + account->n_in_flight));
	json_put_number(w, "jobs_per_day", learned_jobs_a_day(learned, call->now));
	json_put_integer(w, "polls_per_job", account->policy.polls_per_job);
	json_put_number(w, "affordable_polls_per_job", thrift_polls(tracker, account));
	if (ledger)
		ledger_write_json(w, "ledger", ledger, account, call->now);
	else
		json_put_null(w, "ledger");
	learned_write_durations(w, learned);
	learned_write_forecast(w, learned, &account->policy, call->now);
	json_close_object(w);
}

void control_get_plan(struct call *call)
{
	const struct accounts *accounts = call->control->context.tracker->accounts;
	cleanup(buf_deinit) struct buf body = {0};
	struct account *only;
	struct json_out w;

	if (!call_account(call, &only))
		return;
	json_out_init(&w, &body, false);
	json_open_object(&w, NULL);
	json_open_array(&w, "accounts");
	for (size_t i = 0; i < accounts_count(accounts); i++) {
		struct account *account = accounts_get(accounts, (uint32_t)i);

		if (account->is_configured && (!only || account == only))
			write_plan(call, &w, account);
	}
	json_close_array(&w);
	json_close_object(&w);
	json_out_deinit(&w);
	call_reply(call, 200, &body);
}

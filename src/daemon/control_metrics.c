/*
 * GET /metrics: every number of daemon/metrics, and what the parts know of themselves, as
 * Prometheus reads it (docs: bulkwatch-api(7)).
 */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "daemon/control_private.h"
#include "daemon/exposition.h"
#include "daemon/ledger.h"
#include "daemon/process.h"
#include "daemon/streams.h"
#include "daemon/waiters.h"
#include "util/mem.h"

struct page {
	struct exposition e;
	const struct control *control;
	const struct control_context *context;
	struct now now;
	struct hook_info *hooks; /* owned */
	size_t n_hooks;
};

#define LABELS(...)                                                                                \
	(const struct exposition_label[EXPOSITION_LABELS_MAX])                                     \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

static void counter(struct page *page, const char *name, const char *help)
{
	exposition_family(&page->e, name, EXPOSITION_COUNTER, help);
}

static void gauge(struct page *page, const char *name, const char *help)
{
	exposition_family(&page->e, name, EXPOSITION_GAUGE, help);
}

static void put_one(struct page *page, const char *name, enum exposition_type type,
        const char *help, double value)
{
	exposition_family(&page->e, name, type, help);
	exposition_put(&page->e, NULL, value);
}

/* The next account of the configuration from place *i on; NULL = no more. */
static const struct account *account_at(const struct page *page, size_t *i)
{
	const struct accounts *accounts = page->context->tracker->accounts;

	while (*i < accounts_count(accounts)) {
		const struct account *account = accounts_get(accounts, (uint32_t)(*i)++);

		if (account->is_configured)
			return account;
	}
	return NULL;
}

static void put_of_account(struct page *page, const struct account *account, const char *label,
        const char *value, double number)
{
	exposition_put(&page->e,
	        LABELS({"account", account->name}, {"datacenter", account->datacenter->name},
	                {label, value}),
	        number);
}

/* NaN = the account has none. */
typedef double account_number_fn(const struct account *account, struct now now);

/* A family with at most one sample an account. */
static void put_accounts(struct page *page, const char *name, enum exposition_type type,
        const char *help, account_number_fn *number_of)
{
	const struct account *account;

	exposition_family(&page->e, name, type, help);
	for (size_t i = 0; (account = account_at(page, &i));) {
		double number = number_of(account, page->now);

		if (!isnan(number))
			put_of_account(page, account, NULL, NULL, number);
	}
}

/* ---- jobs ---- */

static void put_jobs(struct page *page)
{
	const struct tracker *tracker = page->context->tracker;

	gauge(page, "bulkwatch_jobs", "Jobs that are watched, by their state.");
	for (size_t i = 0; i < accounts_count(tracker->accounts); i++) {
		struct registry_state counts[REGISTRY_STATES_MAX];
		size_t n = registry_states(tracker->registry, (uint32_t)i, counts);

		for (size_t k = 0; k < n; k++)
			put_of_account(page, accounts_get(tracker->accounts, (uint32_t)i), "state",
			        counts[k].state, counts[k].n);
	}
}

static void put_events(struct page *page)
{
	const struct account *account;

	counter(page, "bulkwatch_events_total",
	        "Events of jobs and accounts that were committed since the start.");
	for (size_t i = 0; (account = account_at(page, &i));) {
		for (int type = EVENT_NONE + 1; type < EVENT_TYPES; type++) {
			if (account->metrics.n_events[type])
				put_of_account(page, account, "type",
				        event_type_name((enum event_type)type),
				        (double)account->metrics.n_events[type]);
		}
	}
}

/* ---- polls ---- */

static void put_polls(struct page *page)
{
	static const char *const results[] = {
	        [OBSERVED_STATUS] = "status",
	        [OBSERVED_NOT_FOUND] = "not_found",
	        [OBSERVED_THROTTLED] = "throttled",
	        [OBSERVED_REFUSED] = "refused",
	        [OBSERVED_UNREACHABLE] = "unreachable",
	        [OBSERVED_GARBLED] = "garbled",
	};

	const struct account *account;

	counter(page, "bulkwatch_polls_total", "Polls that ended, by what they taught.");
	for (size_t i = 0; (account = account_at(page, &i));) {
		for (size_t k = 0; k < ARRAY_LEN(results); k++)
			put_of_account(page, account, "result", results[k],
			        (double)account->metrics.n_results[k]);
	}
}

static void put_states(struct page *page)
{
	const struct account *account;

	gauge(page, "bulkwatch_account_state", "1 for the state that the account is in.");
	for (size_t i = 0; (account = account_at(page, &i));) {
		enum gate_state now = account_state(account, page->now).state;

		for (enum gate_state state = GATE_OK; state <= GATE_PAUSED; state++)
			put_of_account(
			        page, account, "state", gate_state_name(state), state == now);
	}
}

/* ---- numbers of accounts ---- */

static double n_requests(const struct account *account, struct now now)
{
	(void)now;
	return (double)account->n_polls;
}

static double n_in_flight(const struct account *account, struct now now)
{
	(void)now;
	return (double)account->n_in_flight;
}

static double n_holds(const struct account *account, struct now now)
{
	(void)now;
	return (double)account->metrics.n_held;
}

static double n_pauses(const struct account *account, struct now now)
{
	(void)now;
	return (double)account->metrics.n_paused;
}

static double credits_limit(const struct account *account, struct now now)
{
	(void)now;
	return (double)account->credits_per_day;
}

static double credits_used(const struct account *account, struct now now)
{
	return account->ledger ? (double)ledger_spent(account->ledger, now) : NAN;
}

static double credits_left(const struct account *account, struct now now)
{
	return account->ledger ? (double)ledger_left(account->ledger, now) : NAN;
}

static double token_expiry(const struct account *account, struct now now)
{
	int64_t wall_ms = account_token_expires_wall_ms(account, now);

	return wall_ms ? (double)wall_ms / 1000 : NAN;
}

static void put_numbers(struct page *page)
{
	static const struct {
		const char *name;
		enum exposition_type type;
		const char *help;
		account_number_fn *number_of;
	} numbers[] = {
	        {"bulkwatch_requests_total", EXPOSITION_COUNTER,
	                "Requests for jobs that were sent, retries included.", n_requests},
	        {"bulkwatch_in_flight", EXPOSITION_GAUGE, "Polls on their way.", n_in_flight},
	        {"bulkwatch_account_holds_total", EXPOSITION_COUNTER,
	                "How often Zoho throttled the account.", n_holds},
	        {"bulkwatch_account_pauses_total", EXPOSITION_COUNTER,
	                "How often the account was paused.", n_pauses},
	        {"bulkwatch_credits_limit", EXPOSITION_GAUGE,
	                "Credits that polls may spend in 24 hours.", credits_limit},
	        {"bulkwatch_credits_used", EXPOSITION_GAUGE,
	                "Credits that polls spent in the last 24 hours.", credits_used},
	        {"bulkwatch_credits_left", EXPOSITION_GAUGE,
	                "Credits that polls may still spend; less than the rest if Zoho says so.",
	                credits_left},
	        {"bulkwatch_token_expiry_timestamp_seconds", EXPOSITION_GAUGE,
	                "When the access token ends, where that is known.", token_expiry},
	};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		put_accounts(page, numbers[i].name, numbers[i].type, numbers[i].help,
		        numbers[i].number_of);
}

/* ---- data centers ---- */

/* The next account that is the first of its data center, and stands for it. */
static const struct account *datacenter_at(const struct page *page, size_t *i)
{
	const struct account *account, *other;

	while ((account = account_at(page, i))) {
		size_t k = 0;

		do
			other = account_at(page, &k);
		while (other && other->datacenter != account->datacenter);
		if (other == account)
			return account;
	}
	return NULL;
}

static void put_histograms(struct page *page, size_t offset, const struct metrics_bounds *bounds)
{
	const struct account *account;

	for (size_t i = 0; (account = datacenter_at(page, &i));) {
		const void *histogram = (const char *)&account->datacenter->metrics + offset;

		exposition_put_histogram(&page->e,
		        LABELS({"datacenter", account->datacenter->name}), bounds, histogram);
	}
}

static void put_datacenters(struct page *page)
{
	const struct account *account;

	exposition_family(&page->e, "bulkwatch_poll_duration_seconds", EXPOSITION_HISTOGRAM,
	        "Polls, from their sending to their answer or failure.");
	put_histograms(page, offsetof(struct metrics_datacenter, request), &metrics_request_bounds);
	exposition_family(&page->e, "bulkwatch_poll_lag_seconds", EXPOSITION_HISTOGRAM,
	        "How long polls that were due waited to be sent.");
	put_histograms(page, offsetof(struct metrics_datacenter, lag), &metrics_delay_bounds);
	exposition_family(&page->e, "bulkwatch_detection_delay_seconds", EXPOSITION_HISTOGRAM,
	        "From the end of a job to its being noticed: half the time since it was last seen "
	        "unfinished.");
	put_histograms(page, offsetof(struct metrics_datacenter, delay), &metrics_delay_bounds);
	gauge(page, "bulkwatch_datacenter_up", "0 while only probes go to the data center.");
	for (size_t i = 0; (account = datacenter_at(page, &i));)
		exposition_put(&page->e, LABELS({"datacenter", account->datacenter->name}),
		        !account->datacenter->circuit.is_open);
}

/* ---- hooks ---- */

/* Looked up once: hooks_info() goes through all that is open. */
static void collect_hooks(struct page *page)
{
	struct hook_info info;

	for (uint32_t i = 0; hooks_info(page->context->hooks, i, &info); i++) {
		if (!info.config && !info.n_pending)
			continue;
		page->hooks = mem_resize(page->hooks, page->n_hooks + 1, sizeof(*page->hooks));
		page->hooks[page->n_hooks++] = info;
	}
}

static void put_attempts(struct page *page)
{
	counter(page, "bulkwatch_hook_attempts_total",
	        "Attempts that ended: delivered, failed (to be tried again), or given up as dead.");
	for (size_t i = 0; i < page->n_hooks; i++) {
		const struct metrics_hook *metrics = page->hooks[i].metrics;
		const char *name = page->hooks[i].name;

		exposition_put(&page->e, LABELS({"hook", name}, {"result", "delivered"}),
		        (double)metrics->n_delivered);
		exposition_put(&page->e, LABELS({"hook", name}, {"result", "failed"}),
		        (double)metrics->n_failed);
		exposition_put(&page->e, LABELS({"hook", name}, {"result", "dead"}),
		        (double)metrics->n_dead);
	}
	exposition_family(&page->e, "bulkwatch_hook_duration_seconds", EXPOSITION_HISTOGRAM,
	        "How long attempts of hooks took.");
	for (size_t i = 0; i < page->n_hooks; i++)
		exposition_put_histogram(&page->e, LABELS({"hook", page->hooks[i].name}),
		        &metrics_program_bounds, &page->hooks[i].metrics->attempt);
}

enum delivery_number { NUMBER_PENDING, NUMBER_RUNNING, NUMBER_DEAD, NUMBER_AGE };

static double number_of_hook(
        const struct page *page, const struct hook_info *info, enum delivery_number which)
{
	uint64_t counts[4] = {0};
	int64_t age = page->now.wall_ms - info->oldest_wall_ms;

	switch (which) {
	case NUMBER_PENDING:
		return (double)info->n_pending;
	case NUMBER_RUNNING:
		return (double)info->n_running;
	case NUMBER_AGE:
		return info->oldest_seq && age > 0 ? (double)age / 1000 : 0;
	case NUMBER_DEAD:
		break;
	}
	store_delivery_counts(journal_store(page->context->tracker->journal), info->name, counts);
	return (double)counts[DELIVERY_DEAD];
}

static void put_deliveries(struct page *page)
{
	static const struct {
		const char *name, *help;
		enum delivery_number number;
	} numbers[] = {
	        {"bulkwatch_hook_pending", "Deliveries not yet made, with those that run.",
	                NUMBER_PENDING},
	        {"bulkwatch_hook_running", "Attempts that run.", NUMBER_RUNNING},
	        {"bulkwatch_hook_dead", "Deliveries that were given up and are kept.", NUMBER_DEAD},
	        {"bulkwatch_hook_oldest_pending_seconds",
	                "Age of the oldest delivery not yet made, 0 if there is none.", NUMBER_AGE},
	};

	for (size_t k = 0; k < ARRAY_LEN(numbers); k++) {
		gauge(page, numbers[k].name, numbers[k].help);
		for (size_t i = 0; i < page->n_hooks; i++)
			exposition_put(&page->e, LABELS({"hook", page->hooks[i].name}),
			        number_of_hook(page, &page->hooks[i], numbers[k].number));
	}
}

/* ---- the daemon itself ---- */

static void put_database(struct page *page)
{
	const struct journal *journal = page->context->tracker->journal;
	const struct store *store = journal_store(journal);

	put_one(page, "bulkwatch_database_bytes", EXPOSITION_GAUGE,
	        "Size of the database, its write-ahead log included.", (double)store_size(store));
	put_one(page, "bulkwatch_database_full", EXPOSITION_GAUGE,
	        "1 while everything pauses because the disk is full.", journal_is_full(journal));
	put_one(page, "bulkwatch_last_seq", EXPOSITION_GAUGE, "Number of the last event.",
	        (double)store_last_seq(store));
	put_one(page, "bulkwatch_commits_without_room_total", EXPOSITION_COUNTER,
	        "Commits that the disk had no room for.", (double)journal_metrics(journal)->n_full);
	exposition_family(&page->e, "bulkwatch_commit_duration_seconds", EXPOSITION_HISTOGRAM,
	        "Commits of the database.");
	exposition_put_histogram(
	        &page->e, NULL, &metrics_work_bounds, &journal_metrics(journal)->commit);
}

static void put_loop(struct page *page)
{
	const struct control_context *context = page->context;
	const struct metrics *metrics = context->metrics;

	exposition_family(&page->e, "bulkwatch_loop_turn_seconds", EXPOSITION_HISTOGRAM,
	        "Turns of the event loop: whatever comes meanwhile waits.");
	exposition_put_histogram(&page->e, NULL, &metrics_work_bounds, &metrics->turn);
	put_one(page, "bulkwatch_connections", EXPOSITION_GAUGE, "Clients that are connected.",
	        (double)listen_group_clients(context->group));
	put_one(page, "bulkwatch_streams", EXPOSITION_GAUGE, "Clients that read events.",
	        (double)streams_count(page->control->streams));
	put_one(page, "bulkwatch_waiters", EXPOSITION_GAUGE, "Clients that wait for a job's end.",
	        (double)waiters_count(page->control->waiters));
	counter(page, "bulkwatch_config_reloads_total", "Reloads of the configuration.");
	exposition_put(&page->e, LABELS({"result", "taken"}), (double)metrics->n_reloads);
	exposition_put(&page->e, LABELS({"result", "refused"}), (double)metrics->n_refused_reloads);
	put_one(page, "bulkwatch_config_last_reload_successful", EXPOSITION_GAUGE,
	        "0 if the last reload was refused.", !metrics->is_reload_refused);
	put_one(page, "bulkwatch_config_timestamp_seconds", EXPOSITION_GAUGE,
	        "When the present configuration was taken over.",
	        (double)metrics->reloaded_wall_ms / 1000);
	gauge(page, "bulkwatch_build_info", "Always 1; the version is in the label.");
	exposition_put(&page->e, LABELS({"version", BULKWATCH_VERSION}), 1);
}

/* The names that Prometheus' own clients give these (its "process metrics"). */
static void put_process(struct page *page)
{
	struct process_usage usage;

	process_look(&usage);
	put_one(page, "process_start_time_seconds", EXPOSITION_GAUGE, "When the daemon started.",
	        (double)page->context->started_wall_ms / 1000);
	if (usage.cpu_s >= 0)
		put_one(page, "process_cpu_seconds_total", EXPOSITION_COUNTER,
		        "CPU time, of the user and the system.", usage.cpu_s);
	if (usage.resident_bytes >= 0) {
		put_one(page, "process_resident_memory_bytes", EXPOSITION_GAUGE, "In memory.",
		        (double)usage.resident_bytes);
		put_one(page, "process_virtual_memory_bytes", EXPOSITION_GAUGE, "Mapped.",
		        (double)usage.virtual_bytes);
	}
	if (usage.n_descriptors >= 0)
		put_one(page, "process_open_fds", EXPOSITION_GAUGE, "Open file descriptors.",
		        (double)usage.n_descriptors);
	if (usage.max_descriptors >= 0)
		put_one(page, "process_max_fds", EXPOSITION_GAUGE, "The most there may be.",
		        (double)usage.max_descriptors);
}

void control_write_metrics(const struct control *control, struct buf *out)
{
	struct page page = {
	        .e.out = out,
	        .control = control,
	        .context = &control->context,
	        .now = loop_now(control->context.loop),
	};

	journal_settle_all(control->context.tracker->journal);
	collect_hooks(&page);
	put_jobs(&page);
	put_events(&page);
	put_polls(&page);
	put_states(&page);
	put_numbers(&page);
	put_datacenters(&page);
	put_attempts(&page);
	put_deliveries(&page);
	put_database(&page);
	put_loop(&page);
	put_process(&page);
	free(page.hooks);
}

void control_get_metrics(struct call *call)
{
	cleanup(buf_deinit) struct buf body = {0};

	control_write_metrics(call->control, &body);
	listen_reply(call->request, 200, EXPOSITION_CONTENT_TYPE, buf_str(&body), body.len, NULL);
}

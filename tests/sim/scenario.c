/* The world of a seed; scenario_files.c writes what the daemon reads of it. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>

#include "util/mem.h"
#include "world.h"

enum {
	SECOND_MS = 1000,
	MINUTE_MS = 60 * SECOND_MS,
	HOUR_MS = 60 * MINUTE_MS,
	/* From the end of all troubles: the slowest probe, poll and retry, one after another. */
	REST_MS = 4 * HOUR_MS,
	/* Until credits come back, twice over. */
	CREDITS_MS = 48 * HOUR_MS,
};

/* ---- troubles ---- */

static size_t make_troubles(
        struct trouble *troubles, enum trouble_kind first, enum trouble_kind last, int64_t until)
{
	size_t n = world_below(WORLD_TROUBLES_MAX);
	int64_t at = world->mono_ms;

	for (size_t i = 0; i < n; i++) {
		at += world_between(0, (until - world->mono_ms) / (int64_t)n);
		int64_t to = at + world_between(MINUTE_MS / 2,
		                          world_chance(0.3) ? HOUR_MS : 5 * MINUTE_MS);

		if (to > until)
			return i;
		troubles[i] = (struct trouble){
		        .from_mono_ms = at,
		        .to_mono_ms = to,
		        .kind = (enum trouble_kind)world_between(first, last),
		};
		at = to;
	}
	return n;
}

/* Rare, and none at all in two histories of three. */
static void make_fullness(void)
{
	if (world_chance(0.33))
		world->n_fullness = make_troubles(
		        world->fullness, TROUBLE_FULL, TROUBLE_FULL, world->trouble_until_mono_ms);
}

static void make_datacenters(const struct scenario *scenario)
{
	world->n_datacenters = scenario->n_accounts < 3 ? scenario->n_accounts : 3;
	for (size_t i = 0; i < world->n_datacenters; i++) {
		struct world_datacenter *dc = &world->datacenters[i];

		snprintf(dc->name, sizeof(dc->name), "d%zu", i);
		snprintf(dc->url, sizeof(dc->url), "http://127.0.0.1:%zu", 8000 + i);
		if (scenario->has_faults)
			dc->n_troubles = make_troubles(dc->troubles, TROUBLE_REFUSES,
			        TROUBLE_GARBLES, world->trouble_until_mono_ms);
	}
}

/* ---- accounts ---- */

static void make_tokens(struct world_account *account, const struct scenario *scenario)
{
	int64_t span = world->trouble_until_mono_ms - world->mono_ms;

	account->n_tokens = scenario->has_plans ? (int)world_between(1, WORLD_TOKENS_MAX) : 1;
	for (int i = 0; i < account->n_tokens; i++) {
		account->token_ends_mono_ms[i] = INT64_MAX;
		if (i + 1 == account->n_tokens)
			continue;
		account->token_ends_mono_ms[i] = world->mono_ms +
		                                 span * (i + 1) / account->n_tokens -
		                                 world_between(0, span / 20);
		account->token_follows_mono_ms[i] =
		        account->token_ends_mono_ms[i] + world_between(-MINUTE_MS, span / 20);
	}
}

static void make_account(size_t i, const struct scenario *scenario)
{
	static const int64_t intervals[] = {1000, 5000, 15000, 15000};
	struct world_account *account = &world->accounts[i];

	snprintf(account->name, sizeof(account->name), "a%zu", i);
	account->datacenter = (int)(i % world->n_datacenters);
	for (int v = 0; v < WORLD_VARIANTS; v++) {
		account->max_in_flight[v] = (int)world_between(1, 5);
		account->min_interval_ms[v] = intervals[world_below(ARRAY_LEN(intervals))];
		account->has_other_file[v] = v > 0 && world_chance(0.3);
	}
	if (scenario->n_jobs > 1000)
		account->max_in_flight[0] = 25;
	if (scenario->has_faults && world_chance(0.15))
		account->credits = (int)world_between(60, WORLD_CREDITS_MAX);
	make_tokens(account, scenario);
	if (scenario->has_faults && world_chance(0.6))
		account->n_troubles = make_troubles(account->troubles, TROUBLE_THROTTLED,
		        TROUBLE_PERMISSION, world->trouble_until_mono_ms);
}

/* ---- jobs ---- */

static void add_phase(struct world_job *job, enum word word, int64_t *at, int64_t length)
{
	job->phases[job->n_phases++] = (struct phase){.from_mono_ms = *at, .word = word};
	*at += length;
}

static void make_life(struct world_job *job, int64_t span)
{
	static const enum word ends[] = {WORD_COMPLETED, WORD_COMPLETED, WORD_COMPLETED,
	        WORD_COMPLETED, WORD_FAILURE, WORD_FAILED};
	/* Most are short, some take nearly all the time that there is. */
	int64_t longest = world_chance(0.8) ? 20 * MINUTE_MS : span * 3 / 4;
	int64_t length = world_between(10 * SECOND_MS, longest < span ? longest : span);
	int64_t at = world->mono_ms + (world_chance(0.5) ? 0 : world_between(0, span / 4));

	job->phases[0].from_mono_ms = 0;
	add_phase(job, WORD_ADDED, &at, world_between(0, length / 4));
	job->phases[0].from_mono_ms = 0;
	if (world_chance(0.4))
		add_phase(job, WORD_QUEUED, &at, world_between(0, length / 4));
	if (world_chance(0.2))
		add_phase(job, WORD_ASLEEP, &at, world_between(0, length / 8));
	if (world_chance(0.9))
		add_phase(job, WORD_IN_PROGRESS, &at, world_between(0, length / 2));
	add_phase(job, ends[world_below(ARRAY_LEN(ends))], &at, 0);
}

static void make_job(size_t i, const struct scenario *scenario)
{
	struct world_job *job = &world->jobs[i];
	int64_t span = world->trouble_until_mono_ms - world->mono_ms;

	snprintf(job->id, sizeof(job->id), "36523970000%06u", (unsigned)(i % 1000000));
	job->account = (int)(i % world->n_accounts);
	make_life(job, span);
	if (world_chance(0.2))
		job->hooks = (uint8_t)world_between(1, 3);
	if (scenario->has_variants && world_chance(0.3))
		job->absent_in = (uint8_t)(world_between(1, 7) << 1); /* never in the first */
	if (scenario->has_faults && world_chance(0.05)) {
		job->unknown_from_mono_ms = world->mono_ms + world_between(0, span / 2);
		job->unknown_to_mono_ms = job->unknown_from_mono_ms + world_between(0, HOUR_MS);
	}
	if (scenario->has_clients && i > 0 && world_chance(0.1)) {
		job->is_by_socket = true;
		job->absent_in = 0;
		job->hooks = 0;
	}
	job->state = WORD_PENDING;
	world->n_open_jobs++;
}

/* ---- hooks and plans ---- */

static void make_hooks(const struct scenario *scenario)
{
	world->n_hooks = WORLD_HOOKS;
	world->hooks[0] = (struct world_hook){.name = "load",
	        .on = EVENT_SET_FINISHED,
	        .attempts = 20,
	        .timeout_ms = 10 * MINUTE_MS,
	        .parallel = 4};
	world->hooks[1] = (struct world_hook){.name = "all",
	        .on = event_set_by_name("*"),
	        .attempts = 20,
	        .timeout_ms = 30 * SECOND_MS,
	        .parallel = scenario->n_jobs > 1000 ? 64 : (int)world_between(1, 8)};
	/* One that gives up soon. */
	world->hooks[2] = (struct world_hook){.name = "frail",
	        .on = event_set_by_name("job.*") | event_set_by_name("account.*"),
	        .attempts = 2,
	        .timeout_ms = 5 * SECOND_MS,
	        .parallel = 2};
	if (scenario->n_jobs > 1000)
		world->n_hooks = 1;
	if (scenario->has_variants && world_chance(0.3))
		world->hooks[2].absent_in = (uint8_t)(1 << world_between(1, 3));
}

static void add_plan(int64_t at_mono_ms, enum plan_kind kind, int64_t value)
{
	if (world->n_plans == WORLD_PLANS_MAX)
		return;
	world->plans[world->n_plans++] =
	        (struct plan){.at_mono_ms = at_mono_ms, .kind = kind, .value = value};
}

static int plan_compare(const void *a, const void *b)
{
	const struct plan *x = a, *y = b;

	return (x->at_mono_ms > y->at_mono_ms) - (x->at_mono_ms < y->at_mono_ms);
}

static void make_plans(const struct scenario *scenario)
{
	int64_t until = world->trouble_until_mono_ms, from = world->mono_ms;
	size_t n_variants = scenario->has_plans ? world_below(8) : 0;
	size_t n_stops = scenario->has_plans ? world_below(3) : 0;
	size_t n_jumps = scenario->has_faults ? world_below(5) : 0;

	for (size_t i = 0; i < n_variants; i++)
		add_plan(world_between(from, until), PLAN_VARIANT,
		        world_between(0, WORLD_VARIANTS - 1));
	if (n_variants > 0) {
		add_plan(world_between(from, until), PLAN_BAD_CONFIG, 0);
		add_plan(until, PLAN_VARIANT, 0);
	}
	for (size_t i = 0; i < n_stops; i++)
		add_plan(world_between(from, until), PLAN_STOP, 0);
	for (size_t i = 0; i < n_jumps; i++)
		add_plan(world_between(from, until), PLAN_WALL,
		        world_between(-3 * HOUR_MS, 3 * HOUR_MS) * (world_chance(0.2) ? 24 : 1));
	for (size_t i = 0; scenario->has_plans && i < world->n_accounts; i++) {
		for (int k = 0; k + 1 < world->accounts[i].n_tokens; k++)
			add_plan(world->accounts[i].token_follows_mono_ms[k], PLAN_TOKEN,
			        (int64_t)i);
	}
	qsort(world->plans, world->n_plans, sizeof(world->plans[0]), plan_compare);
}

/* A token whose successor found no place among the plans never ends. */
static void drop_unplanned_tokens(void)
{
	for (size_t i = 0; i < world->n_accounts; i++) {
		struct world_account *account = &world->accounts[i];
		int n = 1;

		for (size_t k = 0; k < world->n_plans; k++)
			n += world->plans[k].kind == PLAN_TOKEN &&
			     world->plans[k].value == (int64_t)i;
		account->n_tokens = n;
		account->token_ends_mono_ms[n - 1] = INT64_MAX;
	}
}

void scenario_make(const struct scenario *scenario)
{
	world->trouble_until_mono_ms = world->mono_ms + scenario->days_ms;
	world->deadline_mono_ms = world->trouble_until_mono_ms + REST_MS;
	world->has_faults = scenario->has_faults;
	world->has_clients = scenario->has_clients;
	world->n_accounts = scenario->n_accounts;
	world->n_jobs = scenario->n_jobs;
	make_datacenters(scenario);
	for (size_t i = 0; i < world->n_accounts; i++) {
		make_account(i, scenario);
		if (world->accounts[i].credits)
			world->deadline_mono_ms =
			        world->trouble_until_mono_ms + REST_MS + CREDITS_MS;
	}
	for (size_t i = 0; i < world->n_jobs; i++)
		make_job(i, scenario);
	make_hooks(scenario);
	make_plans(scenario);
	if (scenario->has_faults)
		make_fullness();
	drop_unplanned_tokens();
	for (size_t i = 0; i < world->n_accounts; i++)
		scenario_write_token((int)i);
	scenario_write_config(0);
}

/* The world of a seed. scenario_hooks.c has hooks and those that webhooks call, and
 * scenario_files.c writes what the daemon reads of it. */
#include "scenario_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "crowd.h"
#include "util/mem.h"

enum {
	/* From the end of all troubles: the slowest probe, poll and retry, one after another. */
	REST_MS = 4 * HOUR_MS,
	/* Until credits come back, twice over. */
	CREDITS_MS = 48 * HOUR_MS,
	MAX_INTERVAL_MS = 5 * MINUTE_MS,
	SHORT_MAX_INTERVAL_MS = 15 * SECOND_MS,
};

/* ---- the disk, and data centers ---- */

/* None at all in three histories of ten. */
static void make_fullness(void)
{
	if (world_has(KIND_FULL) && world_chance(DICE_SCENARIO, 0.7))
		world->n_fullness =
		        scenario_make_troubles(world->fullness, TROUBLE_FULL, TROUBLE_FULL, 0);
}

/* Shorter, and most of what the daemon does were to look for what is old. */
static void make_retention(void)
{
	if (world_has(KIND_RETENTION) && world_chance(DICE_SCENARIO, 0.5))
		world->retain_ms = world_between(DICE_SCENARIO, world->pace_ms,
		        (world_chance(DICE_SCENARIO, 0.5) ? 4 : 40) * world->pace_ms);
}

static void make_datacenters(const struct scenario *scenario)
{
	enum trouble_kind first = world_has(KIND_OUTAGES) ? TROUBLE_REFUSES : TROUBLE_GARBLES;
	enum trouble_kind last = world_has(KIND_LIES) ? TROUBLE_GARBLES : TROUBLE_TLS;

	/* With few of them, accounts have more to do with each other. */
	world->n_datacenters =
	        scenario->is_crowd ? CROWD_DATACENTERS : 1 + world_below(DICE_SCENARIO, 3);
	for (size_t i = 0; i < world->n_datacenters; i++) {
		struct world_datacenter *dc = &world->datacenters[i];

		snprintf(dc->name, sizeof(dc->name), "d%zu", i);
		snprintf(dc->url, sizeof(dc->url), "http://127.0.0.1:%zu", 8000 + i);
		if (first <= last)
			dc->n_troubles = scenario_make_troubles(dc->troubles, first, last, 0.3);
	}
}

/* ---- accounts ---- */

static void make_tokens(struct world_account *account)
{
	int64_t span = world->trouble_until_mono_ms - world->mono_ms;

	account->n_tokens = world_has(KIND_TOKENS) && account->grant < 0
	                            ? (int)world_between(DICE_SCENARIO, 1, WORLD_TOKENS_MAX)
	                            : 1;
	for (int i = 0; i < account->n_tokens; i++) {
		account->token_ends_mono_ms[i] = INT64_MAX;
		if (i + 1 == account->n_tokens)
			continue;
		account->token_ends_mono_ms[i] = world->mono_ms +
		                                 span * (i + 1) / account->n_tokens -
		                                 world_between(DICE_SCENARIO, 0, span / 20);
		account->token_follows_mono_ms[i] =
		        account->token_ends_mono_ms[i] +
		        world_between(DICE_SCENARIO, -MINUTE_MS, span / 20);
	}
}

static int find_grant(int datacenter)
{
	for (size_t i = 0; i < world->n_grants; i++) {
		if (world->grants[i].datacenter == datacenter)
			return (int)i;
	}
	return -1;
}

/* Of a data center's own, or shared with another account of it. */
static int make_grant(int datacenter)
{
	int shared = find_grant(datacenter);
	struct world_grant *grant = &world->grants[world->n_grants];

	if (shared >= 0 && world_chance(DICE_SCENARIO, 0.5))
		return shared;
	if (world->n_grants == WORLD_GRANTS_MAX)
		return -1;
	grant->datacenter = datacenter;
	grant->n_troubles = scenario_make_troubles(
	        grant->troubles, TROUBLE_TOKENS_THROTTLED, TROUBLE_TOKENS_GARBLED, 0);
	return (int)world->n_grants++;
}

/* All ask as often as they may; a fixed interval, so that each has as much to ask as the other. */
static void make_account_of_crowd(size_t i)
{
	struct world_account *account = &world->accounts[i];

	snprintf(account->name, sizeof(account->name), "a%zu", i);
	account->datacenter = (int)(i % world->n_datacenters);
	account->grant = -1;
	account->credits = crowd_credits(i);
	for (int v = 0; v < WORLD_VARIANTS; v++) {
		account->max_in_flight[v] = CROWD_IN_FLIGHT;
		account->min_interval_ms[v] = CROWD_INTERVAL_MS;
		account->max_interval_ms[v] = CROWD_INTERVAL_MS;
	}
	make_tokens(account);
}

static void make_account(size_t i, const struct scenario *scenario)
{
	static const int64_t intervals[] = {1000, 5000, 15000, 15000};
	struct world_account *account = &world->accounts[i];

	snprintf(account->name, sizeof(account->name), "a%zu", i);
	account->datacenter = (int)(i % world->n_datacenters);
	account->is_of_crm = world_chance(DICE_SCENARIO, 0.3);
	account->grant = -1;
	if (world_has(KIND_TOKENS) && world_chance(DICE_SCENARIO, 0.5))
		account->grant = make_grant(account->datacenter);
	for (int v = 0; v < WORLD_VARIANTS; v++) {
		account->max_in_flight[v] = (int)world_between(DICE_SCENARIO, 1, 5);
		account->min_interval_ms[v] =
		        intervals[world_below(DICE_SCENARIO, ARRAY_LEN(intervals))];
		/* With the short one, an answer may take longer than the wait for the next. */
		account->max_interval_ms[v] =
		        world_chance(DICE_SCENARIO, 0.3) ? SHORT_MAX_INTERVAL_MS : MAX_INTERVAL_MS;
		account->has_other_file[v] =
		        account->grant < 0 && v > 0 && world_chance(DICE_SCENARIO, 0.3);
	}
	if (scenario->n_jobs > 1000)
		account->max_in_flight[0] = 25;
	if (world_has(KIND_CREDITS) && world_chance(DICE_SCENARIO, 0.15))
		account->credits = (int)world_between(DICE_SCENARIO, 60, WORLD_CREDITS_MAX);
	make_tokens(account);
	enum trouble_kind first = world_has(KIND_THROTTLING) ? TROUBLE_THROTTLED : TROUBLE_SCOPE;
	enum trouble_kind last = world_has(KIND_REFUSALS) ? TROUBLE_PERMISSION : TROUBLE_THROTTLED;

	if (first <= last && world_chance(DICE_SCENARIO, 0.6))
		account->n_troubles = scenario_make_troubles(account->troubles, first, last, 0);
}

/* Accounts of one grant spend from one purse. */
static void share_credits(void)
{
	for (size_t i = 0; i < world->n_accounts; i++) {
		for (size_t k = 0; k < world->n_accounts; k++) {
			if (i != k && world->accounts[i].grant >= 0 &&
			        world->accounts[i].grant == world->accounts[k].grant &&
			        world->accounts[k].credits > 0)
				world->accounts[i].shares_credits = true;
		}
	}
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
	bool is_short = world_chance(DICE_SCENARIO, job->is_by_socket ? 0.9 : 0.8);
	int64_t at = job->appears_mono_ms;

	if (!job->is_by_socket && world_chance(DICE_SCENARIO, 0.5))
		at += world_between(
		        DICE_SCENARIO, 0, span / 4 < 6 * HOUR_MS ? span / 4 : 6 * HOUR_MS);
	int64_t longest = is_short ? 20 * MINUTE_MS : span * 3 / 4;
	int64_t left = world->trouble_until_mono_ms - at;
	int64_t length =
	        world_between(DICE_SCENARIO, 10 * SECOND_MS, longest < left ? longest : left);

	job->phases[0].from_mono_ms = 0;
	add_phase(job, WORD_ADDED, &at, world_between(DICE_SCENARIO, 0, length / 4));
	job->phases[0].from_mono_ms = 0;
	if (world_chance(DICE_SCENARIO, 0.4))
		add_phase(job, WORD_QUEUED, &at, world_between(DICE_SCENARIO, 0, length / 4));
	if (world_chance(DICE_SCENARIO, 0.2))
		add_phase(job, WORD_ASLEEP, &at, world_between(DICE_SCENARIO, 0, length / 8));
	if (world_chance(DICE_SCENARIO, 0.9))
		add_phase(job, WORD_IN_PROGRESS, &at, world_between(DICE_SCENARIO, 0, length / 2));
	add_phase(job, ends[world_below(DICE_SCENARIO, ARRAY_LEN(ends))], &at, 0);
}

static void join_account(size_t i, int account)
{
	world->jobs[i].account = account;
	world->jobs[i].next_job = world->accounts[account].first_job;
	world->accounts[account].first_job = (int32_t)i + 1;
}

/* They go on for as long as there is anything to see. */
static void make_job_of_crowd(size_t i)
{
	struct world_job *job = &world->jobs[i];
	int64_t at = world->trouble_until_mono_ms + world_between(DICE_SCENARIO, 0, 5 * MINUTE_MS);

	snprintf(job->id, sizeof(job->id), "36523970000%06u", (unsigned)(i % 1000000));
	join_account(i, crowd_account_of(i, world->n_accounts));
	job->appears_mono_ms = world->mono_ms;
	job->phases[0].word = WORD_IN_PROGRESS;
	job->n_phases = 1;
	add_phase(job, WORD_COMPLETED, &at, 0);
	job->state = WORD_PENDING;
	world->n_open_jobs++;
}

bool scenario_has_variants(const struct scenario *scenario)
{
	return scenario->is_reloaded || scenario->kinds >> KIND_RELOADS & 1;
}

static void make_job(size_t i, const struct scenario *scenario)
{
	struct world_job *job = &world->jobs[i];
	int64_t span = world->trouble_until_mono_ms - world->mono_ms;

	snprintf(job->id, sizeof(job->id), "36523970000%06u", (unsigned)(i % 1000000));
	join_account(i, (int)(i % world->n_accounts));
	job->appears_mono_ms = world->mono_ms;
	if (world_has(KIND_CHANGES) && i > 0 && world_chance(DICE_SCENARIO, 0.4)) {
		job->is_by_socket = true;
		job->appears_mono_ms += world_between(DICE_SCENARIO, 0, span * 9 / 10);
	}
	make_life(job, span);
	if (!job->is_by_socket && world_chance(DICE_SCENARIO, 0.2))
		job->hooks = (uint8_t)world_between(DICE_SCENARIO, 1, 3);
	if (!job->is_by_socket && scenario_has_variants(scenario) &&
	        world_chance(DICE_SCENARIO, 0.3))
		/* never in the first */
		job->absent_in = (uint8_t)(world_between(DICE_SCENARIO, 1, 7) << 1);
	if (world_has(KIND_LOSSES) && world_chance(DICE_SCENARIO, 0.15)) {
		job->unknown_from_mono_ms =
		        job->appears_mono_ms + world_between(DICE_SCENARIO, 0, 30 * MINUTE_MS);
		job->unknown_to_mono_ms =
		        job->unknown_from_mono_ms + world_between(DICE_SCENARIO, 0, HOUR_MS);
	}
	job->state = WORD_PENDING;
	world->n_open_jobs++;
}

/* ---- plans ---- */

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

/* A refresh token is revoked, and somebody comes to put another one into the file. */
static void plan_secrets(int64_t from, int64_t until)
{
	for (size_t i = 0; i < world->n_grants; i++) {
		int64_t at = world_between(DICE_SCENARIO, from, until);

		if (!world_chance(DICE_SCENARIO, 0.4) || world->n_plans + 2 > WORLD_PLANS_MAX)
			continue;
		if (world_chance(DICE_SCENARIO, 0.8))
			add_plan(at, PLAN_REVOKE, (int64_t)i);
		at += world_between(DICE_SCENARIO, 0, 4 * HOUR_MS);
		add_plan(at < until ? at : until, PLAN_SECRET, (int64_t)i);
	}
}

/* The key of a webhook is replaced; before some of these nobody can sign with what is there. */
static void plan_keys(int64_t from, int64_t until)
{
	for (size_t i = 0; i < world->n_hooks; i++) {
		const struct world_hook *hook = &world->hooks[i];
		size_t n = hook->is_signed && world_has(KIND_RECEIVERS)
		                   ? world_below(DICE_RECEIVERS, 4)
		                   : 0;

		for (size_t k = 0; k < n && world->n_plans + 2 <= WORLD_PLANS_MAX; k++) {
			int64_t at = world_between(DICE_RECEIVERS, from, until);

			if (world_chance(DICE_RECEIVERS, 0.5))
				add_plan(at, PLAN_KEY_SPOILT, (int64_t)i);
			at += world_between(DICE_RECEIVERS, 0, 2 * HOUR_MS);
			add_plan(at < until ? at : until, PLAN_KEY, (int64_t)i);
		}
	}
}

static void make_plans(void)
{
	int64_t until = world->trouble_until_mono_ms, from = world->mono_ms;
	uint64_t days = 1 + (uint64_t)((until - from) / DAY_MS);
	size_t n_variants = world_has(KIND_RELOADS) ? world_below(DICE_SCENARIO, 8 + 2 * days) : 0;
	size_t n_stops = world_has(KIND_STOPS) ? world_below(DICE_SCENARIO, 3 + days / 2) : 0;
	size_t n_jumps = world_has(KIND_CLOCKS) ? world_below(DICE_SCENARIO, 5 + days) : 0;
	size_t n_suspends = world_has(KIND_CLOCKS) ? world_below(DICE_SCENARIO, 3) : 0;

	for (size_t i = 0; i < n_variants; i++)
		add_plan(world_between(DICE_SCENARIO, from, until), PLAN_VARIANT,
		        world_between(DICE_SCENARIO, 0, WORLD_VARIANTS - 1));
	if (n_variants > 0) {
		add_plan(world_between(DICE_SCENARIO, from, until), PLAN_BAD_CONFIG, 0);
		add_plan(until, PLAN_VARIANT, 0);
	}
	for (size_t i = 0; i < n_stops; i++)
		add_plan(world_between(DICE_SCENARIO, from, until), PLAN_STOP, 0);
	for (size_t i = 0; i < n_jumps; i++)
		add_plan(world_between(DICE_SCENARIO, from, until), PLAN_WALL,
		        world_between(DICE_SCENARIO, -3 * HOUR_MS, 3 * HOUR_MS) *
		                (world_chance(DICE_SCENARIO, 0.2) ? 24 : 1));
	plan_secrets(from, until);
	for (size_t i = 0; i < n_suspends; i++)
		add_plan(world_between(DICE_SCENARIO, from, until), PLAN_SUSPEND,
		        world_between(DICE_SCENARIO, SECOND_MS, 10 * HOUR_MS));
	for (size_t i = 0; i < world->n_accounts; i++) {
		for (int k = 0; k + 1 < world->accounts[i].n_tokens; k++)
			add_plan(world->accounts[i].token_follows_mono_ms[k], PLAN_TOKEN,
			        (int64_t)i);
	}
	plan_keys(from, until);
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

void scenario_settle(struct scenario *scenario)
{
	if (scenario->is_crowd) {
		scenario->n_accounts = crowd_accounts(scenario->n_jobs);
		return;
	}
	scenario->n_accounts = scenario->n_jobs < 4 ? 2 : scenario->n_jobs > 1000 ? 10 : 4;
}

void scenario_make(const struct scenario *scenario)
{
	world->trouble_until_mono_ms = world->mono_ms + scenario->days_ms;
	world->deadline_mono_ms = world->trouble_until_mono_ms + REST_MS;
	world->kinds = scenario->kinds;
	world->pace_ms = scenario->days_ms / 600 < MINUTE_MS ? MINUTE_MS : scenario->days_ms / 600;
	world->n_accounts = scenario->n_accounts;
	world->n_jobs = scenario->n_jobs;
	world->is_crowd = scenario->is_crowd;
	make_datacenters(scenario);
	for (size_t i = 0; i < world->n_accounts; i++) {
		if (scenario->is_crowd)
			make_account_of_crowd(i);
		else
			make_account(i, scenario);
		if (world->accounts[i].credits)
			world->deadline_mono_ms =
			        world->trouble_until_mono_ms + REST_MS + CREDITS_MS;
	}
	share_credits();
	for (size_t i = 0; i < world->n_jobs; i++) {
		if (scenario->is_crowd)
			make_job_of_crowd(i);
		else
			make_job(i, scenario);
	}
	scenario_make_hooks(scenario);
	make_plans();
	make_fullness();
	make_retention();
	drop_unplanned_tokens();
	for (size_t i = 0; i < world->n_accounts; i++)
		scenario_write_token((int)i);
	for (size_t i = 0; i < world->n_grants; i++)
		scenario_write_secrets((int)i);
	for (size_t i = 0; i < world->n_hooks; i++)
		scenario_write_keys((int)i);
	scenario_write_config(0);
}

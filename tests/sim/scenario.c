#include "world.h"

#include "scenario.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/limits.h"
#include "util/buf.h"
#include "util/mem.h"

enum {
	SECOND_MS = 1000,
	MINUTE_MS = 60 * SECOND_MS,
	HOUR_MS = 60 * MINUTE_MS,
	/* From the end of all troubles: the slowest probe, poll and retry, one after another. */
	REST_MS = 4 * HOUR_MS,
};

/* ---- troubles ---- */

static size_t make_troubles(
        struct trouble *troubles, enum trouble_kind first, enum trouble_kind last, int64_t until)
{
	size_t n = world_below(WORLD_TROUBLES_MAX);
	int64_t at = world->mono_ms;

	for (size_t i = 0; i < n; i++) {
		at += world_between(0, (until - world->mono_ms) / (int64_t)n);
		int64_t to = at + world_between(MINUTE_MS / 2, world_chance(0.3) ? HOUR_MS : 5 * MINUTE_MS);

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

static void make_datacenters(const struct scenario *scenario)
{
	world->n_datacenters = scenario->n_accounts < 3 ? scenario->n_accounts : 3;
	for (size_t i = 0; i < world->n_datacenters; i++) {
		struct world_datacenter *dc = &world->datacenters[i];

		snprintf(dc->name, sizeof(dc->name), "d%zu", i);
		snprintf(dc->url, sizeof(dc->url), "http://127.0.0.1:%zu", 8000 + i);
		if (scenario->has_faults)
			dc->n_troubles = make_troubles(dc->troubles, TROUBLE_REFUSES, TROUBLE_GARBLES,
			        world->trouble_until_mono_ms);
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
		account->token_ends_mono_ms[i] =
		        world->mono_ms + span * (i + 1) / account->n_tokens - world_between(0, span / 20);
		account->token_follows_mono_ms[i] = account->token_ends_mono_ms[i] +
		                                    world_between(-MINUTE_MS, span / 20);
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

	snprintf(job->id, sizeof(job->id), "36523970000%06zu", i);
	job->account = (int)(i % world->n_accounts);
	make_life(job, span);
	if (world_chance(0.2))
		job->hooks = (uint8_t)world_between(1, 3);
	if (scenario->has_plans && world_chance(0.3))
		job->absent_in = (uint8_t)world_between(1, 7) << 1; /* never in the first */
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
	if (scenario->has_plans && world_chance(0.3))
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
		add_plan(world_between(from, until), PLAN_VARIANT, world_between(0, WORLD_VARIANTS - 1));
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
			add_plan(world->accounts[i].token_follows_mono_ms[k], PLAN_TOKEN, (int64_t)i);
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
			n += world->plans[k].kind == PLAN_TOKEN && world->plans[k].value == (int64_t)i;
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
	for (size_t i = 0; i < world->n_accounts; i++)
		make_account(i, scenario);
	for (size_t i = 0; i < world->n_jobs; i++)
		make_job(i, scenario);
	make_hooks(scenario);
	make_plans(scenario);
	drop_unplanned_tokens();
	for (size_t i = 0; i < world->n_accounts; i++)
		scenario_write_token((int)i);
	scenario_write_config(0);
}

/* ---- files ---- */

static void write_file(const char *path, const char *bytes, size_t len)
{
	cleanup(mem_free_p) char *temporary = mem_printf("%s.new", path);
	FILE *file = fopen(temporary, "w");

	/* A new inode each time: two writes within one tick of the clock are still told apart. */
	if (!file || fchmod(fileno(file), 0600) != 0 || fwrite(bytes, 1, len, file) != len ||
	        fclose(file) != 0 || rename(temporary, path) != 0) {
		perror(path);
		exit(1);
	}
}

void scenario_write_token(int account)
{
	const struct world_account *a = &world->accounts[account];
	cleanup(mem_free_p) char *text = mem_printf("1000.%s.%d\n", a->name, a->n_written);
	cleanup(mem_free_p) char *path = mem_printf("%s/%s.token", world->dir, a->name);
	cleanup(mem_free_p) char *other = mem_printf("%s/%s.other", world->dir, a->name);

	write_file(path, text, strlen(text));
	write_file(other, text, strlen(text));
}

char *scenario_config_path(void)
{
	return mem_printf("%s/bulkwatchd.yaml", world->dir);
}

bool scenario_has_job(int variant, int job)
{
	return !world->jobs[job].is_by_socket && !(world->jobs[job].absent_in >> variant & 1);
}

static bool has_hook(int variant, size_t hook)
{
	return !(world->hooks[hook].absent_in >> variant & 1);
}

static uint8_t configured_hooks(int variant)
{
	uint8_t set = 0;

	for (size_t i = 0; i < world->n_hooks; i++)
		set |= (uint8_t)(has_hook(variant, i) << i);
	return set;
}

uint8_t scenario_hooks(int variant, int job, enum event_type type)
{
	uint8_t set = configured_hooks(variant);

	if (job != WORLD_NO_JOB && world->jobs[job].hooks && type != EVENT_HOOK_DEAD)
		set &= world->jobs[job].hooks;
	for (size_t i = 0; i < world->n_hooks; i++) {
		if (!event_set_has(world->hooks[i].on, type))
			set &= (uint8_t)~(1u << i);
	}
	return set;
}

static void write_hook_names(struct buf *out, uint8_t set)
{
	const char *comma = "";

	buf_adds(out, "[");
	for (size_t i = 0; i < world->n_hooks; i++) {
		if (!(set >> i & 1))
			continue;
		buf_addf(out, "%s%s", comma, world->hooks[i].name);
		comma = ", ";
	}
	buf_adds(out, "]");
}

static void write_account(struct buf *out, int variant, size_t i)
{
	const struct world_account *account = &world->accounts[i];
	bool has_job = false;

	buf_addf(out,
	        "  %s:\n    datacenter: %s\n    service: bigin\n    access_token_file: %s.%s\n"
	        "    max_in_flight: %d\n    poll: {min_interval: %" PRId64 "ms, max_interval: 5m}\n",
	        account->name, world->datacenters[account->datacenter].name,
	        account->name,
	        account->has_other_file[variant] ? "other" : "token",
	        account->max_in_flight[variant], account->min_interval_ms[variant]);
	for (size_t k = 0; k < world->n_jobs; k++) {
		const struct world_job *job = &world->jobs[k];
		uint8_t hooks = job->hooks & configured_hooks(variant);

		if ((size_t)job->account != i || !scenario_has_job(variant, (int)k))
			continue;
		buf_adds(out, has_job ? "" : "    jobs:\n");
		has_job = true;
		if (!job->hooks) {
			buf_addf(out, "      - %s\n", job->id);
			continue;
		}
		buf_addf(out, "      - {id: %s, name: job-%zu, hooks: ", job->id, k);
		write_hook_names(out, hooks);
		buf_adds(out, "}\n");
	}
}

static void write_hook(struct buf *out, const struct world_hook *hook)
{
	const char *comma = "";

	buf_addf(out, "  %s:\n    exec: [/bin/true]\n    attempts: %d\n    timeout: %" PRId64
	              "ms\n    retry_max: 10m\n    parallel: %d\n    on: [",
	        hook->name, hook->attempts, hook->timeout_ms, hook->parallel);
	for (int type = EVENT_NONE + 1; type < EVENT_TYPES; type++) {
		if (!event_set_has(hook->on, (enum event_type)type))
			continue;
		buf_addf(out, "%s%s", comma, event_type_name((enum event_type)type));
		comma = ", ";
	}
	buf_adds(out, "]\n");
}

void scenario_write_config(int variant)
{
	cleanup(mem_free_p) char *path = scenario_config_path();
	cleanup(buf_deinit) struct buf out = {0};
	int v = variant < 0 ? 0 : variant;

	buf_addf(&out, "state_dir: %s\nruntime_dir: %s/run\nlog_level: debug\n%s", world->dir, world->dir,
	        variant < 0 ? "no_such_key: 1\n" : "");
	buf_adds(&out, "datacenters:\n");
	for (size_t i = 0; i < world->n_datacenters; i++)
		buf_addf(&out, "  %s: {api_url: '%s', accounts_url: '%s'}\n", world->datacenters[i].name,
		        world->datacenters[i].url, world->datacenters[i].url);
	buf_adds(&out, "accounts:\n");
	for (size_t i = 0; i < world->n_accounts; i++)
		write_account(&out, v, i);
	buf_adds(&out, "hooks:\n");
	for (size_t i = 0; i < world->n_hooks; i++) {
		if (has_hook(v, i))
			write_hook(&out, &world->hooks[i]);
	}
	write_file(path, out.data, out.len);
}

#include "run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shrink.h"
#include "util/str.h"
#include "world.h"

enum {
	DAY_MS = 24 * 60 * 60 * 1000,
	/* So many virtual days, in so many histories, must have met everything. */
	ALL_KINDS_SEEDS = 100,
	ALL_KINDS_DAYS = 500,
	WORKERS_MAX = 64,
	FAILURES_MAX = 100,
};

struct totals {
	int64_t n_histories, n_lives, n_polls, n_events, n_runs, n_commits, n_requests;
	int64_t virtual_ms;
	int64_t n_happened[HAPPENINGS];
};

/* From a worker; small enough for a pipe to pass it whole. */
struct report {
	uint64_t seed;
	struct history_result result;
};
_Static_assert(sizeof(struct report) <= 4096, "a report does not pass a pipe in one piece");

static void add(struct totals *totals, const struct history_result *result)
{
	totals->n_histories++;
	totals->n_lives += result->n_lives;
	totals->n_polls += result->n_polls;
	totals->n_events += result->n_events;
	totals->n_runs += result->n_runs;
	totals->n_commits += result->n_commits;
	totals->n_requests += result->n_requests;
	totals->virtual_ms += result->virtual_ms;
	for (int i = 0; i < HAPPENINGS; i++)
		totals->n_happened[i] += result->n_happened[i];
}

/* ---- telling ---- */

static void print_ends(const struct history *history)
{
	const char *comma = "";

	printf(" --ends ");
	for (size_t i = 0; i < history->n_ends; i++) {
		const struct life_end *end = &history->ends[i];

		printf("%s%" PRId64 "+%" PRId64, comma, end->from_s, end->kill_step);
		if (end->fail_step)
			printf("%c%" PRId64, end->is_lasting ? 'E' : 'e', end->fail_step);
		if (end->is_power_cut)
			printf("c");
		comma = ",";
	}
	if (history->n_ends == 0)
		printf("none");
}

static void print_kinds(kind_set kinds)
{
	const char *before = " --without ";

	if (kinds == 0) {
		printf(" --calm");
		return;
	}
	for (int kind = 0; kind < KINDS; kind++) {
		if (kinds >> kind & 1)
			continue;
		printf("%s%s", before, kind_name((enum kind)kind));
		before = ",";
	}
}

void run_print_replay(const struct history *history)
{
	const struct scenario *scenario = &history->scenario;

	printf("./dev simulate%s --seed %" PRIu64 " --jobs %zu --virtual-days %g",
	        scenario->is_crowd ? " --crowd" : "", history->seed, scenario->n_jobs,
	        (double)scenario->days_ms / DAY_MS);
	if (!scenario->is_crowd)
		print_kinds(scenario->kinds);
	print_ends(history);
	if (history->reload_at_turn)
		printf(" --reload-at %" PRId64, history->reload_at_turn);
	if (history->stop_at_turn)
		printf(" --stop-at %" PRId64, history->stop_at_turn);
	if (history->plant != PLANT_NONE)
		printf(" --plant %s", plant_name(history->plant));
	printf("\n");
}

static void tell(
        const struct run *run, const struct history *history, const struct history_result *result)
{
	if (!result->is_good) {
		printf("seed %" PRIu64 " FAILED: %s\n  replay: ", history->seed, result->failure);
		run_print_replay(history);
	} else if (run->tells_each) {
		printf("seed %" PRIu64 ": %d lives, %" PRId64 " polls, %" PRId64 " events, %" PRId64
		       " programs, %" PRId64 " commits, %" PRId64 " requests of clients\n",
		        history->seed, result->n_lives, result->n_polls, result->n_events,
		        result->n_runs, result->n_commits, result->n_requests);
	}
	fflush(stdout);
}

static void tell_totals(const struct totals *totals)
{
	printf("%" PRId64 " histories, %.1f virtual days, %" PRId64 " lives, %" PRId64
	       " polls, %" PRId64 " events, %" PRId64 " runs of hooks, %" PRId64
	       " commits, %" PRId64 " requests of clients\n",
	        totals->n_histories, (double)totals->virtual_ms / DAY_MS, totals->n_lives,
	        totals->n_polls, totals->n_events, totals->n_runs, totals->n_commits,
	        totals->n_requests);
	for (int kind = 0; kind < KINDS; kind++) {
		const char *before = ": ";
		bool is_told = false;

		for (int i = 0; i < HAPPENINGS; i++) {
			if (happening_kind((enum happening)i) != (enum kind)kind ||
			        totals->n_happened[i] == 0)
				continue;
			if (!is_told)
				printf("  %s", kind_name((enum kind)kind));
			is_told = true;
			printf("%s%" PRId64 " %s", before, totals->n_happened[i],
			        happening_name((enum happening)i));
			before = ", ";
		}
		if (is_told)
			printf("\n");
	}
}

/* A run that never met something it was to meet has not tried it. Says so; how many there are. */
static int tell_missing(const struct run *run, const struct totals *totals)
{
	kind_set kinds = run->history.scenario.kinds;
	int n_missing = 0;

	if (totals->n_histories < ALL_KINDS_SEEDS || totals->virtual_ms / DAY_MS < ALL_KINDS_DAYS ||
	        run->has_ends)
		return 0;
	for (int i = 0; i < HAPPENINGS; i++) {
		if (totals->n_happened[i] > 0 || !(kinds >> happening_kind((enum happening)i) & 1))
			continue;
		printf("FAILED: never happened: %s\n", happening_name((enum happening)i));
		n_missing++;
	}
	return n_missing;
}

static void tell_shares(const char *whose, const struct world_shares *shares)
{
	printf("%s: %zu accounts, polls of each: %" PRId64 " least, %" PRId64 " median, %" PRId64
	       " most; Jain's index %.4f\n",
	        whose, shares->n, shares->least, shares->median, shares->most, shares->jain);
}

static void tell_progress(const struct run *run, const struct totals *totals, int64_t n_bad)
{
	static time_t told;
	time_t now = time(NULL);

	if (now == told || !isatty(STDERR_FILENO))
		return;
	told = now;
	fprintf(stderr, "\r%" PRId64 " of %" PRIu64 " histories, %" PRId64 " failed ",
	        totals->n_histories, run->last_seed - run->first_seed + 1, n_bad);
}

/* ---- one after another, or side by side ---- */

static struct history history_of(const struct run *run, uint64_t seed)
{
	struct history history = run->history;

	history.seed = seed;
	if (!run->has_ends)
		history_choose_ends(&history);
	return history;
}

static void __attribute__((noreturn)) work(const struct run *run, int number, int to)
{
	world_map();
	for (uint64_t seed = run->first_seed + (uint64_t)number; seed <= run->last_seed;
	        seed += (uint64_t)run->n_workers) {
		struct history history = history_of(run, seed);
		struct report report = {.seed = seed};

		history_run(&history, &report.result);
		/* The parent is gone, or has enough. */
		if (write(to, &report, sizeof(report)) != sizeof(report))
			break;
	}
	_exit(0);
}

static int start_workers(const struct run *run)
{
	int ends[2];

	if (pipe(ends) != 0) {
		perror("pipe");
		exit(1);
	}
	fflush(NULL);
	for (int i = 0; i < run->n_workers; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("fork");
			exit(1);
		}
		if (pid > 0)
			continue;
		close(ends[0]);
		work(run, i, ends[1]);
	}
	close(ends[1]);
	return ends[0];
}

/* False: all workers are done. */
static bool next_report(int from, struct report *report)
{
	ssize_t n;

	do
		n = read(from, report, sizeof(*report));
	while (n < 0 && errno == EINTR);
	return n == sizeof(*report);
}

int run_seeds(const struct run *run)
{
	struct totals totals = {0};
	struct history failed = {0};
	struct history_result failure = {0};
	struct report report = {0};
	int64_t n_bad = 0;
	int from = start_workers(run), n_missing;

	while (n_bad < run->n_failures_max && next_report(from, &report)) {
		struct history history = history_of(run, report.seed);

		add(&totals, &report.result);
		tell(run, &history, &report.result);
		if (!report.result.is_good && n_bad++ == 0) {
			failed = history;
			failure = report.result;
		}
		tell_progress(run, &totals, n_bad);
	}
	close(from);
	while (wait(NULL) > 0)
		continue;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r");
	if (totals.n_histories > 1)
		tell_totals(&totals);
	if (n_bad == 0 && run->history.scenario.is_crowd) {
		tell_shares("all whose credits are ample", &report.result.shares);
		tell_shares("those with a hundred times the jobs", &report.result.large_shares);
	}
	if (n_bad > 0 && run->is_shrinking)
		shrink_and_tell(&failed, &failure);
	if (n_bad == 0 && totals.n_histories != (int64_t)(run->last_seed - run->first_seed + 1)) {
		printf("FAILED: only %" PRId64 " histories came to their end\n",
		        totals.n_histories);
		return 1;
	}
	n_missing = n_bad == 0 ? tell_missing(run, &totals) : 0;
	return n_bad == 0 && n_missing == 0 ? 0 : 1;
}

/* ---- sweeps ---- */

static bool run_one(
        const struct run *run, const struct history *history, struct history_result *result)
{
	history_run(history, result);
	tell(run, history, result);
	return result->is_good;
}

int run_sweep(const struct run *run, enum sweep sweep, int64_t every)
{
	struct run quiet = *run;
	struct history history = history_of(run, run->first_seed);
	struct life_end end = history.ends[0];
	struct history_result result;
	int64_t n, n_bad = 0;

	/* Given: how each is to end (with the power, or an I/O error); else killed. */
	if (history.n_ends == 0)
		end = (struct life_end){.kill_step = 1};
	history.n_ends = 0;
	if (!run_one(&quiet, &history, &result))
		return 1;
	quiet.tells_each = false;
	n = sweep == SWEEP_STEPS ? result.n_steps : result.n_turns;
	for (int64_t i = 1; i <= n && n_bad < run->n_failures_max; i += every) {
		if (sweep == SWEEP_STEPS) {
			history.n_ends = 1;
			history.ends[0] = end;
			history.ends[0].kill_step = end.kill_step ? i : 0;
			history.ends[0].fail_step = end.fail_step ? i : 0;
		}
		history.reload_at_turn = sweep == SWEEP_RELOADS ? i : 0;
		history.stop_at_turn = sweep == SWEEP_STOPS ? i : 0;
		n_bad += !run_one(&quiet, &history, &result);
	}
	printf("%" PRId64 " places, one in %" PRId64 " tried, %" PRId64 " bad\n", n, every, n_bad);
	return n_bad == 0 ? 0 : 1;
}

/* ---- planted faults ---- */

/* This one shows in what does not happen, where it happens else. */
static bool is_missed_by_count(const struct run *run, enum plant plant, enum happening happening)
{
	struct history_result result = {0}, planted;

	for (uint64_t seed = run->first_seed;
	        seed <= run->last_seed && result.n_happened[happening] == 0; seed++) {
		struct history history = history_of(run, seed);

		history_run(&history, &result);
		history.plant = plant;
		history_run(&history, &planted);
		if (planted.n_happened[happening] > 0)
			return true;
	}
	return result.n_happened[happening] == 0;
}

/* True: caught, and for its own sake. */
static bool is_caught(const struct run *run, enum plant plant)
{
	struct history_result result;

	if (plant == PLANT_WHOLE_WRITES) {
		bool is_missed = is_missed_by_count(run, plant, HAPPENED_WRITE_TORN);

		printf("%s: %s by the count of writes torn\n", plant_name(plant),
		        is_missed ? "NOT CAUGHT" : "caught");
		return !is_missed;
	}
	for (uint64_t seed = run->first_seed; seed <= run->last_seed; seed++) {
		struct history history = history_of(run, seed);

		history.plant = plant;
		history_run(&history, &result);
		if (result.is_good)
			continue;
		bool is_it = plant_explains(plant, result.failure);

		printf("%s: %s with seed %" PRIu64 ": %s\n", plant_name(plant),
		        is_it ? "caught" : "NOT CAUGHT, but something else,", seed, result.failure);
		return is_it;
	}
	printf("%s: NOT CAUGHT with seeds %" PRIu64 " to %" PRIu64 "\n", plant_name(plant),
	        run->first_seed, run->last_seed);
	return false;
}

/*
 * Each must be caught within a few histories, or the simulation is blind to it; and all must be
 * well with the same histories when nothing is planted, or catching would mean nothing.
 */
int run_plants(const struct run *run)
{
	bool is_crowd = run->history.scenario.is_crowd;
	int n_missed = run_seeds(run);

	for (int plant = PLANT_NONE + 1; plant < PLANTS; plant++) {
		if (is_crowd ? !plant_is_of_crowd((enum plant)plant)
		             : plant_is_of_crowd_alone((enum plant)plant))
			continue;
		n_missed += !is_caught(run, (enum plant)plant);
		fflush(stdout);
	}
	return n_missed == 0 ? 0 : 1;
}

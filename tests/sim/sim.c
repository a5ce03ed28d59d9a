/*
 * The simulation's command line: which histories to run, what came of them, and how to run a bad
 * one again.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "util/mem.h"
#include "util/str.h"
#include "world.h"

static const char usage[] =
        "Usage: sim [options]\n"
        "\n"
        "Runs the daemon in a simulated world on virtual time; exits 0 if all was well.\n"
        "\n"
        "      --seed N          one history (default 1)\n"
        "      --seeds A-B       those of all these seeds\n"
        "      --jobs N          how many jobs (default 12)\n"
        "      --virtual-days D  how long there are troubles (default 0.5)\n"
        "      --calm            no troubles, no reloads, no clients, no kills\n"
        "      --no-kills        lives end by themselves alone\n"
        "      --steps           one history for each step of the first life: killed there\n"
        "      --reloads         likewise for each turn: reloaded with another configuration\n"
        "      --stops           likewise for each turn: told to stop\n"
        "      --every N         not each of them, but one in N\n"
        "      --kill-at STEP    one of these histories\n"
        "      --reload-at TURN\n"
        "      --stop-at TURN\n"
        "      --power-cut       whoever is killed loses what was not synced\n"
        "      --plant FAULT     with a planted fault (--plant help names them)\n"
        "      --plants          with each of them, until it is caught\n"
        "      --verbose         the daemon's log to stderr\n"
        "  -h, --help            print this and exit\n";

enum { BAD_MAX = 5 }; /* failures after which the rest would only be more of them */

enum sweep { SWEEP_NONE, SWEEP_STEPS, SWEEP_RELOADS, SWEEP_STOPS };

struct options {
	struct history history;
	uint64_t first_seed, last_seed;
	enum sweep sweep;
	int64_t every; /* of a sweep */
	bool is_calm, wants_plants;
	double days;
};

/* ---- one history ---- */

static void print_replay(const struct history *history, const struct options *options)
{
	printf("  replay: sim --seed %llu --jobs %zu --virtual-days %g",
	        (unsigned long long)history->seed, history->scenario.n_jobs, options->days);
	if (options->is_calm)
		printf(" --calm");
	else if (!history->has_kills)
		printf(" --no-kills");
	if (history->kill_at_step)
		printf(" --kill-at %lld", (long long)history->kill_at_step);
	if (history->reload_at_turn)
		printf(" --reload-at %lld", (long long)history->reload_at_turn);
	if (history->stop_at_turn)
		printf(" --stop-at %lld", (long long)history->stop_at_turn);
	if (history->is_power_cut)
		printf(" --power-cut");
	if (history->plant != PLANT_NONE)
		printf(" --plant %s", plant_name(history->plant));
	printf(" --verbose\n");
}

static bool run(const struct history *history, const struct options *options, bool is_quiet,
        struct history_result *result)
{
	history_run(history, result);
	if (!result->is_good) {
		printf("seed %llu FAILED: %s\n", (unsigned long long)history->seed,
		        result->failure);
		print_replay(history, options);
	} else if (!is_quiet) {
		printf("seed %llu: %d lives, %lld polls, %lld events, %lld programs, %lld commits, "
		       "%lld requests of clients\n",
		        (unsigned long long)history->seed, result->n_lives,
		        (long long)result->n_polls, (long long)result->n_events,
		        (long long)result->n_runs, (long long)result->n_commits,
		        (long long)result->n_requests);
	}
	fflush(stdout);
	return result->is_good;
}

/* ---- many ---- */

static int run_seeds(const struct options *options)
{
	int n_bad = 0;

	for (uint64_t seed = options->first_seed; seed <= options->last_seed && n_bad < BAD_MAX;
	        seed++) {
		struct history history = options->history;
		struct history_result result;

		history.seed = seed;
		n_bad += !run(&history, options, false, &result);
	}
	return n_bad == 0 ? 0 : 1;
}

/* Every step or turn that the first life has when nothing happens at any of them. */
static int run_sweep(const struct options *options)
{
	struct history history = options->history;
	struct history_result result;
	int64_t n, n_bad = 0;

	history.has_kills = false;
	if (!run(&history, options, false, &result))
		return 1;
	n = options->sweep == SWEEP_STEPS ? result.n_steps : result.n_turns;
	for (int64_t i = 1; i <= n && n_bad < BAD_MAX; i += options->every) {
		history.kill_at_step = options->sweep == SWEEP_STEPS ? i : 0;
		history.reload_at_turn = options->sweep == SWEEP_RELOADS ? i : 0;
		history.stop_at_turn = options->sweep == SWEEP_STOPS ? i : 0;
		n_bad += !run(&history, options, true, &result);
	}
	printf("%lld places, one in %lld tried, %lld bad\n", (long long)n,
	        (long long)options->every, (long long)n_bad);
	return n_bad == 0 ? 0 : 1;
}

/* True: caught, and for its own sake. */
static bool is_caught(const struct options *options, enum plant plant)
{
	struct history history = options->history;
	struct history_result result;

	history.plant = plant;
	for (history.seed = options->first_seed; history.seed <= options->last_seed;
	        history.seed++) {
		history_run(&history, &result);
		if (result.is_good)
			continue;
		bool is_it = plant_explains(plant, result.failure);

		printf("%s: %s with seed %llu: %s\n", plant_name(plant),
		        is_it ? "caught" : "NOT CAUGHT, but something else,",
		        (unsigned long long)history.seed, result.failure);
		return is_it;
	}
	printf("%s: NOT CAUGHT with seeds %llu to %llu\n", plant_name(plant),
	        (unsigned long long)options->first_seed, (unsigned long long)options->last_seed);
	return false;
}

/*
 * Each must be caught within a few histories, or the simulation is blind to it; and all must be
 * well with the same histories when nothing is planted, or catching would mean nothing.
 */
static int run_plants(const struct options *options)
{
	int n_missed = run_seeds(options);

	for (int plant = PLANT_NONE + 1; plant < PLANTS; plant++) {
		n_missed += !is_caught(options, (enum plant)plant);
		fflush(stdout);
	}
	return n_missed == 0 ? 0 : 1;
}

/* ---- the command line ---- */

static void __attribute__((noreturn)) refuse(const char *what)
{
	fprintf(stderr, "sim: %s\nTry sim --help.\n", what);
	exit(2);
}

static int64_t number(const char *text)
{
	int64_t value;

	if (str_to_int(text, 0, INT64_MAX, &value) != 0)
		refuse("a number was expected");
	return value;
}

static void read_seeds(struct options *options, const char *text)
{
	const char *dash = strchr(text, '-');
	cleanup(mem_free_p) char *first =
	        mem_strndup(text, dash ? (size_t)(dash - text) : strlen(text));

	options->first_seed = (uint64_t)number(first);
	options->last_seed = dash ? (uint64_t)number(dash + 1) : options->first_seed;
	if (options->last_seed < options->first_seed)
		refuse("the last seed is before the first");
}

static void read_plant(struct options *options, const char *name)
{
	options->history.plant = plant_by_name(name);
	if (options->history.plant != PLANTS)
		return;
	for (int plant = PLANT_NONE + 1; plant < PLANTS; plant++)
		puts(plant_name((enum plant)plant));
	exit(strcmp(name, "help") == 0 ? 0 : 2);
}

enum {
	SEEDS = 1000,
	JOBS,
	DAYS,
	CALM,
	NO_KILLS,
	STEPS,
	RELOADS,
	STOPS,
	EVERY,
	KILL_AT,
	RELOAD_AT,
	STOP_AT,
	POWER_CUT,
	PLANT,
	ALL_PLANTS,
	VERBOSE
};

static const struct option long_options[] = {
        {"seed", required_argument, NULL, SEEDS},
        {"seeds", required_argument, NULL, SEEDS},
        {"jobs", required_argument, NULL, JOBS},
        {"virtual-days", required_argument, NULL, DAYS},
        {"calm", no_argument, NULL, CALM},
        {"no-kills", no_argument, NULL, NO_KILLS},
        {"steps", no_argument, NULL, STEPS},
        {"reloads", no_argument, NULL, RELOADS},
        {"stops", no_argument, NULL, STOPS},
        {"every", required_argument, NULL, EVERY},
        {"kill-at", required_argument, NULL, KILL_AT},
        {"reload-at", required_argument, NULL, RELOAD_AT},
        {"stop-at", required_argument, NULL, STOP_AT},
        {"power-cut", no_argument, NULL, POWER_CUT},
        {"plant", required_argument, NULL, PLANT},
        {"plants", no_argument, NULL, ALL_PLANTS},
        {"verbose", no_argument, NULL, VERBOSE},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
};

static void read_option(struct options *options, int option)
{
	struct history *history = &options->history;

	switch (option) {
	case SEEDS:
		read_seeds(options, optarg);
		break;
	case JOBS:
		history->scenario.n_jobs = (size_t)number(optarg);
		break;
	case DAYS:
		options->days = strtod(optarg, NULL);
		break;
	case CALM:
		options->is_calm = true;
		break;
	case NO_KILLS:
		history->has_kills = false;
		break;
	case EVERY:
		options->every = number(optarg);
		break;
	case KILL_AT:
		history->kill_at_step = number(optarg);
		break;
	case RELOAD_AT:
		history->reload_at_turn = number(optarg);
		break;
	case STOP_AT:
		history->stop_at_turn = number(optarg);
		break;
	case POWER_CUT:
		history->is_power_cut = true;
		break;
	case PLANT:
		read_plant(options, optarg);
		break;
	case ALL_PLANTS:
		options->wants_plants = true;
		break;
	case VERBOSE:
		history->is_verbose = true;
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	case STEPS:
	case RELOADS:
	case STOPS:
		options->sweep = (enum sweep)(SWEEP_STEPS + option - STEPS);
		break;
	default:
		exit(2);
	}
}

static void settle(struct options *options)
{
	struct scenario *scenario = &options->history.scenario;

	if (scenario->n_jobs < 1 || scenario->n_jobs >= WORLD_JOBS_MAX)
		refuse("--jobs: that many are not possible");
	if (options->every < 1)
		refuse("--every: 1 at least");
	if (!(options->days > 0.001 && options->days < 100))
		refuse("--virtual-days: more than 0.001 and less than 100 were expected");
	scenario->days_ms = (int64_t)(options->days * 86400 * 1000);
	scenario->n_accounts = scenario->n_jobs < 4 ? 2 : scenario->n_jobs > 1000 ? 10 : 4;
	scenario->has_faults = scenario->has_plans = scenario->has_clients = !options->is_calm;
	/* Also for a calm world's reloads: what they change. */
	scenario->has_variants = !options->is_calm || options->sweep == SWEEP_RELOADS ||
	                         options->history.reload_at_turn > 0;
	if (options->is_calm)
		options->history.has_kills = false;
	options->history.seed = options->first_seed;
}

int main(int argc, char **argv)
{
	struct options options = {
	        .history = {.scenario = {.n_jobs = 12}, .has_kills = true},
	        .first_seed = 1,
	        .last_seed = 1,
	        .days = 0.5,
	        .every = 1,
	};
	int option;

	while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
		read_option(&options, option);
	if (optind < argc)
		refuse("no arguments were expected");
	settle(&options);
	world_map();
	if (options.wants_plants)
		return run_plants(&options);
	return options.sweep ? run_sweep(&options) : run_seeds(&options);
}

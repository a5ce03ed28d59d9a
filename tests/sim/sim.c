/* The simulation's command line: which histories to run, and how. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run.h"
#include "util/buf.h"
#include "util/mem.h"
#include "util/str.h"
#include "world.h"

static const char usage[] =
        "Usage: ./dev simulate [options]\n"
        "\n"
        "Runs the daemon in a simulated world on virtual time, and judges each step. The seed "
        "makes\n"
        "the world: servers, disk, clock, hooks, people, kills. Exits 0 if all was well; else "
        "tells\n"
        "what was wrong, makes the history small while it fails like that, and prints the command\n"
        "line that runs it again. docs/testing.md says what is judged.\n"
        "\n"
        "  ./dev simulate --seeds 1-100             a hundred virtual weeks\n"
        "  ./dev simulate --seeds 1-1000000         as many as the night has room for\n"
        "  ./dev simulate --seed 7 --verbose        one, with the daemon's log\n"
        "  ./dev simulate --steps --calm --jobs 3 --virtual-days 0.01\n"
        "                                           killed at each step of a quiet life\n"
        "  ./dev simulate --plants --seeds 1-20     each planted fault, until it is caught\n"
        "\n"
        "Which histories:\n"
        "      --seed N, --seeds A-B\n"
        "      --jobs N          how many jobs (default 16)\n"
        "      --virtual-days D  how long there are troubles (default 7)\n"
        "      --without KINDS   of trouble, with commas between; these there are:\n"
        "%s"
        "      --calm            none of them\n"
        "      --crowd           another world: an account for each 20 jobs (default 100,000), "
        "eight\n"
        "                        data centers, an hour, no trouble but that of being many; tells\n"
        "                        what each account's share was\n"
        "      --ends ENDS       how the first lives end, instead of what the seed says, with "
        "commas\n"
        "                        between: SECOND+STEP, killed at that step after that second;\n"
        "                        then eSTEP (an I/O error) or ESTEP (all calls fail from there);\n"
        "                        then c (what was not synced may be lost). none: by themselves\n"
        "      --reload-at TURN  of the first life: reloaded with another configuration\n"
        "      --stop-at TURN    likewise: told to stop\n"
        "Every place of one life:\n"
        "      --steps           one history for each step: killed there (or as --ends says)\n"
        "      --reloads         likewise for each turn: reloaded there\n"
        "      --stops           likewise: told to stop\n"
        "      --every N         not each of them, but one in N\n"
        "Planted faults:\n"
        "      --plant FAULT     with this one (--plant help names them)\n"
        "      --plants          with each of them, until it is caught\n"
        "How:\n"
        "      --workers N       so many histories side by side (default: one for each core)\n"
        "      --failures N      ends after so many (default 5)\n"
        "      --no-shrink       leaves a history that fails as it is\n"
        "      --each            one line for each history\n"
        "      --verbose         the daemon's log to stderr\n"
        "  -h, --help            prints this and exits\n";

enum {
	EACH_MAX = 10, /* so few are told one by one */
	DAYS_DEFAULT = 7,
	JOBS_DEFAULT = 16,
	CROWD_JOBS_DEFAULT = 100 * 1000,
	CROWD_JOBS_MIN = 2000,
};

struct options {
	struct run run;
	enum sweep sweep;
	int64_t every; /* of a sweep */
	bool is_calm, wants_plants;
	double days;
};

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

	options->run.first_seed = (uint64_t)number(first);
	options->run.last_seed = dash ? (uint64_t)number(dash + 1) : options->run.first_seed;
	if (options->run.last_seed < options->run.first_seed)
		refuse("the last seed is before the first");
}

static void read_end(struct history *history, const char *text)
{
	struct life_end *end = &history->ends[history->n_ends++];
	char letter[2];
	int n = 0;

	if (sscanf(text, "%" SCNd64 "+%" SCNd64 "%n", &end->from_s, &end->kill_step, &n) != 2)
		refuse("--ends: SECOND+STEP was expected");
	text += n;
	if (sscanf(text, "%1[eE]%" SCNd64 "%n", letter, &end->fail_step, &n) == 2) {
		end->is_lasting = letter[0] == 'E';
		text += n;
	}
	end->is_power_cut = *text == 'c';
	text += end->is_power_cut;
	if (*text || end->from_s < 0 || end->kill_step < 0 || end->fail_step < 0)
		refuse("--ends: something is wrong behind a step");
}

static void read_ends(struct options *options, const char *text)
{
	cleanup(mem_free_p) char *copy = mem_strdup(text);
	char *rest = copy, *word;

	options->run.has_ends = true;
	if (strcmp(text, "none") == 0)
		return;
	while ((word = strsep(&rest, ","))) {
		if (options->run.history.n_ends == HISTORY_ENDS_MAX)
			refuse("--ends: too many");
		read_end(&options->run.history, word);
	}
}

static void read_without(struct options *options, const char *names)
{
	kind_set without;

	if (!kinds_read(names, &without))
		refuse("--without: there is no such kind of trouble");
	options->run.history.scenario.kinds &= ~without;
}

static void read_plant(struct options *options, const char *name)
{
	options->run.history.plant = plant_by_name(name);
	if (options->run.history.plant != PLANTS)
		return;
	for (int plant = PLANT_NONE + 1; plant < PLANTS; plant++)
		puts(plant_name((enum plant)plant));
	exit(strcmp(name, "help") == 0 ? 0 : 2);
}

static void __attribute__((noreturn)) explain(void)
{
	cleanup(buf_deinit) struct buf kinds = {0};

	for (int kind = 0; kind < KINDS; kind++)
		buf_addf(&kinds, "                          %-10s %s\n", kind_name((enum kind)kind),
		        kind_help((enum kind)kind));
	printf(usage, kinds.data);
	exit(0);
}

enum {
	SEEDS = 1000,
	JOBS,
	DAYS,
	WITHOUT,
	CALM,
	CROWD,
	ENDS,
	STEPS,
	RELOADS,
	STOPS,
	EVERY,
	RELOAD_AT,
	STOP_AT,
	PLANT,
	ALL_PLANTS,
	WORKERS,
	FAILURES,
	NO_SHRINK,
	EACH,
	VERBOSE
};

static const struct option long_options[] = {
        {"seed", required_argument, NULL, SEEDS},
        {"seeds", required_argument, NULL, SEEDS},
        {"jobs", required_argument, NULL, JOBS},
        {"virtual-days", required_argument, NULL, DAYS},
        {"without", required_argument, NULL, WITHOUT},
        {"calm", no_argument, NULL, CALM},
        {"crowd", no_argument, NULL, CROWD},
        {"ends", required_argument, NULL, ENDS},
        {"steps", no_argument, NULL, STEPS},
        {"reloads", no_argument, NULL, RELOADS},
        {"stops", no_argument, NULL, STOPS},
        {"every", required_argument, NULL, EVERY},
        {"reload-at", required_argument, NULL, RELOAD_AT},
        {"stop-at", required_argument, NULL, STOP_AT},
        {"plant", required_argument, NULL, PLANT},
        {"plants", no_argument, NULL, ALL_PLANTS},
        {"workers", required_argument, NULL, WORKERS},
        {"failures", required_argument, NULL, FAILURES},
        {"no-shrink", no_argument, NULL, NO_SHRINK},
        {"each", no_argument, NULL, EACH},
        {"verbose", no_argument, NULL, VERBOSE},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
};

static void read_run_option(struct options *options, int option)
{
	struct run *run = &options->run;

	switch (option) {
	case PLANT:
		read_plant(options, optarg);
		break;
	case ALL_PLANTS:
		options->wants_plants = true;
		break;
	case WORKERS:
		run->n_workers = (int)number(optarg);
		break;
	case FAILURES:
		run->n_failures_max = number(optarg);
		break;
	case NO_SHRINK:
		run->is_shrinking = false;
		break;
	case EACH:
		run->tells_each = true;
		break;
	case VERBOSE:
		run->history.is_verbose = true;
		break;
	case 'h':
		explain();
	default:
		exit(2);
	}
}

static void read_option(struct options *options, int option)
{
	struct history *history = &options->run.history;

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
	case WITHOUT:
		read_without(options, optarg);
		break;
	case CALM:
		options->is_calm = true;
		break;
	case CROWD:
		history->scenario.is_crowd = true;
		break;
	case ENDS:
		read_ends(options, optarg);
		break;
	case EVERY:
		options->every = number(optarg);
		break;
	case RELOAD_AT:
		history->reload_at_turn = number(optarg);
		break;
	case STOP_AT:
		history->stop_at_turn = number(optarg);
		break;
	case STEPS:
	case RELOADS:
	case STOPS:
		options->sweep = (enum sweep)(SWEEP_STEPS + option - STEPS);
		break;
	default:
		read_run_option(options, option);
	}
}

static void settle_crowd(struct options *options)
{
	struct scenario *scenario = &options->run.history.scenario;

	options->days = options->days > 0 ? options->days : 1.0 / 24;
	scenario->n_jobs = scenario->n_jobs ? scenario->n_jobs : CROWD_JOBS_DEFAULT;
	scenario->kinds = 1 << KIND_CREDITS;
	options->run.has_ends = true;
	options->run.is_shrinking = false; /* a crowd that is small is none */
	if (scenario->n_jobs < CROWD_JOBS_MIN)
		refuse("--crowd: --jobs 2000 at least");
}

static void settle(struct options *options)
{
	struct scenario *scenario = &options->run.history.scenario;

	if (scenario->is_crowd) {
		settle_crowd(options);
	} else {
		options->days = options->days > 0 ? options->days : DAYS_DEFAULT;
		scenario->n_jobs = scenario->n_jobs ? scenario->n_jobs : JOBS_DEFAULT;
	}
	if (scenario->n_jobs < 1 || scenario->n_jobs >= WORLD_JOBS_MAX)
		refuse("--jobs: that many are not possible");
	if (options->every < 1)
		refuse("--every: 1 at least");
	if (options->run.n_workers < 1 || options->run.n_workers > 64)
		refuse("--workers: 1 to 64");
	if (!(options->days > 0.001 && options->days < 100))
		refuse("--virtual-days: more than 0.001 and less than 100 were expected");
	scenario->days_ms = (int64_t)(options->days * 86400 * 1000);
	if (options->is_calm)
		scenario->kinds = 0;
	/* Also for a calm world's reloads: what they change. */
	scenario->is_reloaded =
	        options->sweep == SWEEP_RELOADS || options->run.history.reload_at_turn > 0;
	scenario_settle(scenario);
	options->run.history.seed = options->run.first_seed;
	options->run.tells_each |= options->run.last_seed - options->run.first_seed < EACH_MAX;
}

int main(int argc, char **argv)
{
	struct options options = {
	        .run = {.history = {.scenario = {.kinds = KINDS_ALL}},
	                .first_seed = 1,
	                .last_seed = 1,
	                .n_workers = (int)sysconf(_SC_NPROCESSORS_ONLN),
	                .n_failures_max = 5,
	                .is_shrinking = true},
	        .every = 1,
	};
	int option;

	if (argc == 1)
		explain();
	while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
		read_option(&options, option);
	if (optind < argc)
		refuse("no arguments were expected");
	settle(&options);
	world_map();
	if (options.wants_plants)
		return run_plants(&options.run);
	return options.sweep ? run_sweep(&options.run, options.sweep, options.every)
	                     : run_seeds(&options.run);
}

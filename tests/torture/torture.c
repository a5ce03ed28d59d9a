/*
 * torture [SCENARIO] [--calls|--allocations] [--every-call K] [--every-allocation K]
 * torture SCENARIO --calls|--allocations --nth N [--variant V] [--lasting]
 * torture --plant
 *
 * Runs each scenario once to count the calls that may fail, then once for each of them with that
 * one failing, and once with all from it on. Each run is a process of its own, which must end by
 * itself and well: with 0, every promise kept, or, out of memory, with 70 and the words that say
 * so.
 * --plant runs a scenario that ignores an error and one that leaves something, which must fail.
 */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "scenario.h"
#include "unit/netkit.h"
#include "unit/rawserver.h"
#include "util/mem.h"

enum { RUN_SECONDS_MAX = 60, WORDS_SIZE = 8192, FRAMES_MAX = 48, EXIT_WRONG = 99 };

static const struct scenario *const scenarios[] = {&scenario_store, &scenario_forget,
        &scenario_http, &scenario_tls, &scenario_listen, &scenario_child, &scenario_config,
        &scenario_json};

/* A server counts its connections to an end, so that each run gets two of its own. */
static struct {
	struct rawserver plain, tls;
	char *dir;
} servers;

static void servers_start(const struct scenario *scenario, struct world *world)
{
	if (scenario->is_offline)
		return;
	rawserver_init(&servers.plain, NULL);
	rawserver_init(&servers.tls, servers.dir);
	world->port = servers.plain.port;
	world->tls_port = servers.tls.port;
}

static void servers_stop(const struct scenario *scenario)
{
	if (scenario->is_offline)
		return;
	rawserver_deinit(&servers.plain);
	rawserver_deinit(&servers.tls);
}

struct counts {
	unsigned n_points, n_runs, n_kept, n_ended, n_failed;
};

static struct {
	const char *scenario;
	int kind;          /* -1: both */
	unsigned every[2]; /* by kind */
	unsigned nth, variant;
	bool is_lasting, is_planted;
} wanted = {.kind = -1, .every = {1, 1}};

void scenario_arm(const struct fault_plan *fault)
{
	fault_arm(fault->kind, fault->nth, fault->is_lasting, fault->variant);
}

void scenario_wrong(const char *format, ...)
{
	va_list args;

	fault_disarm();
	fprintf(stderr, "WRONG: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (failed: %s)\n", fault_where());
	_exit(EXIT_WRONG);
}

/* Says who it was: the allocator ends what frees twice, far from where it can be seen. The process
 * is lost anyway. */
static void on_crash(int number)
{
	void *frames[FRAMES_MAX];

	/* NOLINTBEGIN(bugprone-signal-handler,cert-sig30-c): each was called before, or allocates
	 * nothing */
	fault_disarm();
	backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDERR_FILENO);
	/* NOLINTEND(bugprone-signal-handler,cert-sig30-c) */
	signal(number, SIG_DFL);
	raise(number);
}

static void watch_crashes(void)
{
	void *frames[1];

	/* The first time loads a library, which allocates. */
	backtrace(frames, ARRAY_LEN(frames));
	signal(SIGABRT, on_crash);
	signal(SIGSEGV, on_crash);
}

/* In the child: the count goes back through the pipe, words to stderr. */
static _Noreturn void run_child(const struct scenario *scenario, const struct fault_plan *fault,
        const struct world *world, int words_fd, int count_fd)
{
	unsigned n;

	watch_crashes();
	signal(SIGALRM, SIG_DFL);
	alarm(RUN_SECONDS_MAX);
	dup2(words_fd, STDERR_FILENO);
	scenario->run(world, fault);
	fault_disarm();
	n = fault_count();
	_exit(write(count_fd, &n, sizeof(n)) == sizeof(n) ? 0 : EXIT_WRONG);
}

/* The status of its end; what it said and, if it came so far, what it counted. */
static int run(const struct scenario *scenario, const struct fault_plan *fault,
        const struct world *world, char words[static WORDS_SIZE], unsigned *count)
{
	int words_file = memfd_create("words", MFD_CLOEXEC), count_pipe[2], status;
	struct world mine = *world;
	ssize_t n;
	pid_t pid;

	if (words_file < 0 || pipe2(count_pipe, O_CLOEXEC) < 0)
		abort();
	mine.dir = netkit_make_dir();
	servers_start(scenario, &mine);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0)
		run_child(scenario, fault, &mine, words_file, count_pipe[1]);
	close(count_pipe[1]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	servers_stop(scenario);
	/* However it ended. */
	netkit_remove_dir(mine.dir);
	if (read(count_pipe[0], count, sizeof(*count)) != sizeof(*count))
		*count = 0;
	close(count_pipe[0]);
	n = pread(words_file, words, WORDS_SIZE - 1, 0);
	words[n > 0 ? n : 0] = '\0';
	close(words_file);
	return status;
}

static void judge(const struct scenario *scenario, const struct fault_plan *fault, int status,
        const char *words, struct counts *counts)
{
	bool is_ended = WIFEXITED(status) && WEXITSTATUS(status) == 70 && strstr(words, "memory");

	counts->n_runs++;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		counts->n_kept++;
		return;
	}
	if (is_ended) {
		counts->n_ended++;
		return;
	}
	counts->n_failed++;
	printf("FAILED: torture %s --%s --nth %u --variant %u%s: %s %d\n%s", scenario->name,
	        fault->kind == FAULT_CALL ? "calls" : "allocations", fault->nth, fault->variant,
	        fault->is_lasting ? " --lasting" : "", WIFSIGNALED(status) ? "signal" : "exit",
	        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), words);
}

static void run_all(const struct scenario *scenario, enum fault_kind kind,
        const struct world *world, struct counts *counts)
{
	struct fault_plan fault = {.kind = kind};
	char words[WORDS_SIZE];
	unsigned n, ignored;
	int status = run(scenario, &fault, world, words, &n);

	if (status != 0 || n == 0) {
		printf("FAILED: %s without a fault: status %d, %u points\n%s", scenario->name,
		        status, n, words);
		counts->n_failed++;
		return;
	}
	counts->n_points = n;
	unsigned n_variants = kind == FAULT_CALL ? scenario->n_variants : 1;

	/* A share has other calls for each of the errors. */
	for (unsigned i = 0; i < n_variants * 2; i++) {
		fault.variant = i / 2;
		fault.is_lasting = i % 2;
		for (fault.nth = 1 + i % wanted.every[kind]; fault.nth <= n;
		        fault.nth += wanted.every[kind]) {
			status = run(scenario, &fault, world, words, &ignored);
			judge(scenario, &fault, status, words, counts);
		}
	}
}

static bool torture(const struct scenario *scenario, const struct world *world)
{
	bool is_good = true;

	for (int kind = FAULT_ALLOCATION; kind <= FAULT_CALL; kind++) {
		struct counts counts = {0};

		if (wanted.kind >= 0 && wanted.kind != kind)
			continue;
		if (TORTURE_IS_SANITIZED && kind == FAULT_ALLOCATION)
			continue;
		if (kind == FAULT_CALL && scenario->n_variants == 0)
			continue;
		run_all(scenario, (enum fault_kind)kind, world, &counts);
		printf("%-8s %-11s %5u points, %6u faults: %6u answered, %6u ended out of memory, "
		       "%u "
		       "failed\n",
		        scenario->name, kind == FAULT_CALL ? "calls" : "allocations",
		        counts.n_points, counts.n_runs, counts.n_kept, counts.n_ended,
		        counts.n_failed);
		is_good &= counts.n_failed == 0;
	}
	return is_good;
}

static bool run_one(const struct scenario *scenario, const struct world *world)
{
	struct fault_plan fault = {.kind = (enum fault_kind)wanted.kind,
	        .nth = wanted.nth,
	        .variant = wanted.variant,
	        .is_lasting = wanted.is_lasting};
	struct world mine = *world;

	servers_start(scenario, &mine);
	mine.dir = netkit_make_dir();
	scenario->run(&mine, &fault);
	fault_disarm();
	servers_stop(scenario);
	printf("%u points, failed: %s\n", fault_count(), fault_where());
	netkit_remove_dir(mine.dir);
	return true;
}

static void read_arguments(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		unsigned value = i + 1 < argc ? (unsigned)strtoul(argv[i + 1], NULL, 10) : 0;

		if (strcmp(argv[i], "--calls") == 0)
			wanted.kind = FAULT_CALL;
		else if (strcmp(argv[i], "--allocations") == 0)
			wanted.kind = FAULT_ALLOCATION;
		else if (strcmp(argv[i], "--lasting") == 0)
			wanted.is_lasting = true;
		else if (strcmp(argv[i], "--plant") == 0)
			wanted.is_planted = true;
		else if (strcmp(argv[i], "--every-call") == 0 && value > 0)
			wanted.every[FAULT_CALL] = value, i++;
		else if (strcmp(argv[i], "--every-allocation") == 0 && value > 0)
			wanted.every[FAULT_ALLOCATION] = value, i++;
		else if (strcmp(argv[i], "--nth") == 0 && value > 0)
			wanted.nth = value, i++;
		else if (strcmp(argv[i], "--variant") == 0)
			wanted.variant = value, i++;
		else if (argv[i][0] != '-')
			wanted.scenario = argv[i];
		else
			exit(2);
	}
}

int main(int argc, char **argv)
{
	struct world world = {0};
	bool is_good = true;
	int n = 0;

	read_arguments(argc, argv);
	/* A server of ours may write to whom a fault has ended. */
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	servers.dir = netkit_make_dir();
	rawserver_make_certificate(servers.dir, "127.0.0.1", 10);
	world.ca_file = mem_printf("%s/cert.pem", servers.dir);
	if (wanted.is_planted) {
		n = 1;
		wanted.kind = FAULT_ALLOCATION;
		is_good = !torture(&scenario_plant_ignored, &world);
		wanted.kind = FAULT_CALL;
		is_good &= !torture(&scenario_plant_lost, &world);
	}
	for (size_t i = 0; !wanted.is_planted && i < ARRAY_LEN(scenarios); i++) {
		if (wanted.scenario && strcmp(wanted.scenario, scenarios[i]->name) != 0)
			continue;
		n++;
		is_good &=
		        wanted.nth ? run_one(scenarios[i], &world) : torture(scenarios[i], &world);
	}
	free(world.ca_file);
	netkit_remove_dir(servers.dir);
	return is_good && n > 0 ? 0 : 1;
}

#include "history.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "evidence.h"
#include "fake.h"
#include "judge.h"
#include "util/hash.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"
#include "world.h"

enum { LIVES_MAX = 100, LOG_SHOWN_BYTES = 6000, LEAP_MAX_MS = 6 * 60 * 60 * 1000 };

/* ---- the directory ---- */

static void make_dir(void)
{
	const char *tmp = getenv("TMPDIR");
	bool has_shm = access("/dev/shm", W_OK) == 0;

	snprintf(world->dir, sizeof(world->dir), "%s/bulkwatch-sim-XXXXXX",
	        has_shm ? "/dev/shm"
	        : tmp   ? tmp
	                : "/tmp");
	cleanup(mem_free_p) char *run =
	        mkdtemp(world->dir) ? mem_printf("%s/run", world->dir) : NULL;

	if (!run || mkdir(run, 0700) != 0) {
		perror(world->dir);
		exit(1);
	}
}

static void remove_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		cleanup(mem_free_p) char *name = mem_printf("%s/%s", path, entry->d_name);

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlink(name) != 0 && errno == EISDIR)
			remove_dir(name);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

static void show_log(void)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/log", world->dir);
	char bytes[LOG_SHOWN_BYTES];
	FILE *file = fopen(path, "r");
	size_t n;

	if (!file)
		return;
	fseek(file, -LOG_SHOWN_BYTES, SEEK_END);
	n = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	fprintf(stderr, "---- the end of the daemon's log:\n%.*s----\n", (int)n, bytes);
}

/* ---- a life ---- */

static void log_to_file(void)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/log", world->dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
		exit(1);
	close(fd);
}

static void live(const struct history *history)
{
	cleanup(mem_free_p) char *config = scenario_config_path();
	struct daemon *daemon = NULL;
	int code;

	if (!history->is_verbose)
		log_to_file();
	plant_set(history->plant);
	fake_disk_install();
	fprintf(stderr, "sim: life %d begins %lld s after the start\n", world->life,
	        (long long)((world->mono_ms - WORLD_START_MONO_MS) / 1000));
	code = daemon_new(config, &daemon);
	bool is_started = code == 0;

	if (is_started)
		code = daemon_run(daemon);
	daemon_free(daemon);
	/* Whatever it did not sync is not safe yet. */
	if (world->end.is_power_cut)
		fake_disk_cut_power();
	/* An I/O error ends it (74), and so does a disk that is full at the start. */
	if (code == DAEMON_IO &&
	        (world->may_have_io_error || (!is_started && world_disk_is_full()))) {
		world->ended_of_error = true;
		return;
	}
	if (code == 0 && world->had_io_error)
		world_fail("the daemon took no notice of an I/O error");
	if (code != 0 || !world->was_told_to_stop)
		world_fail("the daemon ended with %d%s", code,
		        world->was_told_to_stop ? "" : ", and nobody had told it to stop");
}

/* This life came to the end of the story, and to its own as it should. */
static bool is_the_last(void)
{
	return world->is_over && !world->was_killed && !world->ended_of_error;
}

static void judge(void)
{
	judge_life();
	if (is_the_last() && !world->failure[0])
		judge_end();
}

/* In a process of its own; its status. */
static int run_apart(const struct history *history, void (*fn)(const struct history *history))
{
	pid_t pid;
	int status = 0;

	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		exit(1);
	}
	if (pid == 0) {
		if (fn)
			fn(history);
		else
			judge();
		exit(0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return status;
}

static void choose_kill(struct life_end *end, kind_set kinds, int64_t days_s)
{
	end->kill_step = world_between(DICE_ENDS, 1,
	        world_chance(DICE_ENDS, 0.5)   ? 100
	        : world_chance(DICE_ENDS, 0.5) ? 400
	                                       : 4000);
	/* Early ones fall into the start and the recovery, late ones into the middle of things. */
	if (world_chance(DICE_ENDS, 0.6))
		end->from_s += world_between(DICE_ENDS, 0, days_s / 4);
	end->is_power_cut = kinds >> KIND_CUTS & 1 && world_chance(DICE_ENDS, 0.5);
}

static void choose_failure(struct life_end *end)
{
	end->fail_step = world_between(DICE_ENDS, 1, world_chance(DICE_ENDS, 0.5) ? 60 : 2000);
	end->is_lasting = world_chance(DICE_ENDS, 0.3);
	/* The life is to end of it; the power may fail then. */
	if (world_chance(DICE_ENDS, 0.7))
		end->kill_step = 0;
}

void history_choose_ends(struct history *history)
{
	kind_set kinds = history->scenario.kinds;
	bool has_kills = kinds >> KIND_KILLS & 1, has_errors = kinds >> KIND_ERRORS & 1;
	int64_t days_s = history->scenario.days_ms / 1000, from_s = 0;

	world_reset(history->seed);
	history->n_ends = has_kills || has_errors ? world_below(DICE_ENDS, 9) : 0;
	for (size_t i = 0; i < history->n_ends; i++) {
		struct life_end *end = &history->ends[i];

		*end = (struct life_end){.from_s = from_s};
		choose_kill(end, kinds, days_s);
		if (!has_kills)
			end->kill_step = 0;
		if (has_errors && (!has_kills || world_chance(DICE_ENDS, 0.3)))
			choose_failure(end);
		from_s = end->from_s;
	}
}

static void choose_end(const struct history *history)
{
	const struct life_end *end = &history->ends[world->life - 1];

	world->end = (struct world_end){0};
	if (world->life == 1) {
		world->end.reload_at_turn = history->reload_at_turn;
		world->end.stop_at_turn = history->stop_at_turn;
	}
	if ((size_t)world->life > history->n_ends)
		return;
	world->end.from_mono_ms = WORLD_START_MONO_MS + end->from_s * 1000;
	world->end.kill_at_step = end->kill_step;
	world->end.fail_at_step = end->fail_step;
	world->end.is_lasting = end->is_lasting;
	world->end.is_power_cut = end->is_power_cut;
}

static void begin_life(const struct history *history)
{
	world->life++;
	world->step = world->turn = world->busy_step = world->end_step = 0;
	world->was_killed = world->was_told_to_stop = world->is_over = false;
	world->ended_of_error = false;
	world->had_io_error = world->may_have_io_error = false;
	evidence_new_life();
	choose_end(history);
	/* Whatever a life died of writing: the next one finds a whole file. */
	scenario_write_config(world->variant);
}

static void end_life(int status)
{
	bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && world->was_killed;

	if (WIFSIGNALED(status) && !was_killed)
		world_note_failure("the daemon died of signal %d (%s)", WTERMSIG(status),
		        strsignal(WTERMSIG(status)));
	else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		world_note_failure("the daemon's process ended with %d", WEXITSTATUS(status));
}

/* True: another one is needed. */
static bool live_once(const struct history *history, struct history_result *result)
{
	int status;

	begin_life(history);
	end_life(run_apart(history, live));
	if (world->life == 1) {
		result->n_steps = world->step;
		result->n_turns = world->turn;
	}
	if (world->failure[0])
		return false;
	status = run_apart(history, NULL);
	if (status != 0)
		world_note_failure("the judge ended with status %#x", (unsigned)status);
	if (world->failure[0] || is_the_last())
		return false;
	if (world->life == LIVES_MAX)
		world_note_failure("more lives than there should be");
	/* Until somebody (or systemd) starts it again. */
	world_advance_to(
	        world->mono_ms +
	        world_between(DICE_ENDS, 100, world_chance(DICE_ENDS, 0.3) ? 600 * 1000 : 5000));
	if (world_may(KIND_CLOCKS) && world_chance(DICE_ENDS, 0.2)) {
		outside_leap(world_between(DICE_ENDS, -LEAP_MAX_MS, LEAP_MAX_MS));
		world_happened(HAPPENED_LEAP_WHILE_DOWN);
	}
	outside_run_plans(NULL);
	return !world->failure[0];
}

void history_run(const struct history *history, struct history_result *result)
{
	*result = (struct history_result){0};
	world_reset(history->seed);
	hash_bytes("", 0); /* draws its key here, once for all processes */
	make_dir();
	scenario_make(&history->scenario);
	while (live_once(history, result))
		continue;
	result->is_good = !world->failure[0];
	str_copy(result->failure, sizeof(result->failure), world->failure);
	result->n_lives = world->life;
	result->n_polls = world->n_polls;
	result->n_runs = world->n_runs;
	result->n_events = world->committed_seq;
	result->n_commits = world->n_commits;
	result->n_requests = world->n_requests;
	result->virtual_ms = world->mono_ms - WORLD_START_MONO_MS;
	result->shares = world->shares;
	result->large_shares = world->large_shares;
	memcpy(result->n_happened, world->n_happened, sizeof(result->n_happened));
	if (!result->is_good && history->plant == PLANT_NONE && !history->is_verbose)
		show_log();
	remove_dir(world->dir);
}

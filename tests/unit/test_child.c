/* net/child: what a child is given, what is kept of it, and every way in which it ends. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/child.h"
#include "net/tail.h"
#include "netkit.h"
#include "util/mem.h"

static const char *const no_env[] = {NULL};

struct outcome {
	unsigned n;
	unsigned until;
	unsigned n_good; /* exited with 0 */
	uint64_t owner;
	struct child_result result; /* of the last; output is a copy */
	char *output;               /* owned */
};

static void on_done(void *arg, uint64_t owner, const struct child_result *result)
{
	struct outcome *outcome = arg;

	outcome->n++;
	outcome->n_good += result->end == CHILD_EXITED && result->code == 0;
	outcome->owner = owner;
	outcome->result = *result;
	free(outcome->output);
	outcome->output = mem_strndup(result->output, result->output_len);
	outcome->result.output = outcome->output;
}

static bool are_done(void *arg)
{
	struct outcome *outcome = arg;

	return outcome->n >= outcome->until;
}

static void kit_init(struct netkit *kit)
{
	netkit_init(kit);
	ck_assert_int_eq(children_new(kit->loop, &kit->children), 0);
}

static void start(struct netkit *kit, const char *const *argv, const char *input, size_t input_len,
        int64_t timeout_ms, struct outcome *outcome)
{
	struct child_spec spec = {
	        .argv = argv,
	        .envp = no_env,
	        .input = input,
	        .input_len = input_len,
	        .timeout_ms = timeout_ms,
	};

	child_start(kit->children, &spec, on_done, outcome, 7);
}

/* Runs one to its end. */
static void run(struct netkit *kit, const char *const *argv, const char *input, size_t input_len,
        int64_t timeout_ms, struct outcome *outcome)
{
	*outcome = (struct outcome){.until = 1};
	start(kit, argv, input, input_len, timeout_ms, outcome);
	ck_assert_uint_eq(outcome->n, 0);
	ck_assert(netkit_run(kit, are_done, outcome));
	ck_assert_uint_eq(outcome->owner, 7);
	ck_assert_uint_eq(children_running(kit->children), 0);
}

static void run_shell(
        struct netkit *kit, const char *script, int64_t timeout_ms, struct outcome *outcome)
{
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};

	run(kit, argv, NULL, 0, timeout_ms, outcome);
}

/* Gone, or a zombie that whoever inherited it has still to reap. */
static bool is_dead(void *arg)
{
	const long *pid = arg;
	cleanup(mem_free_p) char *path = mem_printf("/proc/%ld/stat", *pid);
	char line[256] = "";
	FILE *file = fopen(path, "re");
	const char *end;

	if (!file)
		return true;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	end = strrchr(line, ')');
	return !end || end[2] == 'Z' || end[2] == 'X';
}

/* ---- what it is given ---- */

START_TEST(test_exit_status_and_both_outputs)
{
	struct netkit kit;
	struct outcome outcome;

	kit_init(&kit);
	run_shell(&kit, "echo out; echo err >&2; exit 65", 10000, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_EXITED);
	ck_assert_int_eq(outcome.result.code, 65);
	ck_assert_str_eq(outcome.output, "out\nerr\n");
	ck_assert_uint_eq(outcome.result.output_len, 8);
	ck_assert_uint_eq(outcome.result.output_dropped, 0);
	ck_assert_int_ge(outcome.result.duration_ms, 0);
	free(outcome.output);
	run_shell(&kit, "kill -9 $$", 10000, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_SIGNALED);
	ck_assert_int_eq(outcome.result.code, SIGKILL);
	ck_assert_str_eq(outcome.output, "");
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_environment_is_the_given_one_alone)
{
	static const char *const argv[] = {"/usr/bin/env", NULL};
	static const char *const envp[] = {"BULKWATCH_TEST=1", "EMPTY=", NULL};
	struct netkit kit;
	struct outcome outcome = {.until = 1};
	struct child_spec spec = {.argv = argv, .envp = envp, .timeout_ms = 10000};

	kit_init(&kit);
	setenv("BULKWATCH_SECRET_OF_THE_DAEMON", "x", 1);
	child_start(kit.children, &spec, on_done, &outcome, 7);
	ck_assert(netkit_run(&kit, are_done, &outcome));
	ck_assert_str_eq(outcome.output, "BULKWATCH_TEST=1\nEMPTY=\n");
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_nothing_is_open_beyond_fd_2)
{
	static const char *const argv[] = {"/bin/ls", "/proc/self/fd", NULL};
	static const char *const pipes[] = {"/bin/ls", "-l", "/proc/self/fd", NULL};
	struct netkit kit;
	struct outcome outcome;
	int leak = open("/dev/null", O_RDONLY);
	int far = fcntl(leak, F_DUPFD, 200);

	kit_init(&kit);
	run(&kit, argv, NULL, 0, 10000, &outcome);
	/* 3 is the directory that ls itself reads. */
	ck_assert_str_eq(outcome.output, "0\n1\n2\n3\n");
	free(outcome.output);
	run(&kit, pipes, NULL, 0, 10000, &outcome);
	ck_assert_ptr_nonnull(strstr(outcome.output, "0 -> pipe:"));
	ck_assert_ptr_nonnull(strstr(outcome.output, "1 -> pipe:"));
	ck_assert_ptr_nonnull(strstr(outcome.output, "2 -> pipe:"));
	free(outcome.output);
	close(leak);
	close(far);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_signals_are_default_and_unblocked)
{
	static const char *const argv[] = {"/bin/cat", "/proc/self/status", NULL};
	struct netkit kit;
	struct outcome outcome;
	sigset_t blocked;
	sigset_t before;
	const char *ignored;

	kit_init(&kit); /* ignores SIGPIPE */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGUSR2);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	signal(SIGHUP, SIG_IGN);
	run(&kit, argv, NULL, 0, 10000, &outcome);
	signal(SIGHUP, SIG_DFL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	ck_assert_ptr_nonnull(strstr(outcome.output, "SigBlk:\t0000000000000000\n"));
	/* 32 and 33 are glibc's own; its posix_spawn leaves them ignored. */
	ignored = strstr(outcome.output, "SigIgn:");
	ck_assert_ptr_nonnull(ignored);
	ck_assert_uint_eq(strtoull(ignored + 7, NULL, 16) & ~UINT64_C(0x180000000), 0);
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_group_and_directory_are_its_own)
{
	struct netkit kit;
	struct outcome outcome;
	long pid = 0;
	long parent = 0;
	long group = 0;
	char name[32];

	kit_init(&kit);
	run_shell(&kit, "read line < /proc/$$/stat; echo $line; pwd", 10000, &outcome);
	ck_assert_int_eq(
	        sscanf(outcome.output, "%ld %31s %*c %ld %ld", &pid, name, &parent, &group), 4);
	ck_assert_int_eq(pid, group);
	ck_assert_int_eq(parent, getpid());
	ck_assert_ptr_nonnull(strstr(outcome.output, "\n/\n"));
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_works_with_standard_descriptors_closed)
{
	struct netkit kit;
	struct outcome outcome;
	int saved[3];

	kit_init(&kit);
	for (int fd = 0; fd < 3; fd++) {
		saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
		close(fd);
	}
	outcome = (struct outcome){.until = 1};
	start(&kit, (const char *const[]){"/bin/sh", "-c", "cat; echo err >&2", NULL}, "in\n", 3,
	        10000, &outcome);
	for (int fd = 0; fd < 3; fd++) {
		ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
		dup2(saved[fd], fd);
		close(saved[fd]);
	}
	ck_assert(netkit_run(&kit, are_done, &outcome));
	ck_assert_str_eq(outcome.output, "in\nerr\n");
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

/* ---- input and output ---- */

static char *make_bytes(size_t len)
{
	char *bytes = mem_new(len + 1, 1);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)('!' + (i * 31 + i / 97) % 90);
	return bytes;
}

START_TEST(test_input_beyond_a_pipe_goes_through)
{
	static const char *const argv[] = {"/bin/cat", NULL};
	enum { LEN = 1000 * 1000 };
	cleanup(mem_free_p) char *bytes = make_bytes(LEN);
	struct netkit kit;
	struct outcome outcome;

	kit_init(&kit);
	run(&kit, argv, bytes, LEN, 10000, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_EXITED);
	ck_assert_uint_eq(outcome.result.output_len, CHILD_OUTPUT_MAX_BYTES);
	ck_assert_uint_eq(outcome.result.output_dropped, LEN - CHILD_OUTPUT_MAX_BYTES);
	ck_assert_mem_eq(
	        outcome.output, bytes + LEN - CHILD_OUTPUT_MAX_BYTES, CHILD_OUTPUT_MAX_BYTES);
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_input_that_nobody_reads_is_no_error)
{
	enum { LEN = 1000 * 1000 };
	cleanup(mem_free_p) char *bytes = make_bytes(LEN);
	const char *const at_once[] = {"/bin/true", NULL};
	const char *const closes[] = {"/bin/sh", "-c", "exec <&-; echo fine", NULL};
	struct netkit kit;
	struct outcome outcome;

	kit_init(&kit);
	run(&kit, at_once, bytes, LEN, 10000, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_EXITED);
	ck_assert_int_eq(outcome.result.code, 0);
	free(outcome.output);
	run(&kit, closes, bytes, LEN, 10000, &outcome);
	ck_assert_int_eq(outcome.result.code, 0);
	ck_assert_str_eq(outcome.output, "fine\n");
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_of_much_output_the_end_is_kept)
{
	struct netkit kit;
	struct outcome outcome;
	size_t all = 50 * 1000 * 1000 + 4;

	kit_init(&kit);
	run_shell(&kit, "head -c 50000000 /dev/zero; echo end", 15000, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_EXITED);
	ck_assert_uint_eq(outcome.result.output_len, CHILD_OUTPUT_MAX_BYTES);
	ck_assert_uint_eq(outcome.result.output_dropped, all - CHILD_OUTPUT_MAX_BYTES);
	ck_assert_mem_eq(outcome.output + CHILD_OUTPUT_MAX_BYTES - 4, "end\n", 4);
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_tail_keeps_the_last_bytes)
{
	enum { LEN = 400 * 1000 };
	cleanup(mem_free_p) char *bytes = make_bytes(LEN);
	static const size_t steps[] = {1, 100, 1023, 1024, 4096, 65535, 65536, 65537, 200000};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct tail tail = {0};
		size_t all = 0;
		size_t max = steps[i] == 1 ? 70000 : LEN;

		ck_assert_str_eq(tail_text(&tail), "");
		while (all < max) {
			size_t n = steps[i] < max - all ? steps[i] : max - all;

			tail_add(&tail, bytes + all, n);
			all += n;
			ck_assert_uint_eq(tail.len + tail.dropped, all);
		}
		ck_assert_uint_eq(tail.len, TAIL_MAX_BYTES);
		ck_assert_mem_eq(tail_text(&tail), bytes + all - tail.len, tail.len);
		/* It may go on after having been looked at. */
		tail_add(&tail, "xyz", 3);
		ck_assert_mem_eq(tail_text(&tail) + tail.len - 3, "xyz", 4);
		tail_deinit(&tail);
	}
}
END_TEST

/* ---- its time ---- */

START_TEST(test_timeout_ends_with_sigterm)
{
	struct netkit kit;
	struct outcome outcome;

	kit_init(&kit);
	run_shell(&kit, "echo started; exec sleep 1000", 300, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_TIMED_OUT);
	ck_assert_int_eq(outcome.result.code, SIGTERM);
	ck_assert_int_ge(outcome.result.duration_ms, 300);
	ck_assert_int_lt(outcome.result.duration_ms, CHILD_KILL_AFTER_MS);
	ck_assert_str_eq(outcome.output, "started\n");
	free(outcome.output);
	run_shell(
	        &kit, "trap 'echo tidy; exit 0' TERM; while :; do sleep 0.05; done", 300, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_TIMED_OUT);
	ck_assert_int_eq(outcome.result.code, 0);
	ck_assert_ptr_nonnull(strstr(outcome.output, "tidy\n"));
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_sigkill_ends_what_ignores_sigterm)
{
	struct netkit kit;
	struct outcome outcome;
	long grandchild = 0;

	kit_init(&kit);
	run_shell(&kit, "trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000", 300, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_TIMED_OUT);
	ck_assert_int_eq(outcome.result.code, SIGKILL);
	ck_assert_int_ge(outcome.result.duration_ms, 300 + CHILD_KILL_AFTER_MS);
	grandchild = atol(outcome.output);
	ck_assert_int_gt(grandchild, 1);
	ck_assert(netkit_run(&kit, is_dead, &grandchild));
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_group_has_its_grace_after_its_leader)
{
	struct netkit kit;
	struct outcome outcome;
	char *dir = netkit_make_dir();
	cleanup(mem_free_p) char *script = mem_printf(
	        "(trap 'sleep 0.3; echo tidy > %s/tidy; exit' TERM; while :; do sleep 0.05; done)"
	        " >/dev/null 2>&1 & exec sleep 1000",
	        dir);
	cleanup(mem_free_p) char *path = mem_printf("%s/tidy", dir);

	kit_init(&kit);
	run_shell(&kit, script, 300, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_TIMED_OUT);
	ck_assert_int_eq(outcome.result.code, SIGTERM);
	ck_assert_int_eq(access(path, F_OK), 0);
	free(outcome.output);
	netkit_deinit(&kit);
	netkit_remove_dir(dir);
}
END_TEST

START_TEST(test_rest_of_a_group_is_killed_after_its_grace)
{
	struct netkit kit;
	struct outcome outcome;
	long rest = 0;
	int64_t began_mono_ms;

	kit_init(&kit);
	began_mono_ms = clock_now().mono_ms;
	run_shell(&kit, "(trap '' TERM; exec sleep 1000) & echo $!; sleep 0.2; exec sleep 1000",
	        500, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_TIMED_OUT);
	ck_assert_int_eq(outcome.result.code, SIGTERM);
	ck_assert_int_ge(clock_now().mono_ms - began_mono_ms, 500 + CHILD_KILL_AFTER_MS);
	rest = atol(outcome.output);
	ck_assert_int_gt(rest, 1);
	ck_assert(netkit_run(&kit, is_dead, &rest));
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_grandchild_that_holds_the_pipe_is_not_waited_for)
{
	struct netkit kit;
	struct outcome outcome;
	int64_t began_mono_ms;
	long grandchild;

	kit_init(&kit);
	began_mono_ms = clock_now().mono_ms;
	run_shell(&kit, "sleep 1000 & echo $!", 15000, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_EXITED);
	ck_assert_int_eq(outcome.result.code, 0);
	ck_assert_int_ge(clock_now().mono_ms - began_mono_ms, CHILD_DRAIN_MS - 10);
	grandchild = atol(outcome.output);
	ck_assert_int_gt(grandchild, 1);
	/* A hook may leave something behind on purpose. */
	ck_assert(!is_dead(&grandchild));
	kill((pid_t)grandchild, SIGKILL);
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_stop_is_like_a_timeout)
{
	static const char *const argv[] = {"/bin/sleep", "1000", NULL};
	struct netkit kit;
	struct outcome outcome = {.until = 1};

	kit_init(&kit);
	start(&kit, argv, NULL, 0, 1000 * 1000, &outcome);
	child_stop(kit.children, 8);
	netkit_run_for(&kit, 20);
	ck_assert_uint_eq(children_running(kit.children), 1);
	child_stop(kit.children, 7);
	child_stop(kit.children, 7);
	ck_assert(netkit_run(&kit, are_done, &outcome));
	ck_assert_int_eq(outcome.result.end, CHILD_TIMED_OUT);
	ck_assert_int_eq(outcome.result.code, SIGTERM);
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

/* The number that the file holds, once a whole line of it is there. */
struct number {
	const char *path;
	long value;
};

static bool is_written(void *arg)
{
	struct number *number = arg;
	FILE *file = fopen(number->path, "re");
	char end = '\0';
	int n;

	if (!file)
		return false;
	n = fscanf(file, "%ld%c", &number->value, &end);
	fclose(file);
	return n == 2 && end == '\n';
}

START_TEST(test_free_kills_and_calls_nobody)
{
	char *dir = netkit_make_dir();
	cleanup(mem_free_p) char *path = mem_printf("%s/pid", dir);
	cleanup(mem_free_p) char *script = mem_printf("sleep 1000 & echo $! > %s; wait", path);
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	struct number grandchild = {.path = path};
	struct netkit kit;
	struct outcome outcome = {.until = 1};

	kit_init(&kit);
	start(&kit, argv, NULL, 0, 1000 * 1000, &outcome);
	ck_assert(netkit_run(&kit, is_written, &grandchild));
	kit.children = children_free(kit.children);
	/* The leader is reaped, its group on its way. */
	ck_assert_int_lt(waitpid(-1, NULL, WNOHANG), 0);
	ck_assert_int_eq(errno, ECHILD);
	ck_assert(netkit_run(&kit, is_dead, &grandchild.value));
	ck_assert_uint_eq(outcome.n, 0);
	netkit_deinit(&kit);
	netkit_remove_dir(dir);
}
END_TEST

/* ---- what cannot be started ---- */

START_TEST(test_failed_start_is_a_result)
{
	char *dir = netkit_make_dir();
	cleanup(mem_free_p) char *plain = mem_printf("%s/plain", dir);
	const char *const missing[] = {"/nowhere/at/all", NULL};
	const char *const not_executable[] = {plain, NULL};
	size_t n_fds;
	struct netkit kit;
	struct outcome outcome;

	close(open(plain, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	kit_init(&kit);
	n_fds = netkit_count_fds();
	run(&kit, missing, "x", 1, 10000, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_NOT_STARTED);
	ck_assert_int_eq(outcome.result.code, ENOENT);
	ck_assert_str_eq(outcome.output, "");
	free(outcome.output);
	run(&kit, not_executable, NULL, 0, 10000, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_NOT_STARTED);
	ck_assert_int_eq(outcome.result.code, EACCES);
	free(outcome.output);
	ck_assert_uint_eq(netkit_count_fds(), n_fds);
	netkit_deinit(&kit);
	netkit_remove_dir(dir);
}
END_TEST

START_TEST(test_environment_too_large)
{
	static const char *const argv[] = {"/bin/true", NULL};
	enum { LEN = 140 * 1000 };
	cleanup(mem_free_p) char *value = make_bytes(LEN);
	const char *const envp[] = {value, NULL};
	struct child_spec spec = {.argv = argv, .envp = envp, .timeout_ms = 1000};
	struct netkit kit;
	struct outcome outcome = {.until = 1};

	kit_init(&kit);
	child_start(kit.children, &spec, on_done, &outcome, 7);
	ck_assert(netkit_run(&kit, are_done, &outcome));
	ck_assert_int_eq(outcome.result.end, CHILD_NOT_STARTED);
	ck_assert_int_eq(outcome.result.code, E2BIG);
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_no_descriptors_left)
{
	static const char *const argv[] = {"/bin/true", NULL};
	struct netkit kit;
	struct outcome outcome;
	struct rlimit old;
	struct rlimit tight;
	size_t n_fds;
	unsigned n_failed = 0;
	bool did_start = false;

	kit_init(&kit);
	run(&kit, argv, NULL, 0, 10000, &outcome);
	free(outcome.output);
	n_fds = netkit_count_fds();
	getrlimit(RLIMIT_NOFILE, &old);
	/* One more at a time until it goes, so that each step of the start fails once. */
	for (rlim_t n_more = 0; !did_start; n_more++) {
		int probe = open("/dev/null", O_RDONLY | O_CLOEXEC);

		close(probe);
		ck_assert_uint_lt(n_more, 64);
		tight = (struct rlimit){
		        .rlim_cur = (rlim_t)probe + n_more, .rlim_max = old.rlim_max};
		outcome = (struct outcome){.until = 1};
		setrlimit(RLIMIT_NOFILE, &tight);
		start(&kit, argv, NULL, 0, 10000, &outcome);
		setrlimit(RLIMIT_NOFILE, &old);
		ck_assert(netkit_run(&kit, are_done, &outcome));
		did_start = outcome.result.end == CHILD_EXITED;
		if (!did_start) {
			n_failed++;
			ck_assert_int_eq(outcome.result.end, CHILD_NOT_STARTED);
			ck_assert_int_eq(outcome.result.code, EMFILE);
		}
		free(outcome.output);
		ck_assert_uint_eq(netkit_count_fds(), n_fds);
	}
	ck_assert_uint_ge(n_failed, 4);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_inherited_ignoring_of_sigchld)
{
	static const char *const argv[] = {"/bin/true", NULL};
	struct netkit kit;
	struct outcome outcome;

	signal(SIGCHLD, SIG_IGN);
	kit_init(&kit);
	run(&kit, argv, NULL, 0, 10000, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_EXITED);
	ck_assert_int_eq(outcome.result.code, 0);
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_thousands_leave_nothing_behind)
{
	static const char *const argv[] = {"/bin/true", NULL};
	enum { ROUNDS = 100, AT_ONCE = 20 };
	struct netkit kit;
	struct outcome outcome = {0};
	size_t n_fds;

	kit_init(&kit);
	n_fds = netkit_count_fds();
	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned j = 0; j < AT_ONCE; j++)
			start(&kit, argv, "input", 5, 10000, &outcome);
		outcome.until += AT_ONCE;
		ck_assert(netkit_run(&kit, are_done, &outcome));
	}
	ck_assert_uint_eq(outcome.n, ROUNDS * AT_ONCE);
	ck_assert_uint_eq(outcome.n_good, ROUNDS * AT_ONCE);
	ck_assert_uint_eq(netkit_count_fds(), n_fds);
	ck_assert_uint_eq(children_running(kit.children), 0);
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_program_check)
{
	char *dir = netkit_make_dir();
	cleanup(mem_free_p) char *path = mem_printf("%s/program", dir);
	static const struct {
		mode_t mode;
		int expected;
	} modes[] = {{0700, 0}, {0755, 0}, {0775, CHILD_E_UNFIT}, {0757, CHILD_E_UNFIT},
	        {0600, CHILD_E_UNFIT}};
	char words[256];

	ck_assert_int_eq(child_check_program("bin/true", words, sizeof(words)), CHILD_E_UNFIT);
	ck_assert_ptr_nonnull(strstr(words, "absolute"));
	ck_assert_int_eq(child_check_program(path, words, sizeof(words)), CHILD_E_MISSING);
	ck_assert_ptr_nonnull(strstr(words, path));
	ck_assert_int_eq(child_check_program(dir, words, sizeof(words)), CHILD_E_UNFIT);
	ck_assert_int_eq(child_check_program("/bin/sh", words, sizeof(words)), 0);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0700));
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		ck_assert_int_eq(chmod(path, modes[i].mode), 0);
		ck_assert_int_eq(
		        child_check_program(path, words, sizeof(words)), modes[i].expected);
	}
	if (geteuid() == 0) {
		ck_assert_int_eq(chmod(path, 0755), 0);
		ck_assert_int_eq(chown(path, 12345, 12345), 0);
		ck_assert_int_eq(child_check_program(path, words, sizeof(words)), CHILD_E_UNFIT);
		ck_assert_ptr_nonnull(strstr(words, "12345"));
	}
	netkit_remove_dir(dir);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_exit_status_and_both_outputs);
	tcase_add_test(tests, test_environment_is_the_given_one_alone);
	tcase_add_test(tests, test_nothing_is_open_beyond_fd_2);
	tcase_add_test(tests, test_signals_are_default_and_unblocked);
	tcase_add_test(tests, test_group_and_directory_are_its_own);
	tcase_add_test(tests, test_works_with_standard_descriptors_closed);
	tcase_add_test(tests, test_input_beyond_a_pipe_goes_through);
	tcase_add_test(tests, test_input_that_nobody_reads_is_no_error);
	tcase_add_test(tests, test_of_much_output_the_end_is_kept);
	tcase_add_test(tests, test_tail_keeps_the_last_bytes);
	tcase_add_test(tests, test_timeout_ends_with_sigterm);
	tcase_add_test(tests, test_sigkill_ends_what_ignores_sigterm);
	tcase_add_test(tests, test_group_has_its_grace_after_its_leader);
	tcase_add_test(tests, test_rest_of_a_group_is_killed_after_its_grace);
	tcase_add_test(tests, test_grandchild_that_holds_the_pipe_is_not_waited_for);
	tcase_add_test(tests, test_stop_is_like_a_timeout);
	tcase_add_test(tests, test_free_kills_and_calls_nobody);
	tcase_add_test(tests, test_failed_start_is_a_result);
	tcase_add_test(tests, test_environment_too_large);
	tcase_add_test(tests, test_no_descriptors_left);
	tcase_add_test(tests, test_inherited_ignoring_of_sigchld);
	tcase_add_test(tests, test_thousands_leave_nothing_behind);
	tcase_add_test(tests, test_program_check);
}

int main(void)
{
	Suite *suite = suite_create("child");
	TCase *tests = tcase_create("child");
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tests, 60);
	add_tests(tests);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

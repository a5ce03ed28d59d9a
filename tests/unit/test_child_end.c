/* net/child: every way in which children end, and what becomes of their groups. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "childkit.h"
#include "util/mem.h"

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

/* ---- its time ---- */

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

/*
 * Runs a script until its time-out. It calls ready when it is; where that came too late, it gets
 * twice the time, so that a busy machine changes nothing. Returns the time-out.
 */
static int64_t run_ready(struct netkit *kit, const char *script, struct childkit_outcome *outcome)
{
	char *dir = netkit_make_dir();
	cleanup(mem_free_p) char *path = mem_printf("%s/ready", dir);
	cleanup(mem_free_p) char *whole = mem_printf("ready() { : > %s; }; %s", path, script);
	int64_t timeout_ms = 300;

	childkit_run_shell(kit, whole, timeout_ms, outcome);
	while (!is_there(path)) {
		free(outcome->output);
		timeout_ms *= 2;
		ck_assert_int_lt(timeout_ms, NETKIT_PATIENCE_MS);
		childkit_run_shell(kit, whole, timeout_ms, outcome);
	}
	netkit_remove_dir(dir);
	return timeout_ms;
}

START_TEST(test_timeout_ends_with_sigterm)
{
	struct netkit kit;
	struct childkit_outcome outcome;
	int64_t timeout_ms;

	childkit_init(&kit);
	timeout_ms = run_ready(&kit, "echo started; ready; exec sleep 1000", &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_TIMED_OUT);
	ck_assert_int_eq(outcome.result.code, SIGTERM);
	ck_assert_int_ge(outcome.result.duration_ms, timeout_ms);
	ck_assert_int_lt(outcome.result.duration_ms, timeout_ms + CHILD_KILL_AFTER_MS);
	ck_assert_str_eq(outcome.output, "started\n");
	free(outcome.output);
	run_ready(&kit, "trap 'echo tidy; exit 0' TERM; ready; while :; do sleep 0.05; done",
	        &outcome);
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
	struct childkit_outcome outcome;
	long grandchild = 0;
	int64_t timeout_ms;

	childkit_init(&kit);
	timeout_ms = run_ready(
	        &kit, "trap '' TERM; sleep 1000 & echo $!; ready; wait; sleep 1000", &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_TIMED_OUT);
	ck_assert_int_eq(outcome.result.code, SIGKILL);
	ck_assert_int_ge(outcome.result.duration_ms, timeout_ms + CHILD_KILL_AFTER_MS);
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
	struct childkit_outcome outcome;
	char *dir = netkit_make_dir();
	cleanup(mem_free_p) char *script =
	        mem_printf("(trap 'sleep 0.3; echo tidy > %s/tidy; exit' TERM; ready; while :; do "
	                   "sleep 0.05; done)"
	                   " >/dev/null 2>&1 & exec sleep 1000",
	                dir);
	cleanup(mem_free_p) char *path = mem_printf("%s/tidy", dir);

	childkit_init(&kit);
	run_ready(&kit, script, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_TIMED_OUT);
	ck_assert_int_eq(outcome.result.code, SIGTERM);
	ck_assert(is_there(path));
	free(outcome.output);
	netkit_deinit(&kit);
	netkit_remove_dir(dir);
}
END_TEST

START_TEST(test_rest_of_a_group_is_killed_after_its_grace)
{
	struct netkit kit;
	struct childkit_outcome outcome;
	long rest = 0;
	int64_t began_mono_ms;
	int64_t timeout_ms;

	childkit_init(&kit);
	began_mono_ms = clock_now().mono_ms;
	/* What is ignored when it is started stays so. */
	timeout_ms = run_ready(&kit,
	        "trap '' TERM; sleep 1000 & trap - TERM; echo $!; ready; exec sleep 1000",
	        &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_TIMED_OUT);
	ck_assert_int_eq(outcome.result.code, SIGTERM);
	ck_assert_int_ge(clock_now().mono_ms - began_mono_ms, timeout_ms + CHILD_KILL_AFTER_MS);
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
	struct childkit_outcome outcome;
	int64_t began_mono_ms;
	long grandchild;

	childkit_init(&kit);
	began_mono_ms = clock_now().mono_ms;
	childkit_run_shell(&kit, "sleep 1000 & echo $!", 15000, &outcome);
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
	struct childkit_outcome outcome = {.until = 1};

	childkit_init(&kit);
	childkit_start(&kit, argv, NULL, 0, 1000 * 1000, &outcome);
	child_stop(kit.children, CHILDKIT_OWNER + 1);
	netkit_run_for(&kit, 20);
	ck_assert_uint_eq(children_running(kit.children), 1);
	child_stop(kit.children, CHILDKIT_OWNER);
	child_stop(kit.children, CHILDKIT_OWNER);
	ck_assert(netkit_run(&kit, childkit_are_done, &outcome));
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
	struct childkit_outcome outcome = {.until = 1};

	childkit_init(&kit);
	childkit_start(&kit, argv, NULL, 0, 1000 * 1000, &outcome);
	ck_assert(netkit_run(&kit, is_written, &grandchild));
	kit.children = children_free(kit.children);
	/* The leader is reaped, its group on its way. */
	ck_assert_int_lt(waitpid(-1, NULL, WNOHANG), 0);
	ck_assert_int_eq(errno, ECHILD);
	ck_assert(netkit_run(&kit, is_dead, &grandchild.value));
	ck_assert_uint_eq(outcome.n, 0);
	netkit_deinit(&kit);
	netkit_remove_dir(dir);
	ck_assert_ptr_null(children_free(NULL));
}
END_TEST

/* Whether the leader is reaped, though its result is not there yet. */
static bool is_leader_reaped(void *arg)
{
	const struct netkit *kit = arg;

	return children_running(kit->children) == 1 && waitpid(-1, NULL, WNOHANG) < 0 &&
	       errno == ECHILD;
}

static bool is_fifo_read(void *arg)
{
	int fd = open(arg, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return false;
	ck_assert_int_eq(write(fd, "\n", 1), 1);
	close(fd);
	return true;
}

/* It is asked for a sign of life: who was killed may look alive for a moment. */
START_TEST(test_free_leaves_what_a_good_program_left_behind)
{
	char *dir = netkit_make_dir();
	cleanup(mem_free_p) char *fifo = mem_printf("%s/fifo", dir);
	cleanup(mem_free_p) char *path = mem_printf("%s/alive", dir);
	cleanup(mem_free_p) char *script = mem_printf("(read x <%s; echo 1 >%s) &", fifo, path);
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	struct number sign = {.path = path};
	struct netkit kit;
	struct childkit_outcome outcome = {.until = 1};

	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	childkit_init(&kit);
	childkit_start(&kit, argv, NULL, 0, 1000 * 1000, &outcome);
	ck_assert(netkit_run(&kit, is_leader_reaped, &kit));
	kit.children = children_free(kit.children);
	ck_assert(netkit_run(&kit, is_fifo_read, fifo));
	ck_assert(netkit_run(&kit, is_written, &sign));
	ck_assert_uint_eq(outcome.n, 0);
	netkit_deinit(&kit);
	netkit_remove_dir(dir);
}
END_TEST

START_TEST(test_free_kills_what_has_its_grace)
{
	char *dir = netkit_make_dir();
	cleanup(mem_free_p) char *path = mem_printf("%s/pid", dir);
	char *scripts[] = {
	        /* The leader ends on SIGTERM, the other one does not; or neither does. */
	        mem_printf("trap '' TERM; sleep 1000 & trap - TERM; echo $! > %s; exec sleep 1000",
	                path),
	        mem_printf("trap '' TERM; sleep 1000 & echo $! > %s; exec sleep 1000", path),
	};

	for (size_t i = 0; i < 2; i++) {
		const char *const argv[] = {"/bin/sh", "-c", scripts[i], NULL};
		struct number grandchild = {.path = path};
		struct childkit_outcome outcome = {.until = 1};
		struct netkit kit;

		childkit_init(&kit);
		childkit_start(&kit, argv, NULL, 0, 1000 * 1000, &outcome);
		ck_assert(netkit_run(&kit, is_written, &grandchild));
		child_stop(kit.children, CHILDKIT_OWNER);
		if (i == 0)
			ck_assert(netkit_run(&kit, is_leader_reaped, &kit));
		kit.children = children_free(kit.children);
		ck_assert_int_lt(waitpid(-1, NULL, WNOHANG), 0);
		ck_assert(netkit_run(&kit, is_dead, &grandchild.value));
		ck_assert_uint_eq(outcome.n, 0);
		netkit_deinit(&kit);
		unlink(path);
		free(scripts[i]);
	}
	netkit_remove_dir(dir);
}
END_TEST

/* It ended before it was told to: that is its end, and no time-out. */
START_TEST(test_end_of_its_own_counts_before_a_stop)
{
	static const char *const argv[] = {"/bin/sh", "-c", "echo done; exit 3", NULL};
	struct netkit kit;
	struct childkit_outcome outcome = {.until = 1};
	siginfo_t info;

	childkit_init(&kit);
	childkit_start(&kit, argv, NULL, 0, 1000 * 1000, &outcome);
	ck_assert_int_eq(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
	child_stop(kit.children, CHILDKIT_OWNER);
	ck_assert(netkit_run(&kit, childkit_are_done, &outcome));
	ck_assert_int_eq(outcome.result.end, CHILD_EXITED);
	ck_assert_int_eq(outcome.result.code, 3);
	ck_assert_str_eq(outcome.output, "done\n");
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_timeout_ends_with_sigterm);
	tcase_add_test(tests, test_sigkill_ends_what_ignores_sigterm);
	tcase_add_test(tests, test_group_has_its_grace_after_its_leader);
	tcase_add_test(tests, test_rest_of_a_group_is_killed_after_its_grace);
	tcase_add_test(tests, test_grandchild_that_holds_the_pipe_is_not_waited_for);
	tcase_add_test(tests, test_stop_is_like_a_timeout);
	tcase_add_test(tests, test_free_kills_and_calls_nobody);
	tcase_add_test(tests, test_free_leaves_what_a_good_program_left_behind);
	tcase_add_test(tests, test_free_kills_what_has_its_grace);
	tcase_add_test(tests, test_end_of_its_own_counts_before_a_stop);
}

int main(void)
{
	return netkit_main("child_end", add_tests);
}

/* net/child: what a child is given, what is kept of it, and what cannot be started. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "childkit.h"
#include "net/tail.h"
#include "util/mem.h"

/* ---- what it is given ---- */

START_TEST(test_exit_status_and_both_outputs)
{
	struct netkit kit;
	struct childkit_outcome outcome;

	childkit_init(&kit);
	childkit_run_shell(&kit, "echo out; echo err >&2; exit 65", 10000, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_EXITED);
	ck_assert_int_eq(outcome.result.code, 65);
	ck_assert_str_eq(outcome.output, "out\nerr\n");
	ck_assert_uint_eq(outcome.result.output_len, 8);
	ck_assert_uint_eq(outcome.result.output_dropped, 0);
	ck_assert_int_ge(outcome.result.duration_ms, 0);
	free(outcome.output);
	childkit_run_shell(&kit, "kill -9 $$", 10000, &outcome);
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
	struct childkit_outcome outcome = {.until = 1};
	struct child_spec spec = {.argv = argv, .envp = envp, .timeout_ms = 10000};

	childkit_init(&kit);
	setenv("BULKWATCH_SECRET_OF_THE_DAEMON", "x", 1);
	child_start(kit.children, &spec, childkit_on_done, &outcome, CHILDKIT_OWNER);
	ck_assert(netkit_run(&kit, childkit_are_done, &outcome));
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
	struct childkit_outcome outcome;
	int leak = open("/dev/null", O_RDONLY);
	int far = fcntl(leak, F_DUPFD, 200);

	childkit_init(&kit);
	childkit_run(&kit, argv, NULL, 0, 10000, &outcome);
	/* 3 is the directory that ls itself reads. */
	ck_assert_str_eq(outcome.output, "0\n1\n2\n3\n");
	free(outcome.output);
	childkit_run(&kit, pipes, NULL, 0, 10000, &outcome);
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
	struct childkit_outcome outcome;
	sigset_t blocked;
	sigset_t before;

	childkit_init(&kit); /* ignores SIGPIPE */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGUSR2);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	signal(SIGHUP, SIG_IGN);
	childkit_run(&kit, argv, NULL, 0, 10000, &outcome);
	signal(SIGHUP, SIG_DFL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	ck_assert_ptr_nonnull(strstr(outcome.output, "SigBlk:\t0000000000000000\n"));
	ck_assert_ptr_nonnull(strstr(outcome.output, "SigIgn:\t0000000000000000\n"));
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_group_and_directory_are_its_own)
{
	struct netkit kit;
	struct childkit_outcome outcome;
	long pid = 0;
	long parent = 0;
	long group = 0;
	char name[32];

	childkit_init(&kit);
	childkit_run_shell(&kit, "read line < /proc/$$/stat; echo $line; pwd", 10000, &outcome);
	ck_assert_int_eq(
	        sscanf(outcome.output, "%ld %31s %*c %ld %ld", &pid, name, &parent, &group), 4);
	ck_assert_int_eq(pid, group);
	ck_assert_int_eq(parent, getpid());
	ck_assert_ptr_nonnull(strstr(outcome.output, "\n/\n"));
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

/* The first n of the standard descriptors. */
static void close_standard(int n, int saved[3])
{
	for (int fd = 0; fd < n; fd++) {
		saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
		close(fd);
	}
}

/* Whoever had one of them meanwhile is found out. */
static void open_standard(int n, const int saved[3])
{
	for (int fd = 0; fd < n; fd++) {
		ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
		dup2(saved[fd], fd);
		close(saved[fd]);
	}
}

START_TEST(test_works_with_standard_descriptors_closed)
{
	struct netkit kit;
	struct childkit_outcome outcome;
	int saved[3];

	childkit_init(&kit);
	close_standard(3, saved);
	outcome = (struct childkit_outcome){.until = 1};
	childkit_start(&kit, (const char *const[]){"/bin/sh", "-c", "cat; echo err >&2", NULL},
	        "in\n", 3, 10000, &outcome);
	open_standard(3, saved);
	ck_assert(netkit_run(&kit, childkit_are_done, &outcome));
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
	struct childkit_outcome outcome;

	childkit_init(&kit);
	childkit_run(&kit, argv, bytes, LEN, 10000, &outcome);
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
	struct childkit_outcome outcome;

	childkit_init(&kit);
	childkit_run(&kit, at_once, bytes, LEN, 10000, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_EXITED);
	ck_assert_int_eq(outcome.result.code, 0);
	free(outcome.output);
	childkit_run(&kit, closes, bytes, LEN, 10000, &outcome);
	ck_assert_int_eq(outcome.result.code, 0);
	ck_assert_str_eq(outcome.output, "fine\n");
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_of_much_output_the_end_is_kept)
{
	struct netkit kit;
	struct childkit_outcome outcome;
	size_t all = 50 * 1000 * 1000 + 4;

	childkit_init(&kit);
	childkit_run_shell(&kit, "head -c 50000000 /dev/zero; echo end", 15000, &outcome);
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

		tail_add(&tail, bytes, 0);
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

/* ---- what cannot be started ---- */

START_TEST(test_failed_start_is_a_result)
{
	char *dir = netkit_make_dir();
	cleanup(mem_free_p) char *plain = mem_printf("%s/plain", dir);
	const char *const missing[] = {"/nowhere/at/all", NULL};
	const char *const not_executable[] = {plain, NULL};
	size_t n_fds;
	struct netkit kit;
	struct childkit_outcome outcome;

	close(open(plain, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	childkit_init(&kit);
	n_fds = netkit_count_fds();
	childkit_run(&kit, missing, "x", 1, 10000, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_NOT_STARTED);
	ck_assert_int_eq(outcome.result.code, ENOENT);
	ck_assert_str_eq(outcome.output, "");
	free(outcome.output);
	childkit_run(&kit, not_executable, NULL, 0, 10000, &outcome);
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
	struct childkit_outcome outcome = {.until = 1};

	childkit_init(&kit);
	child_start(kit.children, &spec, childkit_on_done, &outcome, CHILDKIT_OWNER);
	ck_assert(netkit_run(&kit, childkit_are_done, &outcome));
	ck_assert_int_eq(outcome.result.end, CHILD_NOT_STARTED);
	ck_assert_int_eq(outcome.result.code, E2BIG);
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

static const char *const argv_true[] = {"/bin/true", NULL};

/* With room for so many descriptors more, and so many standard ones closed; whether it started. */
static bool starts_with(struct netkit *kit, rlim_t n_more, int n_closed)
{
	struct childkit_outcome outcome = {.until = 1};
	int probe = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct rlimit old;
	struct rlimit tight;
	int saved[3];

	close(probe);
	getrlimit(RLIMIT_NOFILE, &old);
	tight = (struct rlimit){.rlim_cur = (rlim_t)probe + n_more, .rlim_max = old.rlim_max};
	close_standard(n_closed, saved);
	setrlimit(RLIMIT_NOFILE, &tight);
	childkit_start(kit, argv_true, NULL, 0, 10000, &outcome);
	setrlimit(RLIMIT_NOFILE, &old);
	open_standard(n_closed, saved);
	ck_assert(netkit_run(kit, childkit_are_done, &outcome));
	free(outcome.output);
	if (outcome.result.end == CHILD_EXITED)
		return true;
	ck_assert_int_eq(outcome.result.end, CHILD_NOT_STARTED);
	ck_assert_int_eq(outcome.result.code, EMFILE);
	return false;
}

START_TEST(test_no_descriptors_left)
{
	struct netkit kit;
	struct childkit_outcome outcome;
	size_t n_fds;

	childkit_init(&kit);
	childkit_run(&kit, argv_true, NULL, 0, 10000, &outcome);
	free(outcome.output);
	n_fds = netkit_count_fds();
	/* One more at a time until it goes, so that each step of the start fails once; where
	 * standard ones are free, their numbers are given to nobody. */
	for (int n_closed = 0; n_closed <= 2; n_closed++) {
		rlim_t n_more = 0;

		while (!starts_with(&kit, n_more, n_closed)) {
			ck_assert_uint_lt(++n_more, 64);
			ck_assert_uint_eq(netkit_count_fds(), n_fds);
		}
		ck_assert_uint_ge(n_more, 4);
		ck_assert_uint_eq(netkit_count_fds(), n_fds);
	}
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_inherited_ignoring_of_sigchld)
{
	static const char *const argv[] = {"/bin/true", NULL};
	struct netkit kit;
	struct childkit_outcome outcome;

	signal(SIGCHLD, SIG_IGN);
	childkit_init(&kit);
	childkit_run(&kit, argv, NULL, 0, 10000, &outcome);
	ck_assert_int_eq(outcome.result.end, CHILD_EXITED);
	ck_assert_int_eq(outcome.result.code, 0);
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_a_thousand_leave_nothing_behind)
{
	static const char *const argv[] = {"/bin/true", NULL};
	enum { ROUNDS = 50, AT_ONCE = 20 };
	struct netkit kit;
	struct childkit_outcome outcome = {0};
	size_t n_fds;

	childkit_init(&kit);
	n_fds = netkit_count_fds();
	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned j = 0; j < AT_ONCE; j++)
			childkit_start(&kit, argv, "input", 5, 10000, &outcome);
		outcome.until += AT_ONCE;
		ck_assert(netkit_run(&kit, childkit_are_done, &outcome));
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
	cleanup(mem_free_p) char *too_long = mem_printf("/%0300d", 0);
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
	ck_assert_int_eq(child_check_program("/bin/sh/x", words, sizeof(words)), CHILD_E_MISSING);
	ck_assert_int_eq(child_check_program(too_long, words, sizeof(words)), CHILD_E_UNFIT);
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
		/* Unless that is us. */
		ck_assert_int_eq(chmod(dir, 0755), 0);
		ck_assert_int_eq(seteuid(12345), 0);
		ck_assert_int_eq(child_check_program(path, words, sizeof(words)), 0);
		ck_assert_int_eq(seteuid(0), 0);
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
	tcase_add_test(tests, test_failed_start_is_a_result);
	tcase_add_test(tests, test_environment_too_large);
	tcase_add_test(tests, test_no_descriptors_left);
	tcase_add_test(tests, test_inherited_ignoring_of_sigchld);
	tcase_add_test(tests, test_a_thousand_leave_nothing_behind);
	tcase_add_test(tests, test_program_check);
}

int main(void)
{
	return netkit_main("child", add_tests);
}

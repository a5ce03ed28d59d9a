/* net/ where a call of the kernel's fails as it rarely does, or what it is about changes meanwhile.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "childkit.h"
#include "listenkit.h"
#include "rawclient.h"
#include "util/mem.h"

/* ---- between net/ and the kernel (meson.build wraps the calls) ---- */

/* What befalls the next calls of this name. */
static struct {
	const char *call;                 /* NULL = none */
	unsigned n;                       /* how many of them */
	void (*change)(const char *path); /* made just before it; NULL = none */
	const char *path;
	int error; /* it fails with this one; 0 = it is made */
} plan;

static bool is_planned(const char *call)
{
	if (!plan.call || strcmp(plan.call, call) != 0)
		return false;
	if (--plan.n == 0)
		plan.call = NULL;
	if (plan.change)
		plan.change(plan.path);
	errno = plan.error;
	return plan.error != 0;
}

static void plan_error(const char *call, int error, unsigned n)
{
	plan.call = call;
	plan.n = n;
	plan.error = error;
	plan.change = NULL;
}

static void plan_change(const char *call, void (*change)(const char *path), const char *path)
{
	plan.call = call;
	plan.n = 1;
	plan.error = 0;
	plan.change = change;
	plan.path = path;
}

#define CALL(type, name, parameters, arguments)                                                    \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		return is_planned(#name) ? -1 : __real_##name arguments;                           \
	}

CALL(int, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
CALL(int, unlink, (const char *path), (path))
CALL(ssize_t, read, (int fd, void *bytes, size_t len), (fd, bytes, len))
CALL(ssize_t, write, (int fd, const void *bytes, size_t len), (fd, bytes, len))

/* The question alone whether a group is there. */
int __real_kill(pid_t pid, int signo);
int __wrap_kill(pid_t pid, int signo);
int __wrap_kill(pid_t pid, int signo)
{
	return signo == 0 && is_planned("kill") ? -1 : __real_kill(pid, signo);
}

/* ECHILD stands for an answer that it lives still. */
int __real_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	if (!is_planned("waitid"))
		return __real_waitid(type, id, info, options);
	return errno == ECHILD ? 0 : -1;
}

/* ---- sockets ---- */

static void leave_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

static void change_remove(const char *path)
{
	ck_assert_int_eq(__real_unlink(path), 0);
}

static void change_to_directory(const char *path)
{
	ck_assert_int_eq(__real_unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
}

static void change_to_loop(const char *path)
{
	ck_assert_int_eq(__real_unlink(path), 0);
	ck_assert_int_eq(symlink(path, path), 0);
}

/* A dead socket is there, is looked at, and is another thing when it is asked or removed. */
START_TEST(test_path_that_changes_meanwhile)
{
	static const struct {
		const char *call;
		void (*change)(const char *path);
		int expected;
	} rows[] = {
	        {"connect", change_remove, 0},
	        {"unlink", change_remove, 0},
	        {"connect", change_to_directory, -EISDIR},
	        {"connect", change_to_loop, -ELOOP},
	        {"unlink", change_to_directory, -EISDIR},
	};
	struct listenkit kit;
	struct rawclient client;

	listenkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup(mem_free_p) char *path = mem_printf("%s/%zu", kit.dir, i);
		struct listen *listen = NULL;
		char words[256] = "";
		struct stat st;
		int result;

		leave_socket(path);
		plan_change(rows[i].call, rows[i].change, path);
		result = listen_unix_new(kit.group, path, 0600, listenkit_on_request, &kit, &listen,
		        words, sizeof(words));
		ck_assert_ptr_null(plan.call);
		ck_assert_msg(result == rows[i].expected, "%zu: %d, %s", i, result, words);
		ck_assert_int_eq(lstat(path, &st), 0);
		if (result == 0) {
			rawclient_open(&client, path);
			rawclient_get(&client, "/");
			rawclient_expect(&client, &kit.net, "{\"a\":1}");
			rawclient_close(&client);
		} else {
			/* What came there is nobody's to remove. */
			ck_assert(!S_ISSOCK(st.st_mode));
			ck_assert_ptr_nonnull(strstr(words, path));
			ck_assert_ptr_nonnull(strstr(words, strerror(-result)));
		}
		listen_free(listen);
	}
	listenkit_deinit(&kit);
}
END_TEST

/* ---- programs ---- */

START_TEST(test_interrupted_calls_are_made_again)
{
	static const char *const argv[] = {"/bin/cat", NULL};
	static const char *const calls[] = {"write", "read", "waitid"};
	struct netkit kit;
	struct childkit_outcome outcome;

	childkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		plan_error(calls[i], EINTR, 3);
		childkit_run(&kit, argv, "hello", 5, 10000, &outcome);
		ck_assert_ptr_null(plan.call);
		ck_assert_int_eq(outcome.result.end, CHILD_EXITED);
		ck_assert_int_eq(outcome.result.code, 0);
		ck_assert_str_eq(outcome.output, "hello");
		free(outcome.output);
	}
	netkit_deinit(&kit);
}
END_TEST

/* Its descriptor is readable before the kernel says how it ended. */
START_TEST(test_end_that_is_seen_too_early)
{
	static const char *const argv[] = {"/bin/sh", "-c", "exit 3", NULL};
	struct netkit kit;
	struct childkit_outcome outcome;

	childkit_init(&kit);
	plan_error("waitid", ECHILD, 1);
	childkit_run(&kit, argv, NULL, 0, 10000, &outcome);
	ck_assert_ptr_null(plan.call);
	ck_assert_int_eq(outcome.result.end, CHILD_EXITED);
	ck_assert_int_eq(outcome.result.code, 3);
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

/* Output that cannot be read is at its end; how the program ended is told all the same. */
START_TEST(test_output_that_cannot_be_read)
{
	static const char *const argv[] = {"/bin/sh", "-c", "echo lost; exit 4", NULL};
	struct netkit kit;
	struct childkit_outcome outcome;

	childkit_init(&kit);
	plan_error("read", EIO, 1);
	childkit_run(&kit, argv, NULL, 0, 10000, &outcome);
	ck_assert_ptr_null(plan.call);
	ck_assert_int_eq(outcome.result.end, CHILD_EXITED);
	ck_assert_int_eq(outcome.result.code, 4);
	ck_assert_str_eq(outcome.output, "");
	free(outcome.output);
	netkit_deinit(&kit);
}
END_TEST

static bool is_there(void *arg)
{
	return access(arg, F_OK) == 0;
}

/* Of a group that we may not signal, somebody is left: it keeps its grace. */
START_TEST(test_group_of_somebody_else_is_not_taken_for_gone)
{
	char *dir = netkit_make_dir();
	cleanup(mem_free_p) char *ready = mem_printf("%s/ready", dir);
	cleanup(mem_free_p) char *tidy = mem_printf("%s/tidy", dir);
	cleanup(mem_free_p) char *script =
	        mem_printf("(trap 'echo > %s; exit' TERM; : > %s; while :; do sleep 0.02; done) "
	                   ">/dev/null 2>&1 & exec sleep 1000",
	                tidy, ready);
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	struct netkit kit;
	struct childkit_outcome outcome = {.until = 1};

	childkit_init(&kit);
	childkit_start(&kit, argv, NULL, 0, 1000 * 1000, &outcome);
	ck_assert(netkit_run(&kit, is_there, ready));
	plan_error("kill", EPERM, 1);
	child_stop(kit.children, CHILDKIT_OWNER);
	ck_assert(netkit_run(&kit, childkit_are_done, &outcome));
	ck_assert_ptr_null(plan.call);
	ck_assert_int_eq(outcome.result.end, CHILD_TIMED_OUT);
	ck_assert_int_eq(outcome.result.code, SIGTERM);
	ck_assert(is_there(tidy));
	free(outcome.output);
	netkit_deinit(&kit);
	netkit_remove_dir(dir);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_path_that_changes_meanwhile);
	tcase_add_test(tests, test_interrupted_calls_are_made_again);
	tcase_add_test(tests, test_end_that_is_seen_too_early);
	tcase_add_test(tests, test_output_that_cannot_be_read);
	tcase_add_test(tests, test_group_of_somebody_else_is_not_taken_for_gone);
}

int main(void)
{
	return netkit_main("net_calls", add_tests);
}

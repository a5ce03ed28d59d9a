/* net/loop: turns, timers, deferral, waking, signals. */
#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/loop.h"
#include "netkit.h"

struct counter {
	struct loop *loop;
	struct loop_timer *timer;
	unsigned n;
	unsigned until;
	int64_t at_mono_ms;
	char trace[32];
	size_t n_trace;
};

static void note(struct counter *counter, char c)
{
	ck_assert_uint_lt(counter->n_trace, sizeof(counter->trace) - 1);
	counter->trace[counter->n_trace++] = c;
	counter->trace[counter->n_trace] = '\0';
}

static void on_count(void *arg)
{
	struct counter *counter = arg;

	counter->n++;
	counter->at_mono_ms = loop_now(counter->loop).mono_ms;
}

static bool was_counted(void *arg)
{
	struct counter *counter = arg;

	return counter->n >= counter->until;
}

START_TEST(test_timer_fires_once_and_not_before)
{
	struct netkit kit;
	struct counter counter = {.until = 1};
	int64_t due_mono_ms = clock_now().mono_ms + 30;

	netkit_init(&kit);
	counter.loop = kit.loop;
	counter.timer = loop_timer_new(kit.loop, on_count, &counter);
	loop_timer_set(counter.timer, due_mono_ms);
	ck_assert(netkit_run(&kit, was_counted, &counter));
	ck_assert_int_ge(counter.at_mono_ms, due_mono_ms);
	netkit_run_for(&kit, 40);
	ck_assert_uint_eq(counter.n, 1);
	loop_timer_free(counter.timer);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_timer_of_the_past_fires_and_a_cleared_one_does_not)
{
	struct netkit kit;
	struct counter past = {.until = 1};
	struct counter cleared = {0};
	struct counter moved = {0};

	netkit_init(&kit);
	past.loop = cleared.loop = moved.loop = kit.loop;
	past.timer = loop_timer_new(kit.loop, on_count, &past);
	cleared.timer = loop_timer_new(kit.loop, on_count, &cleared);
	moved.timer = loop_timer_new(kit.loop, on_count, &moved);
	loop_timer_set(past.timer, INT64_MIN);
	loop_timer_set(cleared.timer, 0);
	loop_timer_clear(cleared.timer);
	loop_timer_set(moved.timer, 0);
	loop_timer_set(moved.timer, clock_now().mono_ms + 3600 * 1000);
	ck_assert(netkit_run(&kit, was_counted, &past));
	netkit_run_for(&kit, 20);
	ck_assert_uint_eq(past.n, 1);
	ck_assert_uint_eq(cleared.n, 0);
	ck_assert_uint_eq(moved.n, 0);
	loop_timer_free(past.timer);
	loop_timer_free(cleared.timer);
	loop_timer_free(moved.timer);
	netkit_deinit(&kit);
}
END_TEST

static int longest_wait(const struct event_base *base, const struct event *event, void *arg)
{
	struct timeval at;
	struct timeval now;
	int64_t *longest_s = arg;

	event_base_gettimeofday_cached((struct event_base *)(uintptr_t)base, &now);
	if (event_pending(event, EV_TIMEOUT, &at) && at.tv_sec - now.tv_sec > *longest_s)
		*longest_s = at.tv_sec - now.tv_sec;
	return 0;
}

START_TEST(test_no_wait_is_longer_than_a_minute)
{
	static const int64_t far_ms[] = {61 * 1000, 365LL * 86400 * 1000, INT64_MAX / 2, INT64_MAX};
	struct counter counter = {0};
	struct loop *loop;

	ck_assert_int_eq(loop_new(&loop), 0);
	counter.timer = loop_timer_new(loop, on_count, &counter);
	for (size_t i = 0; i < sizeof(far_ms) / sizeof(far_ms[0]); i++) {
		int64_t now_mono_ms = clock_now().mono_ms;
		int64_t longest_s = 0;

		loop_timer_set(counter.timer,
		        far_ms[i] > INT64_MAX - now_mono_ms ? INT64_MAX : now_mono_ms + far_ms[i]);
		event_base_foreach_event(loop_event_base(loop), longest_wait, &longest_s);
		ck_assert_int_ge(longest_s, 58);
		ck_assert_int_le(longest_s, 61);
	}
	loop_timer_free(counter.timer);
	loop_free(loop);
}
END_TEST

static void on_again(void *arg)
{
	struct counter *counter = arg;

	counter->n++;
	loop_timer_set(counter->timer, 0);
}

/* Counts turns, and stops after three. */
static void on_third_turn(void *arg)
{
	struct counter *counter = arg;

	if (++counter->until == 3)
		loop_stop(counter->loop);
}

START_TEST(test_timer_that_is_always_due_lets_turns_end)
{
	struct counter counter = {0};

	ck_assert_int_eq(loop_new(&counter.loop), 0);
	loop_set_turn_end(counter.loop, on_third_turn, &counter);
	counter.timer = loop_timer_new(counter.loop, on_again, &counter);
	loop_timer_set(counter.timer, 0);
	ck_assert_int_eq(loop_run(counter.loop), 0);
	ck_assert_uint_le(counter.n, 3);
	ck_assert_uint_ge(counter.n, 2);
	loop_timer_free(counter.timer);
	loop_free(counter.loop);
}
END_TEST

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	loop_wake(arg);
}

START_TEST(test_steady_traffic_lets_woken_turns_end)
{
	struct counter counter = {0};
	struct event *event;
	int fds[2];

	ck_assert_int_eq(loop_new(&counter.loop), 0);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	loop_set_turn_end(counter.loop, on_third_turn, &counter);
	event = event_new(loop_event_base(counter.loop), fds[0], EV_READ | EV_PERSIST, on_readable,
	        counter.loop);
	event_add(event, NULL);
	loop_wake(counter.loop);
	ck_assert_int_eq(loop_run(counter.loop), 0);
	ck_assert_uint_eq(counter.until, 3);
	event_free(event);
	close(fds[0]);
	close(fds[1]);
	loop_free(counter.loop);
}
END_TEST

static void on_deferred_again(void *arg)
{
	note(arg, 'e');
}

static void on_deferred(void *arg)
{
	struct counter *counter = arg;

	note(counter, 'd');
	loop_defer(counter->loop, on_deferred_again, counter);
}

static void on_timer_defers(void *arg)
{
	struct counter *counter = arg;

	note(counter, 't');
	loop_defer(counter->loop, on_deferred, counter);
}

static void on_turn_noted(void *arg)
{
	struct counter *counter = arg;

	note(counter, '.');
	if (++counter->n == 3)
		loop_stop(counter->loop);
	else
		loop_wake(counter->loop);
}

START_TEST(test_deferred_runs_after_the_turns_end)
{
	struct counter counter = {0};

	ck_assert_int_eq(loop_new(&counter.loop), 0);
	loop_set_turn_end(counter.loop, on_turn_noted, &counter);
	counter.timer = loop_timer_new(counter.loop, on_timer_defers, &counter);
	loop_timer_set(counter.timer, 0);
	ck_assert_int_eq(loop_run(counter.loop), 0);
	ck_assert_str_eq(counter.trace, "t.d.e.");
	loop_timer_free(counter.timer);
	loop_defer(counter.loop, on_deferred, &counter);
	loop_free(counter.loop);
	ck_assert_str_eq(counter.trace, "t.d.e.de");
}
END_TEST

/* Each defers the next, as the last thing of a turn and with nothing else to wake the loop. */
static void on_chain(void *arg)
{
	struct counter *counter = arg;

	if (++counter->n == counter->until)
		loop_stop(counter->loop);
	else
		loop_defer(counter->loop, on_chain, counter);
}

static void on_patience_ends(void *arg)
{
	struct counter *counter = arg;

	loop_stop(counter->loop);
}

START_TEST(test_what_is_deferred_does_not_wait_for_something_to_happen)
{
	struct counter counter = {.until = 5};
	int64_t began_mono_ms = clock_now().mono_ms;

	ck_assert_int_eq(loop_new(&counter.loop), 0);
	counter.timer = loop_timer_new(counter.loop, on_patience_ends, &counter);
	loop_timer_set(counter.timer, began_mono_ms + NETKIT_PATIENCE_MS);
	loop_defer(counter.loop, on_chain, &counter);
	ck_assert_int_eq(loop_run(counter.loop), 0);
	ck_assert_uint_eq(counter.n, 5);
	ck_assert_int_lt(clock_now().mono_ms - began_mono_ms, NETKIT_PATIENCE_MS);
	loop_timer_free(counter.timer);
	loop_free(counter.loop);
}
END_TEST

struct place {
	struct counter *counter;
	unsigned i;
};

static void on_place(void *arg)
{
	struct place *place = arg;

	ck_assert_uint_eq(place->counter->n, place->i);
	place->counter->n++;
}

START_TEST(test_many_deferred_run_in_their_order)
{
	enum { N = 100 };
	struct counter counter = {0};
	struct place places[N];

	ck_assert_int_eq(loop_new(&counter.loop), 0);
	for (unsigned i = 0; i < N; i++) {
		places[i] = (struct place){.counter = &counter, .i = i};
		loop_defer(counter.loop, on_place, &places[i]);
	}
	loop_set_turn_end(counter.loop, on_third_turn, &counter);
	counter.until = 2;
	ck_assert_int_eq(loop_run(counter.loop), 0);
	ck_assert_uint_eq(counter.n, N);
	loop_free(counter.loop);
}
END_TEST

static void on_turn_looks(void *arg)
{
	struct counter *counter = arg;
	int64_t later_mono_ms = counter->at_mono_ms + 5;

	if (counter->at_mono_ms == 0)
		return;
	while (clock_now().mono_ms < later_mono_ms)
		;
	ck_assert_int_eq(loop_now(counter->loop).mono_ms, counter->at_mono_ms);
	loop_read_clock(counter->loop);
	ck_assert_int_eq(loop_now(counter->loop).mono_ms, counter->at_mono_ms);
	loop_stop(counter->loop);
}

START_TEST(test_time_stands_still_in_a_turn)
{
	struct counter counter = {0};

	ck_assert_int_eq(loop_new(&counter.loop), 0);
	loop_set_turn_end(counter.loop, on_turn_looks, &counter);
	counter.timer = loop_timer_new(counter.loop, on_count, &counter);
	loop_timer_set(counter.timer, clock_now().mono_ms + 10);
	ck_assert_int_eq(loop_run(counter.loop), 0);
	ck_assert_uint_eq(counter.n, 1);
	/* Outside of turns it goes on. */
	ck_assert_int_ge(loop_now(counter.loop).mono_ms, counter.at_mono_ms + 5);
	loop_timer_free(counter.timer);
	loop_free(counter.loop);
}
END_TEST

START_TEST(test_signal_arrives_in_the_loop)
{
	struct netkit kit;
	struct counter counter = {.until = 1};
	struct loop_signal *on_usr1;

	netkit_init(&kit);
	counter.loop = kit.loop;
	ck_assert_int_eq(loop_signal_new(kit.loop, SIGUSR1, on_count, &counter, &on_usr1), 0);
	raise(SIGUSR1);
	ck_assert_uint_eq(counter.n, 0);
	ck_assert(netkit_run(&kit, was_counted, &counter));
	loop_signal_free(on_usr1);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_signal_that_cannot_be_caught)
{
	struct counter counter = {0};
	struct loop_signal *on_kill = NULL;

	ck_assert_int_eq(loop_new(&counter.loop), 0);
	ck_assert_int_eq(
	        loop_signal_new(counter.loop, SIGKILL, on_count, &counter, &on_kill), -EINVAL);
	ck_assert_ptr_null(on_kill);
	loop_free(counter.loop);
}
END_TEST

/* ---- what the kernel refuses ---- */

/* libevent's own descriptor, found by its name. */
static int find_epoll(void)
{
	for (int fd = 3; fd < 1024; fd++) {
		char path[32];
		char name[64] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, name, sizeof(name) - 1) > 0 && strstr(name, "[eventpoll]"))
			return fd;
	}
	return -1;
}

START_TEST(test_error_of_the_backend_ends_the_run)
{
	struct loop *loop;

	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(close(find_epoll()), 0);
	ck_assert_int_eq(loop_run(loop), -EBADF);
	loop_free(loop);
}
END_TEST

static void on_stop(void *arg)
{
	loop_stop(arg);
}

/* A plain file is what epoll takes of nobody; that nothing is ever heard of it again is no state to
 * go on in. */
START_TEST(test_descriptor_that_is_not_watched_ends_the_process)
{
	struct loop *loop;
	struct event *event;

	ck_assert_int_eq(loop_new(&loop), 0);
	event = event_new(loop_event_base(loop), open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
	        EV_READ, on_readable, loop);
	loop_event_add(event, NULL);
	/* It comes to that within one turn. */
	loop_set_turn_end(loop, on_stop, loop);
	loop_wake(loop);
	loop_run(loop);
}
END_TEST

START_TEST(test_null_is_freed_as_by_free)
{
	ck_assert_ptr_null(loop_free(NULL));
	ck_assert_ptr_null(loop_timer_free(NULL));
	ck_assert_ptr_null(loop_signal_free(NULL));
}
END_TEST

START_TEST(test_sigpipe_is_ignored)
{
	struct sigaction action;
	struct loop *loop;

	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(sigaction(SIGPIPE, NULL, &action), 0);
	ck_assert_ptr_eq(action.sa_handler, SIG_IGN);
	loop_free(loop);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_timer_fires_once_and_not_before);
	tcase_add_test(tests, test_timer_of_the_past_fires_and_a_cleared_one_does_not);
	tcase_add_test(tests, test_no_wait_is_longer_than_a_minute);
	tcase_add_test(tests, test_timer_that_is_always_due_lets_turns_end);
	tcase_add_test(tests, test_steady_traffic_lets_woken_turns_end);
	tcase_add_test(tests, test_deferred_runs_after_the_turns_end);
	tcase_add_test(tests, test_what_is_deferred_does_not_wait_for_something_to_happen);
	tcase_add_test(tests, test_many_deferred_run_in_their_order);
	tcase_add_test(tests, test_time_stands_still_in_a_turn);
	tcase_add_test(tests, test_signal_arrives_in_the_loop);
	tcase_add_test(tests, test_signal_that_cannot_be_caught);
	tcase_add_test(tests, test_error_of_the_backend_ends_the_run);
	tcase_add_exit_test(tests, test_descriptor_that_is_not_watched_ends_the_process, 70);
	tcase_add_test(tests, test_null_is_freed_as_by_free);
	tcase_add_test(tests, test_sigpipe_is_ignored);
}

int main(void)
{
	return netkit_main("loop", add_tests);
}

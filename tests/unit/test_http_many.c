/* net/http with many requests at once: the cap, their order, cancelling, freeing, the bound. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "httpkit.h"
#include "net/http_private.h"
#include "util/mem.h"

static bool are_three_waiting(void *arg)
{
	struct httpkit *kit = arg;

	return rawserver_waiting(&kit->server) == 3;
}

START_TEST(test_cap)
{
	struct httpkit kit;

	httpkit_init_with(&kit, 3);
	for (uint64_t i = 1; i <= 12; i++) {
		cleanup(mem_free_p) char *path = mem_printf("/wait/%llu/", (unsigned long long)i);

		httpkit_submit(&kit, path, i);
	}
	ck_assert_uint_eq(http_host_in_flight(kit.host), 12);
	ck_assert(netkit_run(&kit.net, are_three_waiting, &kit));
	netkit_run_for(&kit.net, 30);
	ck_assert_uint_eq(rawserver_requests(&kit.server), 3);
	rawserver_release(&kit.server);
	kit.until = 12;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	ck_assert_uint_eq(kit.server.n_waiting_max, 3);
	ck_assert_uint_eq(kit.server.n_connections, 3);
	ck_assert_uint_eq(http_host_in_flight(kit.host), 0);
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_first_come_first_sent)
{
	struct httpkit kit;

	httpkit_init_with(&kit, 1);
	for (uint64_t i = 1; i <= 12; i++) {
		cleanup(mem_free_p) char *path = mem_printf("/ok/%llu/", (unsigned long long)i);

		httpkit_submit(&kit, path, i);
	}
	kit.until = 12;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	for (unsigned i = 1; i <= 12; i++) {
		char path[32];

		snprintf(path, sizeof(path), "GET /ok/%u/ ", i);
		ck_assert_ptr_nonnull(strstr(rawserver_seen(&kit.server, i - 1), path));
		ck_assert_uint_eq(kit.got[i - 1].owner, i);
	}
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_cancel_everywhere)
{
	struct httpkit kit;

	httpkit_init_with(&kit, 3);
	for (uint64_t i = 1; i <= 6; i++)
		httpkit_submit(&kit, "/wait", i);
	ck_assert(netkit_run(&kit.net, are_three_waiting, &kit));
	http_cancel(kit.host, &kit, 6); /* queued */
	http_cancel(kit.host, &kit, 2); /* in flight: its place goes to 4 */
	http_cancel(kit.host, NULL, 1); /* somebody else's */
	ck_assert_uint_eq(http_host_in_flight(kit.host), 4);
	rawserver_release(&kit.server);
	kit.until = 4;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	netkit_run_for(&kit.net, 20);
	ck_assert_uint_eq(kit.n, 4);
	for (size_t i = 0; i < kit.n; i++) {
		ck_assert_uint_ne(kit.got[i].owner, 2);
		ck_assert_uint_ne(kit.got[i].owner, 6);
	}
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_callbacks_may_do_everything)
{
	struct httpkit kit;

	httpkit_init(&kit);
	kit.submit_to = kit.host;
	httpkit_submit(&kit, "/ok", 1);
	kit.until = 2;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	ck_assert_uint_eq(kit.got[1].owner, 101);
	/* Cancels its neighbour, whichever list that is in by now. */
	kit.does_cancel = true;
	httpkit_submit(&kit, "/ok", 11);
	httpkit_submit(&kit, "/hang", 12);
	kit.until = 3;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	ck_assert_uint_eq(http_host_in_flight(kit.host), 0);
	/* Frees its own host while others of it are in every list. */
	kit.free_host = kit.host;
	for (uint64_t i = 21; i < 41; i++)
		httpkit_submit(&kit, i % 2 ? "/ok" : "/hang", i);
	kit.until = 4;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	netkit_run_for(&kit.net, 20);
	ck_assert_uint_eq(kit.n, 4);
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_free_drops_what_is_in_flight)
{
	struct httpkit kit;
	size_t n_fds;

	httpkit_init_with(&kit, 3);
	n_fds = netkit_count_fds();
	for (uint64_t i = 1; i <= 5; i++)
		httpkit_submit(&kit, "/wait", i);
	ck_assert(netkit_run(&kit.net, are_three_waiting, &kit));
	kit.host = http_host_free(kit.host);
	rawserver_release(&kit.server);
	netkit_run_for(&kit.net, 50);
	ck_assert_uint_eq(kit.n, 0);
	ck_assert_uint_le(netkit_count_fds(), n_fds + 3);
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_queue_is_bounded)
{
	struct httpkit kit;
	size_t n_refused = 0;

	httpkit_init_with(&kit, 1);
	for (size_t i = 0; i < HTTP_QUEUE_MAX + 3; i++) {
		int result = httpkit_submit_to(&kit, kit.host, kit.base, NULL, 1000, i);

		ck_assert(result == 0 || result == -ENOBUFS);
		n_refused += result == -ENOBUFS;
	}
	ck_assert_uint_eq(n_refused, 2);
	ck_assert_uint_eq(http_host_in_flight(kit.host), HTTP_QUEUE_MAX + 1);
	httpkit_deinit(&kit);
}
END_TEST

static bool are_ten_waiting(void *arg)
{
	struct httpkit *kit = arg;

	return rawserver_waiting(&kit->server) == 10;
}

START_TEST(test_many_dead_connections_are_passed_over)
{
	struct httpkit kit;
	const struct http_answer *answer;

	httpkit_init_with(&kit, 10);
	for (uint64_t i = 1; i <= 10; i++)
		httpkit_submit(&kit, "/wait", i);
	ck_assert(netkit_run(&kit.net, are_ten_waiting, &kit));
	rawserver_release(&kit.server);
	kit.until = 10;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	/* libcurl tries one after the other and gives up at the sixth; then it is our turn. */
	answer = httpkit_ask(&kit, "/reset-if-reused");
	ck_assert_msg(answer->error == HTTP_OK, "%s", answer->message);
	ck_assert(!answer->was_reused);
	ck_assert_uint_eq(kit.server.n_connections, 11);
	ck_assert_uint_eq(answer->n_sent + 10, rawserver_requests(&kit.server));
	httpkit_deinit(&kit);
}
END_TEST

/* ---- answers that lie ready ---- */

struct ready {
	struct http_host *hosts[2];
	size_t until;
};

static bool are_ready(void *arg)
{
	struct ready *ready = arg;
	size_t n = 0;

	for (size_t i = 0; i < 2 && ready->hosts[i]; i++) {
		http_host_drain(ready->hosts[i]);
		n += ready->hosts[i]->n_ready;
	}
	return n == ready->until;
}

/* Lets libcurl work until all of these hosts' answers lie ready, and delivers none. */
static void get_ready(struct httpkit *kit, struct http_host *other, size_t n)
{
	struct ready ready = {.hosts = {kit->host, other}, .until = n};
	struct http *http = kit->net.http;

	kit->net.http = NULL;
	ck_assert(netkit_run(&kit->net, are_ready, &ready));
	kit->net.http = http;
}

START_TEST(test_callback_cancels_what_lies_ready)
{
	struct httpkit kit;

	httpkit_init_with(&kit, 1);
	httpkit_submit(&kit, "/ok", 1);
	httpkit_submit(&kit, "/ok", 2);
	get_ready(&kit, NULL, 2);
	kit.does_cancel = true;
	ck_assert_uint_eq(http_harvest(kit.net.http), 1);
	ck_assert_uint_eq(kit.n, 1);
	ck_assert_uint_eq(kit.got[0].owner, 1);
	ck_assert_uint_eq(http_host_in_flight(kit.host), 0);
	ck_assert_uint_eq(http_harvest(kit.net.http), 0);
	httpkit_deinit(&kit);
}
END_TEST

/* Cancelling and freeing leave to other hosts what is theirs, be it of the same owner. */
START_TEST(test_what_lies_ready_is_each_hosts_own)
{
	struct httpkit kit;
	struct http_host *other;

	httpkit_init_with(&kit, 1);
	other = httpkit_host_new(&kit, kit.base, 1);
	for (uint64_t owner = 1; owner <= 2; owner++) {
		httpkit_submit(&kit, "/ok", owner);
		ck_assert_int_eq(httpkit_submit_to(&kit, other, kit.base, NULL, 10000, owner), 0);
	}
	get_ready(&kit, other, 4);
	http_cancel(other, &kit, 1);
	ck_assert_uint_eq(http_host_in_flight(other), 1);
	ck_assert_uint_eq(http_host_in_flight(kit.host), 2);
	http_host_free(other);
	ck_assert_uint_eq(http_harvest(kit.net.http), 2);
	ck_assert_uint_eq(kit.n, 2);
	ck_assert_uint_eq(kit.got[0].owner, 1);
	ck_assert_uint_eq(kit.got[1].owner, 2);
	ck_assert_uint_eq(http_host_in_flight(kit.host), 0);
	httpkit_deinit(&kit);
}
END_TEST

/* ---- a crowd of answers ---- */

enum { CROWD = 2 * HTTP_HARVEST_MAX };

static const char nobody[] = "http://127.0.0.1:1";

static void count_answer(void *arg, uint64_t owner, const struct http_answer *answer)
{
	size_t *n = arg;

	(void)owner;
	ck_assert_int_eq(answer->error, HTTP_E_CONNECT);
	(*n)++;
}

static bool is_crowd_answered(void *arg)
{
	return *(const size_t *)arg == CROWD;
}

/* A port that nobody listens on refuses all of them; then they all lie ready at once. */
START_TEST(test_a_turn_takes_no_more_than_its_share)
{
	struct http_request request = {.url = nobody, .timeout_ms = 10000};
	struct httpkit kit;
	struct http_host *other;
	unsigned n_turns;
	size_t n = 0;

	httpkit_init(&kit);
	http_host_free(kit.host);
	kit.host = httpkit_host_new(&kit, nobody, HTTP_HARVEST_MAX);
	other = httpkit_host_new(&kit, nobody, HTTP_HARVEST_MAX);
	for (size_t i = 0; i < CROWD; i++)
		ck_assert_int_eq(
		        http_submit(i % 2 ? other : kit.host, &request, count_answer, &n, i), 0);
	get_ready(&kit, other, CROWD);
	ck_assert_uint_eq(http_harvest(kit.net.http), HTTP_HARVEST_MAX);
	ck_assert_uint_eq(n, HTTP_HARVEST_MAX);
	/* The rest comes in the next turn, which waits for nothing: not even for the kit's tick. */
	kit.net.holds = is_crowd_answered;
	kit.net.arg = &n;
	kit.net.deadline_mono_ms = clock_now().mono_ms + NETKIT_PATIENCE_MS;
	loop_timer_set(kit.net.tick, kit.net.deadline_mono_ms);
	n_turns = kit.net.n_turns;
	ck_assert_int_eq(loop_run(kit.net.loop), 0);
	ck_assert_uint_eq(n, CROWD);
	ck_assert_uint_eq(kit.net.n_turns, n_turns + 1);
	ck_assert_int_lt(clock_now().mono_ms, kit.net.deadline_mono_ms);
	loop_timer_clear(kit.net.tick);
	http_host_free(other);
	httpkit_deinit(&kit);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_cap);
	tcase_add_test(tests, test_first_come_first_sent);
	tcase_add_test(tests, test_cancel_everywhere);
	tcase_add_test(tests, test_callbacks_may_do_everything);
	tcase_add_test(tests, test_free_drops_what_is_in_flight);
	tcase_add_test(tests, test_queue_is_bounded);
	tcase_add_test(tests, test_callback_cancels_what_lies_ready);
	tcase_add_test(tests, test_what_lies_ready_is_each_hosts_own);
	tcase_add_test(tests, test_a_turn_takes_no_more_than_its_share);
	tcase_add_test(tests, test_many_dead_connections_are_passed_over);
}

int main(void)
{
	return netkit_main("http_many", add_tests);
}

/* net/http with many requests at once: the cap, their order, cancelling, freeing, the bound. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "httpkit.h"
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

/* ---- a crowd of answers ---- */

enum { CROWD_HOSTS = 3, CROWD = CROWD_HOSTS * HTTP_HOST_MAX_CONNECTIONS, ROUNDS_MAX = 20 };

static const char nobody[] = "http://127.0.0.1:1";

struct crowd {
	struct loop *loop;
	size_t n, until, n_in_turn, most;
};

static void end_of_turn(void *arg)
{
	struct crowd *crowd = arg;

	if (crowd->n_in_turn > crowd->most)
		crowd->most = crowd->n_in_turn;
	crowd->n_in_turn = 0;
}

static void count_answer(void *arg, uint64_t owner, const struct http_answer *answer)
{
	struct crowd *crowd = arg;

	(void)owner;
	ck_assert_int_eq(answer->error, HTTP_E_CONNECT);
	if (crowd->n_in_turn++ == 0)
		loop_defer(crowd->loop, end_of_turn, crowd);
	crowd->n++;
}

static bool is_crowd_answered(void *arg)
{
	const struct crowd *crowd = arg;

	return crowd->n == crowd->until;
}

static void ask_all(struct httpkit *kit, struct crowd *crowd, struct http_host **hosts)
{
	struct http_request request = {.url = nobody, .timeout_ms = 10000};

	for (size_t i = 0; i < CROWD; i++)
		ck_assert_int_eq(http_submit(hosts[i / HTTP_HOST_MAX_CONNECTIONS], &request,
		                         count_answer, crowd, i),
		        0);
	crowd->until += CROWD;
	ck_assert(netkit_run(&kit->net, is_crowd_answered, crowd));
	netkit_run_for(&kit->net, 1);
}

/* A port that nobody listens on refuses all at once, or nearly: sooner or later the turn is full.
 */
START_TEST(test_a_turn_takes_no_more_than_its_share)
{
	struct httpkit kit;
	struct http_host *hosts[CROWD_HOSTS];

	httpkit_init(&kit);
	struct crowd crowd = {.loop = kit.net.loop};

	for (size_t i = 0; i < CROWD_HOSTS; i++)
		hosts[i] = httpkit_host_new(&kit, nobody, HTTP_HOST_MAX_CONNECTIONS);
	for (int i = 0; i < ROUNDS_MAX && crowd.most < HTTP_HARVEST_MAX; i++)
		ask_all(&kit, &crowd, hosts);
	ck_assert_uint_eq(crowd.most, HTTP_HARVEST_MAX);
	for (size_t i = 0; i < CROWD_HOSTS; i++)
		http_host_free(hosts[i]);
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
	tcase_add_test(tests, test_a_turn_takes_no_more_than_its_share);
	tcase_add_test(tests, test_many_dead_connections_are_passed_over);
}

int main(void)
{
	return netkit_main("http_many", add_tests);
}

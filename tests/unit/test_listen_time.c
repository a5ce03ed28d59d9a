/* net/listen: what its timer ends, leaves alone and lets in. Minutes pass by making clients older.
 */
#include <check.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "listenkit.h"
#include "net/listen_private.h"
#include "rawclient.h"
#include "util/buf.h"
#include "util/mem.h"

/* The group's timer fires now. */
static void look(struct listenkit *kit)
{
	loop_timer_set(kit->group->timer, 0);
	netkit_run_for(&kit->net, 0);
}

/* Everybody is there for so much longer. */
static void grow_older(struct listenkit *kit, int64_t ms)
{
	for (size_t fd = 0; fd < kit->group->n_slots; fd++)
		kit->group->clients[fd].since_mono_ms -= ms;
}

/* ---- who takes too long ---- */

START_TEST(test_request_has_a_minute_to_arrive)
{
	struct listenkit kit;
	struct rawclient silent;
	struct rawclient slow;
	struct rawclient held;

	listenkit_init(&kit);
	rawclient_open(&silent, kit.path);
	rawclient_open(&slow, kit.path);
	rawclient_say(&slow, "GET / HTTP/1.1\r\nHost: ");
	rawclient_open(&held, kit.path);
	rawclient_get(&held, "/hold");
	listenkit_expect(&kit, listenkit_held, 1);
	listenkit_expect(&kit, listenkit_clients, 3);
	grow_older(&kit, LISTEN_REQUEST_MS - 5000);
	look(&kit);
	ck_assert_uint_eq(listen_group_clients(kit.group), 3);
	grow_older(&kit, 5001);
	look(&kit);
	rawclient_expect_end(&silent, &kit.net);
	rawclient_expect_end(&slow, &kit.net);
	listenkit_expect(&kit, listenkit_clients, 1);
	/* Whose request is here waits for us; when it is answered, a new minute begins. */
	ck_assert_uint_eq(kit.n_gone, 0);
	listen_reply(kit.held[0], 200, "text/plain", "late", 4, NULL);
	rawclient_expect(&held, &kit.net, "late");
	look(&kit);
	rawclient_get(&held, "/");
	rawclient_expect(&held, &kit.net, "{\"a\":1}");
	rawclient_close(&silent);
	rawclient_close(&slow);
	rawclient_close(&held);
	listenkit_deinit(&kit);
}
END_TEST

static bool is_one_unsent(void *arg)
{
	const struct listenkit *kit = arg;

	return TAILQ_FIRST(&kit->group->sendings) &&
	       !TAILQ_NEXT(TAILQ_FIRST(&kit->group->sendings), link);
}

START_TEST(test_large_answer_has_a_minute_to_be_taken)
{
	enum { BYTES = 4 * 1024 * 1024 };
	static const char end[] = {'<', 'e', 'n', 'd', '>'};
	cleanup(mem_free_p) char *body = mem_new(BYTES, 1);
	struct listenkit kit;
	struct rawclient clients[2];

	memset(body, 'x', BYTES);
	memcpy(body + BYTES - sizeof(end), end, sizeof(end));
	listenkit_init(&kit);
	for (size_t i = 0; i < 2; i++) {
		rawclient_open(&clients[i], kit.path);
		rawclient_get(&clients[i], "/defer");
		listenkit_expect(&kit, listenkit_held, i + 1);
		listen_reply(kit.held[i], 200, "text/plain", body, BYTES, NULL);
	}
	look(&kit);
	ck_assert_uint_eq(listen_group_unsent(kit.group), 2 * BYTES);
	TAILQ_FIRST(&kit.group->sendings)->since_mono_ms -= LISTEN_SENDING_MS + 1;
	look(&kit);
	ck_assert(netkit_run(&kit.net, is_one_unsent, &kit));
	ck_assert_uint_eq(listen_group_unsent(kit.group), BYTES);
	rawclient_expect_end(&clients[0], &kit.net);
	ck_assert_uint_lt(clients[0].got.len, BYTES);
	rawclient_expect(&clients[1], &kit.net, "<end>");
	rawclient_close(&clients[0]);
	rawclient_close(&clients[1]);
	listenkit_expect(&kit, listenkit_clients, 0);
	ck_assert_uint_eq(listen_group_unsent(kit.group), 0);
	listenkit_deinit(&kit);
}
END_TEST

/* ---- who waits rightly ---- */

START_TEST(test_look_leaves_alone_who_is_still_there)
{
	struct listenkit kit;
	struct rawclient deferred;
	struct rawclient held;

	listenkit_init(&kit);
	rawclient_open(&deferred, kit.path);
	rawclient_get(&deferred, "/defer");
	listenkit_expect(&kit, listenkit_held, 1);
	rawclient_open(&held, kit.path);
	rawclient_get(&held, "/hold");
	listenkit_expect(&kit, listenkit_held, 2);
	/* More than it was asked for: from here on the timer alone can see it leave. */
	rawclient_get(&held, "/after");
	netkit_run_for(&kit.net, 0);
	netkit_run_for(&kit.net, 0);
	look(&kit);
	look(&kit);
	ck_assert_uint_eq(kit.n_gone, 0);
	listen_reply(kit.held[0], 200, "text/plain", "first", 5, NULL);
	listen_reply(kit.held[1], 200, "text/plain", "second", 6, NULL);
	rawclient_expect(&deferred, &kit.net, "first");
	rawclient_expect(&held, &kit.net, "second");
	rawclient_expect(&held, &kit.net, "{\"a\":1}");
	rawclient_close(&deferred);
	rawclient_close(&held);
	listenkit_deinit(&kit);
}
END_TEST

static int count_events(const struct listenkit *kit)
{
	return event_base_get_num_events(loop_event_base(kit->net.loop), EVENT_BASE_COUNT_ADDED);
}

START_TEST(test_no_look_without_anything_to_look_at)
{
	struct listenkit kit;
	int n;

	listenkit_init(&kit);
	look(&kit);
	kit.listen = listen_free(kit.listen);
	n = count_events(&kit);
	look(&kit);
	ck_assert_int_eq(count_events(&kit), n - 1);
	look(&kit);
	ck_assert_int_eq(count_events(&kit), n - 1);
	listenkit_deinit(&kit);
}
END_TEST

/* ---- the cap ---- */

START_TEST(test_those_who_left_are_not_counted_at_the_cap)
{
	enum { CAP = 3 };
	struct listenkit kit;
	struct rawclient clients[CAP + 1];
	int taken[2];

	listenkit_init_with(&kit, CAP);
	rawclient_open(&clients[0], kit.path);
	rawclient_open(&clients[1], kit.path);
	listenkit_expect(&kit, listenkit_clients, 2);
	/* Nobody looks before the cap is reached; nor is its number taken by the next one. */
	loop_timer_clear(kit.group->timer);
	rawclient_close(&clients[0]);
	listenkit_expect(&kit, listenkit_clients, 1);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		taken[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_uint_eq(kit.group->n_clients, 2);
	rawclient_open(&clients[2], kit.path);
	listenkit_expect(&kit, listenkit_clients, 2);
	ck_assert(kit.group->is_accepting);
	rawclient_open(&clients[3], kit.path);
	listenkit_expect(&kit, listenkit_clients, 3);
	ck_assert(!kit.group->is_accepting);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		close(taken[i]);
	for (size_t i = 1; i <= CAP; i++)
		rawclient_close(&clients[i]);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_listener_that_is_made_at_the_cap_waits_too)
{
	struct listenkit kit;
	struct listen *other = NULL;
	struct rawclient first;
	struct rawclient second;
	cleanup(mem_free_p) char *path = NULL;

	/* At least one client there may be. */
	listenkit_init_with(&kit, 0);
	path = mem_printf("%s/admin.sock", kit.dir);
	rawclient_open(&first, kit.path);
	rawclient_get(&first, "/hold");
	listenkit_expect(&kit, listenkit_held, 1);
	ck_assert_int_eq(
	        listen_unix_new(kit.group, path, 0600, listenkit_on_request, &kit, &other, NULL, 0),
	        0);
	rawclient_open(&second, path);
	rawclient_get(&second, "/");
	look(&kit);
	netkit_run_for(&kit.net, 20);
	ck_assert_uint_eq(kit.n_requests, 1);
	ck_assert_uint_eq(listen_group_clients(kit.group), 1);
	rawclient_close(&first);
	rawclient_expect(&second, &kit.net, "{\"a\":1}");
	rawclient_close(&second);
	listen_free(other);
	listenkit_deinit(&kit);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_request_has_a_minute_to_arrive);
	tcase_add_test(tests, test_large_answer_has_a_minute_to_be_taken);
	tcase_add_test(tests, test_look_leaves_alone_who_is_still_there);
	tcase_add_test(tests, test_no_look_without_anything_to_look_at);
	tcase_add_test(tests, test_those_who_left_are_not_counted_at_the_cap);
	tcase_add_test(tests, test_listener_that_is_made_at_the_cap_waits_too);
}

int main(void)
{
	return netkit_main("listen_time", add_tests);
}

/* net/listen: how much of anything clients get, and that nothing of them stays behind. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listenkit.h"
#include "rawclient.h"
#include "util/buf.h"
#include "util/mem.h"

/* ---- bounds ---- */

static void say_all(struct listenkit *kit, struct rawclient *client, const char *bytes, size_t len)
{
	while (len > 0 && !client->is_ended) {
		ssize_t n = send(client->fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			break;
		bytes += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
		rawclient_read(client);
		netkit_run_for(&kit->net, 1);
	}
}

START_TEST(test_large_requests_are_refused)
{
	enum { LEN = 200 * 1000 };
	cleanup(mem_free_p) char *many = mem_new(LEN + 1, 1);
	cleanup(mem_free_p) char *body =
	        mem_printf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
	                LISTEN_BODY_MAX_BYTES + 1);
	cleanup(mem_free_p) char *fits = mem_printf(
	        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", LISTEN_BODY_MAX_BYTES);
	static const char *const begins[] = {"GET / HTTP/1.1\r\nX-Long: ", "GET /"};
	struct listenkit kit;
	struct rawclient client;

	memset(many, 'x', LEN);
	listenkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
		rawclient_open(&client, kit.path);
		rawclient_say(&client, begins[i]);
		say_all(&kit, &client, many, LEN);
		rawclient_expect_end(&client, &kit.net);
		rawclient_close(&client);
	}
	rawclient_open(&client, kit.path);
	rawclient_say(&client, body);
	rawclient_expect(&client, &kit.net, "HTTP/1.1 413 ");
	rawclient_expect_end(&client, &kit.net);
	rawclient_close(&client);
	ck_assert_uint_eq(kit.n_requests, 0);
	rawclient_open(&client, kit.path);
	rawclient_say(&client, fits);
	say_all(&kit, &client, many, LISTEN_BODY_MAX_BYTES);
	rawclient_expect(&client, &kit.net, "{\"a\":1}");
	ck_assert_uint_eq(kit.n_requests, 1);
	rawclient_close(&client);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_chunked_bodies_are_refused)
{
	static const char *const heads[] = {
	        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"};
	struct listenkit kit;
	struct rawclient client;

	listenkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		rawclient_open(&client, kit.path);
		rawclient_say(&client, "POST / HTTP/1.1\r\nHost: x\r\n");
		rawclient_say(&client, heads[i]);
		/* Later versions of evhttp refuse some of them by themselves. */
		rawclient_expect(&client, &kit.net, "HTTP/1.1 4");
		rawclient_expect_end(&client, &kit.net);
		ck_assert(strstr(client.got.data, " 411 ") ||
		          (i > 0 && strstr(client.got.data, " 400 ")));
		ck_assert_ptr_nonnull(strstr(client.got.data, "Connection: close\r\n"));
		rawclient_close(&client);
	}
	ck_assert_uint_eq(kit.n_requests, 0);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_garbage_harms_nobody)
{
	static const char *const texts[] = {"\r\n\r\n", "x\r\n\r\n", "GET\r\n\r\n",
	        "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n",
	        "GET / HTTP/1.1\r\n: x\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
	        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"};
	struct listenkit kit;
	struct rawclient client;

	listenkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		rawclient_open(&client, kit.path);
		rawclient_say(&client, texts[i]);
		netkit_run_for(&kit.net, 10);
		rawclient_close(&client);
	}
	listenkit_expect(&kit, listenkit_clients, 0);
	rawclient_open(&client, kit.path);
	rawclient_get(&client, "/");
	rawclient_expect(&client, &kit.net, "{\"a\":1}");
	rawclient_close(&client);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_cap_on_connections)
{
	enum { CAP = 3, N = 6 };
	struct listenkit kit;
	struct rawclient clients[N];

	listenkit_init_with(&kit, CAP);
	/* Without a word: nothing but their number tells of them. */
	for (size_t i = 0; i < N; i++)
		rawclient_open(&clients[i], kit.path);
	listenkit_expect(&kit, listenkit_clients, CAP);
	rawclient_get(&clients[CAP], "/");
	rawclient_get(&clients[CAP + 1], "/");
	netkit_run_for(&kit.net, 300);
	ck_assert_uint_eq(listen_group_clients(kit.group), CAP);
	ck_assert_uint_eq(kit.n_requests, 0);
	rawclient_close(&clients[0]);
	rawclient_expect(&clients[CAP], &kit.net, "{\"a\":1}");
	/* At the cap connections are not kept, so the next ones have their turn too. */
	ck_assert_ptr_nonnull(strstr(clients[CAP].got.data, "Connection: close\r\n"));
	rawclient_expect_end(&clients[CAP], &kit.net);
	rawclient_expect(&clients[CAP + 1], &kit.net, "{\"a\":1}");
	for (size_t i = 1; i < N; i++)
		rawclient_close(&clients[i]);
	listenkit_expect(&kit, listenkit_clients, 0);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_cap_is_of_the_group)
{
	struct listenkit kit;
	struct listen *other;
	struct rawclient clients[3];
	cleanup(mem_free_p) char *path = NULL;

	listenkit_init_with(&kit, 2);
	path = mem_printf("%s/admin.sock", kit.dir);
	ck_assert_int_eq(
	        listen_unix_new(kit.group, path, 0600, listenkit_on_request, &kit, &other, NULL, 0),
	        0);
	rawclient_open(&clients[0], kit.path);
	rawclient_open(&clients[1], kit.path);
	listenkit_expect(&kit, listenkit_clients, 2);
	rawclient_open(&clients[2], path);
	rawclient_get(&clients[2], "/");
	netkit_run_for(&kit.net, 200);
	ck_assert_uint_eq(kit.n_requests, 0);
	rawclient_close(&clients[0]);
	rawclient_expect(&clients[2], &kit.net, "{\"a\":1}");
	listen_free(other);
	rawclient_close(&clients[1]);
	rawclient_close(&clients[2]);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_no_descriptors_left)
{
	struct listenkit kit;
	struct rawclient first;
	struct rawclient clients[2];
	struct rlimit old;
	struct rlimit tight;
	unsigned n_turns;
	int probe;

	listenkit_init(&kit);
	rawclient_open(&first, kit.path);
	rawclient_get(&first, "/");
	rawclient_expect(&first, &kit.net, "{\"a\":1}");
	for (size_t i = 0; i < 2; i++) {
		rawclient_open(&clients[i], kit.path);
		rawclient_get(&clients[i], "/");
	}
	getrlimit(RLIMIT_NOFILE, &old);
	probe = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(probe);
	tight = (struct rlimit){.rlim_cur = (rlim_t)probe, .rlim_max = old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &tight);
	n_turns = kit.net.n_turns;
	netkit_run_for(&kit.net, 500);
	/* The kit itself takes a turn every few milliseconds. */
	ck_assert_uint_lt(kit.net.n_turns - n_turns, 500);
	ck_assert_uint_eq(kit.n_requests, 1);
	/* Who is there already is served meanwhile. */
	buf_clear(&first.got);
	rawclient_get(&first, "/");
	rawclient_expect(&first, &kit.net, "{\"a\":1}");
	setrlimit(RLIMIT_NOFILE, &old);
	rawclient_expect(&clients[0], &kit.net, "{\"a\":1}");
	rawclient_expect(&clients[1], &kit.net, "{\"a\":1}");
	rawclient_close(&first);
	rawclient_close(&clients[0]);
	rawclient_close(&clients[1]);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_nothing_leaks)
{
	struct listenkit kit;
	size_t n_fds;

	listenkit_init(&kit);
	n_fds = netkit_count_fds();
	for (size_t i = 0; i < 300; i++) {
		struct rawclient client;

		rawclient_open(&client, kit.path);
		if (i % 3) {
			rawclient_get(&client, i % 3 == 1 ? "/" : "/hold");
			kit.n_held = 0;
			netkit_run_for(&kit.net, 1);
		}
		rawclient_close(&client);
	}
	listenkit_expect(&kit, listenkit_clients, 0);
	ck_assert_uint_eq(netkit_count_fds(), n_fds);
	listenkit_deinit(&kit);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_large_requests_are_refused);
	tcase_add_test(tests, test_chunked_bodies_are_refused);
	tcase_add_test(tests, test_garbage_harms_nobody);
	tcase_add_test(tests, test_cap_on_connections);
	tcase_add_test(tests, test_cap_is_of_the_group);
	tcase_add_test(tests, test_no_descriptors_left);
	tcase_add_test(tests, test_nothing_leaks);
}

int main(void)
{
	return netkit_main("listen_limits", add_tests);
}

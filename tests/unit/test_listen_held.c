/* net/listen: requests that are answered later, streams, and clients that leave meanwhile. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "listenkit.h"
#include "rawclient.h"
#include "util/buf.h"
#include "util/mem.h"

/* ---- held requests ---- */

START_TEST(test_held_request_is_answered_later)
{
	struct listenkit kit;
	struct rawclient client;

	listenkit_init(&kit);
	rawclient_open(&client, kit.path);
	rawclient_get(&client, "/hold");
	listenkit_expect(&kit, listenkit_held, 1);
	/* Further bytes ended the process where reading was enabled by hand. */
	rawclient_get(&client, "/after");
	netkit_run_for(&kit.net, 50);
	ck_assert_uint_eq(kit.n_requests, 1);
	listen_reply(kit.held[0], 200, "text/plain", "late", 4, NULL);
	rawclient_expect(&client, &kit.net, "late");
	rawclient_expect(&client, &kit.net, "{\"a\":1}");
	ck_assert_uint_eq(kit.n_requests, 2);
	rawclient_close(&client);
	listenkit_expect(&kit, listenkit_clients, 0);
	ck_assert_uint_eq(kit.n_gone, 0);
	listenkit_deinit(&kit);
}
END_TEST

/* Who says all that he has to say, and closes that direction, gets all of the answer. */
START_TEST(test_half_close_while_a_large_answer_is_sent)
{
	enum { BYTES = 4 * 1024 * 1024 };
	static const char end[] = {'<', 'e', 'n', 'd', '>'};
	struct listenkit kit;
	struct rawclient client;
	char *body = mem_new(BYTES, 1);

	memset(body, 'x', BYTES);
	memcpy(body + BYTES - sizeof(end), end, sizeof(end));
	listenkit_init(&kit);
	rawclient_open(&client, kit.path);
	rawclient_get(&client, "/defer");
	listenkit_expect(&kit, listenkit_held, 1);
	shutdown(client.fd, SHUT_WR);
	netkit_run_for(&kit.net, 50);
	ck_assert_uint_eq(kit.n_gone, 0);
	listen_reply(kit.held[0], 200, "text/plain", body, BYTES, NULL);
	ck_assert_uint_eq(listen_group_unsent(kit.group), BYTES);
	rawclient_expect(&client, &kit.net, "<end>");
	rawclient_expect_end(&client, &kit.net);
	rawclient_close(&client);
	listenkit_expect(&kit, listenkit_clients, 0);
	ck_assert_uint_eq(kit.n_gone, 0);
	ck_assert_uint_eq(listen_group_unsent(kit.group), 0);
	/* Nor does one count who leaves in the middle. */
	rawclient_open(&client, kit.path);
	rawclient_get(&client, "/defer");
	listenkit_expect(&kit, listenkit_held, 2);
	listen_reply(kit.held[1], 200, "text/plain", body, BYTES, NULL);
	netkit_run_for(&kit.net, 50);
	ck_assert_uint_eq(listen_group_unsent(kit.group), BYTES);
	rawclient_close(&client);
	listenkit_expect(&kit, listenkit_clients, 0);
	ck_assert_uint_eq(listen_group_unsent(kit.group), 0);
	listenkit_deinit(&kit);
	free(body);
}
END_TEST

START_TEST(test_leaving_is_noticed)
{
	static const char *const paths[] = {"/hold", "/stream"};
	struct listenkit kit;
	struct rawclient client;
	size_t n = 0;

	listenkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		for (int how = 0; how < 3; how++) {
			rawclient_open(&client, kit.path);
			rawclient_get(&client, paths[i]);
			listenkit_expect(&kit, listenkit_held, ++n);
			if (how == 0)
				rawclient_say(&client, "GET /more");
			if (how == 2)
				shutdown(client.fd, SHUT_WR);
			else
				close(client.fd);
			listenkit_expect(&kit, listenkit_gone, n);
			listenkit_expect(&kit, listenkit_clients, 0);
			if (how == 2)
				close(client.fd);
			buf_deinit(&client.got);
		}
	}
	listenkit_deinit(&kit);
	ck_assert_uint_eq(kit.n_gone, n);
}
END_TEST

static int64_t cpu_ms(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

/* libevent's spinning goes on within one turn, so it is seen in the time used, not in turns. */
START_TEST(test_leaving_with_unread_bytes_does_not_spin)
{
	static const char *const more[] = {"", "GET /more", "", "GET /more", "", "GET /more"};
	struct listenkit kit;
	struct rawclient client;
	int64_t began_ms;

	listenkit_init(&kit);
	began_ms = cpu_ms();
	for (size_t i = 0; i < ARRAY_LEN(more); i++) {
		rawclient_open(&client, kit.path);
		/* The first reply stays unread, so that the close becomes a reset. */
		rawclient_get(&client, "/");
		rawclient_get(&client, "/hold");
		listenkit_expect(&kit, listenkit_held, i + 1);
		rawclient_say(&client, more[i]);
		netkit_run_for(&kit.net, 20);
		rawclient_close(&client);
		listenkit_expect(&kit, listenkit_gone, i + 1);
	}
	ck_assert_int_lt(cpu_ms() - began_ms, 800);
	listenkit_expect(&kit, listenkit_clients, 0);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_many_held_requests_all_leave)
{
	enum { N = 200 };
	struct listenkit kit;
	struct rawclient clients[N];

	listenkit_init_with(&kit, 2 * N);
	for (size_t i = 0; i < N; i++) {
		rawclient_open(&clients[i], kit.path);
		rawclient_get(&clients[i], "/hold");
		netkit_run_for(&kit.net, 0);
	}
	listenkit_expect(&kit, listenkit_held, N);
	ck_assert_uint_eq(listen_group_clients(kit.group), N);
	for (size_t i = 0; i < N; i++)
		rawclient_close(&clients[i]);
	listenkit_expect(&kit, listenkit_gone, N);
	listenkit_expect(&kit, listenkit_clients, 0);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_free_tells_the_holders_and_hangs_up)
{
	struct listenkit kit;
	struct rawclient clients[3];

	listenkit_init(&kit);
	for (size_t i = 0; i < 3; i++)
		rawclient_open(&clients[i], kit.path);
	rawclient_get(&clients[0], "/hold");
	rawclient_get(&clients[1], "/stream");
	listenkit_expect(&kit, listenkit_held, 2);
	listenkit_expect(&kit, listenkit_clients, 3);
	kit.listen = listen_free(kit.listen);
	ck_assert_uint_eq(kit.n_gone, 2);
	ck_assert_uint_eq(listen_group_clients(kit.group), 0);
	for (size_t i = 0; i < 3; i++) {
		rawclient_expect_end(&clients[i], &kit.net);
		rawclient_close(&clients[i]);
	}
	ck_assert_int_lt(access(kit.path, F_OK), 0);
	listenkit_deinit(&kit);
}
END_TEST

/* ---- streams ---- */

struct sink {
	struct rawclient *client;
	size_t len; /* wanted */
};

static bool has_many(void *arg)
{
	struct sink *sink = arg;

	rawclient_read(sink->client);
	return sink->client->got.len >= sink->len;
}

START_TEST(test_stream)
{
	struct listenkit kit;
	struct rawclient client;

	listenkit_init(&kit);
	rawclient_open(&client, kit.path);
	rawclient_get(&client, "/stream");
	rawclient_expect(&client, &kit.net, "\r\n\r\n");
	ck_assert_ptr_nonnull(strstr(client.got.data, "Content-Type: application/x-ndjson\r\n"));
	ck_assert_ptr_nonnull(strstr(client.got.data, "Transfer-Encoding: chunked\r\n"));
	ck_assert(listen_stream_add(kit.held[0], "one\n", 4));
	ck_assert(listen_stream_add(kit.held[0], "", 0));
	rawclient_expect(&client, &kit.net, "4\r\none\n\r\n");
	ck_assert_uint_eq(listen_stream_unsent(kit.held[0]), 0);
	ck_assert(listen_stream_add(kit.held[0], "two\n", 4));
	listen_stream_end(kit.held[0]);
	rawclient_expect(&client, &kit.net, "4\r\ntwo\n\r\n0\r\n\r\n");
	rawclient_expect_end(&client, &kit.net);
	ck_assert_uint_eq(kit.n_gone, 0);
	rawclient_close(&client);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_stream_of_a_slow_reader_is_bounded)
{
	enum { CHUNK = 64 * 1024 };
	cleanup(mem_free_p) char *bytes = mem_new(CHUNK, 1);
	struct listenkit kit;
	struct rawclient client;
	struct sink sink = {.client = &client};
	size_t n = 0;
	size_t before;

	memset(bytes, 'x', CHUNK);
	listenkit_init(&kit);
	rawclient_open(&client, kit.path);
	rawclient_get(&client, "/stream");
	listenkit_expect(&kit, listenkit_held, 1);
	while (listen_stream_add(kit.held[0], bytes, CHUNK)) {
		netkit_run_for(&kit.net, 1);
		ck_assert_uint_lt(++n, 1000);
		ck_assert_uint_le(listen_stream_unsent(kit.held[0]), LISTEN_QUEUE_MAX_BYTES + 4096);
	}
	before = listen_stream_unsent(kit.held[0]);
	ck_assert_uint_gt(before + CHUNK, LISTEN_QUEUE_MAX_BYTES);
	ck_assert(!listen_stream_add(kit.held[0], bytes, LISTEN_QUEUE_MAX_BYTES));
	ck_assert_uint_eq(listen_stream_unsent(kit.held[0]), before);
	/* All that was taken arrives once it reads. */
	sink.len = n * CHUNK;
	listen_stream_end(kit.held[0]);
	ck_assert(netkit_run(&kit.net, has_many, &sink));
	rawclient_expect_end(&client, &kit.net);
	ck_assert_mem_eq(client.got.data + client.got.len - 5, "0\r\n\r\n", 5);
	rawclient_close(&client);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_talkative_reader_of_a_stream_is_bounded)
{
	enum { CHUNK = 64 * 1024, MOST = 8 * 1024 * 1024 };
	cleanup(mem_free_p) char *bytes = mem_new(CHUNK, 1);
	struct listenkit kit;
	struct rawclient client;
	size_t n = 0;
	unsigned n_refused = 0;

	listenkit_init(&kit);
	rawclient_open(&client, kit.path);
	rawclient_get(&client, "/stream");
	listenkit_expect(&kit, listenkit_held, 1);
	ck_assert(listen_stream_add(kit.held[0], "x", 1));
	while (n < MOST && n_refused < 50) {
		ssize_t sent = send(client.fd, bytes, CHUNK, MSG_NOSIGNAL);

		ck_assert(sent > 0 || errno == EAGAIN);
		n += sent > 0 ? (size_t)sent : 0;
		n_refused = sent > 0 ? 0 : n_refused + 1;
		netkit_run_for(&kit.net, 1);
	}
	ck_assert_uint_lt(n, MOST);
	close(client.fd);
	listenkit_expect(&kit, listenkit_gone, 1);
	buf_deinit(&client.got);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_head_of_a_stream)
{
	struct listenkit kit;
	struct rawclient client;

	listenkit_init(&kit);
	rawclient_open(&client, kit.path);
	rawclient_say(&client, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	listenkit_expect(&kit, listenkit_held, 1);
	ck_assert(listen_stream_add(kit.held[0], "x", 1));
	ck_assert_ptr_null(listen_header(kit.held[0], "Host"));
	rawclient_expect_end(&client, &kit.net);
	listenkit_expect(&kit, listenkit_gone, 1);
	ck_assert_ptr_nonnull(strstr(client.got.data, "\r\n\r\n"));
	ck_assert_str_eq(strstr(client.got.data, "\r\n\r\n"), "\r\n\r\n");
	rawclient_close(&client);
	/* And where it is ended before the answer went out. */
	rawclient_open(&client, kit.path);
	rawclient_say(&client, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	listenkit_expect(&kit, listenkit_held, 2);
	listen_stream_end(kit.held[1]);
	rawclient_expect_end(&client, &kit.net);
	rawclient_close(&client);
	ck_assert_uint_eq(kit.n_gone, 1);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_held_request_becomes_a_stream)
{
	struct listenkit kit;
	struct rawclient client;

	listenkit_init(&kit);
	rawclient_open(&client, kit.path);
	rawclient_get(&client, "/hold");
	listenkit_expect(&kit, listenkit_held, 1);
	listen_stream_begin(kit.held[0], 200, "text/plain", listenkit_on_gone, &kit);
	ck_assert(listen_stream_add(kit.held[0], "x\n", 2));
	rawclient_expect(&client, &kit.net, "2\r\nx\n\r\n");
	rawclient_close(&client);
	listenkit_expect(&kit, listenkit_gone, 1);
	listenkit_deinit(&kit);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_held_request_is_answered_later);
	tcase_add_test(tests, test_half_close_while_a_large_answer_is_sent);
	tcase_add_test(tests, test_leaving_is_noticed);
	tcase_add_test(tests, test_leaving_with_unread_bytes_does_not_spin);
	tcase_add_test(tests, test_many_held_requests_all_leave);
	tcase_add_test(tests, test_free_tells_the_holders_and_hangs_up);
	tcase_add_test(tests, test_stream);
	tcase_add_test(tests, test_stream_of_a_slow_reader_is_bounded);
	tcase_add_test(tests, test_talkative_reader_of_a_stream_is_bounded);
	tcase_add_test(tests, test_head_of_a_stream);
	tcase_add_test(tests, test_held_request_becomes_a_stream);
}

int main(void)
{
	return netkit_main("listen_held", add_tests);
}

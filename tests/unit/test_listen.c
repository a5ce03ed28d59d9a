/* net/listen: sockets, bounds, held requests and streams, as seen by clients that misbehave. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "net/listen.h"
#include "net/listen_uri.h"
#include "netkit.h"
#include "util/buf.h"
#include "util/mem.h"

/* ---- the server's side ---- */

enum { HELD_MAX = 256 };

struct bench {
	struct netkit kit;
	struct listen_group *group;
	struct listen *listen;
	char *dir, *path;
	unsigned n_requests;
	unsigned n_gone;
	struct listen_request *held[HELD_MAX]; /* in order of arrival */
	size_t n_held;
	char *last; /* what the last request was, in words; owned */
};

static void on_gone(void *arg)
{
	struct bench *bench = arg;

	bench->n_gone++;
}

static void describe(struct bench *bench, struct listen_request *request)
{
	struct buf words = {0};
	size_t len;
	const char *body = listen_body(request, &len);
	const char *header = listen_header(request, "x-test");
	uid_t uid;
	pid_t pid;

	buf_addf(&words, "%d %s %s", (int)listen_method(request), listen_method_name(request),
	        listen_path(request));
	for (size_t i = 0; i < listen_path_segments(request); i++)
		buf_addf(&words, " [%s]",
		        listen_path_segment(request, i) ? listen_path_segment(request, i) : "-");
	for (int i = 0; i < listen_query_count(request); i++)
		buf_addf(&words, " %s=%s", listen_query_name(request, (size_t)i),
		        listen_query_value(request, (size_t)i));
	buf_addf(&words, " test=%s body=%zu:%s", header ? header : "-", len, body);
	ck_assert_ptr_eq(listen_body(request, &len), body);
	if (listen_peer(request, &uid, &pid)) {
		ck_assert_uint_eq(uid, geteuid());
		ck_assert_int_eq(pid, getpid());
		buf_adds(&words, " peer");
	}
	free(bench->last);
	bench->last = buf_steal(&words);
}

static void on_request(void *arg, struct listen_request *request)
{
	struct bench *bench = arg;
	static const char *const headers[] = {"Cache-Control: no-store", "X-Empty:", NULL};
	const char *what = listen_path_segment(request, 0);

	bench->n_requests++;
	describe(bench, request);
	if (what && strcmp(what, "hold") == 0) {
		ck_assert_uint_lt(bench->n_held, HELD_MAX);
		bench->held[bench->n_held++] = request;
		listen_hold(request, on_gone, bench);
	} else if (what && strcmp(what, "stream") == 0) {
		bench->held[bench->n_held++] = request;
		listen_stream_begin(request, 200, "application/x-ndjson", on_gone, bench);
	} else if (what && strcmp(what, "nothing") == 0) {
		listen_reply(request, 204, NULL, NULL, 0, NULL);
	} else {
		listen_reply(request, 200, "application/json", "{\"a\":1}\n", 8, headers);
	}
}

static void bench_init_with(struct bench *bench, int max_clients)
{
	char words[256];

	*bench = (struct bench){0};
	netkit_init(&bench->kit);
	bench->dir = netkit_make_dir();
	bench->path = mem_printf("%s/query.sock", bench->dir);
	ck_assert_int_eq(listen_group_new(bench->kit.loop, max_clients, &bench->group), 0);
	ck_assert_int_eq(listen_unix_new(bench->group, bench->path, 0600, on_request, bench,
	                         &bench->listen, words, sizeof(words)),
	        0);
}

static void bench_init(struct bench *bench)
{
	bench_init_with(bench, 64);
}

static void bench_deinit(struct bench *bench)
{
	listen_free(bench->listen);
	listen_group_free(bench->group);
	netkit_deinit(&bench->kit);
	netkit_remove_dir(bench->dir);
	free(bench->path);
	free(bench->last);
}

/* ---- the client's side ---- */

struct client {
	int fd;
	struct buf got;
	bool is_ended;
	const char *wanted;
	size_t wanted_len;
};

static void client_open(struct client *client, const struct bench *bench)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	*client = (struct client){0};
	strcpy(address.sun_path, bench->path);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(client->fd, 0);
	ck_assert_int_eq(
	        connect(client->fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(fcntl(client->fd, F_SETFL, O_NONBLOCK), 0);
}

static void client_close(struct client *client)
{
	close(client->fd);
	buf_deinit(&client->got);
}

static void client_say(struct client *client, const char *text)
{
	ck_assert_int_eq(send(client->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void client_get(struct client *client, const char *path)
{
	cleanup(mem_free_p) char *text =
	        mem_printf("GET %s HTTP/1.1\r\nHost: localhost\r\nX-Test: yes\r\n\r\n", path);

	client_say(client, text);
}

static void client_read(struct client *client)
{
	char bytes[65536];
	ssize_t n;

	while (!client->is_ended && (n = recv(client->fd, bytes, sizeof(bytes), 0)) >= 0) {
		if (n == 0)
			client->is_ended = true;
		buf_add(&client->got, bytes, (size_t)n);
	}
	if (!client->is_ended && errno != EAGAIN)
		client->is_ended = true;
}

static bool client_has(void *arg)
{
	struct client *client = arg;

	client_read(client);
	return strstr(buf_str(&client->got), client->wanted) != NULL;
}

static bool client_has_many(void *arg)
{
	struct client *client = arg;

	client_read(client);
	return client->got.len >= client->wanted_len;
}

static bool client_has_ended(void *arg)
{
	struct client *client = arg;

	client_read(client);
	return client->is_ended;
}

static void client_expect(struct bench *bench, struct client *client, const char *wanted)
{
	client->wanted = wanted;
	ck_assert_msg(netkit_run(&bench->kit, client_has, client), "no %s in %s", wanted,
	        buf_str(&client->got));
}

static void client_expect_end(struct bench *bench, struct client *client)
{
	ck_assert(netkit_run(&bench->kit, client_has_ended, client));
}

struct count {
	struct bench *bench;
	size_t n;
};

static bool are_held(void *arg)
{
	struct count *count = arg;

	return count->bench->n_held == count->n;
}

static bool are_gone(void *arg)
{
	struct count *count = arg;

	return count->bench->n_gone == count->n;
}

static bool are_clients(void *arg)
{
	struct count *count = arg;

	return listen_group_clients(count->bench->group) == count->n;
}

static void expect_count(struct bench *bench, bool (*holds)(void *), size_t n)
{
	struct count count = {.bench = bench, .n = n};

	ck_assert(netkit_run(&bench->kit, holds, &count));
}

/* ---- requests ---- */

START_TEST(test_request_and_reply)
{
	struct bench bench;
	struct client client;

	bench_init(&bench);
	client_open(&client, &bench);
	client_get(&client, "/v1/jobs/acme%2deu/a%20b?state=IN+PROGRESS&name=%c3%a4&x");
	client_expect(&bench, &client, "{\"a\":1}\n");
	ck_assert_str_eq(bench.last, "0 GET /v1/jobs/acme%2deu/a%20b [v1] [jobs] [acme-eu] [a b]"
	                             " state=IN PROGRESS name=\xc3\xa4 x= test=yes body=0: peer");
	ck_assert_int_eq(strncmp(buf_str(&client.got), "HTTP/1.1 200 OK\r\n", 17), 0);
	ck_assert_ptr_nonnull(strstr(client.got.data, "\r\nContent-Type: application/json\r\n"));
	ck_assert_ptr_nonnull(strstr(client.got.data, "\r\nContent-Length: 8\r\n"));
	ck_assert_ptr_nonnull(strstr(client.got.data, "\r\nCache-Control: no-store\r\n"));
	ck_assert_ptr_null(strstr(client.got.data, "Connection: close"));
	/* The connection serves on, bodies too. */
	buf_clear(&client.got);
	client_say(&client, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe");
	netkit_run_for(&bench.kit, 20);
	ck_assert_uint_eq(bench.n_requests, 1);
	client_say(&client, "llo");
	client_expect(&bench, &client, "{\"a\":1}\n");
	ck_assert_str_eq(bench.last, "2 POST /v1/jobs [v1] [jobs] test=- body=5:hello peer");
	client_close(&client);
	expect_count(&bench, are_clients, 0);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_methods)
{
	static const struct {
		const char *name;
		enum listen_method method;
	} rows[] = {{"GET", LISTEN_GET}, {"POST", LISTEN_POST}, {"PUT", LISTEN_PUT},
	        {"DELETE", LISTEN_DELETE}, {"PATCH", LISTEN_OTHER}, {"OPTIONS", LISTEN_OTHER}};
	struct bench bench;
	struct client client;

	bench_init(&bench);
	client_open(&client, &bench);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup(mem_free_p) char *text = mem_printf(
		        "%s / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", rows[i].name);
		cleanup(mem_free_p) char *expected =
		        mem_printf("%d %s / test", (int)rows[i].method, rows[i].name);

		buf_clear(&client.got);
		client_say(&client, text);
		client_expect(&bench, &client, "{\"a\":1}\n");
		ck_assert_int_eq(strncmp(bench.last, expected, strlen(expected)), 0);
	}
	client_say(&client, "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n");
	client_expect(&bench, &client, "HTTP/1.1 501 ");
	ck_assert_uint_eq(bench.n_requests, ARRAY_LEN(rows));
	client_close(&client);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_replies_without_body)
{
	struct bench bench;
	struct client client;

	bench_init(&bench);
	client_open(&client, &bench);
	client_say(&client, "HEAD /v1 HTTP/1.1\r\nHost: x\r\n\r\n");
	client_expect(&bench, &client, "\r\n\r\n");
	ck_assert_ptr_nonnull(strstr(client.got.data, "Content-Length: 8\r\n"));
	ck_assert_ptr_nonnull(strstr(client.got.data, "Content-Type: application/json\r\n"));
	buf_clear(&client.got);
	client_get(&client, "/nothing");
	client_expect(&bench, &client, "\r\n\r\n");
	/* What came first is the status line, so no byte of a body came before it. */
	ck_assert_int_eq(strncmp(client.got.data, "HTTP/1.1 204 ", 13), 0);
	ck_assert_ptr_null(strstr(client.got.data, "Content-"));
	client_close(&client);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_uris)
{
	static const struct {
		const char *path;
		const char *query;
		size_t n_segments;
		const char *first;
		int n_query;
	} rows[] = {
	        {"/", NULL, 0, NULL, 0},
	        {"/a", "", 1, "a", 0},
	        {"/a/", "b=c", 2, "a", 1},
	        {"//a", "b=c&d=e", 2, "", 2},
	        {"/%61%2B+", "b", 1, "a++", 1},
	        {"/..", "b=%26%3d", 1, "..", 1},
	        {"/a%2fb", "b=", 1, NULL, 1},
	        {"/a%00", "b=%00", 1, NULL, -1},
	        {"/%", "b=%", 1, NULL, -1},
	        {"/%4", "b=%4", 1, NULL, -1},
	        {"/%zz", "b=%zz", 1, NULL, -1},
	        {"/%ff", "b=%ff", 1, NULL, -1},
	        {"/%c3%a4", "b=1&b=2", 1, "\xc3\xa4", -1},
	        {"/a", "b=1&%62=2", 1, "a", -1},
	        {"/a", "=1", 1, "a", -1},
	        {"/a", "b&&c", 1, "a", -1},
	        {"/a", "b&", 1, "a", -1},
	        {"/a", "a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p", 1, "a", 16},
	        {"/a", "a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q", 1, "a", -1},
	        {"/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18", NULL, 18, "1", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct listen_uri uri;

		listen_uri_init(&uri, rows[i].path, rows[i].query);
		ck_assert_str_eq(uri.path, rows[i].path);
		ck_assert_msg(uri.n_segments == rows[i].n_segments, "%s: %zu", rows[i].path,
		        uri.n_segments);
		ck_assert_pstr_eq(uri.segments[0], rows[i].first);
		ck_assert_msg(uri.n_query == rows[i].n_query, "%s: %d", rows[i].query, uri.n_query);
		listen_uri_deinit(&uri);
	}
}
END_TEST

/* ---- bounds ---- */

static void say_all(struct bench *bench, struct client *client, const char *bytes, size_t len)
{
	while (len > 0 && !client->is_ended) {
		ssize_t n = send(client->fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			break;
		bytes += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
		client_read(client);
		netkit_run_for(&bench->kit, 1);
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
	struct bench bench;
	struct client client;

	memset(many, 'x', LEN);
	bench_init(&bench);
	for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
		client_open(&client, &bench);
		client_say(&client, begins[i]);
		say_all(&bench, &client, many, LEN);
		client_expect_end(&bench, &client);
		client_close(&client);
	}
	client_open(&client, &bench);
	client_say(&client, body);
	client_expect(&bench, &client, "HTTP/1.1 413 ");
	client_expect_end(&bench, &client);
	client_close(&client);
	ck_assert_uint_eq(bench.n_requests, 0);
	client_open(&client, &bench);
	client_say(&client, fits);
	say_all(&bench, &client, many, LISTEN_BODY_MAX_BYTES);
	client_expect(&bench, &client, "{\"a\":1}");
	ck_assert_uint_eq(bench.n_requests, 1);
	client_close(&client);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_chunked_bodies_are_refused)
{
	static const char *const heads[] = {
	        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"};
	struct bench bench;
	struct client client;

	bench_init(&bench);
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		client_open(&client, &bench);
		client_say(&client, "POST / HTTP/1.1\r\nHost: x\r\n");
		client_say(&client, heads[i]);
		/* Later versions of evhttp refuse some of them by themselves. */
		client_expect(&bench, &client, "HTTP/1.1 4");
		client_expect_end(&bench, &client);
		ck_assert(strstr(client.got.data, " 411 ") ||
		          (i > 0 && strstr(client.got.data, " 400 ")));
		ck_assert_ptr_nonnull(strstr(client.got.data, "Connection: close\r\n"));
		client_close(&client);
	}
	ck_assert_uint_eq(bench.n_requests, 0);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_garbage_harms_nobody)
{
	static const char *const texts[] = {"\r\n\r\n", "x\r\n\r\n", "GET\r\n\r\n",
	        "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n",
	        "GET / HTTP/1.1\r\n: x\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
	        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"};
	struct bench bench;
	struct client client;

	bench_init(&bench);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		client_open(&client, &bench);
		client_say(&client, texts[i]);
		netkit_run_for(&bench.kit, 10);
		client_close(&client);
	}
	expect_count(&bench, are_clients, 0);
	client_open(&client, &bench);
	client_get(&client, "/");
	client_expect(&bench, &client, "{\"a\":1}");
	client_close(&client);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_cap_on_connections)
{
	enum { CAP = 3, N = 6 };
	struct bench bench;
	struct client clients[N];

	bench_init_with(&bench, CAP);
	/* Without a word: nothing but their number tells of them. */
	for (size_t i = 0; i < N; i++)
		client_open(&clients[i], &bench);
	expect_count(&bench, are_clients, CAP);
	client_get(&clients[CAP], "/");
	client_get(&clients[CAP + 1], "/");
	netkit_run_for(&bench.kit, 300);
	ck_assert_uint_eq(listen_group_clients(bench.group), CAP);
	ck_assert_uint_eq(bench.n_requests, 0);
	client_close(&clients[0]);
	client_expect(&bench, &clients[CAP], "{\"a\":1}");
	/* At the cap connections are not kept, so the next ones have their turn too. */
	ck_assert_ptr_nonnull(strstr(clients[CAP].got.data, "Connection: close\r\n"));
	client_expect_end(&bench, &clients[CAP]);
	client_expect(&bench, &clients[CAP + 1], "{\"a\":1}");
	for (size_t i = 1; i < N; i++)
		client_close(&clients[i]);
	expect_count(&bench, are_clients, 0);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_cap_is_of_the_group)
{
	struct bench bench;
	struct listen *other;
	struct client clients[3];
	cleanup(mem_free_p) char *path = NULL;
	char *saved;

	bench_init_with(&bench, 2);
	path = mem_printf("%s/admin.sock", bench.dir);
	ck_assert_int_eq(
	        listen_unix_new(bench.group, path, 0600, on_request, &bench, &other, NULL, 0), 0);
	client_open(&clients[0], &bench);
	client_open(&clients[1], &bench);
	expect_count(&bench, are_clients, 2);
	saved = bench.path;
	bench.path = path;
	client_open(&clients[2], &bench);
	bench.path = saved;
	client_get(&clients[2], "/");
	netkit_run_for(&bench.kit, 200);
	ck_assert_uint_eq(bench.n_requests, 0);
	client_close(&clients[0]);
	client_expect(&bench, &clients[2], "{\"a\":1}");
	listen_free(other);
	client_close(&clients[1]);
	client_close(&clients[2]);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_no_descriptors_left)
{
	struct bench bench;
	struct client first;
	struct client clients[2];
	struct rlimit old;
	struct rlimit tight;
	unsigned n_turns;
	int probe;

	bench_init(&bench);
	client_open(&first, &bench);
	client_get(&first, "/");
	client_expect(&bench, &first, "{\"a\":1}");
	for (size_t i = 0; i < 2; i++) {
		client_open(&clients[i], &bench);
		client_get(&clients[i], "/");
	}
	getrlimit(RLIMIT_NOFILE, &old);
	probe = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(probe);
	tight = (struct rlimit){.rlim_cur = (rlim_t)probe, .rlim_max = old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &tight);
	n_turns = bench.kit.n_turns;
	netkit_run_for(&bench.kit, 500);
	/* The kit itself takes a turn every few milliseconds. */
	ck_assert_uint_lt(bench.kit.n_turns - n_turns, 500);
	ck_assert_uint_eq(bench.n_requests, 1);
	/* Who is there already is served meanwhile. */
	buf_clear(&first.got);
	client_get(&first, "/");
	client_expect(&bench, &first, "{\"a\":1}");
	setrlimit(RLIMIT_NOFILE, &old);
	client_expect(&bench, &clients[0], "{\"a\":1}");
	client_expect(&bench, &clients[1], "{\"a\":1}");
	client_close(&first);
	client_close(&clients[0]);
	client_close(&clients[1]);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_descriptors_limit_the_cap)
{
	struct bench bench;
	struct client clients[10];
	struct rlimit old;
	struct rlimit tight;

	getrlimit(RLIMIT_NOFILE, &old);
	tight = (struct rlimit){.rlim_cur = 16, .rlim_max = old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &tight);
	netkit_init(&bench.kit);
	ck_assert_int_eq(listen_group_new(bench.kit.loop, 1024, &bench.group), 0);
	setrlimit(RLIMIT_NOFILE, &old);
	listen_group_free(bench.group);
	netkit_deinit(&bench.kit);
	bench_init_with(&bench, 1024);
	listen_free(bench.listen);
	listen_group_free(bench.group);
	setrlimit(RLIMIT_NOFILE, &tight);
	ck_assert_int_eq(listen_group_new(bench.kit.loop, 1024, &bench.group), 0);
	setrlimit(RLIMIT_NOFILE, &old);
	ck_assert_int_eq(listen_unix_new(bench.group, bench.path, 0600, on_request, &bench,
	                         &bench.listen, NULL, 0),
	        0);
	for (size_t i = 0; i < 10; i++)
		client_open(&clients[i], &bench);
	netkit_run_for(&bench.kit, 200);
	ck_assert_uint_eq(listen_group_clients(bench.group), 8);
	for (size_t i = 0; i < 10; i++)
		client_close(&clients[i]);
	bench_deinit(&bench);
}
END_TEST

/* ---- held requests ---- */

START_TEST(test_held_request_is_answered_later)
{
	struct bench bench;
	struct client client;

	bench_init(&bench);
	client_open(&client, &bench);
	client_get(&client, "/hold");
	expect_count(&bench, are_held, 1);
	/* Further bytes ended the process where reading was enabled by hand. */
	client_get(&client, "/after");
	netkit_run_for(&bench.kit, 50);
	ck_assert_uint_eq(bench.n_requests, 1);
	listen_reply(bench.held[0], 200, "text/plain", "late", 4, NULL);
	client_expect(&bench, &client, "late");
	client_expect(&bench, &client, "{\"a\":1}");
	ck_assert_uint_eq(bench.n_requests, 2);
	client_close(&client);
	expect_count(&bench, are_clients, 0);
	ck_assert_uint_eq(bench.n_gone, 0);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_leaving_is_noticed)
{
	static const char *const paths[] = {"/hold", "/stream"};
	struct bench bench;
	struct client client;
	size_t n = 0;

	bench_init(&bench);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		for (int how = 0; how < 3; how++) {
			client_open(&client, &bench);
			client_get(&client, paths[i]);
			expect_count(&bench, are_held, ++n);
			if (how == 0)
				client_say(&client, "GET /more");
			if (how == 2)
				shutdown(client.fd, SHUT_WR);
			else
				close(client.fd);
			expect_count(&bench, are_gone, n);
			expect_count(&bench, are_clients, 0);
			if (how == 2)
				close(client.fd);
			buf_deinit(&client.got);
		}
	}
	bench_deinit(&bench);
	ck_assert_uint_eq(bench.n_gone, n);
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
	struct bench bench;
	struct client client;
	int64_t began_ms;

	bench_init(&bench);
	began_ms = cpu_ms();
	for (size_t i = 0; i < ARRAY_LEN(more); i++) {
		client_open(&client, &bench);
		/* The first reply stays unread, so that the close becomes a reset. */
		client_get(&client, "/");
		client_get(&client, "/hold");
		expect_count(&bench, are_held, i + 1);
		client_say(&client, more[i]);
		netkit_run_for(&bench.kit, 20);
		client_close(&client);
		expect_count(&bench, are_gone, i + 1);
	}
	ck_assert_int_lt(cpu_ms() - began_ms, 800);
	expect_count(&bench, are_clients, 0);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_many_held_requests_all_leave)
{
	enum { N = 200 };
	struct bench bench;
	struct client clients[N];

	bench_init_with(&bench, 2 * N);
	for (size_t i = 0; i < N; i++) {
		client_open(&clients[i], &bench);
		client_get(&clients[i], "/hold");
		netkit_run_for(&bench.kit, 0);
	}
	expect_count(&bench, are_held, N);
	ck_assert_uint_eq(listen_group_clients(bench.group), N);
	for (size_t i = 0; i < N; i++)
		client_close(&clients[i]);
	expect_count(&bench, are_gone, N);
	expect_count(&bench, are_clients, 0);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_free_tells_the_holders_and_hangs_up)
{
	struct bench bench;
	struct client clients[3];

	bench_init(&bench);
	for (size_t i = 0; i < 3; i++)
		client_open(&clients[i], &bench);
	client_get(&clients[0], "/hold");
	client_get(&clients[1], "/stream");
	expect_count(&bench, are_held, 2);
	expect_count(&bench, are_clients, 3);
	bench.listen = listen_free(bench.listen);
	ck_assert_uint_eq(bench.n_gone, 2);
	ck_assert_uint_eq(listen_group_clients(bench.group), 0);
	for (size_t i = 0; i < 3; i++) {
		client_expect_end(&bench, &clients[i]);
		client_close(&clients[i]);
	}
	ck_assert_int_lt(access(bench.path, F_OK), 0);
	bench_deinit(&bench);
}
END_TEST

/* ---- streams ---- */

START_TEST(test_stream)
{
	struct bench bench;
	struct client client;

	bench_init(&bench);
	client_open(&client, &bench);
	client_get(&client, "/stream");
	client_expect(&bench, &client, "\r\n\r\n");
	ck_assert_ptr_nonnull(strstr(client.got.data, "Content-Type: application/x-ndjson\r\n"));
	ck_assert_ptr_nonnull(strstr(client.got.data, "Transfer-Encoding: chunked\r\n"));
	ck_assert(listen_stream_add(bench.held[0], "one\n", 4));
	ck_assert(listen_stream_add(bench.held[0], "", 0));
	client_expect(&bench, &client, "4\r\none\n\r\n");
	ck_assert_uint_eq(listen_stream_unsent(bench.held[0]), 0);
	ck_assert(listen_stream_add(bench.held[0], "two\n", 4));
	listen_stream_end(bench.held[0]);
	client_expect(&bench, &client, "4\r\ntwo\n\r\n0\r\n\r\n");
	client_expect_end(&bench, &client);
	ck_assert_uint_eq(bench.n_gone, 0);
	client_close(&client);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_stream_of_a_slow_reader_is_bounded)
{
	enum { CHUNK = 64 * 1024 };
	cleanup(mem_free_p) char *bytes = mem_new(CHUNK, 1);
	struct bench bench;
	struct client client;
	size_t n = 0;
	size_t before;

	memset(bytes, 'x', CHUNK);
	bench_init(&bench);
	client_open(&client, &bench);
	client_get(&client, "/stream");
	expect_count(&bench, are_held, 1);
	while (listen_stream_add(bench.held[0], bytes, CHUNK)) {
		netkit_run_for(&bench.kit, 1);
		ck_assert_uint_lt(++n, 1000);
		ck_assert_uint_le(
		        listen_stream_unsent(bench.held[0]), LISTEN_QUEUE_MAX_BYTES + 4096);
	}
	before = listen_stream_unsent(bench.held[0]);
	ck_assert_uint_gt(before + CHUNK, LISTEN_QUEUE_MAX_BYTES);
	ck_assert(!listen_stream_add(bench.held[0], bytes, LISTEN_QUEUE_MAX_BYTES));
	ck_assert_uint_eq(listen_stream_unsent(bench.held[0]), before);
	/* All that was taken arrives once it reads. */
	client.wanted_len = n * CHUNK;
	listen_stream_end(bench.held[0]);
	ck_assert(netkit_run(&bench.kit, client_has_many, &client));
	client_expect_end(&bench, &client);
	ck_assert_mem_eq(client.got.data + client.got.len - 5, "0\r\n\r\n", 5);
	client_close(&client);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_talkative_reader_of_a_stream_is_bounded)
{
	enum { CHUNK = 64 * 1024, MOST = 8 * 1024 * 1024 };
	cleanup(mem_free_p) char *bytes = mem_new(CHUNK, 1);
	struct bench bench;
	struct client client;
	size_t n = 0;
	unsigned n_refused = 0;

	bench_init(&bench);
	client_open(&client, &bench);
	client_get(&client, "/stream");
	expect_count(&bench, are_held, 1);
	ck_assert(listen_stream_add(bench.held[0], "x", 1));
	while (n < MOST && n_refused < 50) {
		ssize_t sent = send(client.fd, bytes, CHUNK, MSG_NOSIGNAL);

		ck_assert(sent > 0 || errno == EAGAIN);
		n += sent > 0 ? (size_t)sent : 0;
		n_refused = sent > 0 ? 0 : n_refused + 1;
		netkit_run_for(&bench.kit, 1);
	}
	ck_assert_uint_lt(n, MOST);
	close(client.fd);
	expect_count(&bench, are_gone, 1);
	buf_deinit(&client.got);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_head_of_a_stream)
{
	struct bench bench;
	struct client client;

	bench_init(&bench);
	client_open(&client, &bench);
	client_say(&client, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	expect_count(&bench, are_held, 1);
	ck_assert(listen_stream_add(bench.held[0], "x", 1));
	ck_assert_ptr_null(listen_header(bench.held[0], "Host"));
	client_expect_end(&bench, &client);
	expect_count(&bench, are_gone, 1);
	ck_assert_ptr_nonnull(strstr(client.got.data, "\r\n\r\n"));
	ck_assert_str_eq(strstr(client.got.data, "\r\n\r\n"), "\r\n\r\n");
	client_close(&client);
	/* And where it is ended before the answer went out. */
	client_open(&client, &bench);
	client_say(&client, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	expect_count(&bench, are_held, 2);
	listen_stream_end(bench.held[1]);
	client_expect_end(&bench, &client);
	client_close(&client);
	ck_assert_uint_eq(bench.n_gone, 1);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_held_request_becomes_a_stream)
{
	struct bench bench;
	struct client client;

	bench_init(&bench);
	client_open(&client, &bench);
	client_get(&client, "/hold");
	expect_count(&bench, are_held, 1);
	listen_stream_begin(bench.held[0], 200, "text/plain", on_gone, &bench);
	ck_assert(listen_stream_add(bench.held[0], "x\n", 2));
	client_expect(&bench, &client, "2\r\nx\n\r\n");
	client_close(&client);
	expect_count(&bench, are_gone, 1);
	bench_deinit(&bench);
}
END_TEST

/* ---- sockets ---- */

START_TEST(test_mode_is_exact)
{
	static const mode_t modes[] = {0600, 0660, 0666, 0777};
	static const mode_t masks[] = {0, 022, 077, 0777};
	struct bench bench;

	bench_init(&bench);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		for (size_t j = 0; j < ARRAY_LEN(masks); j++) {
			cleanup(mem_free_p) char *path = mem_printf("%s/%zu-%zu", bench.dir, i, j);
			mode_t old = umask(masks[j]);
			struct listen *listen = NULL;
			struct stat st;
			int result = listen_unix_new(
			        bench.group, path, modes[i], on_request, &bench, &listen, NULL, 0);

			ck_assert_uint_eq(umask(old), masks[j]);
			ck_assert_int_eq(result, 0);
			ck_assert_int_eq(lstat(path, &st), 0);
			ck_assert_uint_eq(st.st_mode & 07777, modes[i]);
			listen_free(listen);
			ck_assert_int_lt(lstat(path, &st), 0);
		}
	}
	bench_deinit(&bench);
}
END_TEST

static int try_unix(struct bench *bench, const char *path, char *words, size_t size)
{
	struct listen *listen = NULL;
	int result =
	        listen_unix_new(bench->group, path, 0600, on_request, bench, &listen, words, size);

	ck_assert((result == 0) == (listen != NULL));
	listen_free(listen);
	return result;
}

static int make_socket(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

START_TEST(test_what_stands_in_the_way)
{
	struct bench bench;
	cleanup(mem_free_p) char *other = NULL;
	cleanup(mem_free_p) char *missing = NULL;
	cleanup(mem_free_p) char *longest = NULL;
	cleanup(mem_free_p) char *too_long = NULL;
	char words[256] = "";
	int fd;

	bench_init(&bench);
	other = mem_printf("%s/other", bench.dir);
	missing = mem_printf("%s/missing/x", bench.dir);
	too_long = mem_printf("%s/%0*d", bench.dir, (int)(107 - strlen(bench.dir)), 0);
	longest = mem_strndup(too_long, 107);
	ck_assert_int_eq(try_unix(&bench, "relative", words, sizeof(words)), LISTEN_E_PATH);
	ck_assert_ptr_nonnull(strstr(words, "relative"));
	ck_assert_int_eq(try_unix(&bench, longest, words, sizeof(words)), 0);
	ck_assert_int_eq(try_unix(&bench, too_long, words, sizeof(words)), LISTEN_E_PATH);
	ck_assert_ptr_nonnull(strstr(words, "107"));
	ck_assert_int_eq(try_unix(&bench, missing, words, sizeof(words)), -ENOENT);
	ck_assert_ptr_nonnull(strstr(words, missing));
	/* Alive, ours. */
	ck_assert_int_eq(try_unix(&bench, bench.path, words, sizeof(words)), LISTEN_E_BUSY);
	ck_assert_int_eq(try_unix(&bench, bench.path, NULL, 0), LISTEN_E_BUSY);
	/* Dead. */
	close(make_socket(other, SOCK_STREAM));
	ck_assert_int_eq(try_unix(&bench, other, words, sizeof(words)), 0);
	/* Alive, of another kind. */
	fd = make_socket(other, SOCK_DGRAM);
	ck_assert_int_eq(try_unix(&bench, other, words, sizeof(words)), LISTEN_E_BUSY);
	close(fd);
	unlink(other);
	/* No sockets. */
	close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	ck_assert_int_eq(try_unix(&bench, other, words, sizeof(words)), LISTEN_E_PATH);
	ck_assert_int_eq(access(other, F_OK), 0);
	unlink(other);
	ck_assert_int_eq(symlink(bench.path, other), 0);
	ck_assert_int_eq(try_unix(&bench, other, words, sizeof(words)), LISTEN_E_PATH);
	unlink(other);
	ck_assert_int_eq(mkdir(other, 0700), 0);
	ck_assert_int_eq(try_unix(&bench, other, words, sizeof(words)), LISTEN_E_PATH);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_only_its_own_socket_is_unlinked)
{
	struct bench bench;

	bench_init(&bench);
	unlink(bench.path);
	close(make_socket(bench.path, SOCK_STREAM));
	bench.listen = listen_free(bench.listen);
	ck_assert_int_eq(access(bench.path, F_OK), 0);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_inherited_socket)
{
	struct bench bench;
	struct client client;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct listen *ignored;

	bench_init(&bench);
	bench.listen = listen_free(bench.listen);
	strcpy(address.sun_path, bench.path);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen_fd_new(bench.group, fd, on_request, &bench, &ignored), -EINVAL);
	ck_assert_int_eq(listen(fd, 5), 0);
	ck_assert_int_eq(listen_fd_new(bench.group, fd, on_request, &bench, &bench.listen), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	client_open(&client, &bench);
	client_get(&client, "/");
	client_expect(&bench, &client, "{\"a\":1}");
	client_close(&client);
	bench.listen = listen_free(bench.listen);
	ck_assert_int_eq(access(bench.path, F_OK), 0);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(listen_fd_new(bench.group, fd, on_request, &bench, &ignored), -ENOTSOCK);
	close(fd);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_tcp_is_loopback_alone)
{
	static const char *const bad[] = {
	        "0.0.0.0", "::", "192.0.2.1", "localhost", "", "2001:db8::1"};
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct listen *listen = NULL;
	struct bench bench;
	struct client client = {0};

	bench_init(&bench);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(
		        listen_tcp_new(bench.group, bad[i], 0, on_request, &bench, &listen),
		        -EINVAL);
	ck_assert_int_eq(
	        listen_tcp_new(bench.group, "127.0.0.1", 0, on_request, &bench, &listen), 0);
	ck_assert_uint_eq(listen_port(bench.listen), 0);
	ck_assert_uint_ne(listen_port(listen), 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons(listen_port(listen));
	client.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(client.fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(fcntl(client.fd, F_SETFL, O_NONBLOCK), 0);
	client_get(&client, "/metrics");
	client_expect(&bench, &client, "{\"a\":1}");
	ck_assert_str_eq(bench.last, "0 GET /metrics [metrics] test=yes body=0:");
	client_close(&client);
	listen_free(listen);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_nothing_leaks)
{
	struct bench bench;
	size_t n_fds;

	bench_init(&bench);
	n_fds = netkit_count_fds();
	for (size_t i = 0; i < 300; i++) {
		struct client client;

		client_open(&client, &bench);
		if (i % 3) {
			client_get(&client, i % 3 == 1 ? "/" : "/hold");
			bench.n_held = 0;
			netkit_run_for(&bench.kit, 1);
		}
		client_close(&client);
	}
	expect_count(&bench, are_clients, 0);
	ck_assert_uint_eq(netkit_count_fds(), n_fds);
	bench_deinit(&bench);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_request_and_reply);
	tcase_add_test(tests, test_methods);
	tcase_add_test(tests, test_replies_without_body);
	tcase_add_test(tests, test_uris);
	tcase_add_test(tests, test_large_requests_are_refused);
	tcase_add_test(tests, test_chunked_bodies_are_refused);
	tcase_add_test(tests, test_garbage_harms_nobody);
	tcase_add_test(tests, test_cap_on_connections);
	tcase_add_test(tests, test_cap_is_of_the_group);
	tcase_add_test(tests, test_no_descriptors_left);
	tcase_add_test(tests, test_descriptors_limit_the_cap);
	tcase_add_test(tests, test_held_request_is_answered_later);
	tcase_add_test(tests, test_leaving_is_noticed);
	tcase_add_test(tests, test_leaving_with_unread_bytes_does_not_spin);
	tcase_add_test(tests, test_many_held_requests_all_leave);
	tcase_add_test(tests, test_free_tells_the_holders_and_hangs_up);
	tcase_add_test(tests, test_stream);
	tcase_add_test(tests, test_stream_of_a_slow_reader_is_bounded);
	tcase_add_test(tests, test_talkative_reader_of_a_stream_is_bounded);
	tcase_add_test(tests, test_head_of_a_stream);
	tcase_add_test(tests, test_held_request_becomes_a_stream);
	tcase_add_test(tests, test_mode_is_exact);
	tcase_add_test(tests, test_what_stands_in_the_way);
	tcase_add_test(tests, test_only_its_own_socket_is_unlinked);
	tcase_add_test(tests, test_inherited_socket);
	tcase_add_test(tests, test_tcp_is_loopback_alone);
	tcase_add_test(tests, test_nothing_leaks);
}

int main(void)
{
	Suite *suite = suite_create("listen");
	TCase *tests = tcase_create("listen");
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

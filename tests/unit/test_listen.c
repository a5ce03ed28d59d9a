/* net/listen: requests and replies, and the sockets that they come by. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "listenkit.h"
#include "net/listen_uri.h"
#include "rawclient.h"
#include "util/buf.h"
#include "util/mem.h"

/* ---- requests ---- */

START_TEST(test_request_and_reply)
{
	struct listenkit kit;
	struct rawclient client;

	listenkit_init(&kit);
	rawclient_open(&client, kit.path);
	rawclient_get(&client, "/v1/jobs/acme%2deu/a%20b?state=IN+PROGRESS&name=%c3%a4&x");
	rawclient_expect(&client, &kit.net, "{\"a\":1}\n");
	ck_assert_str_eq(kit.last, "0 GET /v1/jobs/acme%2deu/a%20b [v1] [jobs] [acme-eu] [a b]"
	                           " state=IN PROGRESS name=\xc3\xa4 x= test=yes body=0: peer");
	ck_assert_int_eq(strncmp(buf_str(&client.got), "HTTP/1.1 200 OK\r\n", 17), 0);
	ck_assert_ptr_nonnull(strstr(client.got.data, "\r\nContent-Type: application/json\r\n"));
	ck_assert_ptr_nonnull(strstr(client.got.data, "\r\nContent-Length: 8\r\n"));
	ck_assert_ptr_nonnull(strstr(client.got.data, "\r\nCache-Control: no-store\r\n"));
	ck_assert_ptr_null(strstr(client.got.data, "Connection: close"));
	/* The connection serves on, bodies too. */
	buf_clear(&client.got);
	rawclient_say(&client, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe");
	netkit_run_for(&kit.net, 20);
	ck_assert_uint_eq(kit.n_requests, 1);
	rawclient_say(&client, "llo");
	rawclient_expect(&client, &kit.net, "{\"a\":1}\n");
	ck_assert_str_eq(kit.last, "2 POST /v1/jobs [v1] [jobs] test=- body=5:hello peer");
	rawclient_close(&client);
	listenkit_expect(&kit, listenkit_clients, 0);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_more_segments_than_are_kept)
{
	struct listenkit kit;
	struct rawclient client;

	listenkit_init(&kit);
	rawclient_open(&client, kit.path);
	rawclient_get(&client, "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18?a&a");
	rawclient_expect(&client, &kit.net, "{\"a\":1}\n");
	ck_assert_ptr_nonnull(strstr(kit.last, " [15] [16] [-] [-] test=yes "));
	rawclient_close(&client);
	listenkit_deinit(&kit);
}
END_TEST

/* A target may be a whole URL, whose path may be none. */
START_TEST(test_targets)
{
	static const struct {
		const char *target;
		const char *expected;
	} rows[] = {
	        {"http://localhost/a?b=c", "0 GET /a [a] b=c test"},
	        {"http://localhost", "0 GET / test"},
	        {"http://localhost?b=c", "0 GET / b=c test"},
	};
	struct listenkit kit;
	struct rawclient client;

	listenkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		rawclient_open(&client, kit.path);
		rawclient_get(&client, rows[i].target);
		rawclient_expect(&client, &kit.net, "{\"a\":1}\n");
		ck_assert_msg(strncmp(kit.last, rows[i].expected, strlen(rows[i].expected)) == 0,
		        "%s: %s", rows[i].target, kit.last);
		rawclient_close(&client);
	}
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_methods)
{
	static const struct {
		const char *name;
		enum listen_method method;
	} rows[] = {{"GET", LISTEN_GET}, {"POST", LISTEN_POST}, {"PUT", LISTEN_PUT},
	        {"DELETE", LISTEN_DELETE}, {"PATCH", LISTEN_OTHER}, {"OPTIONS", LISTEN_OTHER}};
	struct listenkit kit;
	struct rawclient client;

	listenkit_init(&kit);
	rawclient_open(&client, kit.path);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup(mem_free_p) char *text = mem_printf(
		        "%s / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", rows[i].name);
		cleanup(mem_free_p) char *expected =
		        mem_printf("%d %s / test", (int)rows[i].method, rows[i].name);

		buf_clear(&client.got);
		rawclient_say(&client, text);
		rawclient_expect(&client, &kit.net, "{\"a\":1}\n");
		ck_assert_int_eq(strncmp(kit.last, expected, strlen(expected)), 0);
	}
	rawclient_say(&client, "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n");
	rawclient_expect(&client, &kit.net, "HTTP/1.1 501 ");
	ck_assert_uint_eq(kit.n_requests, ARRAY_LEN(rows));
	rawclient_close(&client);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_replies_without_body)
{
	static const struct {
		const char *path;
		const char *status;
	} rows[] = {{"/nothing", "HTTP/1.1 204 "}, {"/unchanged", "HTTP/1.1 304 "}};
	struct listenkit kit;
	struct rawclient client;

	listenkit_init(&kit);
	rawclient_open(&client, kit.path);
	rawclient_say(&client, "HEAD /v1 HTTP/1.1\r\nHost: x\r\n\r\n");
	rawclient_expect(&client, &kit.net, "\r\n\r\n");
	ck_assert_ptr_nonnull(strstr(client.got.data, "Content-Length: 8\r\n"));
	ck_assert_ptr_nonnull(strstr(client.got.data, "Content-Type: application/json\r\n"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		buf_clear(&client.got);
		rawclient_get(&client, rows[i].path);
		rawclient_expect(&client, &kit.net, "\r\n\r\n");
		/* What came first is the status line, so no byte of a body came before it. */
		ck_assert_int_eq(strncmp(client.got.data, rows[i].status, 13), 0);
		ck_assert_str_eq(strstr(client.got.data, "\r\n\r\n"), "\r\n\r\n");
		ck_assert_ptr_null(strstr(client.got.data, "Content-"));
	}
	buf_clear(&client.got);
	rawclient_get(&client, "/untyped");
	rawclient_expect(&client, &kit.net, "\r\n\r\nbytes");
	ck_assert_int_eq(strncmp(client.got.data, "HTTP/1.1 200 ", 13), 0);
	ck_assert_ptr_nonnull(
	        strstr(client.got.data, "Content-Type: application/octet-stream\r\n"));
	rawclient_close(&client);
	listenkit_deinit(&kit);
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
	        {"/a", "%zz=1", 1, "a", -1},
	        {"*", NULL, 1, "*", 0},
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

/* ---- sockets ---- */

START_TEST(test_mode_is_exact)
{
	static const mode_t modes[] = {0600, 0660, 0666, 0777};
	static const mode_t masks[] = {0, 022, 077, 0777};
	struct listenkit kit;

	listenkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		for (size_t j = 0; j < ARRAY_LEN(masks); j++) {
			cleanup(mem_free_p) char *path = mem_printf("%s/%zu-%zu", kit.dir, i, j);
			mode_t old = umask(masks[j]);
			struct listen *listen = NULL;
			struct stat st;
			int result = listen_unix_new(kit.group, path, modes[i],
			        listenkit_on_request, &kit, &listen, NULL, 0);

			ck_assert_uint_eq(umask(old), masks[j]);
			ck_assert_int_eq(result, 0);
			ck_assert_int_eq(lstat(path, &st), 0);
			ck_assert_uint_eq(st.st_mode & 07777, modes[i]);
			listen_free(listen);
			ck_assert_int_lt(lstat(path, &st), 0);
		}
	}
	listenkit_deinit(&kit);
}
END_TEST

static int try_unix(struct listenkit *kit, const char *path, char *words, size_t size)
{
	struct listen *listen = NULL;
	int result = listen_unix_new(
	        kit->group, path, 0600, listenkit_on_request, kit, &listen, words, size);

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
	struct listenkit kit;
	cleanup(mem_free_p) char *other = NULL;
	cleanup(mem_free_p) char *missing = NULL;
	cleanup(mem_free_p) char *longest = NULL;
	cleanup(mem_free_p) char *too_long = NULL;
	struct rawclient waiting;
	char words[256] = "";
	int fd;

	listenkit_init(&kit);
	other = mem_printf("%s/other", kit.dir);
	missing = mem_printf("%s/missing/x", kit.dir);
	too_long = mem_printf("%s/%0*d", kit.dir, (int)(107 - strlen(kit.dir)), 0);
	longest = mem_strndup(too_long, 107);
	ck_assert_int_eq(try_unix(&kit, "relative", words, sizeof(words)), LISTEN_E_PATH);
	ck_assert_ptr_nonnull(strstr(words, "relative"));
	ck_assert_int_eq(try_unix(&kit, longest, words, sizeof(words)), 0);
	ck_assert_int_eq(try_unix(&kit, too_long, words, sizeof(words)), LISTEN_E_PATH);
	ck_assert_ptr_nonnull(strstr(words, "107"));
	ck_assert_int_eq(try_unix(&kit, missing, words, sizeof(words)), -ENOENT);
	ck_assert_ptr_nonnull(strstr(words, missing));
	/* Alive, ours. */
	ck_assert_int_eq(try_unix(&kit, kit.path, words, sizeof(words)), LISTEN_E_BUSY);
	ck_assert_int_eq(try_unix(&kit, kit.path, NULL, 0), LISTEN_E_BUSY);
	/* Dead. */
	close(make_socket(other, SOCK_STREAM));
	ck_assert_int_eq(try_unix(&kit, other, words, sizeof(words)), 0);
	/* Alive, with as many in line as there may be. */
	fd = make_socket(other, SOCK_STREAM);
	ck_assert_int_eq(listen(fd, 0), 0);
	rawclient_open(&waiting, other);
	ck_assert_int_eq(try_unix(&kit, other, words, sizeof(words)), LISTEN_E_BUSY);
	ck_assert_ptr_nonnull(strstr(words, other));
	rawclient_close(&waiting);
	close(fd);
	unlink(other);
	/* Alive, of another kind. */
	fd = make_socket(other, SOCK_DGRAM);
	ck_assert_int_eq(try_unix(&kit, other, words, sizeof(words)), LISTEN_E_BUSY);
	close(fd);
	unlink(other);
	/* No sockets. */
	close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	ck_assert_int_eq(try_unix(&kit, other, words, sizeof(words)), LISTEN_E_PATH);
	ck_assert_int_eq(access(other, F_OK), 0);
	unlink(other);
	ck_assert_int_eq(symlink(kit.path, other), 0);
	ck_assert_int_eq(try_unix(&kit, other, words, sizeof(words)), LISTEN_E_PATH);
	unlink(other);
	ck_assert_int_eq(mkdir(other, 0700), 0);
	ck_assert_int_eq(try_unix(&kit, other, words, sizeof(words)), LISTEN_E_PATH);
	listenkit_deinit(&kit);
}
END_TEST

/* What stands in its place at its end: nothing, something else, another's socket. */
START_TEST(test_only_its_own_socket_is_unlinked)
{
	struct listenkit kit;

	listenkit_init(&kit);
	unlink(kit.path);
	kit.listen = listen_free(kit.listen);
	listenkit_deinit(&kit);
	listenkit_init(&kit);
	unlink(kit.path);
	close(open(kit.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	kit.listen = listen_free(kit.listen);
	ck_assert_int_eq(access(kit.path, F_OK), 0);
	listenkit_deinit(&kit);
	listenkit_init(&kit);
	unlink(kit.path);
	close(make_socket(kit.path, SOCK_STREAM));
	kit.listen = listen_free(kit.listen);
	ck_assert_int_eq(access(kit.path, F_OK), 0);
	listenkit_deinit(&kit);
}
END_TEST

/* Its directory may be another by then, on another disk where numbers of files come again. */
START_TEST(test_socket_of_another_disk_is_not_unlinked)
{
	static const char *const dirs[] = {"/dev/shm", "/run", "/tmp"};
	struct listenkit kit;
	cleanup(mem_free_p) char *link = NULL;
	cleanup(mem_free_p) char *path = NULL;

	listenkit_init(&kit);
	link = mem_printf("%s/link", kit.dir);
	path = mem_printf("%s/query.sock", link);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		cleanup(mem_free_p) char *other = mem_printf("%s/bulkwatch-test-XXXXXX", dirs[i]);
		cleanup(mem_free_p) char *of_other = NULL;
		struct listen *listen;

		if (!mkdtemp(other))
			continue;
		of_other = mem_printf("%s/query.sock", other);
		ck_assert_int_eq(symlink(kit.dir, link), 0);
		kit.listen = listen_free(kit.listen);
		ck_assert_int_eq(listen_unix_new(kit.group, path, 0600, listenkit_on_request, &kit,
		                         &listen, NULL, 0),
		        0);
		unlink(link);
		ck_assert_int_eq(symlink(other, link), 0);
		close(make_socket(path, SOCK_STREAM));
		listen_free(listen);
		ck_assert_int_eq(unlink(of_other), 0);
		unlink(link);
		unlink(kit.path);
		rmdir(other);
	}
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_no_descriptors_for_a_socket)
{
	struct listenkit kit;
	struct rlimit old;
	struct rlimit tight;
	cleanup(mem_free_p) char *path = NULL;
	int probe;

	listenkit_init(&kit);
	path = mem_printf("%s/other", kit.dir);
	getrlimit(RLIMIT_NOFILE, &old);
	probe = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(probe);
	tight = (struct rlimit){.rlim_cur = (rlim_t)probe, .rlim_max = old.rlim_max};
	for (int is_dead_there = 0; is_dead_there < 2; is_dead_there++) {
		char words[256] = "";
		int result;

		if (is_dead_there)
			close(make_socket(path, SOCK_STREAM));
		setrlimit(RLIMIT_NOFILE, &tight);
		result = try_unix(&kit, path, words, sizeof(words));
		setrlimit(RLIMIT_NOFILE, &old);
		ck_assert_int_eq(result, -EMFILE);
		ck_assert_ptr_nonnull(strstr(words, path));
		ck_assert((access(path, F_OK) == 0) == is_dead_there);
	}
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_inherited_socket)
{
	struct listenkit kit;
	struct rawclient client;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct listen *ignored;

	listenkit_init(&kit);
	kit.listen = listen_free(kit.listen);
	strcpy(address.sun_path, kit.path);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(
	        listen_fd_new(kit.group, fd, listenkit_on_request, &kit, &ignored), -EINVAL);
	ck_assert_int_eq(listen(fd, 5), 0);
	ck_assert_int_eq(listen_fd_new(kit.group, fd, listenkit_on_request, &kit, &kit.listen), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	rawclient_open(&client, kit.path);
	rawclient_get(&client, "/");
	rawclient_expect(&client, &kit.net, "{\"a\":1}");
	rawclient_close(&client);
	kit.listen = listen_free(kit.listen);
	ck_assert_int_eq(access(kit.path, F_OK), 0);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(
	        listen_fd_new(kit.group, fd, listenkit_on_request, &kit, &ignored), -ENOTSOCK);
	close(fd);
	listenkit_deinit(&kit);
}
END_TEST

/* A metrics page over this address of the listener's. */
static void ask_over_tcp(struct listenkit *kit, const struct sockaddr *address, socklen_t size)
{
	struct rawclient client = {.fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};

	ck_assert_int_eq(connect(client.fd, address, size), 0);
	ck_assert_int_eq(fcntl(client.fd, F_SETFL, O_NONBLOCK), 0);
	rawclient_get(&client, "/metrics");
	rawclient_expect(&client, &kit->net, "{\"a\":1}");
	ck_assert_str_eq(kit->last, "0 GET /metrics [metrics] test=yes body=0:");
	rawclient_close(&client);
}

START_TEST(test_tcp_is_loopback_alone)
{
	static const char *const bad[] = {
	        "0.0.0.0", "::", "192.0.2.1", "localhost", "", "2001:db8::1"};
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct listen *listen = NULL;
	struct listen *second = NULL;
	struct listenkit kit;

	listenkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(
		        listen_tcp_new(kit.group, bad[i], 0, listenkit_on_request, &kit, &listen),
		        -EINVAL);
	ck_assert_int_eq(
	        listen_tcp_new(kit.group, "127.0.0.1", 0, listenkit_on_request, &kit, &listen), 0);
	ck_assert_uint_eq(listen_port(kit.listen), 0);
	ck_assert_uint_ne(listen_port(listen), 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons(listen_port(listen));
	ask_over_tcp(&kit, (const struct sockaddr *)&address, sizeof(address));
	/* The port is somebody's. */
	ck_assert_int_eq(listen_tcp_new(kit.group, "127.0.0.1", listen_port(listen),
	                         listenkit_on_request, &kit, &second),
	        -EADDRINUSE);
	listen_free(listen);
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_tcp_over_ipv6)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct listen *listen = NULL;
	struct listenkit kit;
	int result;

	listenkit_init(&kit);
	result = listen_tcp_new(kit.group, "::1", 0, listenkit_on_request, &kit, &listen);
	if (result == 0) {
		ck_assert_uint_ne(listen_port(listen), 0);
		address.sin6_port = htons(listen_port(listen));
		ask_over_tcp(&kit, (const struct sockaddr *)&address, sizeof(address));
		listen_free(listen);
	} else {
		/* A machine without. */
		ck_assert(result == -EADDRNOTAVAIL || result == -EAFNOSUPPORT);
	}
	listenkit_deinit(&kit);
}
END_TEST

START_TEST(test_null_is_freed_as_by_free)
{
	ck_assert_ptr_null(listen_free(NULL));
	ck_assert_ptr_null(listen_group_free(NULL));
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_request_and_reply);
	tcase_add_test(tests, test_more_segments_than_are_kept);
	tcase_add_test(tests, test_targets);
	tcase_add_test(tests, test_methods);
	tcase_add_test(tests, test_replies_without_body);
	tcase_add_test(tests, test_uris);
	tcase_add_test(tests, test_mode_is_exact);
	tcase_add_test(tests, test_what_stands_in_the_way);
	tcase_add_test(tests, test_only_its_own_socket_is_unlinked);
	tcase_add_test(tests, test_socket_of_another_disk_is_not_unlinked);
	tcase_add_test(tests, test_no_descriptors_for_a_socket);
	tcase_add_test(tests, test_inherited_socket);
	tcase_add_test(tests, test_tcp_is_loopback_alone);
	tcase_add_test(tests, test_tcp_over_ipv6);
	tcase_add_test(tests, test_null_is_freed_as_by_free);
}

int main(void)
{
	return netkit_main("listen", add_tests);
}

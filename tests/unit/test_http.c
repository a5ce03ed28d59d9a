/*
 * net/http against a server that misbehaves (rawserver.c), and with a getaddrinfo of our own, by
 * which names can be slow: libcurl finds the program's before the C library's.
 */
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/http.h"
#include "netkit.h"
#include "rawserver.h"
#include "util/mem.h"

/* ---- names ---- */

/* The test's own resolver has nowhere to keep its state but here: it is called by name. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool is_silent; /* names that begin with "silent" get no answer */
	unsigned n_in;
	unsigned n_in_max;
} resolver = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

typedef int getaddrinfo_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
        struct addrinfo **result)
{
	getaddrinfo_fn *real = (getaddrinfo_fn *)(uintptr_t)dlsym(RTLD_NEXT, "getaddrinfo");

	if (node && strncmp(node, "nowhere", 7) == 0)
		return EAI_NONAME;
	if (node && strncmp(node, "silent", 6) == 0) {
		pthread_mutex_lock(&resolver.mutex);
		resolver.n_in++;
		if (resolver.n_in > resolver.n_in_max)
			resolver.n_in_max = resolver.n_in;
		while (resolver.is_silent)
			pthread_cond_wait(&resolver.changed, &resolver.mutex);
		resolver.n_in--;
		pthread_cond_broadcast(&resolver.changed);
		pthread_mutex_unlock(&resolver.mutex);
		node = "127.0.0.1";
	}
	return real(node, service, hints, result);
}

static void resolver_be_silent(void)
{
	pthread_mutex_lock(&resolver.mutex);
	resolver.is_silent = true;
	resolver.n_in_max = 0;
	pthread_mutex_unlock(&resolver.mutex);
}

/* Answers all, and waits until every thread has left. */
static void resolver_answer(void)
{
	pthread_mutex_lock(&resolver.mutex);
	resolver.is_silent = false;
	pthread_cond_broadcast(&resolver.changed);
	while (resolver.n_in > 0)
		pthread_cond_wait(&resolver.changed, &resolver.mutex);
	pthread_mutex_unlock(&resolver.mutex);
}

/* ---- answers ---- */

enum { ANSWERS_MAX = 64 };

struct got {
	uint64_t owner;
	struct http_answer answer; /* with copies of its texts */
};

struct bench {
	struct netkit kit;
	struct rawserver server;
	struct http_host *host;
	char *base;
	size_t n;
	size_t until;
	struct got got[ANSWERS_MAX];
	/* What a callback is to do, once. */
	struct http_host *submit_to, *free_host;
	bool does_cancel;
};

static void bench_submit(struct bench *bench, const char *path, uint64_t owner);

static void on_answer(void *arg, uint64_t owner, const struct http_answer *answer)
{
	struct bench *bench = arg;
	struct got *got = &bench->got[bench->n];

	ck_assert_uint_lt(bench->n, ANSWERS_MAX);
	bench->n++;
	got->owner = owner;
	got->answer = *answer;
	got->answer.body = mem_strndup(answer->body, answer->len);
	got->answer.message = mem_strdup(answer->message);
	got->answer.content_type = mem_strdup(answer->content_type);
	got->answer.headers = mem_strdup(answer->headers);
	if (bench->submit_to) {
		bench->submit_to = NULL;
		bench_submit(bench, "/ok", owner + 100);
	}
	if (bench->does_cancel) {
		bench->does_cancel = false;
		http_cancel(bench->host, bench, owner + 1);
	}
	if (bench->free_host) {
		bench->free_host = NULL;
		bench->host = http_host_free(bench->host);
	}
}

static bool have_answers(void *arg)
{
	struct bench *bench = arg;

	return bench->n >= bench->until;
}

static struct http_host *bench_host(struct bench *bench, const char *base, int max_in_flight)
{
	struct http_host_options options = {.max_in_flight = max_in_flight};
	struct http_host *host;

	ck_assert_int_eq(http_host_new(bench->kit.http, base, &options, &host), 0);
	return host;
}

static void bench_init_with(struct bench *bench, int max_in_flight)
{
	*bench = (struct bench){0};
	netkit_init(&bench->kit);
	ck_assert_int_eq(http_new(bench->kit.loop, &bench->kit.http), 0);
	rawserver_init(&bench->server, NULL);
	bench->base = mem_printf("http://127.0.0.1:%u", bench->server.port);
	bench->host = bench_host(bench, bench->base, max_in_flight);
}

static void bench_init(struct bench *bench)
{
	bench_init_with(bench, 4);
}

static void bench_deinit(struct bench *bench)
{
	for (size_t i = 0; i < bench->n; i++) {
		free((char *)(uintptr_t)bench->got[i].answer.body);
		free((char *)(uintptr_t)bench->got[i].answer.message);
		free((char *)(uintptr_t)bench->got[i].answer.content_type);
		free((char *)(uintptr_t)bench->got[i].answer.headers);
	}
	http_host_free(bench->host);
	netkit_deinit(&bench->kit);
	rawserver_deinit(&bench->server);
	free(bench->base);
}

static int submit(struct bench *bench, struct http_host *host, const char *url, const char *header,
        int64_t timeout_ms, uint64_t owner)
{
	struct http_request request = {
	        .url = url,
	        .headers = {"Accept: application/json", header},
	        .timeout_ms = timeout_ms,
	};

	return http_submit(host, &request, on_answer, bench, owner);
}

static void bench_submit(struct bench *bench, const char *path, uint64_t owner)
{
	cleanup(mem_free_p) char *url = mem_printf("%s%s", bench->base, path);

	ck_assert_int_eq(submit(bench, bench->host, url,
	                         "Authorization: Zoho-oauthtoken 1000.canary", 10000, owner),
	        0);
}

/* One request and its answer. */
static const struct http_answer *bench_ask(struct bench *bench, const char *path)
{
	bench_submit(bench, path, bench->n + 1);
	bench->until = bench->n + 1;
	ck_assert(netkit_run(&bench->kit, have_answers, bench));
	ck_assert_uint_eq(bench->got[bench->n - 1].owner, bench->n);
	return &bench->got[bench->n - 1].answer;
}

static size_t count_text(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *at = strcasestr(text, what); at; at = strcasestr(at + 1, what))
		n++;
	return n;
}

/* ---- good answers ---- */

START_TEST(test_answer_and_request)
{
	struct bench bench;
	const struct http_answer *answer;
	const char *seen;

	bench_init(&bench);
	answer = bench_ask(&bench, "/ok/../x%2e/./y?q=1");
	ck_assert_int_eq(answer->error, HTTP_OK);
	ck_assert_str_eq(answer->message, "");
	ck_assert_int_eq(answer->status, 200);
	ck_assert_str_eq(answer->body, "{\"a\":1}\n");
	ck_assert_uint_eq(answer->len, 8);
	ck_assert_str_eq(answer->content_type, "application/json;charset=UTF-8");
	ck_assert_int_eq(answer->date_wall_ms, INT64_C(1795496400000));
	ck_assert_int_eq(answer->retry_after_s, -1);
	ck_assert_int_eq(answer->credits_remaining, -1);
	ck_assert_int_ge(answer->duration_ms, 0);
	ck_assert_str_eq(answer->headers, "");
	ck_assert(!answer->was_reused);
	ck_assert_uint_eq(answer->n_sent, 1);
	seen = rawserver_seen(&bench.server, 0);
	ck_assert_int_eq(strncmp(seen, "GET /ok/../x%2e/./y?q=1 HTTP/1.1\r\n", 34), 0);
	ck_assert_uint_eq(
	        count_text(seen, "\r\nAuthorization: Zoho-oauthtoken 1000.canary\r\n"), 1);
	ck_assert_uint_eq(count_text(seen, "\r\nUser-Agent: bulkwatch/"), 1);
	ck_assert_uint_eq(count_text(seen, "Accept-Encoding"), 0);
	ck_assert_uint_eq(count_text(seen, "Cookie"), 0);
	/* The next one has the connection, and nothing of the first one's headers. */
	ck_assert_int_eq(submit(&bench, bench.host, bench.base, NULL, 10000, 2), 0);
	bench.until = 2;
	ck_assert(netkit_run(&bench.kit, have_answers, &bench));
	ck_assert(bench.got[1].answer.was_reused);
	ck_assert_uint_eq(count_text(rawserver_seen(&bench.server, 1), "Authorization"), 0);
	ck_assert_uint_eq(http_host_sent(bench.host), 2);
	ck_assert_uint_eq(http_host_in_flight(bench.host), 0);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_post)
{
	struct bench bench;
	struct http_request request = {
	        .post_body = "grant_type=refresh_token&x=\0y",
	        .post_len = 29,
	        .headers = {"Content-Type: application/x-www-form-urlencoded"},
	        .timeout_ms = 10000,
	        .wants_headers = true,
	};
	const char *seen;
	const char *body;

	bench_init(&bench);
	request.url = bench.base;
	ck_assert_int_eq(http_submit(bench.host, &request, on_answer, &bench, 1), 0);
	bench.until = 1;
	ck_assert(netkit_run(&bench.kit, have_answers, &bench));
	ck_assert_int_eq(bench.got[0].answer.status, 200);
	ck_assert_ptr_nonnull(strstr(bench.got[0].answer.headers, "HTTP/1.1 200 OK\r\n"));
	ck_assert_ptr_nonnull(strstr(bench.got[0].answer.headers, "\r\nContent-Length: 8\r\n"));
	seen = rawserver_seen(&bench.server, 0);
	ck_assert_int_eq(strncmp(seen, "POST / HTTP/1.1\r\n", 17), 0);
	ck_assert_uint_eq(count_text(seen, "\r\nContent-Length: 29\r\n"), 1);
	ck_assert_uint_eq(count_text(seen, "\r\nExpect:"), 0);
	body = strstr(seen, "\r\n\r\n");
	ck_assert_ptr_nonnull(body);
	ck_assert_str_eq(body + 4, "grant_type=refresh_token&x=");
	/* A GET on the same handle is one. */
	ck_assert_str_eq(bench_ask(&bench, "/ok")->body, "{\"a\":1}\n");
	ck_assert_int_eq(strncmp(rawserver_seen(&bench.server, 1), "GET /ok ", 8), 0);
	ck_assert_uint_eq(count_text(rawserver_seen(&bench.server, 1), "Content-"), 0);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_headers_of_limits)
{
	static const struct {
		const char *header;
		int64_t retry_after_s;
		int64_t credits;
	} rows[] = {
	        {"X-None:+1", -1, -1},
	        {"Retry-After:+120", 120, -1},
	        {"retry-after:+0", 0, -1},
	        {"Retry-After:+abc", -1, -1},
	        {"Retry-After:", -1, -1},
	        {"X-API-CREDITS-REMAINING:+17", -1, 17},
	        {"x-api-credits-remaining:+0", -1, 0},
	        {"X-API-CREDITS-REMAINING:+-17", -1, -1},
	        {"X-API-CREDITS-REMAINING:+1e9", -1, -1},
	        {"X-API-CREDITS-REMAINING:+99999999999999999999", -1, -1},
	};
	struct bench bench;
	const struct http_answer *answer;

	bench_init(&bench);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup(mem_free_p) char *path = mem_printf("/header?%s", rows[i].header);

		answer = bench_ask(&bench, path);
		ck_assert_int_eq(answer->error, HTTP_OK);
		ck_assert_int_eq(answer->status, 429);
		ck_assert_msg(answer->retry_after_s == rows[i].retry_after_s, "%s gave %lld",
		        rows[i].header, (long long)answer->retry_after_s);
		ck_assert_msg(answer->credits_remaining == rows[i].credits, "%s gave %lld",
		        rows[i].header, (long long)answer->credits_remaining);
	}
	answer = bench_ask(&bench, "/header?Retry-After:+Tue,+01+Jan+2019+00:00:00+GMT");
	ck_assert_int_lt(answer->retry_after_s, -1000000);
	answer = bench_ask(&bench, "/header?Retry-After:+Fri,+31+Dec+9999+23:59:59+GMT");
	ck_assert_int_gt(answer->retry_after_s, INT64_C(100000000000));
	answer = bench_ask(&bench, "/header?Retry-After:+1e20");
	ck_assert_int_le(answer->retry_after_s, 1);
	/* What an interim reply says is not the reply's. */
	answer = bench_ask(&bench, "/interim");
	ck_assert_int_eq(answer->status, 200);
	ck_assert_int_eq(answer->retry_after_s, -1);
	ck_assert_int_eq(answer->credits_remaining, -1);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_nothing_is_followed)
{
	struct bench bench;
	const struct http_answer *answer;

	bench_init(&bench);
	answer = bench_ask(&bench, "/redirect");
	ck_assert_int_eq(answer->error, HTTP_OK);
	ck_assert_int_eq(answer->status, 302);
	answer = bench_ask(&bench, "/empty");
	ck_assert_int_eq(answer->status, 204);
	ck_assert_str_eq(answer->body, "");
	ck_assert_str_eq(answer->content_type, "");
	ck_assert_uint_eq(rawserver_requests(&bench.server), 2);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_environment_names_no_proxy)
{
	struct bench bench;

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("https_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	bench_init(&bench);
	ck_assert_int_eq(bench_ask(&bench, "/ok")->error, HTTP_OK);
	unsetenv("http_proxy");
	unsetenv("https_proxy");
	unsetenv("ALL_PROXY");
	bench_deinit(&bench);
}
END_TEST

/* ---- what is refused before it is sent ---- */

START_TEST(test_urls_of_other_hosts_are_refused)
{
	static const char *const urls[] = {"http://127.0.0.1:%u@evil.example/x",
	        "http://user@127.0.0.1:%u/x", "http://:@127.0.0.1:%u/x", "https://127.0.0.1:%u/x",
	        "ftp://127.0.0.1:%u/x", "http://127.0.0.1:%u0/x", "http://127.0.0.2:%u/x",
	        "http://127.0.0.1/x", "http://localhost:%u/x", "//127.0.0.1:%u/x", "/x", "",
	        "127.0.0.1:%u/x", "http://127.0.0.1:%u.evil.example/x", "http://127.0.0.1:%u/x#y",
	        "http://127.0.0.1:%u/x\r\nX: y", "http://127.0.0.1:%u/x y",
	        "http://127.0.0.1:%u/x\ty", "http://127.0.0.1:%u\\@evil.example/x"};
	struct bench bench;

	bench_init(&bench);
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		char url[128];
		const char *number = strstr(urls[i], "%u");
		int before = number ? (int)(number - urls[i]) : (int)strlen(urls[i]);

		if (number)
			snprintf(url, sizeof(url), "%.*s%u%s", before, urls[i], bench.server.port,
			        number + 2);
		else
			snprintf(url, sizeof(url), "%s", urls[i]);
		ck_assert_msg(submit(&bench, bench.host, url, NULL, 1000, 1) == HTTP_E_BAD_REQUEST,
		        "%s was not refused", url);
	}
	netkit_run_for(&bench.kit, 20);
	ck_assert_uint_eq(rawserver_requests(&bench.server), 0);
	ck_assert_uint_eq(http_host_in_flight(bench.host), 0);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_other_spellings_of_the_host)
{
	static const struct {
		const char *base;
		const char *url;
		int expected;
	} rows[] = {
	        {"https://www.zohoapis.eu", "https://www.zohoapis.eu/bigin/x", 0},
	        {"https://www.zohoapis.eu", "https://WWW.ZohoAPIs.eu/bigin/x", 0},
	        {"https://www.zohoapis.eu", "https://www.zohoapis.eu:443/bigin/x", 0},
	        {"https://www.zohoapis.eu:443", "https://www.zohoapis.eu/bigin/x", 0},
	        {"https://www.zohoapis.eu", "https://www.zohoapis.eu./bigin/x", 0},
	        {"https://www.zohoapis.eu/", "https://www.zohoapis.eu/bigin/x", 0},
	        {"https://www.zohoapis.eu", "https://www.zohoapis.eu?x=/y", 0},
	        {"https://www.zohoapis.eu", "https://www.zohoapis.eu:444/x", HTTP_E_BAD_REQUEST},
	        {"https://www.zohoapis.eu", "https://www.zohoapis.eu.evil/x", HTTP_E_BAD_REQUEST},
	        {"https://www.zohoapis.eu", "https://www.zohoapis.e/x", HTTP_E_BAD_REQUEST},
	        {"https://www.zohoapis.eu", "http://www.zohoapis.eu/x", HTTP_E_BAD_REQUEST},
	};
	struct bench bench;

	bench_init(&bench);
	resolver_be_silent();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_host *host = bench_host(&bench, rows[i].base, 1);
		int result;

		/* The one place is taken, so that the request in question stays in the queue. */
		result = submit(&bench, host, rows[i].url, NULL, 1000, 1);
		ck_assert_msg(result == rows[i].expected, "%s: %d", rows[i].url, result);
		http_cancel(host, &bench, 1);
		http_host_free(host);
	}
	resolver_answer();
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_hosts_that_cannot_be)
{
	static const char *const bases[] = {"", "www.zohoapis.eu", "ftp://www.zohoapis.eu",
	        "https://", "https://u@www.zohoapis.eu", "https://www.zohoapis.eu/x",
	        "https://www.zohoapis.eu?x", "https://www.zohoapis.eu#x", "https://a b",
	        "https://www.zohoapis.eu:99999", "file:///etc/passwd"};
	struct http_host_options options = {.max_in_flight = 1};
	struct bench bench;
	struct http_host *host = NULL;

	bench_init(&bench);
	for (size_t i = 0; i < ARRAY_LEN(bases); i++)
		ck_assert_msg(http_host_new(bench.kit.http, bases[i], &options, &host) == -EINVAL,
		        "%s", bases[i]);
	options.max_in_flight = 0;
	ck_assert_int_eq(http_host_new(bench.kit.http, bench.base, &options, &host), -EINVAL);
	options.max_in_flight = HTTP_HOST_MAX_CONNECTIONS + 1;
	ck_assert_int_eq(http_host_new(bench.kit.http, bench.base, &options, &host), -EINVAL);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_headers_that_inject_are_refused)
{
	static const char *const headers[] = {"X-Job: a\r\nAuthorization: Evil", "X-Job: a\nb: c",
	        "X-Job: a\tb", "X-Job: \x7f", "X-Job", "X-Job;", ": a", "X Job: a", "\r\nX: y"};
	struct bench bench;

	bench_init(&bench);
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		ck_assert_int_eq(submit(&bench, bench.host, bench.base, headers[i], 1000, 1),
		        HTTP_E_BAD_REQUEST);
	netkit_run_for(&bench.kit, 20);
	ck_assert_uint_eq(rawserver_requests(&bench.server), 0);
	bench_deinit(&bench);
}
END_TEST

/* ---- bad answers ---- */

START_TEST(test_broken_replies)
{
	static const struct {
		const char *path;
		enum http_error error;
	} rows[] = {
	        {"/drop", HTTP_E_BROKEN},
	        {"/reset", HTTP_E_BROKEN},
	        {"/cut-length", HTTP_E_BROKEN},
	        {"/cut-chunked", HTTP_E_BROKEN},
	        {"/garbage", HTTP_E_BROKEN},
	        {"/body-over", HTTP_E_TOO_LARGE},
	        {"/endless-body", HTTP_E_TOO_LARGE},
	        {"/endless-headers", HTTP_E_TOO_LARGE},
	        {"/endless-line", HTTP_E_TOO_LARGE},
	        {"/body-max", HTTP_OK},
	        /* libcurl cannot tell; whoever reads the body does. */
	        {"/cut-unknown", HTTP_OK},
	};
	struct bench bench;

	bench_init(&bench);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct http_answer *answer = bench_ask(&bench, rows[i].path);

		ck_assert_msg(answer->error == rows[i].error, "%s: %d, %s", rows[i].path,
		        (int)answer->error, answer->message);
		ck_assert_msg((answer->error == HTTP_OK) == (answer->message[0] == '\0'), "%s",
		        rows[i].path);
		ck_assert_ptr_null(strpbrk(answer->message, "\r\n?"));
		ck_assert_uint_le(answer->len, HTTP_BODY_MAX_BYTES);
		ck_assert_uint_eq(answer->n_sent, 1);
	}
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_nobody_there)
{
	struct bench bench;
	struct http_host *refused;
	struct http_host *unknown;
	struct rawserver gone;
	cleanup(mem_free_p) char *base = NULL;

	bench_init(&bench);
	rawserver_init(&gone, NULL);
	base = mem_printf("http://127.0.0.1:%u", gone.port);
	rawserver_deinit(&gone);
	refused = bench_host(&bench, base, 1);
	unknown = bench_host(&bench, "http://nowhere.example", 1);
	ck_assert_int_eq(submit(&bench, refused, base, NULL, 10000, 1), 0);
	bench.until = 1;
	ck_assert(netkit_run(&bench.kit, have_answers, &bench));
	ck_assert_int_eq(
	        submit(&bench, unknown, "http://nowhere.example/?secret=1", NULL, 10000, 2), 0);
	bench.until = 2;
	ck_assert(netkit_run(&bench.kit, have_answers, &bench));
	ck_assert_int_eq(bench.got[0].answer.error, HTTP_E_CONNECT);
	ck_assert_int_eq(bench.got[0].answer.status, 0);
	ck_assert_uint_eq(bench.got[0].answer.n_sent, 0);
	ck_assert_int_eq(bench.got[1].answer.error, HTTP_E_RESOLVE);
	ck_assert_ptr_nonnull(strstr(bench.got[1].answer.message, "nowhere.example"));
	ck_assert_ptr_null(strstr(bench.got[1].answer.message, "secret"));
	ck_assert_uint_eq(http_host_sent(refused), 0);
	http_host_free(refused);
	http_host_free(unknown);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_timeout)
{
	struct bench bench;
	cleanup(mem_free_p) char *url = NULL;
	int64_t began_mono_ms;

	bench_init(&bench);
	url = mem_printf("%s/hang", bench.base);
	began_mono_ms = clock_now().mono_ms;
	ck_assert_int_eq(submit(&bench, bench.host, url, NULL, 300, 1), 0);
	bench.until = 1;
	ck_assert(netkit_run(&bench.kit, have_answers, &bench));
	ck_assert_int_eq(bench.got[0].answer.error, HTTP_E_TIMEOUT);
	ck_assert_int_ge(clock_now().mono_ms - began_mono_ms, 295);
	ck_assert_int_ge(bench.got[0].answer.duration_ms, 295);
	ck_assert_uint_eq(bench.got[0].answer.n_sent, 1);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_dead_connection_is_tried_anew_once)
{
	static const char *const paths[] = {"/reset-if-reused", "/drop-if-reused"};
	struct bench bench;
	const struct http_answer *answer;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		bench_init(&bench);
		ck_assert_uint_eq(bench_ask(&bench, "/ok")->n_sent, 1);
		answer = bench_ask(&bench, paths[i]);
		ck_assert_msg(answer->error == HTTP_OK, "%s", answer->message);
		ck_assert_int_eq(answer->status, 200);
		ck_assert(!answer->was_reused);
		ck_assert_uint_eq(answer->n_sent, 2);
		ck_assert_uint_eq(http_host_sent(bench.host), 3);
		ck_assert_uint_eq(bench.server.n_connections, 2);
		bench_deinit(&bench);
	}
	/* Not when it fails on the fresh one too, nor after the reply has begun. */
	bench_init(&bench);
	bench_ask(&bench, "/ok");
	answer = bench_ask(&bench, "/reset");
	ck_assert_int_eq(answer->error, HTTP_E_BROKEN);
	ck_assert_uint_eq(answer->n_sent, 2);
	bench_ask(&bench, "/ok");
	answer = bench_ask(&bench, "/cut-if-reused");
	ck_assert_int_eq(answer->error, HTTP_E_BROKEN);
	ck_assert_uint_eq(answer->n_sent, 1);
	bench_deinit(&bench);
}
END_TEST

/* ---- many at once ---- */

static bool are_three_waiting(void *arg)
{
	struct bench *bench = arg;

	return rawserver_waiting(&bench->server) == 3;
}

START_TEST(test_cap)
{
	struct bench bench;

	bench_init_with(&bench, 3);
	for (uint64_t i = 1; i <= 12; i++) {
		cleanup(mem_free_p) char *path = mem_printf("/wait/%llu/", (unsigned long long)i);

		bench_submit(&bench, path, i);
	}
	ck_assert_uint_eq(http_host_in_flight(bench.host), 12);
	ck_assert(netkit_run(&bench.kit, are_three_waiting, &bench));
	netkit_run_for(&bench.kit, 30);
	ck_assert_uint_eq(rawserver_requests(&bench.server), 3);
	rawserver_release(&bench.server);
	bench.until = 12;
	ck_assert(netkit_run(&bench.kit, have_answers, &bench));
	ck_assert_uint_eq(bench.server.n_waiting_max, 3);
	ck_assert_uint_eq(bench.server.n_connections, 3);
	ck_assert_uint_eq(http_host_in_flight(bench.host), 0);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_first_come_first_sent)
{
	struct bench bench;

	bench_init_with(&bench, 1);
	for (uint64_t i = 1; i <= 12; i++) {
		cleanup(mem_free_p) char *path = mem_printf("/ok/%llu/", (unsigned long long)i);

		bench_submit(&bench, path, i);
	}
	bench.until = 12;
	ck_assert(netkit_run(&bench.kit, have_answers, &bench));
	for (unsigned i = 1; i <= 12; i++) {
		char path[32];

		snprintf(path, sizeof(path), "GET /ok/%u/ ", i);
		ck_assert_ptr_nonnull(strstr(rawserver_seen(&bench.server, i - 1), path));
		ck_assert_uint_eq(bench.got[i - 1].owner, i);
	}
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_cancel_everywhere)
{
	struct bench bench;

	bench_init_with(&bench, 3);
	for (uint64_t i = 1; i <= 6; i++)
		bench_submit(&bench, "/wait", i);
	ck_assert(netkit_run(&bench.kit, are_three_waiting, &bench));
	http_cancel(bench.host, &bench, 6); /* queued */
	http_cancel(bench.host, &bench, 2); /* in flight: its place goes to 4 */
	http_cancel(bench.host, NULL, 1);   /* somebody else's */
	ck_assert_uint_eq(http_host_in_flight(bench.host), 4);
	rawserver_release(&bench.server);
	bench.until = 4;
	ck_assert(netkit_run(&bench.kit, have_answers, &bench));
	netkit_run_for(&bench.kit, 20);
	ck_assert_uint_eq(bench.n, 4);
	for (size_t i = 0; i < bench.n; i++) {
		ck_assert_uint_ne(bench.got[i].owner, 2);
		ck_assert_uint_ne(bench.got[i].owner, 6);
	}
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_callbacks_may_do_everything)
{
	struct bench bench;

	bench_init(&bench);
	bench.submit_to = bench.host;
	bench_submit(&bench, "/ok", 1);
	bench.until = 2;
	ck_assert(netkit_run(&bench.kit, have_answers, &bench));
	ck_assert_uint_eq(bench.got[1].owner, 101);
	/* Cancels its neighbour, whichever list that is in by now. */
	bench.does_cancel = true;
	bench_submit(&bench, "/ok", 11);
	bench_submit(&bench, "/hang", 12);
	bench.until = 3;
	ck_assert(netkit_run(&bench.kit, have_answers, &bench));
	ck_assert_uint_eq(http_host_in_flight(bench.host), 0);
	/* Frees its own host while others of it are in every list. */
	bench.free_host = bench.host;
	for (uint64_t i = 21; i < 41; i++)
		bench_submit(&bench, i % 2 ? "/ok" : "/hang", i);
	bench.until = 4;
	ck_assert(netkit_run(&bench.kit, have_answers, &bench));
	netkit_run_for(&bench.kit, 20);
	ck_assert_uint_eq(bench.n, 4);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_free_drops_what_is_in_flight)
{
	struct bench bench;
	size_t n_fds;

	bench_init_with(&bench, 3);
	n_fds = netkit_count_fds();
	for (uint64_t i = 1; i <= 5; i++)
		bench_submit(&bench, "/wait", i);
	ck_assert(netkit_run(&bench.kit, are_three_waiting, &bench));
	bench.host = http_host_free(bench.host);
	rawserver_release(&bench.server);
	netkit_run_for(&bench.kit, 50);
	ck_assert_uint_eq(bench.n, 0);
	ck_assert_uint_le(netkit_count_fds(), n_fds + 3);
	bench_deinit(&bench);
}
END_TEST

START_TEST(test_queue_is_bounded)
{
	struct bench bench;
	size_t n_refused = 0;

	bench_init_with(&bench, 1);
	for (size_t i = 0; i < HTTP_QUEUE_MAX + 3; i++) {
		int result = submit(&bench, bench.host, bench.base, NULL, 1000, i);

		ck_assert(result == 0 || result == -ENOBUFS);
		n_refused += result == -ENOBUFS;
	}
	ck_assert_uint_eq(n_refused, 2);
	ck_assert_uint_eq(http_host_in_flight(bench.host), HTTP_QUEUE_MAX + 1);
	bench_deinit(&bench);
}
END_TEST

static bool are_ten_waiting(void *arg)
{
	struct bench *bench = arg;

	return rawserver_waiting(&bench->server) == 10;
}

START_TEST(test_many_dead_connections_are_passed_over)
{
	struct bench bench;
	const struct http_answer *answer;

	bench_init_with(&bench, 10);
	for (uint64_t i = 1; i <= 10; i++)
		bench_submit(&bench, "/wait", i);
	ck_assert(netkit_run(&bench.kit, are_ten_waiting, &bench));
	rawserver_release(&bench.server);
	bench.until = 10;
	ck_assert(netkit_run(&bench.kit, have_answers, &bench));
	/* libcurl tries one after the other and gives up at the sixth; then it is our turn. */
	answer = bench_ask(&bench, "/reset-if-reused");
	ck_assert_msg(answer->error == HTTP_OK, "%s", answer->message);
	ck_assert(!answer->was_reused);
	ck_assert_uint_eq(bench.server.n_connections, 11);
	ck_assert_uint_eq(answer->n_sent + 10, rawserver_requests(&bench.server));
	bench_deinit(&bench);
}
END_TEST

/* ---- silent DNS ---- */

START_TEST(test_silent_dns_harms_nobody_else)
{
	struct bench bench;
	struct http_host *silent;
	int64_t began_mono_ms;

	bench_init(&bench);
	silent = bench_host(&bench, "http://silent.example", 2);
	resolver_be_silent();
	for (uint64_t i = 1; i <= 6; i++)
		ck_assert_int_eq(
		        submit(&bench, silent, "http://silent.example/", NULL, 2000, i), 0);
	began_mono_ms = clock_now().mono_ms;
	ck_assert_int_eq(bench_ask(&bench, "/ok")->status, 200);
	ck_assert_int_lt(clock_now().mono_ms - began_mono_ms, 1500);
	bench.until = 3;
	ck_assert(netkit_run(&bench.kit, have_answers, &bench));
	ck_assert_int_eq(bench.got[1].answer.error, HTTP_E_RESOLVE);
	ck_assert_int_eq(bench.got[2].answer.error, HTTP_E_RESOLVE);
	/* Their threads live on: no others beside them. */
	netkit_run_for(&bench.kit, 700);
	ck_assert_uint_eq(bench.n, 3);
	ck_assert_uint_eq(resolver.n_in_max, 2);
	ck_assert_uint_eq(http_host_in_flight(silent), 4);
	began_mono_ms = clock_now().mono_ms;
	http_host_free(silent);
	ck_assert_int_lt(clock_now().mono_ms - began_mono_ms, 1500);
	resolver_answer();
	bench_deinit(&bench);
}
END_TEST

/* ---- TLS ---- */

struct tls_bench {
	struct bench bench;
	struct rawserver server;
	struct http_host *host;
	char *dir, *base, *ca_file;
};

static void tls_init(
        struct tls_bench *tls, const char *name, int days, bool is_known, const char *host)
{
	struct http_host_options options = {.max_in_flight = 2};

	bench_init(&tls->bench);
	tls->dir = netkit_make_dir();
	rawserver_make_certificate(tls->dir, name, days);
	rawserver_init(&tls->server, tls->dir);
	tls->base = mem_printf("https://%s:%u", host, tls->server.port);
	tls->ca_file = mem_printf("%s/cert.pem", tls->dir);
	if (is_known)
		options.ca_file = tls->ca_file;
	ck_assert_int_eq(http_host_new(tls->bench.kit.http, tls->base, &options, &tls->host), 0);
}

static const struct http_answer *tls_ask(struct tls_bench *tls)
{
	struct bench *bench = &tls->bench;

	ck_assert_int_eq(submit(bench, tls->host, tls->base, "Authorization: x", 10000, 1), 0);
	bench->until = bench->n + 1;
	ck_assert(netkit_run(&bench->kit, have_answers, bench));
	return &bench->got[bench->n - 1].answer;
}

static void tls_deinit(struct tls_bench *tls)
{
	http_host_free(tls->host);
	bench_deinit(&tls->bench);
	rawserver_deinit(&tls->server);
	netkit_remove_dir(tls->dir);
	free(tls->base);
	free(tls->ca_file);
}

START_TEST(test_tls_is_verified)
{
	static const struct {
		const char *name;
		int days;
		bool is_known;
	} bad[] = {{"127.0.0.1", 10, false}, {"other.example", 10, true}, {"127.0.0.1", -1, true}};
	struct tls_bench tls;
	const struct http_answer *answer;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		tls_init(&tls, bad[i].name, bad[i].days, bad[i].is_known, "127.0.0.1");
		answer = tls_ask(&tls);
		ck_assert_msg(answer->error == HTTP_E_TLS, "%zu: %s", i, answer->message);
		ck_assert_ptr_nonnull(strstr(answer->message, "clock"));
		ck_assert_uint_eq(answer->n_sent, 0);
		ck_assert_uint_eq(rawserver_requests(&tls.server), 0);
		tls_deinit(&tls);
	}
	tls_init(&tls, "127.0.0.1", 10, true, "127.0.0.1");
	answer = tls_ask(&tls);
	ck_assert_msg(answer->error == HTTP_OK, "%s", answer->message);
	ck_assert_int_eq(answer->status, 200);
	answer = tls_ask(&tls);
	ck_assert(answer->was_reused);
	tls_deinit(&tls);
}
END_TEST

START_TEST(test_tls_where_there_is_none)
{
	struct bench bench;
	struct http_host *host;
	cleanup(mem_free_p) char *base = NULL;

	bench_init(&bench);
	base = mem_printf("https://127.0.0.1:%u", bench.server.port);
	host = bench_host(&bench, base, 1);
	ck_assert_int_eq(submit(&bench, host, base, "Authorization: x", 500, 1), 0);
	bench.until = 1;
	ck_assert(netkit_run(&bench.kit, have_answers, &bench));
	ck_assert_int_ne(bench.got[0].answer.error, HTTP_OK);
	ck_assert_uint_eq(rawserver_requests(&bench.server), 0);
	http_host_free(host);
	bench_deinit(&bench);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_answer_and_request);
	tcase_add_test(tests, test_post);
	tcase_add_test(tests, test_headers_of_limits);
	tcase_add_test(tests, test_nothing_is_followed);
	tcase_add_test(tests, test_environment_names_no_proxy);
	tcase_add_test(tests, test_urls_of_other_hosts_are_refused);
	tcase_add_test(tests, test_other_spellings_of_the_host);
	tcase_add_test(tests, test_hosts_that_cannot_be);
	tcase_add_test(tests, test_headers_that_inject_are_refused);
	tcase_add_test(tests, test_broken_replies);
	tcase_add_test(tests, test_nobody_there);
	tcase_add_test(tests, test_timeout);
	tcase_add_test(tests, test_dead_connection_is_tried_anew_once);
	tcase_add_test(tests, test_cap);
	tcase_add_test(tests, test_first_come_first_sent);
	tcase_add_test(tests, test_cancel_everywhere);
	tcase_add_test(tests, test_callbacks_may_do_everything);
	tcase_add_test(tests, test_free_drops_what_is_in_flight);
	tcase_add_test(tests, test_queue_is_bounded);
	tcase_add_test(tests, test_many_dead_connections_are_passed_over);
	tcase_add_test(tests, test_silent_dns_harms_nobody_else);
	tcase_add_test(tests, test_tls_is_verified);
	tcase_add_test(tests, test_tls_where_there_is_none);
}

int main(void)
{
	Suite *suite = suite_create("http");
	TCase *tests = tcase_create("http");
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

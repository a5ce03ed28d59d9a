/* net/http: what is asked, what is answered, and what is refused before it is sent. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "httpkit.h"
#include "net/http_private.h"
#include "slowdns.h"
#include "util/mem.h"

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
	struct httpkit kit;
	const struct http_answer *answer;
	const char *seen;

	httpkit_init(&kit);
	answer = httpkit_ask(&kit, "/ok/../x%2e/./y?q=1");
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
	seen = rawserver_seen(&kit.server, 0);
	ck_assert_int_eq(strncmp(seen, "GET /ok/../x%2e/./y?q=1 HTTP/1.1\r\n", 34), 0);
	ck_assert_uint_eq(
	        count_text(seen, "\r\nAuthorization: Zoho-oauthtoken 1000.canary\r\n"), 1);
	ck_assert_uint_eq(count_text(seen, "\r\nUser-Agent: bulkwatch/"), 1);
	ck_assert_uint_eq(count_text(seen, "Accept-Encoding"), 0);
	ck_assert_uint_eq(count_text(seen, "Cookie"), 0);
	/* The next one has the connection, and nothing of the first one's headers. */
	ck_assert_int_eq(httpkit_submit_to(&kit, kit.host, kit.base, NULL, 10000, 2), 0);
	kit.until = 2;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	ck_assert(kit.got[1].answer.was_reused);
	ck_assert_uint_eq(count_text(rawserver_seen(&kit.server, 1), "Authorization"), 0);
	ck_assert_uint_eq(http_host_sent(kit.host), 2);
	ck_assert_uint_eq(http_host_in_flight(kit.host), 0);
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_post)
{
	struct httpkit kit;
	struct http_request request = {
	        .post_body = "grant_type=refresh_token&x=\0y",
	        .post_len = 29,
	        .headers = {"Content-Type: application/x-www-form-urlencoded"},
	        .timeout_ms = 10000,
	        .wants_headers = true,
	};
	const char *seen;
	const char *body;

	httpkit_init(&kit);
	request.url = kit.base;
	ck_assert_int_eq(http_submit(kit.host, &request, httpkit_on_answer, &kit, 1), 0);
	kit.until = 1;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	ck_assert_int_eq(kit.got[0].answer.status, 200);
	ck_assert_ptr_nonnull(strstr(kit.got[0].answer.headers, "HTTP/1.1 200 OK\r\n"));
	ck_assert_ptr_nonnull(strstr(kit.got[0].answer.headers, "\r\nContent-Length: 8\r\n"));
	seen = rawserver_seen(&kit.server, 0);
	ck_assert_int_eq(strncmp(seen, "POST / HTTP/1.1\r\n", 17), 0);
	ck_assert_uint_eq(count_text(seen, "\r\nContent-Length: 29\r\n"), 1);
	ck_assert_uint_eq(count_text(seen, "\r\nExpect:"), 0);
	body = strstr(seen, "\r\n\r\n");
	ck_assert_ptr_nonnull(body);
	ck_assert_str_eq(body + 4, "grant_type=refresh_token&x=");
	/* A GET on the same connection is one. */
	ck_assert_str_eq(httpkit_ask(&kit, "/ok")->body, "{\"a\":1}\n");
	ck_assert_int_eq(strncmp(rawserver_seen(&kit.server, 1), "GET /ok ", 8), 0);
	ck_assert_uint_eq(count_text(rawserver_seen(&kit.server, 1), "Content-"), 0);
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_as_many_headers_as_there_may_be)
{
	static const char *const bodies[] = {NULL, "x"};
	char lines[HTTP_HEADERS_MAX][32];
	struct httpkit kit;

	httpkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct http_request request = {
		        .url = kit.base,
		        .post_body = bodies[i],
		        .post_len = i,
		        .timeout_ms = 10000,
		};

		for (int j = 0; j < HTTP_HEADERS_MAX; j++) {
			snprintf(lines[j], sizeof(lines[j]), "X-Line-%d: %d-%zu", j, j, i);
			request.headers[j] = lines[j];
		}
		ck_assert_int_eq(http_submit(kit.host, &request, httpkit_on_answer, &kit, i), 0);
		kit.until = i + 1;
		ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
		ck_assert_int_eq(kit.got[i].answer.status, 200);
		for (int j = 0; j < HTTP_HEADERS_MAX; j++) {
			cleanup(mem_free_p) char *line = mem_printf("\r\n%s\r\n", lines[j]);

			ck_assert_uint_eq(count_text(rawserver_seen(&kit.server, i), line), 1);
		}
		ck_assert_uint_eq(count_text(rawserver_seen(&kit.server, i), "Expect"), 0);
	}
	httpkit_deinit(&kit);
}
END_TEST

static bool holds(const struct buf *buf, const char *text)
{
	return buf->cap && memmem(buf->data, buf->cap, text, strlen(text));
}

/* What is kept for the next request is memory, nothing of what it held. */
START_TEST(test_nothing_is_left_of_a_request)
{
	struct httpkit kit;
	const struct http_transfer *spare;
	const struct http_transfers *spares;

	httpkit_init(&kit);
	ck_assert_int_eq(httpkit_ask(&kit, "/ok")->status, 200);
	spares = &kit.net.http->spare;
	spare = TAILQ_FIRST(spares);
	ck_assert_ptr_nonnull(spare);
	ck_assert_uint_gt(spare->lines.cap, 0);
	ck_assert_uint_gt(spare->reply.body.cap, 0);
	ck_assert(!holds(&spare->lines, "canary"));
	ck_assert(!holds(&spare->reply.body, "{\"a\":1}"));
	ck_assert_uint_eq(spare->n_headers, 0);
	ck_assert_ptr_null(spare->headers[0].data);
	/* The next one uses it. */
	ck_assert_int_eq(httpkit_ask(&kit, "/ok")->status, 200);
	ck_assert_ptr_eq(TAILQ_FIRST(spares), spare);
	ck_assert_ptr_null(TAILQ_NEXT(spare, link));
	httpkit_deinit(&kit);
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
	        {"Retry-After:+1e20", -1, -1},
	        {"Retry-After:+12s", -1, -1},
	        {"Retry-After:+-5", -1, -1},
	        {"Retry-After:+1.5", -1, -1},
	        {"Retry-After:~+7+~", 7, -1},
	        {"Retry-Later:+7", -1, -1},
	        {"X-ABC-CREDITS-REMAINING:+17", -1, -1},
	        {"X-API-CREDITS-REMAINDER:+17", -1, -1},
	        {"X-API-CREDITS-REMAINING~:+17", -1, -1},
	        {"X-API-CREDITS-REMAINING:+17", -1, 17},
	        {"x-api-credits-remaining:+0", -1, 0},
	        {"X-API-CREDITS-REMAINING:+-17", -1, -1},
	        {"X-API-CREDITS-REMAINING:+1e9", -1, -1},
	        {"X-API-CREDITS-REMAINING:+99999999999999999999", -1, -1},
	};
	struct httpkit kit;
	const struct http_answer *answer;

	httpkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup(mem_free_p) char *path = mem_printf("/header?%s", rows[i].header);

		answer = httpkit_ask(&kit, path);
		ck_assert_int_eq(answer->error, HTTP_OK);
		ck_assert_int_eq(answer->status, 429);
		ck_assert_msg(answer->retry_after_s == rows[i].retry_after_s, "%s gave %lld",
		        rows[i].header, (long long)answer->retry_after_s);
		ck_assert_msg(answer->credits_remaining == rows[i].credits, "%s gave %lld",
		        rows[i].header, (long long)answer->credits_remaining);
	}
	answer = httpkit_ask(&kit, "/header?Retry-After:+Tue,+01+Jan+2019+00:00:00+GMT");
	ck_assert_int_lt(answer->retry_after_s, -1000000);
	answer = httpkit_ask(&kit, "/header?Retry-After:+Fri,+31+Dec+9999+23:59:59+GMT");
	ck_assert_int_gt(answer->retry_after_s, INT64_C(100000000000));
	/* What an interim reply says is not the reply's. */
	answer = httpkit_ask(&kit, "/interim");
	ck_assert_int_eq(answer->status, 200);
	ck_assert_int_eq(answer->retry_after_s, -1);
	ck_assert_int_eq(answer->credits_remaining, -1);
	httpkit_deinit(&kit);
}
END_TEST

/* A second ago is now: -1 says that there was none. */
START_TEST(test_retry_after_a_second_ago)
{
	struct httpkit kit;
	int64_t retry_after_s = -2;

	httpkit_init(&kit);
	/* The second may end between us and libcurl. */
	for (int i = 0; i < 10 && retry_after_s == -2; i++) {
		time_t then = time(NULL) - 1;
		char path[80];
		struct tm tm;

		strftime(path, sizeof(path), "/header?Retry-After:+%a,+%d+%b+%Y+%T+GMT",
		        gmtime_r(&then, &tm));
		retry_after_s = httpkit_ask(&kit, path)->retry_after_s;
	}
	ck_assert_int_eq(retry_after_s, 0);
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_dates_and_types)
{
	static const struct {
		const char *header;
		int64_t date_wall_ms;
	} rows[] = {
	        {"Date:+Tue,+24+Nov+2026+05:00:00+GMT", INT64_C(1795496400000)},
	        {"Date:+yesterday", -1},
	        {"Date:", -1},
	        {"Dated:+Tue,+24+Nov+2026+05:00:00+GMT", -1},
	        {"Dade:+Tue,+24+Nov+2026+05:00:00+GMT", -1},
	};
	struct httpkit kit;
	const char *type;
	char path[300];

	httpkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup(mem_free_p) char *asked = mem_printf("/header?%s", rows[i].header);

		ck_assert_msg(httpkit_ask(&kit, asked)->date_wall_ms == rows[i].date_wall_ms, "%s",
		        rows[i].header);
	}
	/* Of a type that is longer than any there is, the beginning. */
	snprintf(path, sizeof(path), "/header?Content-Type:+text/%0200d", 0);
	type = httpkit_ask(&kit, path)->content_type;
	ck_assert_uint_eq(strlen(type), HTTP_CONTENT_TYPE_MAX_BYTES - 1);
	ck_assert_int_eq(strncmp(type, "text/000", 8), 0);
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_nothing_is_followed)
{
	struct httpkit kit;
	const struct http_answer *answer;

	httpkit_init(&kit);
	answer = httpkit_ask(&kit, "/redirect");
	ck_assert_int_eq(answer->error, HTTP_OK);
	ck_assert_int_eq(answer->status, 302);
	answer = httpkit_ask(&kit, "/empty");
	ck_assert_int_eq(answer->status, 204);
	ck_assert_str_eq(answer->body, "");
	ck_assert_str_eq(answer->content_type, "");
	ck_assert_uint_eq(rawserver_requests(&kit.server), 2);
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_environment_names_no_proxy)
{
	struct httpkit kit;

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("https_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	httpkit_init(&kit);
	ck_assert_int_eq(httpkit_ask(&kit, "/ok")->error, HTTP_OK);
	unsetenv("http_proxy");
	unsetenv("https_proxy");
	unsetenv("ALL_PROXY");
	httpkit_deinit(&kit);
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
	        "http://127.0.0.1:%u/x\ty", "http://127.0.0.1:%u\\@evil.example/x",
	        "http://127.0.0.1:%u?x\ty", "http://127.0.0.1:%u?x#y"};
	struct httpkit kit;

	httpkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		char url[128];
		const char *number = strstr(urls[i], "%u");
		int before = number ? (int)(number - urls[i]) : (int)strlen(urls[i]);

		if (number)
			snprintf(url, sizeof(url), "%.*s%u%s", before, urls[i], kit.server.port,
			        number + 2);
		else
			snprintf(url, sizeof(url), "%s", urls[i]);
		ck_assert_msg(
		        httpkit_submit_to(&kit, kit.host, url, NULL, 1000, 1) == HTTP_E_BAD_REQUEST,
		        "%s was not refused", url);
	}
	netkit_run_for(&kit.net, 20);
	ck_assert_uint_eq(rawserver_requests(&kit.server), 0);
	ck_assert_uint_eq(http_host_in_flight(kit.host), 0);
	httpkit_deinit(&kit);
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
	        {"https://x", "https://X/y", 0},
	        {"https://x", "https://y/x", HTTP_E_BAD_REQUEST},
	        {"https://www.zohoapis.eu", "https://www.zohoapis.eu:444/x", HTTP_E_BAD_REQUEST},
	        {"https://www.zohoapis.eu", "https://www.zohoapis.eu.evil/x", HTTP_E_BAD_REQUEST},
	        {"https://www.zohoapis.eu", "https://www.zohoapis.e/x", HTTP_E_BAD_REQUEST},
	        {"https://www.zohoapis.eu", "http://www.zohoapis.eu/x", HTTP_E_BAD_REQUEST},
	};
	struct httpkit kit;

	httpkit_init(&kit);
	slowdns_be_silent();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_host *host = httpkit_host_new(&kit, rows[i].base, 1);
		int result;

		/* The one place is taken, so that the request in question stays in the queue. */
		result = httpkit_submit_to(&kit, host, rows[i].url, NULL, 1000, 1);
		ck_assert_msg(result == rows[i].expected, "%s: %d", rows[i].url, result);
		http_cancel(host, &kit, 1);
		http_host_free(host);
	}
	slowdns_answer();
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_hosts_that_cannot_be)
{
	static const char *const bases[] = {"", "www.zohoapis.eu", "ftp://www.zohoapis.eu",
	        "https://", "https://u@www.zohoapis.eu", "https://www.zohoapis.eu/x",
	        "https://www.zohoapis.eu?x", "https://www.zohoapis.eu#x", "https://a b",
	        "https://www.zohoapis.eu:99999", "file:///etc/passwd",
	        /* Which libcurl would take. */
	        "http:/www.zohoapis.eu", "http:///www.zohoapis.eu"};
	struct http_host_options options = {.max_in_flight = 1};
	struct httpkit kit;
	struct http_host *host = NULL;

	httpkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(bases); i++)
		ck_assert_msg(http_host_new(kit.net.http, bases[i], &options, &host) == -EINVAL,
		        "%s", bases[i]);
	options.max_in_flight = 0;
	ck_assert_int_eq(http_host_new(kit.net.http, kit.base, &options, &host), -EINVAL);
	options.max_in_flight = HTTP_HOST_MAX_CONNECTIONS + 1;
	ck_assert_int_eq(http_host_new(kit.net.http, kit.base, &options, &host), -EINVAL);
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_headers_that_inject_are_refused)
{
	static const char *const headers[] = {"X-Job: a\r\nAuthorization: Evil", "X-Job: a\nb: c",
	        "X-Job: a\tb", "X-Job: \x7f", "X-Job", "X-Job;", ": a", "X Job: a", "\r\nX: y",
	        "X{Job}: a", "X@: a", "X[: a", "X\x80: a", "X\xc3\xa4: a"};
	struct httpkit kit;

	httpkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		ck_assert_int_eq(httpkit_submit_to(&kit, kit.host, kit.base, headers[i], 1000, 1),
		        HTTP_E_BAD_REQUEST);
	netkit_run_for(&kit.net, 20);
	ck_assert_uint_eq(rawserver_requests(&kit.server), 0);
	httpkit_deinit(&kit);
}
END_TEST

/* As RFC 9110 has it. */
START_TEST(test_names_of_headers)
{
	static const char *const headers[] = {"aZ09: x", "!#$%&'*+-.^_`|~: x", "X:"};
	struct httpkit kit;

	httpkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		ck_assert_int_eq(
		        httpkit_submit_to(&kit, kit.host, kit.base, headers[i], 10000, i), 0);
		kit.until = i + 1;
		ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
		/* libcurl sends none that is empty. */
		ck_assert_uint_eq(count_text(rawserver_seen(&kit.server, i), headers[i]), i < 2);
	}
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_null_is_freed_as_by_free)
{
	ck_assert_ptr_null(http_free(NULL));
	ck_assert_ptr_null(http_host_free(NULL));
	ck_assert_ptr_null(http_transfer_free(NULL));
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_answer_and_request);
	tcase_add_test(tests, test_post);
	tcase_add_test(tests, test_as_many_headers_as_there_may_be);
	tcase_add_test(tests, test_nothing_is_left_of_a_request);
	tcase_add_test(tests, test_headers_of_limits);
	tcase_add_test(tests, test_retry_after_a_second_ago);
	tcase_add_test(tests, test_dates_and_types);
	tcase_add_test(tests, test_nothing_is_followed);
	tcase_add_test(tests, test_environment_names_no_proxy);
	tcase_add_test(tests, test_urls_of_other_hosts_are_refused);
	tcase_add_test(tests, test_other_spellings_of_the_host);
	tcase_add_test(tests, test_hosts_that_cannot_be);
	tcase_add_test(tests, test_headers_that_inject_are_refused);
	tcase_add_test(tests, test_names_of_headers);
	tcase_add_test(tests, test_null_is_freed_as_by_free);
}

int main(void)
{
	return netkit_main("http", add_tests);
}

/* net/http where the other side is broken, slow, gone, or a name gets no answer. */
#include <check.h>
#include <string.h>

#include "httpkit.h"
#include "net/http_private.h"
#include "slowdns.h"
#include "util/mem.h"

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
	        {"/no-status", HTTP_E_BROKEN},
	        {"/body-over", HTTP_E_TOO_LARGE},
	        {"/endless-body", HTTP_E_TOO_LARGE},
	        {"/endless-headers", HTTP_E_TOO_LARGE},
	        {"/endless-line", HTTP_E_TOO_LARGE},
	        {"/long-status", HTTP_E_TOO_LARGE},
	        {"/body-max", HTTP_OK},
	        /* Behind a reply with headers: libcurl before 8.1.1 wrote into freed memory. */
	        {"/folded-first", HTTP_E_BROKEN},
	        /* libcurl cannot tell; whoever reads the body does. */
	        {"/cut-unknown", HTTP_OK},
	};
	struct httpkit kit;

	httpkit_init(&kit);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct http_answer *answer = httpkit_ask(&kit, rows[i].path);

		ck_assert_msg(answer->error == rows[i].error, "%s: %d, %s", rows[i].path,
		        (int)answer->error, answer->message);
		ck_assert_msg((answer->error == HTTP_OK) == (answer->message[0] == '\0'), "%s",
		        rows[i].path);
		ck_assert_ptr_null(strpbrk(answer->message, "\r\n?"));
		ck_assert_uint_le(answer->len, HTTP_BODY_MAX_BYTES);
		ck_assert_uint_eq(answer->n_sent, 1);
	}
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_nobody_there)
{
	struct httpkit kit;
	struct http_host *refused;
	struct http_host *unknown;
	struct rawserver gone;
	cleanup(mem_free_p) char *base = NULL;

	httpkit_init(&kit);
	rawserver_init(&gone, NULL);
	base = mem_printf("http://127.0.0.1:%u", gone.port);
	rawserver_deinit(&gone);
	refused = httpkit_host_new(&kit, base, 1);
	unknown = httpkit_host_new(&kit, "http://nowhere.example", 1);
	ck_assert_int_eq(httpkit_submit_to(&kit, refused, base, NULL, 10000, 1), 0);
	kit.until = 1;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	ck_assert_int_eq(httpkit_submit_to(
	                         &kit, unknown, "http://nowhere.example/?secret=1", NULL, 10000, 2),
	        0);
	kit.until = 2;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	ck_assert_int_eq(kit.got[0].answer.error, HTTP_E_CONNECT);
	ck_assert_int_eq(kit.got[0].answer.status, 0);
	ck_assert_uint_eq(kit.got[0].answer.n_sent, 0);
	ck_assert_int_eq(kit.got[1].answer.error, HTTP_E_RESOLVE);
	ck_assert_ptr_nonnull(strstr(kit.got[1].answer.message, "nowhere.example"));
	ck_assert_ptr_null(strstr(kit.got[1].answer.message, "secret"));
	ck_assert_uint_eq(http_host_sent(refused), 0);
	http_host_free(refused);
	http_host_free(unknown);
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_timeout)
{
	struct httpkit kit;
	cleanup(mem_free_p) char *url = NULL;
	int64_t began_mono_ms;

	httpkit_init(&kit);
	url = mem_printf("%s/hang", kit.base);
	began_mono_ms = clock_now().mono_ms;
	ck_assert_int_eq(httpkit_submit_to(&kit, kit.host, url, NULL, 1000, 1), 0);
	kit.until = 1;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	ck_assert_int_eq(kit.got[0].answer.error, HTTP_E_TIMEOUT);
	ck_assert_int_ge(clock_now().mono_ms - began_mono_ms, 995);
	ck_assert_int_ge(kit.got[0].answer.duration_ms, 995);
	ck_assert_uint_eq(kit.got[0].answer.n_sent, 1);
	httpkit_deinit(&kit);
}
END_TEST

START_TEST(test_dead_connection_is_tried_anew_once)
{
	static const char *const paths[] = {"/reset-if-reused", "/drop-if-reused"};
	struct httpkit kit;
	const struct http_answer *answer;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		httpkit_init(&kit);
		ck_assert_uint_eq(httpkit_ask(&kit, "/ok")->n_sent, 1);
		answer = httpkit_ask(&kit, paths[i]);
		ck_assert_msg(answer->error == HTTP_OK, "%s", answer->message);
		ck_assert_int_eq(answer->status, 200);
		ck_assert(!answer->was_reused);
		ck_assert_uint_eq(answer->n_sent, 2);
		ck_assert_uint_eq(http_host_sent(kit.host), 3);
		ck_assert_uint_eq(kit.server.n_connections, 2);
		httpkit_deinit(&kit);
	}
	/* Not when it fails on the fresh one too, nor after the reply has begun. */
	httpkit_init(&kit);
	httpkit_ask(&kit, "/ok");
	answer = httpkit_ask(&kit, "/reset");
	ck_assert_int_eq(answer->error, HTTP_E_BROKEN);
	ck_assert_uint_eq(answer->n_sent, 2);
	httpkit_ask(&kit, "/ok");
	answer = httpkit_ask(&kit, "/cut-if-reused");
	ck_assert_int_eq(answer->error, HTTP_E_BROKEN);
	ck_assert_uint_eq(answer->n_sent, 1);
	httpkit_ask(&kit, "/ok");
	answer = httpkit_ask(&kit, "/long-status");
	ck_assert_int_eq(answer->error, HTTP_E_TOO_LARGE);
	ck_assert(answer->was_reused);
	ck_assert_uint_eq(answer->n_sent, 1);
	httpkit_deinit(&kit);
}
END_TEST

/* ---- silent DNS ---- */

START_TEST(test_silent_dns_harms_nobody_else)
{
	struct httpkit kit;
	struct http_host *silent;
	int64_t began_mono_ms;

	httpkit_init(&kit);
	silent = httpkit_host_new(&kit, "http://silent.example", 2);
	slowdns_be_silent();
	for (uint64_t i = 1; i <= 6; i++)
		ck_assert_int_eq(
		        httpkit_submit_to(&kit, silent, "http://silent.example/", NULL, 2000, i),
		        0);
	began_mono_ms = clock_now().mono_ms;
	ck_assert_int_eq(httpkit_ask(&kit, "/ok")->status, 200);
	ck_assert_int_lt(clock_now().mono_ms - began_mono_ms, 1500);
	kit.until = 3;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	ck_assert_int_eq(kit.got[1].answer.error, HTTP_E_RESOLVE);
	ck_assert_int_eq(kit.got[2].answer.error, HTTP_E_RESOLVE);
	/* Their threads live on: no others beside them. */
	netkit_run_for(&kit.net, 700);
	ck_assert_uint_eq(kit.n, 3);
	ck_assert_uint_eq(slowdns_most_at_once(), 2);
	ck_assert_uint_eq(http_host_in_flight(silent), 4);
	began_mono_ms = clock_now().mono_ms;
	http_host_free(silent);
	ck_assert_int_lt(clock_now().mono_ms - began_mono_ms, 1500);
	slowdns_answer();
	httpkit_deinit(&kit);
}
END_TEST

static bool is_second_name_asked(void *arg)
{
	(void)arg;
	return slowdns_most_at_once() == 2;
}

static bool is_name_asked(void *arg)
{
	(void)arg;
	return slowdns_most_at_once() == 1;
}

/*
 * The place of a request that ended while its name was asked for, by its time-out or because it was
 * cancelled, is free again when the resolver that it left behind must have given up.
 */
START_TEST(test_place_of_a_silent_name_is_free_after_its_time)
{
	bool is_cancelled = _i == 1;
	struct httpkit kit;
	struct http_host *silent;
	cleanup(mem_free_p) char *base = NULL;
	int64_t *until_mono_ms;

	httpkit_init(&kit);
	base = mem_printf("http://silent.example:%u", kit.server.port);
	silent = httpkit_host_new(&kit, base, 1);
	slowdns_be_silent();
	ck_assert_int_eq(
	        httpkit_submit_to(&kit, silent, base, NULL, is_cancelled ? 20000 : 50, 1), 0);
	ck_assert_int_eq(httpkit_submit_to(&kit, silent, base, NULL, 20000, 2), 0);
	if (is_cancelled) {
		ck_assert(netkit_run(&kit.net, is_name_asked, NULL));
		http_cancel(silent, &kit, 1);
	} else {
		kit.until = 1;
		ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
		ck_assert_int_eq(kit.got[0].answer.error, HTTP_E_RESOLVE);
		/* Whatever gives occasion to look before its time. */
		http_cancel(silent, &kit, 1);
	}
	ck_assert_uint_eq(silent->n_queued, 1);
	ck_assert_uint_eq(slowdns_most_at_once(), 1);
	until_mono_ms = &silent->lingering_until_mono_ms[silent->lingering_first];
	ck_assert_int_gt(*until_mono_ms, loop_now(kit.net.loop).mono_ms + 20000);
	*until_mono_ms = loop_now(kit.net.loop).mono_ms;
	loop_timer_set(silent->lingering_timer, *until_mono_ms);
	ck_assert(netkit_run(&kit.net, is_second_name_asked, NULL));
	slowdns_answer();
	kit.until = kit.n + 1;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	ck_assert_msg(kit.got[kit.n - 1].answer.error == HTTP_OK, "%s",
	        kit.got[kit.n - 1].answer.message);
	ck_assert_uint_eq(kit.got[kit.n - 1].owner, 2);
	http_host_free(silent);
	httpkit_deinit(&kit);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_broken_replies);
	tcase_add_test(tests, test_nobody_there);
	tcase_add_test(tests, test_timeout);
	tcase_add_test(tests, test_dead_connection_is_tried_anew_once);
	tcase_add_test(tests, test_silent_dns_harms_nobody_else);
	tcase_add_loop_test(tests, test_place_of_a_silent_name_is_free_after_its_time, 0, 2);
}

int main(void)
{
	return netkit_main("http_faults", add_tests);
}

/* net/http over TLS: who is believed, and that nothing is said to anybody else. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "httpkit.h"
#include "util/mem.h"

struct tls_bench {
	struct httpkit kit;
	struct rawserver server;
	struct http_host *host;
	char *dir, *base, *ca_file;
};

static void tls_init(
        struct tls_bench *tls, const char *name, int days, bool is_known, const char *host)
{
	struct http_host_options options = {.max_in_flight = 2};

	httpkit_init(&tls->kit);
	tls->dir = netkit_make_dir();
	rawserver_make_certificate(tls->dir, name, days);
	rawserver_init(&tls->server, tls->dir);
	tls->base = mem_printf("https://%s:%u", host, tls->server.port);
	tls->ca_file = mem_printf("%s/cert.pem", tls->dir);
	if (is_known)
		options.ca_file = tls->ca_file;
	ck_assert_int_eq(http_host_new(tls->kit.net.http, tls->base, &options, &tls->host), 0);
}

static const struct http_answer *tls_ask_at(struct tls_bench *tls, const char *path)
{
	struct httpkit *kit = &tls->kit;
	cleanup(mem_free_p) char *url = mem_printf("%s%s", tls->base, path);

	ck_assert_int_eq(httpkit_submit_to(kit, tls->host, url, "Authorization: x", 10000, 1), 0);
	kit->until = kit->n + 1;
	ck_assert(netkit_run(&kit->net, httpkit_has_answers, kit));
	return &kit->got[kit->n - 1].answer;
}

static const struct http_answer *tls_ask(struct tls_bench *tls)
{
	return tls_ask_at(tls, "");
}

static void tls_deinit(struct tls_bench *tls)
{
	http_host_free(tls->host);
	httpkit_deinit(&tls->kit);
	rawserver_deinit(&tls->server);
	netkit_remove_dir(tls->dir);
	free(tls->base);
	free(tls->ca_file);
}

/* Although each attempt has an easy handle of its own. */
START_TEST(test_a_session_is_resumed)
{
	struct tls_bench tls;

	tls_init(&tls, "127.0.0.1", 10, true, "127.0.0.1");
	for (unsigned i = 0; i < 3; i++) {
		const struct http_answer *answer = tls_ask_at(&tls, "/cut-unknown");

		ck_assert_msg(answer->error == HTTP_OK, "%s", answer->message);
		ck_assert(!answer->was_reused);
		ck_assert_uint_eq(rawserver_resumed(&tls.server), i);
	}
	tls_deinit(&tls);
}
END_TEST

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
	struct httpkit kit;
	struct http_host *host;
	cleanup(mem_free_p) char *base = NULL;

	httpkit_init(&kit);
	base = mem_printf("https://127.0.0.1:%u", kit.server.port);
	host = httpkit_host_new(&kit, base, 1);
	ck_assert_int_eq(httpkit_submit_to(&kit, host, base, "Authorization: x", 500, 1), 0);
	kit.until = 1;
	ck_assert(netkit_run(&kit.net, httpkit_has_answers, &kit));
	ck_assert_int_ne(kit.got[0].answer.error, HTTP_OK);
	ck_assert_uint_eq(rawserver_requests(&kit.server), 0);
	http_host_free(host);
	httpkit_deinit(&kit);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_tls_is_verified);
	tcase_add_test(tests, test_a_session_is_resumed);
	tcase_add_test(tests, test_tls_where_there_is_none);
}

int main(void)
{
	return netkit_main("http_tls", add_tests);
}

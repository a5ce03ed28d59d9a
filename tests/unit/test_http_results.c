/* net/http: each result of libcurl's, which error it is told as, and whether the request goes out
 * again. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "httpkit.h"
#include "net/http_private.h"
#include "util/mem.h"

/* ---- between net/http and libcurl ---- */

/* The end of a transfer that libcurl is at work on, told in its place. */
static struct {
	CURL *easy; /* NULL = nothing is planned */
	CURLcode result;
	bool has_other_before; /* a message of another kind comes first */
	CURLMsg message;
} plan;

CURLMsg *__real_curl_multi_info_read(CURLM *multi, int *n_left);
CURLMsg *__wrap_curl_multi_info_read(CURLM *multi, int *n_left);
CURLMsg *__wrap_curl_multi_info_read(CURLM *multi, int *n_left)
{
	if (!plan.easy)
		return __real_curl_multi_info_read(multi, n_left);
	plan.message = (CURLMsg){.msg = CURLMSG_DONE, .easy_handle = plan.easy};
	plan.message.data.result = plan.result;
	if (plan.has_other_before)
		plan.message.msg = CURLMSG_NONE;
	else
		plan.easy = NULL;
	plan.has_other_before = false;
	return &plan.message;
}

/* ---- the results ---- */

static bool is_asked(void *arg)
{
	struct httpkit *kit = arg;

	return rawserver_requests(&kit->server) == kit->until;
}

/* Sends it, to a server that takes it and says nothing. */
static struct http_transfer *begin(struct httpkit *kit, const char *path)
{
	httpkit_submit(kit, path, 9);
	kit->until = rawserver_requests(&kit->server) + 1;
	ck_assert(netkit_run(&kit->net, is_asked, kit));
	ck_assert_ptr_nonnull(TAILQ_FIRST(&kit->host->flying));
	return TAILQ_FIRST(&kit->host->flying);
}

/* The result of what was begun, and its answer. */
static const struct http_answer *end_with(struct httpkit *kit, CURLcode result)
{
	plan.easy = TAILQ_FIRST(&kit->host->flying)->easy;
	plan.result = result;
	http_host_drain(kit->host);
	ck_assert_ptr_null(plan.easy);
	kit->until = kit->n + 1;
	ck_assert(netkit_run(&kit->net, httpkit_has_answers, kit));
	ck_assert_uint_eq(http_host_in_flight(kit->host), 0);
	return &kit->got[kit->n - 1].answer;
}

static const struct result_row {
	CURLcode result;
	enum http_error error;
	bool is_sent_again; /* over a fresh connection, where it went over one used before */
} rows[] = {
        {CURLE_COULDNT_RESOLVE_HOST, HTTP_E_RESOLVE, false},
        {CURLE_COULDNT_RESOLVE_PROXY, HTTP_E_RESOLVE, false},
        {CURLE_COULDNT_CONNECT, HTTP_E_CONNECT, false},
        {CURLE_INTERFACE_FAILED, HTTP_E_CONNECT, false},
        {CURLE_SSL_CONNECT_ERROR, HTTP_E_TLS, false},
        {CURLE_SSL_ENGINE_NOTFOUND, HTTP_E_TLS, false},
        {CURLE_SSL_ENGINE_SETFAILED, HTTP_E_TLS, false},
        {CURLE_SSL_CERTPROBLEM, HTTP_E_TLS, false},
        {CURLE_SSL_CIPHER, HTTP_E_TLS, false},
        {CURLE_PEER_FAILED_VERIFICATION, HTTP_E_TLS, false},
        {CURLE_SSL_CACERT_BADFILE, HTTP_E_TLS, false},
        {CURLE_SSL_CRL_BADFILE, HTTP_E_TLS, false},
        {CURLE_SSL_ISSUER_ERROR, HTTP_E_TLS, false},
        {CURLE_SSL_INVALIDCERTSTATUS, HTTP_E_TLS, false},
        {CURLE_OPERATION_TIMEDOUT, HTTP_E_TIMEOUT, false},
        {CURLE_UNSUPPORTED_PROTOCOL, HTTP_E_BROKEN, false},
        {CURLE_WEIRD_SERVER_REPLY, HTTP_E_BROKEN, false},
        {CURLE_BAD_CONTENT_ENCODING, HTTP_E_BROKEN, false},
        {CURLE_HTTP2, HTTP_E_BROKEN, true},
        {CURLE_PARTIAL_FILE, HTTP_E_BROKEN, true},
        {CURLE_GOT_NOTHING, HTTP_E_BROKEN, true},
        {CURLE_SEND_ERROR, HTTP_E_BROKEN, true},
        {CURLE_RECV_ERROR, HTTP_E_BROKEN, true},
        {CURLE_HTTP2_STREAM, HTTP_E_BROKEN, true},
        {CURLE_FILESIZE_EXCEEDED, HTTP_E_TOO_LARGE, false},
        {CURLE_OUT_OF_MEMORY, HTTP_E_TOO_LARGE, false},
        {CURLE_FAILED_INIT, HTTP_E_OTHER, false},
        {CURLE_ABORTED_BY_CALLBACK, HTTP_E_OTHER, false},
        /* A good end without a status is none. */
        {CURLE_OK, HTTP_E_BROKEN, false},
};

START_TEST(test_result_on_a_fresh_connection)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct httpkit kit;
		const struct http_answer *answer;

		httpkit_init(&kit);
		begin(&kit, "/hang");
		answer = end_with(&kit, rows[i].result);
		ck_assert_msg(answer->error == rows[i].error, "%d: %d, %s", (int)rows[i].result,
		        (int)answer->error, answer->message);
		ck_assert_int_eq(answer->status, 0);
		ck_assert_str_ne(answer->message, "");
		ck_assert(!answer->was_reused);
		ck_assert_uint_eq(answer->n_sent, 1);
		ck_assert_uint_eq(rawserver_requests(&kit.server), 1);
		httpkit_deinit(&kit);
	}
}
END_TEST

START_TEST(test_result_on_a_reused_connection)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned n_sent = rows[i].is_sent_again ? 2 : 1;
		enum http_error error = rows[i].is_sent_again ? HTTP_OK : rows[i].error;
		struct httpkit kit;
		const struct http_answer *answer;

		httpkit_init(&kit);
		ck_assert_int_eq(httpkit_ask(&kit, "/ok")->error, HTTP_OK);
		begin(&kit, "/hang-if-reused");
		answer = end_with(&kit, rows[i].result);
		ck_assert_msg(answer->error == error, "%d: %d, %s", (int)rows[i].result,
		        (int)answer->error, answer->message);
		ck_assert_uint_eq(answer->n_sent, n_sent);
		ck_assert(answer->was_reused == !rows[i].is_sent_again);
		ck_assert_uint_eq(http_host_sent(kit.host), 1 + n_sent);
		ck_assert_uint_eq(rawserver_requests(&kit.server), 1 + n_sent);
		httpkit_deinit(&kit);
	}
}
END_TEST

START_TEST(test_nothing_is_sent_again_when_its_time_is_over)
{
	struct httpkit kit;
	const struct http_answer *answer;

	httpkit_init(&kit);
	httpkit_ask(&kit, "/ok");
	begin(&kit, "/hang-if-reused")->spent_ms = 10000;
	answer = end_with(&kit, CURLE_RECV_ERROR);
	ck_assert_int_eq(answer->error, HTTP_E_BROKEN);
	ck_assert_uint_eq(answer->n_sent, 1);
	ck_assert_uint_eq(rawserver_requests(&kit.server), 2);
	httpkit_deinit(&kit);
}
END_TEST

/* Whatever libcurl says is one line for the log, and nothing of a query. */
START_TEST(test_words_are_one_line)
{
	struct httpkit kit;

	httpkit_init(&kit);
	strcpy(begin(&kit, "/hang")->words, "Bad\x01thing\r\nat\x7fhttp://x/y?secret=1");
	ck_assert_str_eq(
	        end_with(&kit, CURLE_COULDNT_CONNECT)->message, "Bad thing  at http://x/y");
	strcpy(begin(&kit, "/hang")->words, "Its certificate is of tomorrow");
	ck_assert_str_eq(end_with(&kit, CURLE_PEER_FAILED_VERIFICATION)->message,
	        "Its certificate is of tomorrow (a wrong clock on this machine looks the same)");
	httpkit_deinit(&kit);
}
END_TEST

/* libcurl may tell of other things than ends one day. */
START_TEST(test_other_messages_are_passed_over)
{
	struct httpkit kit;

	httpkit_init(&kit);
	begin(&kit, "/hang");
	plan.has_other_before = true;
	ck_assert_int_eq(end_with(&kit, CURLE_COULDNT_CONNECT)->error, HTTP_E_CONNECT);
	ck_assert(!plan.has_other_before);
	httpkit_deinit(&kit);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_result_on_a_fresh_connection);
	tcase_add_test(tests, test_result_on_a_reused_connection);
	tcase_add_test(tests, test_nothing_is_sent_again_when_its_time_is_over);
	tcase_add_test(tests, test_words_are_one_line);
	tcase_add_test(tests, test_other_messages_are_passed_over);
}

int main(void)
{
	return netkit_main("http_results", add_tests);
}

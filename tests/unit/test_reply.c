/*
 * What kind of observation a reply becomes: the sample replies, Zoho's error codes, statuses,
 * content types, and everything that is malformed. What is kept of a good one is in
 * test_reply_document.c.
 */
#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "replykit.h"
#include "util/mem.h"
#include "util/str.h"

static struct replykit kit;

static void set_up(void)
{
	replykit_init(&kit);
}

static void tear_down(void)
{
	replykit_deinit(&kit);
}

static void observe_text(int http_status, const char *body)
{
	replykit_observe(&kit, http_status, body, strlen(body));
}

static void check(enum observation_kind kind, enum error_class error)
{
	ck_assert_int_eq(kit.out.kind, kind);
	ck_assert_int_eq(kit.out.error, error);
	ck_assert_int_eq(kit.out.kind == OBSERVED_STATUS, kit.out.state != NULL);
	ck_assert(kit.out.kind == OBSERVED_STATUS || kit.out.message[0] != '\0');
	ck_assert(str_is_utf8(kit.out.message, strlen(kit.out.message), NULL));
	ck_assert(!str_has_control(kit.out.message, strlen(kit.out.message)));
}

static void check_bad_reply(void)
{
	check(OBSERVED_GARBLED, ERROR_BAD_REPLY);
}

/* ---- the samples ---- */

static const struct {
	const char *file;
	const char *job_id; /* NULL = the kit's */
	int http_status;
	enum observation_kind kind;
	enum error_class error;
	const char *state;
} samples[] = {
        {"added.json", NULL, 200, OBSERVED_STATUS, ERROR_NONE, "ADDED"},
        {"in-progress.json", NULL, 200, OBSERVED_STATUS, ERROR_NONE, "IN PROGRESS"},
        {"completed.json", NULL, 200, OBSERVED_STATUS, ERROR_NONE, "COMPLETED"},
        {"completed-cvid.json", "554023000000568002", 200, OBSERVED_STATUS, ERROR_NONE,
                "COMPLETED"},
        {"failure.json", "111111000000052009", 200, OBSERVED_STATUS, ERROR_NONE, "FAILURE"},
        {"error-invalid-token.json", NULL, 401, OBSERVED_REFUSED, ERROR_TOKEN, NULL},
        {"error-scope-mismatch.json", NULL, 401, OBSERVED_REFUSED, ERROR_SCOPE, NULL},
        {"error-no-permission.json", NULL, 403, OBSERVED_REFUSED, ERROR_PERMISSION, NULL},
        {"error-not-found.json", NULL, 404, OBSERVED_NOT_FOUND, ERROR_NOT_FOUND, NULL},
        {"error-too-many-requests.json", NULL, 429, OBSERVED_THROTTLED, ERROR_THROTTLED, NULL},
        {"error-internal.json", NULL, 500, OBSERVED_UNREACHABLE, ERROR_SERVER, NULL},
        /* Answers to another question than was asked. */
        {"token.json", NULL, 200, OBSERVED_GARBLED, ERROR_BAD_REPLY, NULL},
        {"token-legacy-milliseconds.json", NULL, 200, OBSERVED_GARBLED, ERROR_BAD_REPLY, NULL},
        {"token-error-invalid-client.json", NULL, 200, OBSERVED_GARBLED, ERROR_BAD_REPLY, NULL},
        {"token-error-invalid-code.json", NULL, 200, OBSERVED_GARBLED, ERROR_BAD_REPLY, NULL},
        {"token-error-throttled.json", NULL, 400, OBSERVED_GARBLED, ERROR_HTTP, NULL},
};

static void observe_sample(size_t i, struct buf *body)
{
	replykit_read(samples[i].file, body);
	if (samples[i].job_id)
		kit.question.job_id = samples[i].job_id;
	replykit_observe(&kit, samples[i].http_status, body->data, body->len);
}

START_TEST(test_sample)
{
	cleanup(buf_deinit) struct buf body = {0};

	observe_sample((size_t)_i, &body);
	check(samples[_i].kind, samples[_i].error);
	ck_assert(str_is_equal(kit.out.state, samples[_i].state));
	ck_assert_int_eq(kit.out.http_status, samples[_i].http_status);
	ck_assert_int_eq(kit.out.retry_after_ms, -1);
}
END_TEST

START_TEST(test_every_sample_has_its_row)
{
	cleanup(buf_deinit) struct buf path = {0};
	size_t n = 0;
	DIR *dir = opendir(replykit_dir(&path));

	ck_assert_ptr_nonnull(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		bool has_row = entry->d_name[0] == '.';

		for (size_t i = 0; i < ARRAY_LEN(samples); i++)
			has_row = has_row || strcmp(entry->d_name, samples[i].file) == 0;
		ck_assert_msg(has_row, "%s has no row", entry->d_name);
		n += entry->d_name[0] != '.';
	}
	closedir(dir);
	ck_assert_uint_eq(n, ARRAY_LEN(samples));
}
END_TEST

/* Cut at every byte: a state only from the whole document, even where no length was announced. */
START_TEST(test_sample_cut_off)
{
	cleanup(buf_deinit) struct buf body = {0};
	size_t whole;

	observe_sample((size_t)_i, &body);
	whole = body.len;
	while (whole > 0 && strchr(" \n", body.data[whole - 1]))
		whole--;
	for (size_t len = 0; len <= body.len; len++) {
		replykit_observe(&kit, 200, body.data, len);
		if (len >= whole && samples[_i].state)
			ck_assert_int_eq(kit.out.kind, OBSERVED_STATUS);
		else if (len < whole)
			check_bad_reply();
	}
}
END_TEST

/* ---- errors ---- */

static const struct {
	int http_status;
	const char *code;
	enum observation_kind kind;
	enum error_class error;
} codes[] = {
        {401, "INVALID_TOKEN", OBSERVED_REFUSED, ERROR_TOKEN},
        {401, "AUTHENTICATION_FAILURE", OBSERVED_REFUSED, ERROR_TOKEN},
        {401, "INVALID_OAUTHTOKEN", OBSERVED_REFUSED, ERROR_TOKEN},
        {401, "OAUTH_SCOPE_MISMATCH", OBSERVED_REFUSED, ERROR_SCOPE},
        {403, "NO_PERMISSION", OBSERVED_REFUSED, ERROR_PERMISSION},
        {400, "NO_PERMISSION", OBSERVED_REFUSED, ERROR_PERMISSION},
        {403, "AUTHORIZATION_FAILED", OBSERVED_REFUSED, ERROR_PERMISSION},
        {400, "AUTHORIZATION_FAILED", OBSERVED_REFUSED, ERROR_PERMISSION},
        {404, "RESOURCE_NOT_FOUND", OBSERVED_NOT_FOUND, ERROR_NOT_FOUND},
        {404, "INVALID_URL_PATTERN", OBSERVED_REFUSED, ERROR_PATH},
        {429, "TOO_MANY_REQUESTS", OBSERVED_THROTTLED, ERROR_THROTTLED},
        {500, "INTERNAL_ERROR", OBSERVED_UNREACHABLE, ERROR_SERVER},
        {500, "INTERNAL_SERVER_ERROR", OBSERVED_UNREACHABLE, ERROR_SERVER},
        {503, "WHATEVER", OBSERVED_UNREACHABLE, ERROR_SERVER},
        {502, "INVALID_TOKEN", OBSERVED_UNREACHABLE, ERROR_SERVER},
        {400, "LIMIT_EXCEEDED", OBSERVED_GARBLED, ERROR_HTTP},
        {401, "invalid_token", OBSERVED_GARBLED, ERROR_HTTP},
        {429, "", OBSERVED_GARBLED, ERROR_HTTP},
        /* A redirection is not followed, and whatever it says is passing. */
        {302, "INVALID_TOKEN", OBSERVED_GARBLED, ERROR_HTTP},
        {307, "TOO_MANY_REQUESTS", OBSERVED_GARBLED, ERROR_HTTP},
};

START_TEST(test_code)
{
	cleanup(buf_deinit) struct buf bare = {0}, wrapped = {0};

	buf_addf(&bare,
	        "{\"code\":\"%s\",\"details\":{},\"message\":\"so it is\",\"status\":\"error\"}",
	        codes[_i].code);
	buf_addf(&wrapped, "{\"data\":[%s]}", buf_str(&bare));
	observe_text(codes[_i].http_status, buf_str(&bare));
	check(codes[_i].kind, codes[_i].error);
	if (codes[_i].http_status >= 500 || codes[_i].http_status < 400)
		return;
	ck_assert_ptr_nonnull(strstr(kit.out.message, "so it is"));
	ck_assert_ptr_nonnull(strstr(kit.out.message, codes[_i].code));
	observe_text(codes[_i].http_status, buf_str(&wrapped));
	check(codes[_i].kind, codes[_i].error);
	ck_assert_ptr_nonnull(strstr(kit.out.message, "so it is"));
	/* Zoho wraps it with HTTP 200, too. */
	observe_text(200, buf_str(&wrapped));
	check(codes[_i].kind, codes[_i].error);
}
END_TEST

START_TEST(test_half_an_envelope_is_none)
{
	static const char *const bodies[] = {
	        "{\"code\":\"INVALID_TOKEN\",\"message\":\"m\"}",
	        "{\"code\":\"INVALID_TOKEN\",\"status\":\"success\"}",
	        "{\"code\":7,\"status\":\"error\"}",
	        "{\"status\":\"error\"}",
	        "[{\"code\":\"INVALID_TOKEN\",\"status\":\"error\"}]",
	        "{\"data\":{\"code\":\"INVALID_TOKEN\",\"status\":\"error\"}}",
	        "{\"data\":[]}",
	        "{\"data\":[null,7,\"INVALID_TOKEN\"]}",
	};

	/* The last but two have no array, or another one. */
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		observe_text(200, bodies[i]);
		check_bad_reply();
		if (strstr(bodies[i], "\"data\":{"))
			continue;
		observe_text(401, bodies[i]);
		check(OBSERVED_GARBLED, ERROR_HTTP);
	}
}
END_TEST

START_TEST(test_messages_are_one_sound_line)
{
	cleanup(buf_deinit) struct buf body = {0};

	observe_text(404, "{\"code\":\"RESOURCE_NOT_FOUND\",\"status\":\"error\",\"message\":"
	                  "\"a\\nb\\u0007\\u001b[31mc\\u007f\"}");
	check(OBSERVED_NOT_FOUND, ERROR_NOT_FOUND);
	observe_text(404, "{\"code\":\"RESOURCE_NOT_FOUND\",\"status\":\"error\"}");
	check(OBSERVED_NOT_FOUND, ERROR_NOT_FOUND);
	/* Cut where it is too long, between characters. */
	for (int lead = 0; lead < 4; lead++) {
		buf_clear(&body);
		buf_adds(&body,
		        "{\"status\":\"error\",\"code\":\"RESOURCE_NOT_FOUND\",\"message\":\"");
		buf_addf(&body, "%.*s", lead, "xxx");
		for (int i = 0; i < 2000; i++)
			buf_adds(&body, "\xe2\x82\xac");
		buf_adds(&body, "\"}");
		observe_text(404, buf_str(&body));
		check(OBSERVED_NOT_FOUND, ERROR_NOT_FOUND);
		ck_assert_uint_ge(strlen(kit.out.message), MESSAGE_MAX_BYTES - 4);
	}
	/* A code that nobody knows may be as long, and in any language. */
	for (int lead = 0; lead < 4; lead++) {
		buf_clear(&body);
		buf_addf(&body, "{\"status\":\"error\",\"code\":\"%.*s", lead, "xxx");
		for (int i = 0; i < 100; i++)
			buf_adds(&body, "\xe2\x82\xac");
		buf_adds(&body, "\",\"message\":\"m\"}");
		observe_text(400, buf_str(&body));
		check(OBSERVED_GARBLED, ERROR_HTTP);
	}
}
END_TEST

/* ---- statuses, types, sizes ---- */

static const struct {
	int http_status;
	const char *content_type, *body;
	enum observation_kind kind;
	enum error_class error;
} odd[] = {
        {204, "", "", OBSERVED_NOT_FOUND, ERROR_NOT_FOUND},
        {204, "application/json", "", OBSERVED_NOT_FOUND, ERROR_NOT_FOUND},
        {200, "", "", OBSERVED_GARBLED, ERROR_BAD_REPLY},
        {200, "application/json", "", OBSERVED_GARBLED, ERROR_BAD_REPLY},
        {200, "application/json", " \n", OBSERVED_GARBLED, ERROR_BAD_REPLY},
        {200, "text/html", "<html>sign in</html>", OBSERVED_GARBLED, ERROR_BAD_REPLY},
        {200, "application/json", "<html>sign in</html>", OBSERVED_GARBLED, ERROR_BAD_REPLY},
        {200, "application/json", "null", OBSERVED_GARBLED, ERROR_BAD_REPLY},
        {200, "application/json", "\"COMPLETED\"", OBSERVED_GARBLED, ERROR_BAD_REPLY},
        {301, "text/html", "<html>moved</html>", OBSERVED_GARBLED, ERROR_HTTP},
        {302, "", "", OBSERVED_GARBLED, ERROR_HTTP},
        {304, "", "", OBSERVED_GARBLED, ERROR_HTTP},
        {400, "text/plain", "bad", OBSERVED_GARBLED, ERROR_HTTP},
        {401, "text/html", "<html>INVALID_TOKEN</html>", OBSERVED_GARBLED, ERROR_HTTP},
        {403, "application/json", "{\"code\":", OBSERVED_GARBLED, ERROR_HTTP},
        {404, "text/html", "<html>RESOURCE_NOT_FOUND</html>", OBSERVED_GARBLED, ERROR_HTTP},
        {404, "application/json", "", OBSERVED_GARBLED, ERROR_HTTP},
        {404, "application/json", "{}", OBSERVED_GARBLED, ERROR_HTTP},
        {429, "text/html", "slow down", OBSERVED_GARBLED, ERROR_HTTP},
        {500, "", "", OBSERVED_UNREACHABLE, ERROR_SERVER},
        {502, "text/html", "<html>bad gateway</html>", OBSERVED_UNREACHABLE, ERROR_SERVER},
        {503, "application/json", "{", OBSERVED_UNREACHABLE, ERROR_SERVER},
        {504, "application/json", "{}", OBSERVED_UNREACHABLE, ERROR_SERVER},
        {599, "text/plain", "?", OBSERVED_UNREACHABLE, ERROR_SERVER},
};

START_TEST(test_odd)
{
	replykit_observe_as(&kit, odd[_i].http_status, odd[_i].body, strlen(odd[_i].body),
	        odd[_i].content_type);
	check(odd[_i].kind, odd[_i].error);
}
END_TEST

START_TEST(test_only_http_200_brings_a_document)
{
	cleanup(buf_deinit) struct buf body = {0};

	replykit_read("completed.json", &body);
	for (int http_status = 100; http_status < 600; http_status++) {
		replykit_observe(&kit, http_status, body.data, body.len);
		ck_assert_int_eq(kit.out.kind == OBSERVED_STATUS, http_status == 200);
		ck_assert_int_eq(kit.out.kind == OBSERVED_UNREACHABLE, http_status >= 500);
		ck_assert_int_eq(kit.out.kind == OBSERVED_NOT_FOUND, http_status == 204);
		ck_assert_int_ne(kit.out.kind, OBSERVED_REFUSED);
		ck_assert_int_ne(kit.out.kind, OBSERVED_THROTTLED);
	}
}
END_TEST

START_TEST(test_content_types)
{
	static const char *const good[] = {"application/json", "application/json;charset=UTF-8",
	        "Application/JSON; charset=utf-8", "application/json ; a=b", "application/json\t;"};
	static const char *const bad[] = {"", "text/html", "text/html; application/json",
	        "application/jsonp", "application/json5", "application/problem+json", "text/json",
	        "application/jso", " application/json", "application/zip"};
	cleanup(buf_deinit) struct buf body = {0};

	replykit_read("added.json", &body);
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		replykit_observe_as(&kit, 200, body.data, body.len, good[i]);
		check(OBSERVED_STATUS, ERROR_NONE);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		replykit_observe_as(&kit, 200, body.data, body.len, bad[i]);
		check_bad_reply();
	}
}
END_TEST

START_TEST(test_bombs)
{
	cleanup(buf_deinit) struct buf body = {0};

	for (int i = 0; i < 200000; i++)
		buf_addc(&body, '[');
	observe_text(200, buf_str(&body));
	check_bad_reply();
	observe_text(404, buf_str(&body));
	check(OBSERVED_GARBLED, ERROR_HTTP);
	/* A sound document with a mebibyte of blanks behind it is too large. */
	replykit_read("added.json", &body);
	while (body.len < REPLY_MAX_BYTES)
		buf_addc(&body, ' ');
	observe_text(200, buf_str(&body));
	check(OBSERVED_STATUS, ERROR_NONE);
	buf_addc(&body, ' ');
	observe_text(200, buf_str(&body));
	check_bad_reply();
}
END_TEST

START_TEST(test_retry_after)
{
	static const struct {
		int64_t seconds, ms;
	} given[] = {
	        {-1, -1},
	        {0, -1},
	        {1, 1000},
	        {60, 60000},
	        {3600, 3600000},
	        {3601, RETRY_AFTER_MAX_MS},
	        /* As libcurl gives a date of the past, and one of the year 9999. */
	        {-189033821, RETRY_AFTER_MIN_MS},
	        {251603807779, RETRY_AFTER_MAX_MS},
	        {INT64_MAX, RETRY_AFTER_MAX_MS},
	        {INT64_MIN, RETRY_AFTER_MIN_MS},
	};
	cleanup(buf_deinit) struct buf body = {0};

	replykit_read("error-too-many-requests.json", &body);
	for (size_t i = 0; i < ARRAY_LEN(given); i++) {
		struct reply reply = {.http_status = 429,
		        .body = body.data,
		        .len = body.len,
		        .content_type = "application/json",
		        .retry_after_s = given[i].seconds};

		reply_observe(&reply, &kit.question, &kit.texts, &kit.out);
		check(OBSERVED_THROTTLED, ERROR_THROTTLED);
		ck_assert_int_eq(kit.out.retry_after_ms, given[i].ms);
		reply.http_status = 503;
		reply_observe(&reply, &kit.question, &kit.texts, &kit.out);
		ck_assert_int_eq(kit.out.retry_after_ms, given[i].ms);
	}
}
END_TEST

/* ---- a token that comes back ---- */

/* The token in the middle of a document, a message or a page: none of it is kept. */
START_TEST(test_reply_that_repeats_the_token)
{
	static const char *const bodies[] = {
	        "{\"data\":[{\"id\":\"3652397000000646004\",\"state\":\"ADDED\","
	        "\"operation\":\"%s\"}]}",
	        "{\"data\":[{\"id\":\"3652397000000646004\",\"state\":\"%s\"}]}",
	        "{\"data\":[{\"id\":\"3652397000000646004\",\"state\":\"ADDED\",\"x\":\"%s\"}]}",
	        "{\"code\":\"INVALID_TOKEN\",\"message\":\"%s\",\"status\":\"error\"}",
	        "{\"code\":\"%s\",\"message\":\"m\",\"status\":\"error\"}",
	        "<html>%s</html>",
	};
	/* As it is, and as JSON may write it, too. */
	static const char *const spellings[] = {REPLYKIT_TOKEN, "1000\\u002e0a1b2c3d4e5f.6789"};
	static const int http_statuses[] = {200, 401, 500};

	for (size_t i = 0; i < ARRAY_LEN(bodies) * ARRAY_LEN(spellings) * 3; i++) {
		cleanup(mem_free_p) char *body = NULL;
		const char *start = strstr(bodies[i % ARRAY_LEN(bodies)], "%s");
		const char *spelling = spellings[i / ARRAY_LEN(bodies) % 2];

		body = mem_printf("%.*s%s%s", (int)(start - bodies[i % ARRAY_LEN(bodies)]),
		        bodies[i % ARRAY_LEN(bodies)], spelling, start + 2);
		observe_text(http_statuses[i / ARRAY_LEN(bodies) / 2], body);
		ck_assert_msg(!strstr(kit.out.message, REPLYKIT_TOKEN), "%s", body);
		ck_assert_msg(!kit.out.state || !strstr(kit.out.state, REPLYKIT_TOKEN), "%s", body);
		ck_assert_msg(!kit.out.document.operation ||
		                      !strstr(kit.out.document.operation, REPLYKIT_TOKEN),
		        "%s", body);
		if (spelling == spellings[0])
			ck_assert_int_ne(kit.out.kind, OBSERVED_STATUS);
	}
}
END_TEST

START_TEST(test_question_without_a_token)
{
	kit.question.token = NULL;
	replykit_observe_members(&kit, "\"operation\":\"" REPLYKIT_TOKEN "\"");
	check(OBSERVED_STATUS, ERROR_NONE);
}
END_TEST

/* Two replies have one fingerprint only if they are observed alike. */
START_TEST(test_fingerprint)
{
	static const char body[] = "{\"data\":[]}", other_body[] = "{\"data\":[ ]}";
	const struct reply reply = {200, body, strlen(body), "application/json", -1};
	const struct reply_question question = kit.question;
	struct reply_question other = question;
	uint64_t it = reply_fingerprint(&reply, &question);

#define FINGERPRINT(...) reply_fingerprint(&(struct reply){__VA_ARGS__}, &question)
	ck_assert_uint_ne(it, 0);
	ck_assert_uint_eq(it, reply_fingerprint(&reply, &question));
	ck_assert_uint_eq(
	        it, FINGERPRINT(200, body, strlen(body), "application/json;charset=UTF-8", 60));
	ck_assert_uint_ne(it, FINGERPRINT(200, body, strlen(body) - 1, "application/json", -1));
	ck_assert_uint_ne(
	        it, FINGERPRINT(200, other_body, strlen(other_body), "application/json", -1));
	ck_assert_uint_eq(0, FINGERPRINT(200, body, strlen(body), "text/html", -1));
	ck_assert_uint_eq(0, FINGERPRINT(400, body, strlen(body), "application/json", -1));
	ck_assert_uint_eq(0, FINGERPRINT(206, body, strlen(body), "application/json", -1));
#undef FINGERPRINT
	other.job_id = "1";
	ck_assert_uint_ne(it, reply_fingerprint(&reply, &other));
	other = question;
	other.api_url = "https://www.zohoapis.com";
	ck_assert_uint_ne(it, reply_fingerprint(&reply, &other));
	other = question;
	other.token = "1000.another";
	ck_assert_uint_ne(it, reply_fingerprint(&reply, &other));
	other.token = NULL;
	ck_assert_uint_ne(it, reply_fingerprint(&reply, &other));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reply");
	TCase *tests = tcase_create("reply");
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, test_sample, 0, ARRAY_LEN(samples));
	tcase_add_test(tests, test_every_sample_has_its_row);
	tcase_add_loop_test(tests, test_sample_cut_off, 0, ARRAY_LEN(samples));
	tcase_add_loop_test(tests, test_code, 0, ARRAY_LEN(codes));
	tcase_add_test(tests, test_half_an_envelope_is_none);
	tcase_add_test(tests, test_messages_are_one_sound_line);
	tcase_add_loop_test(tests, test_odd, 0, ARRAY_LEN(odd));
	tcase_add_test(tests, test_only_http_200_brings_a_document);
	tcase_add_test(tests, test_content_types);
	tcase_add_test(tests, test_bombs);
	tcase_add_test(tests, test_retry_after);
	tcase_add_test(tests, test_reply_that_repeats_the_token);
	tcase_add_test(tests, test_question_without_a_token);
	tcase_add_test(tests, test_fingerprint);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

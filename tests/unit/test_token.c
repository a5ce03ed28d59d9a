/*
 * The accounts server's replies: the samples, what was seen of older ones, errors with status 200,
 * throttling in any language, and everything that is malformed.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/buf.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/token.h"

static struct token_reply reply;

static void read_bytes(int http_status, const char *body, size_t len)
{
	struct token_answer answer = {.http_status = http_status,
	        .body = body,
	        .len = len,
	        .secrets = {"s3cret-of-ours", "1000.refresh"}};

	memset(&reply, 'x', sizeof(reply));
	token_reply_read(&answer, &reply);
	ck_assert(str_is_utf8(reply.message, strlen(reply.message), NULL));
	ck_assert(!str_has_control(reply.message, strlen(reply.message)));
	ck_assert_int_eq(reply.kind == TOKEN_REPLY_GRANTED, reply.access_token[0] != '\0');
	ck_assert_int_eq(reply.kind == TOKEN_REPLY_GRANTED, reply.message[0] == '\0');
}

static void read_text(int http_status, const char *body)
{
	read_bytes(http_status, body, strlen(body));
}

/* ---- the samples ---- */

static const struct {
	const char *file;
	enum token_reply_kind kind;
	const char *api_domain, *words;
} samples[] = {
        {"token.json", TOKEN_REPLY_GRANTED, "https://www.zohoapis.eu", ""},
        {"token-legacy-milliseconds.json", TOKEN_REPLY_GRANTED, "https://www.zohoapis.com", ""},
        {"token-error-invalid-code.json", TOKEN_REPLY_REFUSED, "", "refresh_token_file"},
        {"token-error-invalid-client.json", TOKEN_REPLY_REFUSED, "", "client_id"},
        {"token-error-throttled.json", TOKEN_REPLY_THROTTLED, "",
                "Access Denied: You have made too many requests"},
};

START_TEST(test_samples)
{
	const char *dir = getenv("BULKWATCH_TEST_DATA");
	cleanup(mem_free_p) char *path =
	        mem_printf("%s/zoho/%s", dir ? dir : "tests/data", samples[_i].file);
	FILE *file = fopen(path, "r");
	char text[4096];

	ck_assert_msg(file != NULL, "%s", path);
	read_bytes(200, text, fread(text, 1, sizeof(text), file));
	fclose(file);
	ck_assert_int_eq(reply.kind, samples[_i].kind);
	ck_assert_str_eq(reply.api_domain, samples[_i].api_domain);
	ck_assert_ptr_nonnull(strstr(reply.message, samples[_i].words));
	if (reply.kind == TOKEN_REPLY_GRANTED) {
		ck_assert_str_eq(
		        reply.access_token, "1000.8cb99dxxxxxxxxxxxxx9be93.9b8xxxxxxxxxxxxxxxf");
		ck_assert_int_eq(reply.life_ms, 3600 * 1000);
	}
}
END_TEST

/* ---- how long it lives ---- */

static const struct {
	const char *members;
	int64_t life_ms;
} lives[] = {
        {"\"expires_in\": 3600", 3600000},
        {"\"expires_in\": 1800", 1800000},
        {"\"expires_in\": \"1800\"", 1800000},
        {"\"expires_in\": 3600000", 3600000},
        {"\"expires_in\": 1800000", 1800000},
        {"\"expires_in\": 3600000, \"expires_in_sec\": 900", 900000},
        {"\"expires_in\": 86400", 3600000},
        {"\"expires_in\": 86401", 86401},
        {"\"expires_in\": 0", 60000},
        {"\"expires_in\": 59", 60000},
        {"\"expires_in\": -3600", 3600000},
        {"\"expires_in\": 1e9", 3600000},
        {"\"expires_in\": 9223372036854775807", 3600000},
        {"\"expires_in\": null", 3600000},
        {"\"expires_in\": [1]", 3600000},
        {"\"expires_in_sec\": \"soon\", \"expires_in\": 120", 120000},
        {"\"token_type\": \"Bearer\"", 3600000},
};

START_TEST(test_lives)
{
	cleanup(mem_free_p) char *body =
	        mem_printf("{\"access_token\": \"1000.a.b\", %s}", lives[_i].members);

	read_text(200, body);
	ck_assert_int_eq(reply.kind, TOKEN_REPLY_GRANTED);
	ck_assert_int_eq(reply.life_ms, lives[_i].life_ms);
	ck_assert_str_eq(reply.api_domain, "");
}
END_TEST

/* ---- what brings no token ---- */

static const struct {
	int http_status;
	const char *body;
	enum token_reply_kind kind;
} failures[] = {
        /* Errors, with status 200 as they are sent, or as they should be. */
        {200, "{\"error\": \"invalid_client_secret\"}", TOKEN_REPLY_REFUSED},
        {400, "{\"error\": \"invalid_client\"}", TOKEN_REPLY_REFUSED},
        {401, "{\"error\": \"invalid_code\"}", TOKEN_REPLY_REFUSED},
        {400, "{\"error\": \"invalid_code\", \"status\": \"failure\"}", TOKEN_REPLY_REFUSED},
        {200, "{\"access_token\": \"1000.a.b\", \"error\": \"invalid_code\"}", TOKEN_REPLY_REFUSED},
        /* Throttled, whatever the words. */
        {200,
                "{\"error\":\"Zugriff verweigert\",\"error_description\":\"Zu viele "
                "Anfragen.\",\"status\":\"failure\"}",
                TOKEN_REPLY_THROTTLED},
        {400, "{\"error\":\"\xe6\x8b\x92\xe5\x90\xa6\",\"status\":\"failure\"}",
                TOKEN_REPLY_THROTTLED},
        {200, "{\"status\": \"failure\"}", TOKEN_REPLY_THROTTLED},
        {200, "{\"error\": 5, \"status\": \"failure\"}", TOKEN_REPLY_THROTTLED},
        {429, "{}", TOKEN_REPLY_THROTTLED},
        {429, "<html>", TOKEN_REPLY_THROTTLED},
        /* Passing. */
        {200, "{}", TOKEN_REPLY_PASSING},
        {200, "", TOKEN_REPLY_PASSING},
        {200, "[]", TOKEN_REPLY_PASSING},
        {200, "null", TOKEN_REPLY_PASSING},
        {200, "<html>Please try again</html>", TOKEN_REPLY_PASSING},
        {200, "{\"error\": \"something new\"}", TOKEN_REPLY_PASSING},
        {200, "{\"error\": {\"invalid_code\": 1}}", TOKEN_REPLY_PASSING},
        {200, "{\"access_token\": null}", TOKEN_REPLY_PASSING},
        {200, "{\"access_token\": 1000}", TOKEN_REPLY_PASSING},
        {200, "{\"access_token\": \"\"}", TOKEN_REPLY_PASSING},
        {200, "{\"access_token\": \"a b\"}", TOKEN_REPLY_PASSING},
        {200, "{\"access_token\": \"a\x7f\"}", TOKEN_REPLY_PASSING},
        {200, "{\"access_token\": \"a\\r\\nX-Evil: b\"}", TOKEN_REPLY_PASSING},
        {200, "{\"access_token\": \"a\\u0000b\"}", TOKEN_REPLY_PASSING},
        {200, "{\"access_token\": \"\xc3\xa4\"}", TOKEN_REPLY_PASSING},
        {200, "{\"access_token\": \"a\", \"access_token\": \"b\"}", TOKEN_REPLY_PASSING},
        {200, "{\"access_token\": \"1000.a.b\"} and more", TOKEN_REPLY_PASSING},
        {200, "{\"access_token\": \"1000.a.b\"", TOKEN_REPLY_PASSING},
        {200, "{\"access_token\": \"1000.a.b\", \"api_domain\": \"nowhere\"}", TOKEN_REPLY_PASSING},
        {200, "{\"access_token\": \"1000.a.b\", \"api_domain\": \"https://a@b\"}",
                TOKEN_REPLY_PASSING},
        {201, "{\"access_token\": \"1000.a.b\"}", TOKEN_REPLY_PASSING},
        {302, "{\"access_token\": \"1000.a.b\"}", TOKEN_REPLY_PASSING},
        {204, "", TOKEN_REPLY_PASSING},
        {404, "", TOKEN_REPLY_PASSING},
        {500, "{\"access_token\": \"1000.a.b\"}", TOKEN_REPLY_PASSING},
        {503, "{\"error\": \"invalid_code\"}", TOKEN_REPLY_PASSING},
};

START_TEST(test_failures)
{
	read_text(failures[_i].http_status, failures[_i].body);
	ck_assert_msg(reply.kind == failures[_i].kind, "%s: %s", failures[_i].body, reply.message);
}
END_TEST

START_TEST(test_sizes)
{
	cleanup(buf_deinit) struct buf body = {0};

	for (size_t len = TOKEN_MAX_BYTES; len <= TOKEN_MAX_BYTES + 1; len++) {
		buf_clear(&body);
		buf_adds(&body, "{\"access_token\": \"");
		for (size_t i = 0; i < len; i++)
			buf_addc(&body, 't');
		buf_adds(&body, "\"}");
		read_bytes(200, body.data, body.len);
		ck_assert_int_eq(reply.kind,
		        len <= TOKEN_MAX_BYTES ? TOKEN_REPLY_GRANTED : TOKEN_REPLY_PASSING);
	}
	for (size_t i = 0; i < TOKEN_REPLY_MAX_BYTES; i++)
		buf_addc(&body, ' ');
	read_bytes(200, body.data, body.len);
	ck_assert_int_eq(reply.kind, TOKEN_REPLY_PASSING);
	buf_clear(&body);
	for (size_t i = 0; i < TOKEN_REPLY_MAX_BYTES; i++)
		buf_addc(&body, '[');
	read_bytes(200, body.data, body.len);
	ck_assert_int_eq(reply.kind, TOKEN_REPLY_PASSING);
}
END_TEST

/* ---- messages ---- */

START_TEST(test_messages_keep_secrets)
{
	read_text(200, "{\"error\": \"what is 1000.refresh\", \"error_description\": \"\\u0007 "
	               "s3cret-of-ours\", \"status\": \"failure\"}");
	ck_assert_int_eq(reply.kind, TOKEN_REPLY_THROTTLED);
	ck_assert_ptr_null(strstr(reply.message, "1000.refresh"));
	ck_assert_ptr_null(strstr(reply.message, "s3cret"));
	read_text(200, "{\"error\": \"s3cr\\u0065t-of-ours\"}");
	ck_assert_str_eq(reply.message, "HTTP 200 without a token: an error");
	read_text(200, "{\"error\": \"new\\n\\u001b[31m\", \"error_description\": \"words\"}");
	ck_assert_str_eq(reply.message, "HTTP 200 without a token: new??[31m: words");
	read_text(200, "{\"error\": \"new\x7f\"}");
	ck_assert_str_eq(reply.message, "HTTP 200 without a token: new?");
}
END_TEST

/* All three places may be taken; one that is empty hides nothing. */
START_TEST(test_secrets_of_which_one_is_empty)
{
	static const char body[] = "{\"error\": \"new\", \"error_description\": \"of third\"}";
	struct token_answer answer = {.http_status = 200,
	        .body = body,
	        .len = strlen(body),
	        .secrets = {"first", "", "third"}};

	token_reply_read(&answer, &reply);
	ck_assert_ptr_null(strstr(reply.message, "third"));
	answer.secrets[2] = "other";
	token_reply_read(&answer, &reply);
	ck_assert_str_eq(reply.message, "HTTP 200 without a token: new: of third");
}
END_TEST

START_TEST(test_long_messages)
{
	cleanup(buf_deinit) struct buf body = {0};

	buf_adds(&body, "{\"error\": \"x");
	for (int i = 0; i < 1000; i++)
		buf_adds(&body, "\xe2\x82\xac");
	buf_adds(&body, "\", \"error_description\": \"y");
	for (int i = 0; i < 1000; i++)
		buf_adds(&body, "\xf0\x9f\x98\x80");
	buf_adds(&body, "\"}");
	read_bytes(200, body.data, body.len);
	ck_assert_int_eq(reply.kind, TOKEN_REPLY_PASSING);
	ck_assert_uint_gt(strlen(reply.message), 200);
}
END_TEST

START_TEST(test_wipe)
{
	static const struct token_reply empty;

	read_text(200, "{\"access_token\": \"1000.a.b\"}");
	token_reply_wipe(&reply);
	ck_assert_mem_eq(&reply, &empty, sizeof(reply));
}
END_TEST

/* ---- origins ---- */

static const struct {
	const char *text, *origin;
} origins[] = {
        {"https://www.zohoapis.eu", "https://www.zohoapis.eu"},
        {"https://www.zohoapis.eu/", "https://www.zohoapis.eu"},
        {"HTTPS://WWW.ZohoAPIs.eu.", "https://www.zohoapis.eu"},
        {"https://www.zohoapis.eu:443", "https://www.zohoapis.eu"},
        {"https://www.zohoapis.eu:4430", "https://www.zohoapis.eu:4430"},
        {"http://127.0.0.1:80/", "http://127.0.0.1"},
        {"http://127.0.0.1:8080", "http://127.0.0.1:8080"},
        {"http://[::1]:80", "http://[::1]"},
        {"https://a.example:80", "https://a.example:80"},
        {"", ""},
        {"/", ""},
        {"https://", ""},
        {"http:///", ""},
        {"www.zohoapis.eu", ""},
        {"ftp://www.zohoapis.eu", ""},
        {"https://www.zohoapis.eu@evil.example", ""},
        {"https://www.zohoapis.eu/path", ""},
        {"https://www.zohoapis.eu?x", ""},
        {"https://www.zohoapis.eu#x", ""},
        {"https://www.zohoapis.eu\\evil", ""},
        {"https://www.zoho%2eapis.eu", ""},
        {" https://www.zohoapis.eu", ""},
};

START_TEST(test_origins)
{
	char origin[TOKEN_DOMAIN_MAX_BYTES + 1];

	ck_assert_int_eq(token_origin(origins[_i].text, origin), origins[_i].origin[0] != '\0');
	ck_assert_str_eq(origin, origins[_i].origin);
}
END_TEST

START_TEST(test_long_origin)
{
	char text[TOKEN_DOMAIN_MAX_BYTES + 2] = "https://", origin[TOKEN_DOMAIN_MAX_BYTES + 1];

	memset(text + strlen("https://"), 'a', sizeof(text) - strlen("https://"));
	text[TOKEN_DOMAIN_MAX_BYTES + 1] = '\0';
	ck_assert(!token_origin(text, origin));
	ck_assert_str_eq(origin, "");
	text[TOKEN_DOMAIN_MAX_BYTES] = '\0';
	ck_assert(token_origin(text, origin));
	ck_assert_str_eq(origin, text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("token");
	TCase *tests = tcase_create("token");
	SRunner *runner;
	int n_failed;

	tcase_add_loop_test(tests, test_samples, 0, ARRAY_LEN(samples));
	tcase_add_loop_test(tests, test_lives, 0, ARRAY_LEN(lives));
	tcase_add_loop_test(tests, test_failures, 0, ARRAY_LEN(failures));
	tcase_add_test(tests, test_sizes);
	tcase_add_test(tests, test_messages_keep_secrets);
	tcase_add_test(tests, test_secrets_of_which_one_is_empty);
	tcase_add_test(tests, test_long_messages);
	tcase_add_test(tests, test_wipe);
	tcase_add_loop_test(tests, test_origins, 0, ARRAY_LEN(origins));
	tcase_add_test(tests, test_long_origin);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

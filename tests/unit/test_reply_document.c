/*
 * What is kept of a good reply: every member as Zoho gave it, the download URL only where it can
 * be nothing else, and the job that was asked for, in a state that Zoho can say. What kind of
 * observation a reply becomes is in test_reply.c.
 */
#include <check.h>
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

static void observe_text(const char *body)
{
	replykit_observe(&kit, 200, body, strlen(body));
}

/* ---- members ---- */

/* Without the white space between tokens; a second, simpler way to say it than the code's. */
static void squeeze(const char *json, struct buf *out)
{
	bool is_quoted = false;

	buf_clear(out);
	for (const char *c = json; *c; c++) {
		if (*c == '"' && (c == json || c[-1] != '\\'))
			is_quoted = !is_quoted;
		if (is_quoted || !strchr(" \t\r\n", *c))
			buf_addc(out, *c);
	}
}

static const struct {
	const char *file, *job_id;
	const char *result; /* with url added; NULL = none */
	const char *other;
} samples[] = {
        {"added.json", "3652397000000646004", NULL, NULL},
        {"in-progress.json", "3652397000000646004", NULL, NULL},
        {"completed.json", "3652397000000646004",
                "{\"page\":1,\"count\":20,\"download_url\":"
                "\"/bigin/bulk/v2/read/3652397000000646004/result\",\"per_page\":200000,"
                "\"more_records\":false,\"url\":\"https://www.zohoapis.eu/bigin/bulk/v2/read/"
                "3652397000000646004/result\"}",
                NULL},
        {"completed-cvid.json", "554023000000568002",
                "{\"page\":1,\"count\":3,\"download_url\":"
                "\"/bigin/bulk/v2/read/554023000000568002/result\",\"per_page\":200000,"
                "\"more_records\":false,\"url\":\"https://www.zohoapis.eu/bigin/bulk/v2/read/"
                "554023000000568002/result\"}",
                NULL},
        {"failure.json", "111111000000052009",
                "{\"error_message\":{\"status\":\"error\",\"code\":\"INTERNAL_SERVER_ERROR\","
                "\"message\":\"Internal server error occurred.\",\"details\":{}},\"url\":null}",
                "{\"file_type\":\"csv\"}"},
};

START_TEST(test_sample_is_kept_whole)
{
	const struct job_document *document = &kit.out.document;
	cleanup(buf_deinit) struct buf body = {0}, squeezed = {0}, members = {0};

	replykit_read(samples[_i].file, &body);
	squeeze(body.data, &squeezed);
	kit.question.job_id = samples[_i].job_id;
	replykit_observe(&kit, 200, body.data, body.len);
	ck_assert_int_eq(kit.out.kind, OBSERVED_STATUS);
	ck_assert_str_eq(document->operation, "read");
	buf_addf(&members, ",\"query\":%s,\"created_by\":%s,\"created_time\":%s", document->query,
	        document->created_by, document->created_time);
	ck_assert_ptr_nonnull(strstr(buf_str(&squeezed), buf_str(&members)));
	ck_assert(str_is_equal(document->result, samples[_i].result));
	ck_assert(str_is_equal(document->other, samples[_i].other));
}
END_TEST

START_TEST(test_members_as_written)
{
	replykit_observe_members(&kit,
	        "\"operation\":\"read \\u00e9\",\"query\":{\"a\" : [ 1.10 , \"x  \\\"y\\u00e9\" ] "
	        ", "
	        "\"n\": 123456789012345678901234567890 },\"created_by\" : { } , "
	        "\"created_time\":1554108604,\"file_type\":\"csv\",\"x\" :[ null, true]");
	ck_assert_int_eq(kit.out.kind, OBSERVED_STATUS);
	ck_assert_str_eq(kit.out.document.operation, "read \xc3\xa9");
	ck_assert_str_eq(kit.out.document.query,
	        "{\"a\":[1.10,\"x  \\\"y\\u00e9\"],\"n\":123456789012345678901234567890}");
	ck_assert_str_eq(kit.out.document.created_by, "{}");
	ck_assert_str_eq(kit.out.document.created_time, "1554108604");
	ck_assert_str_eq(kit.out.document.other, "{\"file_type\":\"csv\",\"x\":[null,true]}");
	/* Wherever it stands among those that are known. */
	replykit_observe_members(&kit, "\"x\":1,\"operation\":\"read\",\"y\":2");
	ck_assert_str_eq(kit.out.document.other, "{\"x\":1,\"y\":2}");
	ck_assert_ptr_null(kit.out.document.result);
}
END_TEST

START_TEST(test_absent_and_null_members_are_null)
{
	const struct job_document *document = &kit.out.document;

	for (int i = 0; i < 2; i++) {
		/* A reply before leaves nothing behind. */
		replykit_observe_members(&kit,
		        "\"operation\":\"read\",\"query\":{},\"created_by\":1,"
		        "\"created_time\":\"t\",\"result\":{},\"x\":1");
		ck_assert_str_eq(document->result, "{\"url\":null}");
		replykit_observe_members(
		        &kit, i ? "\"operation\":null,\"query\":null,\"created_by\":null,"
		                  "\"created_time\":null,\"result\":null"
		                : "");
		ck_assert_int_eq(kit.out.kind, OBSERVED_STATUS);
		ck_assert_ptr_null(document->operation);
		ck_assert_ptr_null(document->query);
		ck_assert_ptr_null(document->created_by);
		ck_assert_ptr_null(document->created_time);
		ck_assert_ptr_null(document->result);
		ck_assert_ptr_null(document->other);
	}
}
END_TEST

START_TEST(test_results_of_every_shape)
{
	static const char *const shapes[][2] = {
	        {"{}", "{\"url\":null}"},
	        {"{\"count\" : 0}", "{\"count\":0,\"url\":null}"},
	        {"{\"url\":\"https://evil.example/x\",\"a\":1}", "{\"a\":1,\"url\":null}"},
	        {"{\"k\\u00e9\\\"y\":1}", "{\"k\xc3\xa9\\\"y\":1,\"url\":null}"},
	        {"{\"download_url\":7}", "{\"download_url\":7,\"url\":null}"},
	        {"{\"download_url\":null}", "{\"download_url\":null,\"url\":null}"},
	        {"[ 1 ]", "[1]"},
	        {"\"gone\"", "\"gone\""},
	        {"0", "0"},
	};
	cleanup(buf_deinit) struct buf members = {0};

	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		buf_clear(&members);
		buf_addf(&members, "\"result\" : %s", shapes[i][0]);
		replykit_observe_members(&kit, buf_str(&members));
		ck_assert_int_eq(kit.out.kind, OBSERVED_STATUS);
		ck_assert_str_eq(kit.out.document.result, shapes[i][1]);
	}
}
END_TEST

/* ---- the download URL ---- */

#define ID "3652397000000646004"

static const struct {
	const char *path; /* as it stands in the JSON text */
	bool is_taken;
} paths[] = {
        {"/bigin/bulk/v2/read/" ID "/result", true},
        {"/bigin/bulk/v1/read/" ID "/result", true},
        {"/crm/bulk/v8/read/" ID "/result", true},
        {"/crm/bulk/v10/read/" ID "/result", true},
        {"\\/bigin\\/bulk\\/v2\\/read\\/" ID "\\/result", true}, /* the same, escaped */
        {"https://www.zohoapis.eu/bigin/bulk/v2/read/" ID "/result", false},
        {"https://evil.example/bigin/bulk/v2/read/" ID "/result", false},
        {"//evil.example/bigin/bulk/v2/read/" ID "/result", false},
        {"@evil.example/bigin/bulk/v2/read/" ID "/result", false},
        {".evil.example/bigin/bulk/v2/read/" ID "/result", false},
        {":443@evil.example/bigin/bulk/v2/read/" ID "/result", false},
        {"/bigin/bulk/v2/read/3652397000000646005/result", false},
        {"/bigin/bulk/v2/read/" ID "0/result", false},
        {"/bigin/bulk/v2/read//result", false},
        {"/bigin/bulk/v/read/" ID "/result", false},
        {"/bigin/bulk/v1234/read/" ID "/result", false},
        {"/bigin/bulk/vx/read/" ID "/result", false},
        {"/bigin/bulk/v-2/read/" ID "/result", false},
        {"/bigin/bulk/v2.1/read/" ID "/result", false},
        {"/bigin/bulk/2/read/" ID "/result", false},
        {"/bigin/bulk/v2/write/" ID "/result", false},
        {"/books/bulk/v2/read/" ID "/result", false},
        {"/BIGIN/bulk/v2/read/" ID "/result", false},
        {"/bigin/bulk/v2/../v2/read/" ID "/result", false},
        {"/bigin/bulk/v2/read/../read/" ID "/result", false},
        {"/bigin/bulk/v2/read/" ID "/result/../../x", false},
        {"/bigin/bulk/v2/read/" ID "/%2e%2e/result", false},
        {"/bigin/bulk/v2/read/" ID "/result?x=1", false},
        {"/bigin/bulk/v2/read/" ID "/result#x", false},
        {"/bigin/bulk/v2/read/" ID "/result ", false},
        {" /bigin/bulk/v2/read/" ID "/result", false},
        {"/bigin/bulk/v2/read/" ID "/result\\r\\nX: y", false},
        {"/bigin/bulk/v2/read/" ID "/results", false},
        {"/bigin/bulk/v2/read/" ID, false},
        {"/", false},
        {"", false},
};

START_TEST(test_download_url)
{
	cleanup(buf_deinit) struct buf members = {0}, expected = {0}, plain = {0};

	buf_addf(&members, "\"result\":{\"download_url\":\"%s\"}", paths[_i].path);
	for (const char *c = paths[_i].path; *c; c++) {
		if (*c != '\\')
			buf_addc(&plain, *c);
	}
	buf_addf(&expected, "{\"download_url\":\"%s\",\"url\":", paths[_i].path);
	if (paths[_i].is_taken)
		buf_addf(&expected, "\"" REPLYKIT_API "%s\"}", buf_str(&plain));
	else
		buf_adds(&expected, "null}");
	replykit_observe_members(&kit, buf_str(&members));
	ck_assert_int_eq(kit.out.kind, OBSERVED_STATUS);
	ck_assert_str_eq(kit.out.document.result, buf_str(&expected));
}
END_TEST

/* ---- whose job ---- */

static const struct {
	const char *data; /* the members of the array */
	bool is_taken;
} whose[] = {
        {"{\"id\":\"" ID "\",\"state\":\"ADDED\"}", true},
        {"{\"id\":\"\\u0033652397000000646004\",\"state\":\"ADDED\"}", true},
        {"{\"id\":" ID ",\"state\":\"ADDED\"}", true}, /* a number that is written alike */
        {"{\"id\":\"1\",\"state\":\"COMPLETED\"},{\"id\":\"" ID "\",\"state\":\"ADDED\"}", true},
        {"{\"id\":\"" ID "\",\"state\":\"ADDED\"},{\"id\":\"1\",\"state\":\"COMPLETED\"}", true},
        {"7,null,{\"id\":\"" ID "\",\"state\":\"ADDED\"}", true},
        {"{\"id\":\"3652397000000646005\",\"state\":\"ADDED\"}", false},
        {"{\"id\":3652397000000646005,\"state\":\"ADDED\"}", false},
        {"{\"id\":3.652397000000646004e18,\"state\":\"ADDED\"}", false},
        {"{\"id\":" ID ".0,\"state\":\"ADDED\"}", false},
        {"{\"id\":\"0" ID "\",\"state\":\"ADDED\"}", false},
        {"{\"id\":\"" ID " \",\"state\":\"ADDED\"}", false},
        {"{\"id\":\"\",\"state\":\"ADDED\"}", false},
        {"{\"id\":null,\"state\":\"ADDED\"}", false},
        {"{\"id\":true,\"state\":\"ADDED\"}", false},
        {"{\"id\":[\"" ID "\"],\"state\":\"ADDED\"}", false},
        {"{\"state\":\"ADDED\"}", false},
        {"[{\"id\":\"" ID "\",\"state\":\"ADDED\"}]", false},
        {"", false},
};

START_TEST(test_whose_job)
{
	cleanup(buf_deinit) struct buf body = {0};

	buf_addf(&body, "{\"data\":[%s]}", whose[_i].data);
	observe_text(buf_str(&body));
	ck_assert_int_eq(kit.out.kind, whose[_i].is_taken ? OBSERVED_STATUS : OBSERVED_GARBLED);
	ck_assert_int_eq(kit.out.error, whose[_i].is_taken ? ERROR_NONE : ERROR_BAD_REPLY);
	ck_assert(str_is_equal(kit.out.state, whose[_i].is_taken ? "ADDED" : NULL));
}
END_TEST

START_TEST(test_document_in_the_wrong_place)
{
	static const char *const bodies[] = {
	        "{\"id\":\"" ID "\",\"state\":\"ADDED\"}",
	        "[{\"id\":\"" ID "\",\"state\":\"ADDED\"}]",
	        "{\"data\":{\"id\":\"" ID "\",\"state\":\"ADDED\"}}",
	        "{\"Data\":[{\"id\":\"" ID "\",\"state\":\"ADDED\"}]}",
	        "{\"data\":[{\"id\":\"" ID "\",\"state\":\"ADDED\"}],\"data\":[]}",
	        "{\"data\":[{\"id\":\"" ID "\",\"state\":\"ADDED\",\"state\":\"COMPLETED\"}]}",
	        "{\"data\":[{\"id\":\"" ID "\",\"state\":\"ADDED\"}]} trailing",
	        "{\"data\":[{\"id\":\"" ID "\",\"state\":\"ADDED\"}]}{}",
	};

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		observe_text(bodies[i]);
		ck_assert_int_eq(kit.out.kind, OBSERVED_GARBLED);
		ck_assert_int_eq(kit.out.error, ERROR_BAD_REPLY);
	}
}
END_TEST

/* ---- states ---- */

#define SIXTEEN    "ABCDEFGHIJKLMNOP"
#define SIXTY_FOUR SIXTEEN SIXTEEN SIXTEEN SIXTEEN
#define EIGHT_EURO "\\u20ac\\u20ac\\u20ac\\u20ac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
#define ALL_EURO                                                                                   \
	EIGHT_EURO EIGHT_EURO EIGHT_EURO EIGHT_EURO EIGHT_EURO EIGHT_EURO EIGHT_EURO EIGHT_EURO

static const struct {
	const char *state; /* as it stands in the JSON text */
	bool is_taken;
} states[] = {
        {"\"A\"", true},
        {"\"SOME NEW WORD\"", true},
        {"\"completed\"", true},
        {"\"" SIXTY_FOUR "\"", true},
        {"\"" SIXTY_FOUR "X\"", false},
        {"\"" ALL_EURO "\"", true},
        {"\"" ALL_EURO "X\"", false},
        {"\"S\xc3\x9cSS\"", true},
        {"\"\"", false},
        {"\"LOST\"", false},
        {"\"PENDING\"", false},
        {"\"\\u004cOST\"", false},
        {"\"A\\u0007B\"", false},
        {"\"A\\nB\"", false},
        {"\"A\\u007f\"", false},
        {"\"A\\u0085B\"", false},
        {"\"A\\u0000B\"", false},
        {"\"\xc0\x80\"", false},
        {"\"\xed\xa0\x80\"", false},
        {"null", false},
        {"7", false},
        {"true", false},
        {"[\"ADDED\"]", false},
        {"{\"state\":\"ADDED\"}", false},
};

START_TEST(test_state)
{
	cleanup(buf_deinit) struct buf body = {0};

	buf_addf(&body, "{\"data\":[{\"id\":\"" ID "\",\"state\":%s}]}", states[_i].state);
	observe_text(buf_str(&body));
	ck_assert_int_eq(kit.out.kind, states[_i].is_taken ? OBSERVED_STATUS : OBSERVED_GARBLED);
	ck_assert_int_eq(kit.out.error, states[_i].is_taken ? ERROR_NONE : ERROR_BAD_REPLY);
	if (!states[_i].is_taken)
		return;
	ck_assert(job_state_is_sayable(kit.out.state));
	if (!strchr(states[_i].state, '\\'))
		ck_assert_uint_eq(strlen(kit.out.state), strlen(states[_i].state) - 2);
}
END_TEST

START_TEST(test_state_missing)
{
	observe_text("{\"data\":[{\"id\":\"" ID "\"}]}");
	ck_assert_int_eq(kit.out.kind, OBSERVED_GARBLED);
	observe_text("{\"data\":[{\"id\":\"" ID "\",\"State\":\"ADDED\"}]}");
	ck_assert_int_eq(kit.out.kind, OBSERVED_GARBLED);
	ck_assert_ptr_null(kit.out.state);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reply_document");
	TCase *tests = tcase_create("reply_document");
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, test_sample_is_kept_whole, 0, ARRAY_LEN(samples));
	tcase_add_test(tests, test_members_as_written);
	tcase_add_test(tests, test_absent_and_null_members_are_null);
	tcase_add_test(tests, test_results_of_every_shape);
	tcase_add_loop_test(tests, test_download_url, 0, ARRAY_LEN(paths));
	tcase_add_loop_test(tests, test_whose_job, 0, ARRAY_LEN(whose));
	tcase_add_test(tests, test_document_in_the_wrong_place);
	tcase_add_loop_test(tests, test_state, 0, ARRAY_LEN(states));
	tcase_add_test(tests, test_state_missing);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

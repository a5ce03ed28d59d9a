/*
 * Jobs and events as JSON, and the environment of a hook: the members and variables that the manual
 * names are always there, with the values that they should have.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/event.h"

static const char instance[] = "0123456789abcdef";

static const struct job_view completed = {
        .account = "acme-eu",
        .id = "3652397000000646004",
        .name = "contacts \xc3\xa9",
        .datacenter = "eu",
        .service = "bigin",
        .state = "COMPLETED",
        .is_finished = true,
        .is_watched = true,
        .since_wall_ms = INT64_C(1554108604123),
        .watched_since_wall_ms = INT64_C(1554108600000),
        .last_polled_wall_ms = INT64_C(1554108604000),
        .last_answered_wall_ms = INT64_C(1554108604123),
        .polls = 7,
        .document = {.operation = "read",
                .created_by = "{\"id\":\"1\",\"name\":\"P\"}",
                .created_time = "\"2019-04-01T14:24:04+05:30\"",
                .query = "{\"module\":\"Contacts\",\"page\":1}",
                .result = "{\"page\":2,\"count\":20,\"per_page\":200000,\"more_records\":true,"
                          "\"url\":\"https://www.zohoapis.eu/x\"}",
                .other = "{\"file_type\":\"csv\"}"},
};

static const char completed_json[] =
        "{\"account\":\"acme-eu\",\"id\":\"3652397000000646004\",\"name\":\"contacts \xc3\xa9\","
        "\"datacenter\":\"eu\",\"service\":\"bigin\",\"state\":\"COMPLETED\",\"finished\":true,"
        "\"watched\":true,\"paused\":false,\"since\":\"2019-04-01T08:50:04.123Z\","
        "\"watched_since\":\"2019-04-01T08:50:00.000Z\","
        "\"last_polled\":\"2019-04-01T08:50:04.000Z\","
        "\"last_answered\":\"2019-04-01T08:50:04.123Z\",\"next_poll\":null,\"polls\":7,"
        "\"failures\":0,\"last_error\":null,\"operation\":\"read\",\"module\":\"Contacts\","
        "\"created_by\":{\"id\":\"1\",\"name\":\"P\"},"
        "\"created_time\":\"2019-04-01T14:24:04+05:30\","
        "\"query\":{\"module\":\"Contacts\",\"page\":1},"
        "\"result\":{\"page\":2,\"count\":20,\"per_page\":200000,\"more_records\":true,"
        "\"url\":\"https://www.zohoapis.eu/x\"},\"other\":{\"file_type\":\"csv\"}}";

static struct json *parse(const struct buf *text)
{
	struct json *json;

	ck_assert_msg(json_parse(buf_str(text), text->len, SIZE_MAX, &json) == JSON_OK, "%s",
	        buf_str(text));
	return json;
}

static void check_raw(
        const struct json *json, const struct json_node *object, const char *key, const char *raw)
{
	cleanup(buf_deinit) struct buf text = {0};
	const struct json_node *member = json_get(json, object, key);

	ck_assert_msg(member != NULL, "no member %s", key);
	json_add_raw(json, member, &text);
	ck_assert_str_eq(buf_str(&text), raw);
}

/* ---- the job ---- */

static void write_job(const struct job_view *job, struct buf *out)
{
	struct json_out w;

	buf_clear(out);
	json_out_init(&w, out, false);
	event_write_job(&w, NULL, job);
	json_out_deinit(&w);
}

START_TEST(test_job)
{
	cleanup(buf_deinit) struct buf out = {0};

	write_job(&completed, &out);
	ck_assert_str_eq(buf_str(&out), completed_json);
}
END_TEST

/* Every member stands there whatever is known; what is absent is null. */
START_TEST(test_job_of_which_nothing_is_known)
{
	static const char *const members[] = {"account", "id", "name", "datacenter", "service",
	        "state", "finished", "watched", "paused", "since", "watched_since", "last_polled",
	        "last_answered", "next_poll", "polls", "failures", "last_error", "operation",
	        "created_by", "created_time", "query", "result"};
	static const char *const nulls[] = {"name", "last_polled", "last_answered", "next_poll",
	        "last_error", "operation", "created_by", "created_time", "query", "result"};
	const struct job_view job = {.account = "a", .id = "1", .state = "PENDING"};
	cleanup(buf_deinit) struct buf out = {0};
	cleanup(json_free_p) struct json *json = NULL;

	write_job(&job, &out);
	json = parse(&out);
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		ck_assert_msg(json_get(json, json_root(json), members[i]), "%s", members[i]);
	for (size_t i = 0; i < ARRAY_LEN(nulls); i++)
		check_raw(json, json_root(json), nulls[i], "null");
	check_raw(json, json_root(json), "finished", "false");
	check_raw(json, json_root(json), "polls", "0");
}
END_TEST

START_TEST(test_job_last_error)
{
	struct job_view job = completed;
	cleanup(buf_deinit) struct buf out = {0};
	cleanup(json_free_p) struct json *json = NULL;

	job.error_at_wall_ms = 1500;
	job.error_class = "tls";
	job.error_message = "no \"trust\"\n";
	job.failures = 3;
	job.is_paused = true;
	job.next_poll_wall_ms = 2000;
	write_job(&job, &out);
	json = parse(&out);
	check_raw(json, json_root(json), "last_error",
	        "{\"at\":\"1970-01-01T00:00:01.500Z\",\"class\":\"tls\","
	        "\"message\":\"no \\\"trust\\\"\\n\"}");
	check_raw(json, json_root(json), "failures", "3");
	check_raw(json, json_root(json), "paused", "true");
	check_raw(json, json_root(json), "next_poll", "\"1970-01-01T00:00:02.000Z\"");
}
END_TEST

START_TEST(test_module_of_query)
{
	static const char *const queries[][2] = {
	        {"{\"module\":\"Contacts\"}", "Contacts"},
	        {"{\"module\":{\"id\":\"1\",\"api_name\":\"Deals\"}}", "Deals"},
	        {"{\"module\":{\"id\":\"1\"}}", ""},
	        {"{\"module\":7}", ""},
	        {"{\"module\":null}", ""},
	        {"{}", ""},
	        {"[]", ""},
	        {"no JSON", ""},
	        {"", ""},
	};
	cleanup(buf_deinit) struct buf query = {0};
	char module[EVENT_MODULE_MAX_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
		event_module_of_query(queries[i][0], module);
		ck_assert_str_eq(module, queries[i][1]);
	}
	event_module_of_query(NULL, module);
	ck_assert_str_eq(module, "");
	buf_adds(&query, "{\"module\":\"");
	for (int i = 0; i < 200; i++)
		buf_adds(&query, "\xc3\xa9");
	buf_adds(&query, "\"}");
	event_module_of_query(buf_str(&query), module);
	ck_assert_uint_eq(strlen(module), (EVENT_MODULE_MAX_BYTES - 1) / 2 * 2);
	ck_assert(str_is_utf8(module, strlen(module), NULL));
}
END_TEST

/* ---- the snapshot of a job ---- */

/* {"module":"Contacts","x":"xxx..."} of that many bytes. */
static void make_query(struct buf *query, size_t len)
{
	buf_clear(query);
	buf_adds(query, "{\"module\":\"Contacts\",\"x\":\"");
	while (query->len < len - 2)
		buf_addc(query, 'x');
	buf_adds(query, "\"}");
	ck_assert_uint_eq(query->len, len);
}

static void write_cloud(enum event_type type, const char *data, struct buf *out)
{
	struct event_view event = {.instance = instance,
	        .seq = INT64_MAX,
	        .type = type,
	        .at_wall_ms = 1,
	        .account = "acme-eu",
	        .job_id = "3652397000000646004",
	        .data = data};
	struct json_out w;

	buf_clear(out);
	json_out_init(&w, out, false);
	event_write_cloud(&w, &event);
	json_out_deinit(&w);
}

START_TEST(test_large_query_is_null_but_its_module_is_kept)
{
	struct job_view job = completed;
	cleanup(buf_deinit) struct buf query = {0}, data = {0}, cloud = {0}, small = {0};
	bool was_kept = true;

	write_job(&completed, &small);
	event_job_data(&completed, &data);
	ck_assert_str_eq(buf_str(&data), buf_str(&small));
	for (size_t len = HOOK_INPUT_MAX_BYTES - 3000; len < HOOK_INPUT_MAX_BYTES + 3000;
	        len += 100) {
		cleanup(json_free_p) struct json *json = NULL;
		bool is_kept;

		make_query(&query, len);
		job.document.query = buf_str(&query);
		event_job_data(&job, &data);
		json = parse(&data);
		is_kept = json_get(json, json_root(json), "query")->type == JSON_OBJECT;
		ck_assert(was_kept || !is_kept);
		check_raw(json, json_root(json), "module", "\"Contacts\"");
		check_raw(json, json_root(json), "query", is_kept ? buf_str(&query) : "null");
		/* What a hook is given stays within the limit, whatever its event. */
		write_cloud(EVENT_JOB_UNKNOWN_STATE, buf_str(&data), &cloud);
		ck_assert_uint_le(cloud.len, HOOK_INPUT_MAX_BYTES);
		was_kept = is_kept;
	}
	ck_assert(!was_kept);
	/* The socket gives it whole. */
	write_job(&job, &data);
	ck_assert_uint_gt(data.len, HOOK_INPUT_MAX_BYTES);
}
END_TEST

/* ---- events ---- */

START_TEST(test_event_id)
{
	char id[EVENT_ID_SIZE];

	event_id(instance, 1, id);
	ck_assert_str_eq(id, "0123456789abcdef-1");
	event_id(instance, INT64_MAX, id);
	ck_assert_str_eq(id, "0123456789abcdef-9223372036854775807");
}
END_TEST

START_TEST(test_event_of_a_job)
{
	const struct event_view event = {.instance = instance,
	        .seq = 42,
	        .type = EVENT_JOB_COMPLETED,
	        .at_wall_ms = INT64_C(1554108604123),
	        .account = "acme-eu",
	        .job_id = "3652397000000646004",
	        .from_state = "IN PROGRESS",
	        .to_state = "COMPLETED",
	        .data = "{\"id\":\"3652397000000646004\"}"};
	cleanup(buf_deinit) struct buf out = {0};
	struct json_out w;

	json_out_init(&w, &out, false);
	event_write(&w, NULL, &event);
	json_out_deinit(&w);
	ck_assert_str_eq(buf_str(&out),
	        "{\"seq\":42,\"id\":\"0123456789abcdef-42\",\"type\":\"job.completed\","
	        "\"at\":\"2019-04-01T08:50:04.123Z\",\"account\":\"acme-eu\","
	        "\"job_id\":\"3652397000000646004\",\"from_state\":\"IN PROGRESS\","
	        "\"to_state\":\"COMPLETED\",\"job\":{\"id\":\"3652397000000646004\"}}");
	buf_clear(&out);
	json_out_init(&w, &out, false);
	event_write_cloud(&w, &event);
	json_out_deinit(&w);
	ck_assert_str_eq(buf_str(&out),
	        "{\"specversion\":\"1.0\",\"id\":\"0123456789abcdef-42\","
	        "\"source\":\"/bulkwatch/0123456789abcdef\",\"type\":\"bulkwatch.job.completed\","
	        "\"time\":\"2019-04-01T08:50:04.123Z\","
	        "\"subject\":\"acme-eu/3652397000000646004\","
	        "\"datacontenttype\":\"application/json\","
	        "\"data\":{\"id\":\"3652397000000646004\"}}");
}
END_TEST

START_TEST(test_event_of_an_account)
{
	const struct event_view event = {.instance = instance,
	        .seq = 43,
	        .type = EVENT_ACCOUNT_PAUSED,
	        .at_wall_ms = 1,
	        .account = "acme-eu",
	        .data = "{\"name\":\"acme-eu\"}"};
	cleanup(buf_deinit) struct buf out = {0};
	struct json_out w;

	json_out_init(&w, &out, false);
	event_write(&w, NULL, &event);
	json_out_deinit(&w);
	ck_assert_str_eq(buf_str(&out),
	        "{\"seq\":43,\"id\":\"0123456789abcdef-43\",\"type\":\"account.paused\","
	        "\"at\":\"1970-01-01T00:00:00.001Z\",\"account\":\"acme-eu\",\"job_id\":null,"
	        "\"from_state\":null,\"to_state\":null,\"data\":{\"name\":\"acme-eu\"}}");
	buf_clear(&out);
	json_out_init(&w, &out, false);
	event_write_cloud(&w, &event);
	json_out_deinit(&w);
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\"subject\":\"acme-eu\""));
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\"type\":\"bulkwatch.account.paused\""));
}
END_TEST

/* Of a hook alone, whose event was of no account: about nothing that has a name. */
START_TEST(test_event_of_nobody)
{
	const struct event_view event = {.instance = instance,
	        .seq = 44,
	        .type = EVENT_HOOK_DEAD,
	        .at_wall_ms = 1,
	        .data = "{\"hook\":\"load\"}"};
	cleanup(buf_deinit) struct buf out = {0};
	struct json_out w;

	json_out_init(&w, &out, false);
	event_write_cloud(&w, &event);
	json_out_deinit(&w);
	ck_assert_ptr_null(strstr(buf_str(&out), "subject"));
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\"data\":{\"hook\":\"load\"}"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("event");
	TCase *tests = tcase_create("event");
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, test_job);
	tcase_add_test(tests, test_job_of_which_nothing_is_known);
	tcase_add_test(tests, test_job_last_error);
	tcase_add_test(tests, test_module_of_query);
	tcase_add_test(tests, test_large_query_is_null_but_its_module_is_kept);
	tcase_add_test(tests, test_event_id);
	tcase_add_test(tests, test_event_of_a_job);
	tcase_add_test(tests, test_event_of_an_account);
	tcase_add_test(tests, test_event_of_nobody);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

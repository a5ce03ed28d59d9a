/*
 * The environment of a hook: every variable that the manual names, nothing else, and nothing that
 * does not fit an environment.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "util/mem.h"
#include "wire/event.h"

static struct event_environment env;

static void tear_down(void)
{
	event_environment_deinit(&env);
}

static const char job_data[] =
        "{\"account\":\"acme-eu\",\"id\":\"17\",\"name\":\"contacts\",\"datacenter\":\"eu\","
        "\"service\":\"bigin\",\"state\":\"COMPLETED\",\"operation\":\"read\","
        "\"module\":\"Contacts\",\"created_time\":\"2019-04-01T14:24:04+05:30\","
        "\"query\":{\"module\":\"Contacts\",\"page\":9},"
        "\"result\":{\"page\":2,\"count\":20,\"per_page\":200000,\"more_records\":true,"
        "\"download_url\":\"/bigin/bulk/v2/read/17/result\","
        "\"url\":\"https://www.zohoapis.eu/bigin/bulk/v2/read/17/result\"}}";

/* The variables of a completed job, in the manual's order. */
static const char *const variables[][2] = {
        {"EVENT_ID", "0123456789abcdef-42"},
        {"EVENT_SEQ", "42"},
        {"EVENT_TYPE", "job.completed"},
        {"EVENT_TIME", "2019-04-01T08:50:04.123Z"},
        {"JOB_ID", "17"},
        {"JOB_NAME", "contacts"},
        {"ACCOUNT", "acme-eu"},
        {"DATACENTER", "eu"},
        {"SERVICE", "bigin"},
        {"STATE", "COMPLETED"},
        {"PREVIOUS_STATE", "IN PROGRESS"},
        {"OPERATION", "read"},
        {"MODULE", "Contacts"},
        {"PAGE", "2"},
        {"COUNT", "20"},
        {"PER_PAGE", "200000"},
        {"MORE_RECORDS", "true"},
        {"DOWNLOAD_URL", "https://www.zohoapis.eu/bigin/bulk/v2/read/17/result"},
        {"CREATED_TIME", "2019-04-01T14:24:04+05:30"},
        {"HOOK", "load"},
        {"ATTEMPT", "3"},
};

static struct event_view event_of(const char *data)
{
	return (struct event_view){.instance = "0123456789abcdef",
	        .seq = 42,
	        .type = EVENT_JOB_COMPLETED,
	        .at_wall_ms = INT64_C(1554108604123),
	        .account = "acme-eu",
	        .job_id = "17",
	        .from_state = "IN PROGRESS",
	        .to_state = "COMPLETED",
	        .data = data};
}

static void make(const struct event_view *event)
{
	const struct event_attempt attempt = {.hook = "load", .attempt = 3};

	event_environment_deinit(&env);
	event_environment_init(&env, event, &attempt);
}

/* NULL if it is not there; it must not be there twice. */
static const char *value_of(const char *name)
{
	const char *value = NULL;
	size_t len = strlen(name);

	for (size_t i = 0; i < env.n; i++) {
		if (strncmp(env.envp[i], name, len) != 0 || env.envp[i][len] != '=')
			continue;
		ck_assert_ptr_null(value);
		value = env.envp[i] + len + 1;
	}
	return value;
}

static const char *variable(const char *name)
{
	cleanup(mem_free_p) char *whole = mem_printf("BULKWATCH_%s", name);
	const char *value = value_of(whole);

	ck_assert_msg(value != NULL, "%s is not set", whole);
	return value;
}

static void check_all_are_set(void)
{
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		variable(variables[i][0]);
	ck_assert_uint_eq(env.n, ARRAY_LEN(variables));
	ck_assert_ptr_null(env.envp[env.n]);
}

START_TEST(test_variables_of_a_completed_job)
{
	struct event_view event = event_of(job_data);

	make(&event);
	check_all_are_set();
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		ck_assert_str_eq(variable(variables[i][0]), variables[i][1]);
}
END_TEST

START_TEST(test_what_is_inherited_is_said)
{
	struct event_view event = event_of(job_data);
	struct event_attempt attempt = {.hook = "load",
	        .attempt = UINT32_MAX,
	        .is_test = true,
	        .path = "/usr/bin:/bin",
	        .lang = "C.UTF-8",
	        .home = "/var/lib/x",
	        .tz = "Asia/Tokyo"};

	event_environment_init(&env, &event, &attempt);
	ck_assert_uint_eq(env.n, ARRAY_LEN(variables) + 5);
	ck_assert_ptr_null(env.envp[env.n]);
	ck_assert_str_eq(value_of("PATH"), "/usr/bin:/bin");
	ck_assert_str_eq(value_of("LANG"), "C.UTF-8");
	ck_assert_str_eq(value_of("HOME"), "/var/lib/x");
	ck_assert_str_eq(value_of("TZ"), "Asia/Tokyo");
	ck_assert_str_eq(variable("TEST"), "1");
	ck_assert_str_eq(variable("ATTEMPT"), "4294967295");
	event_environment_deinit(&env);
	ck_assert_ptr_null(env.envp);
}
END_TEST

START_TEST(test_what_is_absent_is_empty)
{
	static const char *const data[] = {"{}", "{\"name\":null,\"query\":null,\"result\":null}",
	        "{\"name\":7,\"query\":[1],\"result\":\"x\",\"created_time\":{}}"};

	for (size_t i = 0; i < ARRAY_LEN(data); i++) {
		struct event_view event = event_of(data[i]);

		event.from_state = NULL;
		make(&event);
		check_all_are_set();
		ck_assert_str_eq(variable("JOB_NAME"), "");
		ck_assert_str_eq(variable("PREVIOUS_STATE"), "");
		ck_assert_str_eq(variable("PAGE"), "");
		ck_assert_str_eq(variable("COUNT"), "");
		ck_assert_str_eq(variable("DOWNLOAD_URL"), "");
		ck_assert_str_eq(variable("CREATED_TIME"), "");
		ck_assert_str_eq(variable("STATE"), "COMPLETED");
	}
}
END_TEST

START_TEST(test_page_is_the_querys_where_there_is_no_result)
{
	struct event_view event =
	        event_of("{\"state\":\"ADDED\",\"query\":{\"page\":9},\"result\":null}");

	event.type = EVENT_JOB_WATCHED;
	event.to_state = NULL;
	make(&event);
	ck_assert_str_eq(variable("PAGE"), "9");
	ck_assert_str_eq(variable("STATE"), "ADDED");
	/* Our own word for "no answer yet" is none of Zoho's. */
	event.data = "{\"state\":\"PENDING\"}";
	make(&event);
	ck_assert_str_eq(variable("STATE"), "");
}
END_TEST

START_TEST(test_event_of_an_account)
{
	struct event_view event = {.instance = "0123456789abcdef",
	        .seq = 1,
	        .type = EVENT_ACCOUNT_PAUSED,
	        .account = "acme-eu",
	        .data = "{\"name\":\"acme-eu\",\"state\":\"paused\",\"service\":\"bigin\"}"};

	make(&event);
	check_all_are_set();
	ck_assert_str_eq(variable("EVENT_TYPE"), "account.paused");
	ck_assert_str_eq(variable("ACCOUNT"), "acme-eu");
	/* An account's name and state are none of a job's. */
	ck_assert_str_eq(variable("JOB_ID"), "");
	ck_assert_str_eq(variable("JOB_NAME"), "");
	ck_assert_str_eq(variable("STATE"), "");
}
END_TEST

START_TEST(test_control_characters_are_left_out)
{
	struct event_view event = event_of(
	        "{\"name\":\"a\\nb\",\"operation\":\"\\u001b[31m\",\"module\":\"\\u007f\","
	        "\"datacenter\":\"e\\u00e9u\",\"result\":{\"url\":\"x\\r\\ny\",\"page\":\"\\t\"}}");

	event.from_state = "A\x01";
	make(&event);
	check_all_are_set();
	ck_assert_str_eq(variable("JOB_NAME"), "");
	ck_assert_str_eq(variable("OPERATION"), "");
	ck_assert_str_eq(variable("MODULE"), "");
	ck_assert_str_eq(variable("DOWNLOAD_URL"), "");
	ck_assert_str_eq(variable("PAGE"), "");
	ck_assert_str_eq(variable("PREVIOUS_STATE"), "");
	ck_assert_str_eq(variable("DATACENTER"), "e\xc3\xa9u");
}
END_TEST

START_TEST(test_values_over_4_kib_are_left_out)
{
	for (size_t len = HOOK_ENV_VALUE_MAX_BYTES - 1; len <= HOOK_ENV_VALUE_MAX_BYTES + 1;
	        len++) {
		cleanup(mem_free_p) char *name = mem_new(len + 1, 1);
		cleanup(mem_free_p) char *data = NULL;
		struct event_view event;

		memset(name, 'x', len);
		data = mem_printf("{\"name\":\"%s\",\"operation\":\"%s\"}", name, name);
		event = event_of(data);
		make(&event);
		check_all_are_set();
		ck_assert_str_eq(variable("JOB_NAME"), len <= HOOK_ENV_VALUE_MAX_BYTES ? name : "");
		ck_assert_str_eq(
		        variable("OPERATION"), len <= HOOK_ENV_VALUE_MAX_BYTES ? name : "");
		ck_assert_str_eq(variable("JOB_ID"), "17");
	}
}
END_TEST

START_TEST(test_broken_data_leaves_the_event_itself)
{
	static const char *const data[] = {"", "{", "[]", "7", "null"};

	for (size_t i = 0; i < ARRAY_LEN(data); i++) {
		struct event_view event = event_of(data[i]);

		make(&event);
		check_all_are_set();
		ck_assert_str_eq(variable("EVENT_ID"), "0123456789abcdef-42");
		ck_assert_str_eq(variable("JOB_ID"), "17");
		ck_assert_str_eq(variable("MODULE"), "");
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("environment");
	TCase *tests = tcase_create("environment");
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, NULL, tear_down);
	tcase_add_test(tests, test_variables_of_a_completed_job);
	tcase_add_test(tests, test_what_is_inherited_is_said);
	tcase_add_test(tests, test_what_is_absent_is_empty);
	tcase_add_test(tests, test_page_is_the_querys_where_there_is_no_result);
	tcase_add_test(tests, test_event_of_an_account);
	tcase_add_test(tests, test_control_characters_are_left_out);
	tcase_add_test(tests, test_values_over_4_kib_are_left_out);
	tcase_add_test(tests, test_broken_data_leaves_the_event_itself);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

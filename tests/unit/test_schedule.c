/*
 * When to ask next, and the small tables of core/: which hooks an event fires, what is known of a
 * state's word, the names of events and of errors.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/event.h"
#include "core/hookmatch.h"
#include "core/job.h"
#include "core/limits.h"
#include "core/observe.h"
#include "core/schedule.h"
#include "seed.h"
#include "util/mem.h"

static const struct poll_policy defaults = {
        .min_interval_ms = 15000,
        .max_interval_ms = 300000,
        .polls_per_job = 20,
        .overdue_after_ms = 86400000,
        .lost_after_ms = 600000,
};

/* ---- when ---- */

START_TEST(test_first_poll_is_spread)
{
	struct rng rng;
	int64_t latest = 0;

	ck_assert_int_eq(schedule_first_ms(0, UINT64_MAX), 0);
	seed_rng(&rng, "test_first_poll_is_spread");
	for (size_t n = 1; n < 100000; n = n * 3 + 1) {
		int64_t widest = 0;

		for (int i = 0; i < 2000; i++) {
			int64_t wait = schedule_first_ms(n, rng_next(&rng));

			ck_assert_int_ge(wait, 0);
			ck_assert_int_le(wait, FIRST_POLL_SPREAD_MS);
			if (wait > widest)
				widest = wait;
		}
		/* Of 2,000 throws the widest reaches nine tenths, which grows with n. */
		ck_assert_int_ge(widest, latest * 9 / 10);
		latest = widest;
	}
	ck_assert_int_ge(latest, FIRST_POLL_SPREAD_MS * 9 / 10);
	/* One job alone is not kept waiting. */
	ck_assert_int_le(schedule_first_ms(1, UINT64_MAX), 100);
}
END_TEST

START_TEST(test_interval_grows_between_its_bounds)
{
	int64_t before = 0;

	ck_assert_int_eq(schedule_interval_ms(&defaults, 0), defaults.min_interval_ms);
	ck_assert_int_eq(schedule_interval_ms(&defaults, -5000), defaults.min_interval_ms);
	for (int64_t age_ms = 1; age_ms < INT64_MAX / 8; age_ms = age_ms * 5 / 4 + 1) {
		int64_t wait = schedule_interval_ms(&defaults, age_ms);

		ck_assert_int_ge(wait, before);
		ck_assert_int_ge(wait, defaults.min_interval_ms);
		ck_assert_int_le(wait, defaults.max_interval_ms);
		before = wait;
	}
	ck_assert_int_eq(before, defaults.max_interval_ms);
	ck_assert_int_eq(schedule_interval_ms(&defaults, INT64_MAX), defaults.max_interval_ms);
}
END_TEST

/* Polls of a job from its first, that is answered at once, to the one that sees its end. */
static int64_t n_polls_of(const struct poll_policy *policy, int64_t duration_ms)
{
	int64_t n = 1;

	for (int64_t age_ms = 0; age_ms < duration_ms; n++)
		age_ms += schedule_interval_ms(policy, age_ms);
	return n;
}

START_TEST(test_polls_per_job_is_what_a_typical_job_costs)
{
	struct poll_policy policy = {
	        .min_interval_ms = 10, .max_interval_ms = INT64_C(86400) * 1000};
	int64_t n_at_ten, n_at_forty;

	for (policy.polls_per_job = 5; policy.polls_per_job <= 160; policy.polls_per_job *= 2) {
		int64_t n = n_polls_of(&policy, 900000);

		ck_assert_int_ge(n, policy.polls_per_job * 8 / 10);
		ck_assert_int_le(n, policy.polls_per_job * 13 / 10 + 8);
	}
	/* More polls a job never mean longer waits. */
	policy.polls_per_job = 10;
	n_at_ten = n_polls_of(&policy, 3600000);
	policy.polls_per_job = 40;
	n_at_forty = n_polls_of(&policy, 3600000);
	ck_assert_int_gt(n_at_forty, 3 * n_at_ten);
}
END_TEST

START_TEST(test_retry_is_jittered_within_bounds)
{
	struct rng rng;

	seed_rng(&rng, "test_retry_is_jittered_within_bounds");
	for (unsigned n = 1; n <= 70; n++) {
		int64_t cap =
		        schedule_doubled_ms(defaults.min_interval_ms, defaults.max_interval_ms, n);
		int64_t least = INT64_MAX, most = 0;

		for (int i = 0; i < 1000; i++) {
			int64_t wait = schedule_retry_ms(&defaults, n, -1, rng_next(&rng));

			ck_assert_int_ge(wait, defaults.min_interval_ms);
			ck_assert_int_le(wait, cap);
			least = wait < least ? wait : least;
			most = wait > most ? wait : most;
		}
		/* Full jitter: the whole range is used, not only its end. */
		ck_assert_int_lt(least, defaults.min_interval_ms + cap / 10);
		ck_assert_int_gt(most, cap - cap / 10);
	}
}
END_TEST

START_TEST(test_retry_honours_retry_after_within_bounds)
{
	struct poll_policy fixed = defaults;

	ck_assert_int_ge(schedule_retry_ms(&defaults, 1, 60000, 0), 60000);
	ck_assert_int_eq(schedule_retry_ms(&defaults, 1, 60000, 0), 60000);
	ck_assert_int_eq(schedule_retry_ms(&defaults, 1, 3600000, 0), defaults.max_interval_ms);
	ck_assert_int_eq(schedule_retry_ms(&defaults, 1, 0, 0), defaults.min_interval_ms);
	ck_assert_int_eq(schedule_retry_ms(&defaults, 0, -1, UINT64_MAX), defaults.min_interval_ms);
	fixed.max_interval_ms = fixed.min_interval_ms;
	ck_assert_int_eq(schedule_retry_ms(&fixed, 9, 99999999, 12345), fixed.min_interval_ms);
}
END_TEST

START_TEST(test_doubled_and_backoff)
{
	ck_assert_int_eq(schedule_doubled_ms(60000, 900000, 0), 60000);
	ck_assert_int_eq(schedule_doubled_ms(60000, 900000, 1), 120000);
	ck_assert_int_eq(schedule_doubled_ms(60000, 900000, 3), 480000);
	ck_assert_int_eq(schedule_doubled_ms(60000, 900000, 4), 900000);
	ck_assert_int_eq(schedule_doubled_ms(60000, 900000, 255), 900000);
	ck_assert_int_eq(schedule_doubled_ms(60000, 900000, UINT32_MAX), 900000);
	ck_assert_int_eq(schedule_doubled_ms(5000, 1000, 0), 1000);
	ck_assert_int_eq(schedule_backoff_ms(5000, 300000, 0, 0), 2500);
	for (unsigned level = 0; level < 300; level++) {
		int64_t whole = schedule_doubled_ms(5000, 300000, level);

		for (uint64_t random = 0; random < UINT64_MAX / 3; random = random * 7 + 3) {
			int64_t wait = schedule_backoff_ms(5000, 300000, level, random);

			if (wait < whole / 2 || wait > whole)
				ck_abort_msg("level %u: %lld", level, (long long)wait);
		}
	}
}
END_TEST

/* ---- hookmatch ---- */

START_TEST(test_hookmatch)
{
	const event_set on[] = {EVENT_SET_FINISHED, event_set_by_name("*"), 0,
	        event_set_by_name("hook.dead"), event_set_by_name("job.*")};
	const uint32_t all[] = {4, 3, 2, 1, 0}, some[] = {3, 0};
	uint32_t matched[5] = {99, 99, 99, 99, 99};

	ck_assert_uint_eq(hookmatch(EVENT_JOB_COMPLETED, all, 5, on, HOOKMATCH_NOBODY, matched), 3);
	ck_assert_uint_eq(matched[0], 4);
	ck_assert_uint_eq(matched[1], 1);
	ck_assert_uint_eq(matched[2], 0);
	ck_assert_uint_eq(matched[3], 99);
	ck_assert_uint_eq(hookmatch(EVENT_JOB_ADDED, some, 2, on, HOOKMATCH_NOBODY, matched), 0);
	ck_assert_uint_eq(hookmatch(EVENT_JOB_LOST, some, 2, on, HOOKMATCH_NOBODY, matched), 1);
	ck_assert_uint_eq(matched[0], 0);
	ck_assert_uint_eq(hookmatch(EVENT_HOOK_DEAD, all, 5, on, HOOKMATCH_NOBODY, matched), 2);
	/* Never to the hook that it speaks of. */
	ck_assert_uint_eq(hookmatch(EVENT_HOOK_DEAD, all, 5, on, 3, matched), 1);
	ck_assert_uint_eq(matched[0], 1);
	ck_assert_uint_eq(hookmatch(EVENT_HOOK_DEAD, all, 0, on, 3, matched), 0);
	ck_assert_uint_eq(hookmatch(EVENT_NONE, all, 5, on, HOOKMATCH_NOBODY, matched), 0);
}
END_TEST

/* ---- words ---- */

static const struct {
	const char *state;
	enum job_kind kind;
	bool is_finished, is_sayable;
} words[] = {
        {"PENDING", JOB_PENDING, false, false},
        {"ADDED", JOB_ADDED, false, true},
        {"QUEUED", JOB_QUEUED, false, true},
        {"IN PROGRESS", JOB_IN_PROGRESS, false, true},
        {"COMPLETED", JOB_COMPLETED, true, true},
        {"FAILURE", JOB_FAILURE, true, true},
        {"FAILED", JOB_FAILURE, true, true},
        {"LOST", JOB_LOST, true, false},
        {"IN_PROGRESS", JOB_UNKNOWN, false, true},
        {"completed", JOB_UNKNOWN, false, true},
        {"COMPLETED ", JOB_UNKNOWN, false, true},
        {"LOST!", JOB_UNKNOWN, false, true},
        {"~", JOB_UNKNOWN, false, true},
        {"", JOB_UNKNOWN, false, false},
        {"A\tB", JOB_UNKNOWN, false, false},
        {"A\x7f", JOB_UNKNOWN, false, false},
        {"\xc3\x89TAT", JOB_UNKNOWN, false, true}, /* printable beyond ASCII */
        {"\xc2\xa0", JOB_UNKNOWN, false, true},
        {"A\xc2\x85", JOB_UNKNOWN, false, false}, /* NEL, a C1 control character */
        {"\xc2\x9f", JOB_UNKNOWN, false, false},
        {"A\nB", JOB_UNKNOWN, false, false},
};

START_TEST(test_job_words)
{
	ck_assert_int_eq(job_kind_of(words[_i].state), words[_i].kind);
	ck_assert_int_eq(job_kind_is_finished(words[_i].kind), words[_i].is_finished);
	ck_assert_int_eq(job_state_is_sayable(words[_i].state), words[_i].is_sayable);
}
END_TEST

START_TEST(test_job_state_length)
{
	static const char *const chars[] = {"X", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
	char word[JOB_STATE_MAX_BYTES + 8];
	size_t len = 0;

	for (int i = 0; i < JOB_STATE_MAX_CHARS; i++) {
		memcpy(word + len, chars[_i], strlen(chars[_i]) + 1);
		len += strlen(chars[_i]);
		ck_assert(job_state_is_sayable(word));
	}
	ck_assert_uint_le(len, JOB_STATE_MAX_BYTES);
	memcpy(word + len, chars[_i], strlen(chars[_i]) + 1);
	ck_assert(!job_state_is_sayable(word));
}
END_TEST

START_TEST(test_event_names)
{
	static const char *const names[EVENT_TYPES] = {NULL, "job.watched", "job.added",
	        "job.queued", "job.in_progress", "job.completed", "job.failed", "job.lost",
	        "job.overdue", "job.unknown_state", "job.unwatched", "account.paused",
	        "account.resumed", "hook.dead"};

	for (int type = 1; type < EVENT_TYPES; type++) {
		ck_assert_str_eq(event_type_name((enum event_type)type), names[type]);
		ck_assert_int_eq(event_type_by_name(names[type]), type);
		ck_assert_uint_eq(event_set_by_name(names[type]), 1u << type);
		ck_assert_int_eq(event_type_is_of_job((enum event_type)type),
		        strncmp(names[type], "job.", 4) == 0);
	}
	ck_assert_ptr_null(event_type_name(EVENT_NONE));
	ck_assert_ptr_null(event_type_name(EVENT_TYPES));
	ck_assert_ptr_null(event_type_name((enum event_type)1000));
	ck_assert(!event_type_is_of_job(EVENT_NONE));
	ck_assert_int_eq(event_type_by_name("job.complete"), EVENT_NONE);
	ck_assert_int_eq(event_type_by_name(""), EVENT_NONE);
}
END_TEST

START_TEST(test_event_sets)
{
	event_set all = event_set_by_name("*"), jobs = event_set_by_name("job.*");
	event_set accounts = event_set_by_name("account.*"), hooks = event_set_by_name("hook.*");

	ck_assert_uint_eq(all, (1u << EVENT_TYPES) - 2);
	ck_assert_uint_eq(jobs | accounts | hooks, all);
	ck_assert_uint_eq(jobs & accounts, 0);
	ck_assert_uint_eq(hooks, 1u << EVENT_HOOK_DEAD);
	ck_assert(event_set_has(accounts, EVENT_ACCOUNT_PAUSED));
	ck_assert(event_set_has(accounts, EVENT_ACCOUNT_RESUMED));
	ck_assert(!event_set_has(all, EVENT_NONE));
	ck_assert_uint_eq(EVENT_SET_FINISHED, event_set_by_name("job.completed") |
	                                              event_set_by_name("job.failed") |
	                                              event_set_by_name("job.lost"));
	ck_assert_uint_eq(event_set_by_name(""), 0);
	ck_assert_uint_eq(event_set_by_name("job"), 0);
	ck_assert_uint_eq(event_set_by_name("job."), 0);
	ck_assert_uint_eq(event_set_by_name("jo*"), 0);
	ck_assert_uint_eq(event_set_by_name("job.c*"), 0);
	ck_assert_uint_eq(event_set_by_name("jobs.*"), 0);
	ck_assert_uint_eq(event_set_by_name("**"), 0);
	ck_assert_uint_eq(event_set_by_name(".*"), 0);
	ck_assert_uint_eq(event_set_by_name("JOB.*"), 0);
}
END_TEST

START_TEST(test_error_names_differ)
{
	ck_assert_str_eq(error_class_name(ERROR_NONE), "");
	ck_assert_str_eq(error_class_name(ERROR_CLASSES), "");
	ck_assert_str_eq(error_class_name(ERROR_TLS), "tls");
	ck_assert_str_eq(error_class_name(ERROR_BAD_REPLY), "bad_reply");
	for (int a = ERROR_NONE + 1; a < ERROR_CLASSES; a++) {
		ck_assert_str_ne(error_class_name((enum error_class)a), "");
		for (int b = ERROR_NONE + 1; b < a; b++)
			ck_assert_str_ne(error_class_name((enum error_class)a),
			        error_class_name((enum error_class)b));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("schedule");
	TCase *tests = tcase_create("schedule");
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, test_first_poll_is_spread);
	tcase_add_test(tests, test_interval_grows_between_its_bounds);
	tcase_add_test(tests, test_polls_per_job_is_what_a_typical_job_costs);
	tcase_add_test(tests, test_retry_is_jittered_within_bounds);
	tcase_add_test(tests, test_retry_honours_retry_after_within_bounds);
	tcase_add_test(tests, test_doubled_and_backoff);
	tcase_add_test(tests, test_hookmatch);
	tcase_add_loop_test(tests, test_job_words, 0, ARRAY_LEN(words));
	tcase_add_loop_test(tests, test_job_state_length, 0, 4);
	tcase_add_test(tests, test_event_names);
	tcase_add_test(tests, test_event_sets);
	tcase_add_test(tests, test_error_names_differ);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

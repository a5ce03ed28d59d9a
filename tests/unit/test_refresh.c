/*
 * When access tokens are asked for: renewal before the end, one request at a time, five in ten
 * minutes whatever happens, long holds when throttled.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/refresh.h"
#include "seed.h"
#include "util/mem.h"

enum { HOUR_MS = 3600 * 1000, MINUTE_MS = 60 * 1000 };

static const int64_t start_ms = 1000000;

static void ask(struct refresh *refresh, int64_t mono_ms)
{
	ck_assert_int_eq(refresh_closed_until_mono(refresh, mono_ms), 0);
	refresh_ask(refresh, mono_ms);
	ck_assert_int_eq(refresh_closed_until_mono(refresh, mono_ms), INT64_MAX);
}

static struct refresh granted(int64_t life_ms, uint64_t random)
{
	struct refresh refresh = {0};

	ask(&refresh, start_ms);
	refresh_granted(&refresh, life_ms, start_ms, random);
	return refresh;
}

START_TEST(test_nothing_yet)
{
	struct refresh refresh = {0};

	ck_assert(!refresh_is_alive(&refresh, start_ms));
	ck_assert(refresh_is_due(&refresh, start_ms));
	ck_assert_int_eq(refresh_closed_until_mono(&refresh, start_ms), 0);
}
END_TEST

START_TEST(test_renewal)
{
	static const uint64_t randoms[] = {0, 1, 12345, UINT64_MAX};

	for (size_t i = 0; i < ARRAY_LEN(randoms); i++) {
		struct refresh refresh = granted(HOUR_MS, randoms[i]);
		int64_t end_ms = start_ms + HOUR_MS;

		ck_assert(refresh_is_alive(&refresh, end_ms - 1));
		ck_assert(!refresh_is_alive(&refresh, end_ms));
		ck_assert_int_le(refresh.renew_mono_ms, end_ms - REFRESH_BEFORE_MS);
		ck_assert_int_ge(
		        refresh.renew_mono_ms, end_ms - REFRESH_BEFORE_MS - REFRESH_JITTER_MS);
		ck_assert(!refresh_is_due(&refresh, refresh.renew_mono_ms - 1));
		ck_assert(refresh_is_due(&refresh, refresh.renew_mono_ms));
		ck_assert(refresh_is_due(&refresh, end_ms + HOUR_MS));
	}
}
END_TEST

/* A short life is not all spent on renewing. */
START_TEST(test_short_lives)
{
	for (int64_t life_ms = 1; life_ms <= 10 * MINUTE_MS; life_ms = life_ms * 3 + 1) {
		struct refresh refresh = granted(life_ms, UINT64_MAX - 7);

		ck_assert_int_ge(refresh.renew_mono_ms, start_ms + life_ms * 2 / 5 - 1);
		ck_assert_int_le(refresh.renew_mono_ms, start_ms + life_ms);
	}
}
END_TEST

START_TEST(test_five_in_ten_minutes)
{
	struct refresh refresh = {0};

	for (int i = 0; i < REFRESH_ASKS_MAX; i++) {
		ask(&refresh, start_ms + i * 1000);
		refresh_granted(&refresh, HOUR_MS, start_ms + i * 1000, 0);
		refresh_drop(&refresh);
	}
	int64_t now_ms = start_ms + 10 * 1000;

	ck_assert(refresh_is_due(&refresh, now_ms));
	ck_assert_int_eq(refresh_closed_until_mono(&refresh, now_ms), start_ms + REFRESH_WINDOW_MS);
	refresh_forgive(&refresh);
	ck_assert_int_eq(refresh_closed_until_mono(&refresh, now_ms), start_ms + REFRESH_WINDOW_MS);
	ask(&refresh, start_ms + REFRESH_WINDOW_MS);
	refresh_granted(&refresh, HOUR_MS, start_ms + REFRESH_WINDOW_MS, 0);
	ck_assert_int_eq(refresh_closed_until_mono(&refresh, start_ms + REFRESH_WINDOW_MS),
	        start_ms + 1000 + REFRESH_WINDOW_MS);
}
END_TEST

START_TEST(test_throttled)
{
	static const int64_t least_min[] = {10, 20, 40, 40, 40}, most_min[] = {15, 30, 60, 60, 60};
	static const uint64_t randoms[] = {0, 999, UINT64_MAX};

	for (size_t i = 0; i < ARRAY_LEN(randoms); i++) {
		struct refresh refresh = {0};
		int64_t now_ms = start_ms;

		for (size_t k = 0; k < ARRAY_LEN(least_min); k++) {
			ask(&refresh, now_ms);
			refresh_throttled(&refresh, now_ms, randoms[i]);
			int64_t wait_ms = refresh_closed_until_mono(&refresh, now_ms) - now_ms;

			ck_assert_int_ge(wait_ms, least_min[k] * MINUTE_MS);
			ck_assert_int_le(wait_ms, most_min[k] * MINUTE_MS);
			refresh_forgive(&refresh);
			ck_assert_int_eq(
			        refresh_closed_until_mono(&refresh, now_ms), now_ms + wait_ms);
			now_ms += wait_ms;
		}
		ask(&refresh, now_ms);
		refresh_granted(&refresh, HOUR_MS, now_ms, 0);
		ask(&refresh, now_ms + 1);
		refresh_throttled(&refresh, now_ms, 0);
		ck_assert_int_eq(
		        refresh_closed_until_mono(&refresh, now_ms), now_ms + 10 * MINUTE_MS);
	}
}
END_TEST

START_TEST(test_the_old_one_lives_on)
{
	struct refresh refresh = granted(HOUR_MS, 0);
	int64_t renew_ms = refresh.renew_mono_ms, end_ms = start_ms + HOUR_MS;

	ask(&refresh, renew_ms);
	ck_assert(refresh_is_alive(&refresh, renew_ms));
	refresh_throttled(&refresh, renew_ms, 0);
	ck_assert(refresh_is_alive(&refresh, end_ms - 1));
	ck_assert(!refresh_is_alive(&refresh, end_ms));
	refresh = granted(HOUR_MS, 0);
	ask(&refresh, renew_ms);
	refresh_refused(&refresh);
	ck_assert(refresh_is_alive(&refresh, end_ms - 1));
	ck_assert_int_eq(refresh_closed_until_mono(&refresh, end_ms), INT64_MAX);
	refresh_drop(&refresh);
	ck_assert(!refresh_is_alive(&refresh, renew_ms));
}
END_TEST

START_TEST(test_refused_until_forgiven)
{
	struct refresh refresh = {0};

	ask(&refresh, start_ms);
	refresh_refused(&refresh);
	ck_assert_int_eq(refresh_closed_until_mono(&refresh, start_ms + 24 * HOUR_MS), INT64_MAX);
	refresh_forgive(&refresh);
	ck_assert_int_eq(refresh_closed_until_mono(&refresh, start_ms), 0);
}
END_TEST

START_TEST(test_failures)
{
	struct refresh refresh = {0};
	int64_t now_ms = start_ms, wait_ms = 0;

	/* Without a connection nothing counts: only the wait grows. */
	for (int i = 0; i < 20; i++) {
		ask(&refresh, now_ms);
		refresh_failed(&refresh, false, now_ms, UINT64_MAX / 3);
		wait_ms = refresh_closed_until_mono(&refresh, now_ms) - now_ms;
		ck_assert_int_ge(wait_ms, REFRESH_FAILED_FIRST_MS / 2);
		ck_assert_int_le(wait_ms, REFRESH_FAILED_MAX_MS);
		now_ms += wait_ms;
	}
	ck_assert_int_ge(wait_ms, REFRESH_FAILED_MAX_MS / 2);
	ck_assert_uint_eq(refresh.n_asked, 0);
	refresh_forgive(&refresh);
	ask(&refresh, now_ms);
	refresh_failed(&refresh, true, now_ms, 0);
	ck_assert_uint_eq(refresh.n_asked, 1);
	ck_assert_int_le(
	        refresh_closed_until_mono(&refresh, now_ms), now_ms + REFRESH_FAILED_FIRST_MS);
	refresh_forgive(&refresh);
	ck_assert_int_eq(refresh_closed_until_mono(&refresh, now_ms), 0);
}
END_TEST

START_TEST(test_levels_stop_at_their_end)
{
	struct refresh refresh = {0};
	int64_t now_ms = start_ms, wait_ms;

	for (int i = 0; i < UINT8_MAX + 10; i++) {
		ask(&refresh, now_ms);
		refresh_failed(&refresh, false, now_ms, 0);
		wait_ms = refresh_closed_until_mono(&refresh, now_ms) - now_ms;
		now_ms += wait_ms;
	}
	ck_assert_uint_eq(refresh.failed_level, UINT8_MAX);
	ck_assert_int_ge(wait_ms, REFRESH_FAILED_MAX_MS / 2);
}
END_TEST

/* What does not count leaves what does. */
START_TEST(test_unsent_between_sent)
{
	struct refresh refresh = {0};
	int64_t asked_ms[] = {start_ms, start_ms + 20, start_ms + 40};

	for (size_t i = 0; i < ARRAY_LEN(asked_ms); i++) {
		refresh_forgive(&refresh);
		ask(&refresh, asked_ms[i]);
		refresh_failed(&refresh, i != 1, asked_ms[i], 0);
	}
	ck_assert_uint_eq(refresh.n_asked, 2);
	ck_assert_int_eq(refresh.asked_mono_ms[0], asked_ms[2]);
	ck_assert_int_eq(refresh.asked_mono_ms[1], asked_ms[0]);
}
END_TEST

/* ---- random lives ---- */

static void answer(struct refresh *refresh, int64_t now_ms, struct rng *rng)
{
	uint64_t random = rng_next(rng);

	switch (rng_below(rng, 5)) {
	case 0:
		refresh_throttled(refresh, now_ms, random);
		break;
	case 1:
		refresh_failed(refresh, true, now_ms, random);
		break;
	case 2:
		refresh_refused(refresh);
		break;
	default:
		refresh_granted(refresh, 60000 + (int64_t)rng_below(rng, HOUR_MS), now_ms, random);
	}
}

/* Whatever the server says and whoever meddles: never six requests within ten minutes, and always
 * a time when it goes on. */
START_TEST(test_random_lives)
{
	enum { N = 200000 };
	struct rng rng;
	struct refresh refresh = {0};
	int64_t now_ms = start_ms, asked_ms[REFRESH_ASKS_MAX] = {0};
	uint64_t n_asked = 0;

	seed_rng(&rng, "test_random_lives");
	for (int i = 0; i < N; i++) {
		int64_t until = refresh_closed_until_mono(&refresh, now_ms);

		if (until == 0 && refresh_is_due(&refresh, now_ms)) {
			int64_t *fifth = &asked_ms[n_asked % REFRESH_ASKS_MAX];

			if (n_asked >= REFRESH_ASKS_MAX)
				ck_assert_int_ge(now_ms - *fifth, REFRESH_WINDOW_MS);
			*fifth = now_ms;
			n_asked++;
			refresh_ask(&refresh, now_ms);
		} else if (refresh.is_asking) {
			answer(&refresh, now_ms, &rng);
		} else if (until == INT64_MAX || rng_below(&rng, 50) == 0) {
			refresh_forgive(&refresh);
		} else if (rng_below(&rng, 20) == 0) {
			refresh_drop(&refresh);
		}
		ck_assert(until == INT64_MAX || until <= now_ms + REFRESH_THROTTLED_MAX_MS);
		now_ms += (int64_t)rng_below(&rng, MINUTE_MS / 2);
	}
	ck_assert_uint_gt(n_asked, 1000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("refresh");
	TCase *tests = tcase_create("refresh");
	SRunner *runner;
	int n_failed;

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, test_nothing_yet);
	tcase_add_test(tests, test_renewal);
	tcase_add_test(tests, test_short_lives);
	tcase_add_test(tests, test_five_in_ten_minutes);
	tcase_add_test(tests, test_throttled);
	tcase_add_test(tests, test_the_old_one_lives_on);
	tcase_add_test(tests, test_refused_until_forgiven);
	tcase_add_test(tests, test_failures);
	tcase_add_test(tests, test_levels_stop_at_their_end);
	tcase_add_test(tests, test_unsent_between_sent);
	tcase_add_test(tests, test_random_lives);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

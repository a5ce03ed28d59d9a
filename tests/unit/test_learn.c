/*
 * core/learn and what core/schedule makes of it: hazards found again from what polls can see,
 * unfinished jobs counted, changes noticed, intervals between their bounds, the polls that were
 * asked for, the text and back.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/learn.h"
#include "core/schedule.h"
#include "seed.h"

static const struct poll_policy policy_defaults = {
        .min_interval_ms = 1000,
        .max_interval_ms = 300000,
        .polls_per_job = 20,
};

/* A job that is asked every interval_ms from 0 on, until it is finished or the watch ends. */
static void watch(struct learn *learn, const struct learn_curve *curve, int64_t duration_ms,
        int64_t interval_ms, int64_t until_ms)
{
	int64_t at = 0;

	while (at + interval_ms <= until_ms) {
		if (at + interval_ms >= duration_ms) {
			learn_finished(learn, curve, at, at + interval_ms);
			return;
		}
		learn_passed(learn, curve, at, at + interval_ms);
		at += interval_ms;
	}
}

static double normal(struct rng *rng)
{
	double sum = -6;

	for (int i = 0; i < 12; i++)
		sum += rng_unit(rng);
	return sum;
}

static int64_t draw_ms(struct rng *rng, double median_ms, double sigma)
{
	return (int64_t)(median_ms * exp(sigma * normal(rng)));
}

static void teach(struct learn *learn, struct learn_curve *curve, struct rng *rng, int n,
        double median_ms, double sigma, int64_t interval_ms)
{
	for (int i = 0; i < n; i++) {
		watch(learn, curve, draw_ms(rng, median_ms, sigma), interval_ms, INT64_MAX / 2);
		if (i % 5 == 4)
			learn_curve_make(learn, curve);
	}
	learn_curve_make(learn, curve);
}

static void check_near(double value, double wanted, double share)
{
	ck_assert_msg(fabs(value / wanted - 1) <= share, "%g is not within %g of %g", value, share,
	        wanted);
}

START_TEST(test_bins)
{
	double before = -1;

	for (size_t i = 0; i <= LEARN_BINS; i++) {
		double from = learn_bin_ms(i);

		ck_assert(from > before);
		if (i < LEARN_BINS) {
			ck_assert_uint_eq(learn_bin_of(from + 1e-6 * from + 1e-6), i);
			ck_assert_uint_eq(learn_bin_of(learn_bin_ms(i + 1) * (1 - 1e-6)), i);
		}
		before = from;
	}
	/* Ages are whole: none is put into a bin that ends before it, nor well before it begins. */
	for (size_t i = 0; i < LEARN_BINS; i++) {
		for (double age = floor(learn_bin_ms(i)) - 2; age < learn_bin_ms(i) + 3; age++) {
			size_t bin = learn_bin_of(age > 0 ? age : 0);

			ck_assert(age <= 0 || learn_bin_ms(bin) <= age * (1 + 1e-12));
			ck_assert(bin == LEARN_BINS - 1 || age < learn_bin_ms(bin + 1));
		}
	}
	ck_assert_uint_eq(learn_bin_of(0), 0);
	ck_assert_uint_eq(learn_bin_of(1e18), LEARN_BINS - 1);
	ck_assert(before > 60.0 * 86400 * 1000);
}
END_TEST

START_TEST(test_nothing_known_is_one_over_age)
{
	struct learn learn = {0};
	struct learn_curve curve;

	learn_curve_make(&learn, &curve);
	ck_assert(!learn_knows_enough(&learn));
	for (int64_t age = 1000; age < INT64_C(86400000); age *= 3)
		check_near(learn_hazard(&curve, age), 1.0 / (double)age, 0.13);
}
END_TEST

/* Exponential durations: the hazard is the same at every age, whatever the polls see of it. */
START_TEST(test_constant_hazard)
{
	static const int64_t intervals[] = {1000, 20000, 90000};
	struct rng rng;

	seed_rng(&rng, "test_constant_hazard");
	for (size_t k = 0; k < 3; k++) {
		struct learn learn = {0};
		struct learn_curve curve;

		learn_curve_make(&learn, &curve);
		for (int i = 0; i < 2000; i++) {
			double u = 1 - rng_unit(&rng);

			watch(&learn, &curve, (int64_t)(-log(u) * 100000), intervals[k],
			        INT64_MAX / 2);
			if (i % 20 == 0)
				learn_curve_make(&learn, &curve);
		}
		learn_curve_make(&learn, &curve);
		/* Between two polls nobody can tell; from poll to poll it is right. */
		check_near(learn_survival(&curve, 0, 90000), exp(-0.9), 0.25);
		check_near(learn_survival(&curve, 90000, 180000), exp(-0.9), 0.25);
		if (intervals[k] == 90000)
			continue;
		check_near((double)learn_quantile_ms(&curve, 0.5), 69315, 0.25);
		check_near(learn_hazard(&curve, 100000), 1e-5, 0.35);
	}
}
END_TEST

START_TEST(test_lognormal_quantiles)
{
	struct learn learn = {0};
	struct learn_curve curve;
	struct rng rng;

	seed_rng(&rng, "test_lognormal_quantiles");
	learn_curve_make(&learn, &curve);
	teach(&learn, &curve, &rng, 29, 300000, 0.3, 15000);
	ck_assert(!learn_knows_enough(&learn));
	teach(&learn, &curve, &rng, 1, 300000, 0.3, 15000);
	ck_assert(learn_knows_enough(&learn));
	teach(&learn, &curve, &rng, 770, 300000, 0.3, 15000);
	check_near((double)learn_quantile_ms(&curve, 0.5), 300000, 0.08);
	check_near((double)learn_quantile_ms(&curve, 0.95), 300000 * exp(0.3 * 1.645), 0.12);
	ck_assert(learn_survival(&curve, 0, 100000) > 0.97);
	ck_assert(learn_survival(&curve, 0, 900000) < 0.03);
}
END_TEST

/*
 * Half of the jobs are given up at the median's age. A mean over the finished alone would find
 * nothing above it; the life table finds the median all the same.
 */
START_TEST(test_unfinished_jobs_count)
{
	struct learn learn = {0};
	struct learn_curve curve;
	struct rng rng;

	seed_rng(&rng, "test_unfinished_jobs_count");
	learn_curve_make(&learn, &curve);
	for (int i = 0; i < 1200; i++) {
		int64_t duration = draw_ms(&rng, 300000, 0.6);

		watch(&learn, &curve, duration, 10000, i % 2 ? 250000 : INT64_MAX / 2);
		if (i % 10 == 0)
			learn_curve_make(&learn, &curve);
	}
	learn_curve_make(&learn, &curve);
	check_near((double)learn_quantile_ms(&curve, 0.5), 300000, 0.15);
	check_near((double)learn_quantile_ms(&curve, 0.9), 300000 * exp(0.6 * 1.2816), 0.25);
}
END_TEST

START_TEST(test_a_change_is_noticed)
{
	static const double factors[] = {0.25, 0.5, 2, 8};
	struct rng rng;

	seed_rng(&rng, "test_a_change_is_noticed");
	for (size_t k = 0; k < 4; k++) {
		struct learn learn = {0};
		struct learn_curve curve;

		learn_curve_make(&learn, &curve);
		teach(&learn, &curve, &rng, 500, 300000, 0.3, 10000);
		check_near((double)learn_quantile_ms(&curve, 0.5), 300000, 0.1);
		teach(&learn, &curve, &rng, 100, 300000 * factors[k], 0.3, 10000);
		check_near((double)learn_quantile_ms(&curve, 0.5), 300000 * factors[k], 0.25);
	}
}
END_TEST

START_TEST(test_strange_ages_do_no_harm)
{
	static const int64_t ages[] = {INT64_MIN / 2, -1, 0, 1, 63, 64, 65, 1000, INT64_MAX / 2};
	struct learn learn = {0};
	struct learn_curve curve;

	learn_curve_make(&learn, &curve);
	for (size_t i = 0; i < 9; i++) {
		for (size_t k = 0; k < 9; k++) {
			learn_passed(&learn, &curve, ages[i], ages[k]);
			learn_finished(&learn, &curve, ages[i], ages[k]);
			learn_curve_make(&learn, &curve);
		}
	}
	for (size_t i = 0; i < LEARN_BINS; i++) {
		ck_assert(isfinite(curve.hazard[i]));
		ck_assert(curve.hazard[i] > 0 && curve.hazard[i] <= 1);
	}
	for (size_t i = 0; i < 9; i++)
		ck_assert(learn_hazard(&curve, ages[i]) > 0);
	ck_assert(learn_hazard(&curve, -1) == learn_hazard(&curve, 0));
	ck_assert_int_gt(learn_quantile_ms(&curve, 0.5), 0);
	ck_assert_int_gt(learn_quantile_ms(&curve, 1), 0);
}
END_TEST

START_TEST(test_text_and_back)
{
	struct learn learn = {0}, back;
	struct learn_curve curve, curve_back;
	char text[LEARN_TEXT_MAX], again[LEARN_TEXT_MAX];
	struct rng rng;

	seed_rng(&rng, "test_text_and_back");
	learn_encode(&learn, text);
	ck_assert(learn_decode(&back, text));
	ck_assert_mem_eq(&learn, &back, sizeof(learn));
	learn_curve_make(&learn, &curve);
	teach(&learn, &curve, &rng, 300, 300000, 0.5, 10000);
	learn_encode(&learn, text);
	ck_assert_uint_lt(strlen(text), 4000);
	ck_assert(learn_decode(&back, text));
	learn_encode(&back, again);
	ck_assert_str_eq(text, again);
	ck_assert_uint_eq(back.n_samples, 300);
	learn_curve_make(&back, &curve_back);
	for (int share = 5; share < 100; share += 10)
		check_near((double)learn_quantile_ms(&curve_back, share / 100.0),
		        (double)learn_quantile_ms(&curve, share / 100.0), 0.01);
	/* The fullest there can be. */
	for (size_t i = 0; i < LEARN_BINS; i++) {
		for (size_t m = 0; m < LEARN_MEMORIES; m++)
			learn.memories[m].passed[i] = learn.memories[m].finished[i] = 1e30F;
	}
	learn_encode(&learn, text);
	ck_assert(learn_decode(&back, text));
}
END_TEST

START_TEST(test_other_texts_are_refused)
{
	static const char *const texts[] = {"", "1", "2 0 6000 z160 z160 z160 z160",
	        "1 0 6000 z160 z160 z160", "1 0 6000 z161 z160 z160 z160",
	        "1 0 6000 z160 z160 z160 z160 ", "1 0 6000 z160 z160 z160 z160 z1",
	        "1 0 6000 z0 z160 z160 z160 z160", "1 -1 6000 z160 z160 z160 z160",
	        "1 0 99999 z160 z160 z160 z160", "1 0 6000 99999999 z159 z160 z160 z160",
	        "1 99999999999 6000 z160 z160 z160 z160", "1 0: 6000 z160 z160 z160 z160"};
	struct learn learn;
	static const struct learn nothing;

	ck_assert(learn_decode(&learn, "1 0 6000 z160 z160 z160 z160"));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		learn.n_samples = 9;
		ck_assert_msg(!learn_decode(&learn, texts[i]), "%s", texts[i]);
		ck_assert_mem_eq(&learn, &nothing, sizeof(learn));
	}
}
END_TEST

START_TEST(test_samples_are_counted_to_an_end)
{
	struct learn learn;
	struct learn_curve curve;

	ck_assert(learn_decode(&learn, "1 4294967295 6000 z160 z160 z160 z160"));
	learn_curve_make(&learn, &curve);
	learn_finished(&learn, &curve, 1000, 2000);
	ck_assert_uint_eq(learn.n_samples, UINT32_MAX);
	ck_assert(learn_knows_enough(&learn));
}
END_TEST

/* ---- intervals ---- */

START_TEST(test_intervals_keep_their_bounds)
{
	struct learn learn = {0};
	struct learn_curve curve;
	struct poll_policy policy = policy_defaults;
	struct rng rng;

	seed_rng(&rng, "test_intervals_keep_their_bounds");
	learn_curve_make(&learn, &curve);
	teach(&learn, &curve, &rng, 200, 300000, 0.3, 5000);
	policy.curve = &curve;
	for (policy.k = 1e-3; policy.k < 1e10; policy.k *= 10) {
		for (int64_t age = 0; age < INT64_MAX / 1000; age = age * 2 + 7) {
			int64_t first = schedule_next_ms(&policy, age, true, rng_next(&rng));
			int64_t next = schedule_next_ms(&policy, age, false, rng_next(&rng));

			ck_assert_int_ge(first, policy.min_interval_ms);
			ck_assert_int_le(first, policy.max_interval_ms);
			ck_assert_int_ge(next, policy.min_interval_ms);
			ck_assert_int_le(next, policy.max_interval_ms);
		}
	}
}
END_TEST

START_TEST(test_without_a_curve_the_age_decides)
{
	for (int64_t age = 0; age < 86400000; age = age * 2 + 7) {
		ck_assert_int_eq(schedule_next_ms(&policy_defaults, age, false, 1),
		        schedule_interval_ms(&policy_defaults, age));
	}
}
END_TEST

/* Polls go where jobs end; the period is steady, the phase is not. */
START_TEST(test_polls_are_spent_where_jobs_end)
{
	struct learn learn = {0};
	struct learn_curve curve;
	struct poll_policy policy = policy_defaults;
	struct rng rng;

	seed_rng(&rng, "test_polls_are_spent_where_jobs_end");
	learn_curve_make(&learn, &curve);
	teach(&learn, &curve, &rng, 500, 300000, 0.3, 5000);
	struct schedule_class class = {&curve, 1};

	policy.curve = &curve;
	policy.k = schedule_solve_k(&policy, 12, &class, 1);
	int64_t early = schedule_next_ms(&policy, 20000, false, 0);
	int64_t there = schedule_next_ms(&policy, 300000, false, 0);

	ck_assert_int_gt(early, 4 * there);
	ck_assert_int_lt(there, 30000);
	ck_assert_int_eq(there, schedule_next_ms(&policy, 300000, false, UINT64_MAX));
	ck_assert_int_lt(schedule_next_ms(&policy, 300000, true, 0), there * 6 / 10);
}
END_TEST

START_TEST(test_k_costs_the_polls_that_were_asked_for)
{
	static const double wanted[] = {5, 12, 40, 200};
	struct learn learns[2] = {0};
	struct learn_curve curves[2];
	struct schedule_class classes[2] = {{&curves[0], 300}, {&curves[1], 100}};
	struct rng rng;
	double before = INFINITY;

	seed_rng(&rng, "test_k_costs_the_polls_that_were_asked_for");
	for (size_t i = 0; i < 2; i++) {
		learn_curve_make(&learns[i], &curves[i]);
		teach(&learns[i], &curves[i], &rng, 300, i ? 900000 : 200000, 0.4, 5000);
	}
	for (size_t i = 0; i < 4; i++) {
		double k = schedule_solve_k(&policy_defaults, wanted[i], classes, 2);
		struct schedule_forecast sum = schedule_forecast(&policy_defaults, k, classes, 2);

		check_near(sum.polls, wanted[i], 0.01);
		ck_assert(sum.delay_ms < before);
		before = sum.delay_ms;
	}
	/* Out of reach: the bounds of the interval are kept, and as near as they let it. */
	double k = schedule_solve_k(&policy_defaults, 1, classes, 2);

	check_near(schedule_forecast(&policy_defaults, k, classes, 2).delay_ms, 150000, 0.02);
	k = schedule_solve_k(&policy_defaults, 1e9, classes, 2);
	check_near(schedule_forecast(&policy_defaults, k, classes, 2).delay_ms, 500, 0.02);
}
END_TEST

/* Jobs that hardly ever end cost what asking at the longest interval costs, and that is finite. */
START_TEST(test_forecast_of_no_jobs_and_of_endless_ones)
{
	struct learn_curve curve = {0};
	struct schedule_class class = {&curve, 1};
	struct schedule_forecast sum = schedule_forecast(&policy_defaults, 1, NULL, 0);

	ck_assert(sum.polls == 0 && sum.delay_ms == 0);
	for (size_t i = 0; i < LEARN_BINS; i++)
		curve.hazard[i] = 1e-13F;
	sum = schedule_forecast(&policy_defaults, 1000, &class, 1);
	check_near(sum.polls,
	        1.5 + learn_bin_ms(LEARN_BINS) / (double)policy_defaults.max_interval_ms, 0.01);
	ck_assert(sum.delay_ms >= 0 && sum.delay_ms < (double)policy_defaults.max_interval_ms);
}
END_TEST

/* The forecast is what happens. */
START_TEST(test_forecast_is_kept)
{
	struct learn learn = {0};
	struct learn_curve curve;
	struct poll_policy policy = policy_defaults;
	struct schedule_class class = {&curve, 1};
	double polls = 0, delay = 0;
	struct rng rng;
	int n = 20000;

	seed_rng(&rng, "test_forecast_is_kept");
	learn_curve_make(&learn, &curve);
	/* So many that what a sample of them says of all is nearer than what is asked for. */
	teach(&learn, &curve, &rng, 2000, 300000, 0.4, 5000);
	policy.curve = &curve;
	policy.k = schedule_solve_k(&policy, 15, &class, 1);
	for (int i = 0; i < n; i++) {
		int64_t duration = draw_ms(&rng, 300000, 0.4), at = 0;
		bool is_first = true;

		polls++;
		while (at < duration) {
			at += schedule_next_ms(&policy, at, is_first, rng_next(&rng));
			is_first = false;
			polls++;
		}
		delay += (double)(at - duration);
	}
	check_near(polls / n, 15, 0.1);
	check_near(delay / n, schedule_forecast(&policy, policy.k, &class, 1).delay_ms, 0.2);
}
END_TEST

/* After a downtime: whoever has finished most likely goes first, all within the usual spread. */
START_TEST(test_likely_ends_are_asked_about_first)
{
	for (size_t n = 1; n < 1000; n *= 3) {
		int64_t widest = schedule_resume_ms(n, 0, UINT64_MAX);

		ck_assert_int_eq(schedule_resume_ms(n, 1, 0), 0);
		ck_assert_int_le(schedule_resume_ms(n, 1, UINT64_MAX - 1), widest / 8);
		ck_assert_int_gt(schedule_resume_ms(n, 0.2, 0), schedule_resume_ms(n, 0.5, 0));
		ck_assert_int_le(schedule_resume_ms(n, 0, 12345), widest);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("learn");
	TCase *tcase = tcase_create("learn");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_bins);
	tcase_add_test(tcase, test_nothing_known_is_one_over_age);
	tcase_add_test(tcase, test_constant_hazard);
	tcase_add_test(tcase, test_lognormal_quantiles);
	tcase_add_test(tcase, test_unfinished_jobs_count);
	tcase_add_test(tcase, test_a_change_is_noticed);
	tcase_add_test(tcase, test_strange_ages_do_no_harm);
	tcase_add_test(tcase, test_text_and_back);
	tcase_add_test(tcase, test_other_texts_are_refused);
	tcase_add_test(tcase, test_samples_are_counted_to_an_end);
	tcase_add_test(tcase, test_intervals_keep_their_bounds);
	tcase_add_test(tcase, test_without_a_curve_the_age_decides);
	tcase_add_test(tcase, test_polls_are_spent_where_jobs_end);
	tcase_add_test(tcase, test_k_costs_the_polls_that_were_asked_for);
	tcase_add_test(tcase, test_forecast_of_no_jobs_and_of_endless_ones);
	tcase_add_test(tcase, test_forecast_is_kept);
	tcase_add_test(tcase, test_likely_ends_are_asked_about_first);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	int n_failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return n_failed == 0 ? 0 : 1;
}

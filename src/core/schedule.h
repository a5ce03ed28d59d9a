/*
 * When to ask next. Times in milliseconds; `random` is a uniform 64-bit number.
 *
 * The best check density is proportional to the square root of the completion hazard (Keller 1974,
 * doi 10.1287/mnsc.21.3.256): interval = k / sqrt(hazard), with one k for all jobs that share a
 * budget. While the durations of jobs are not known (core/learn), a hazard that falls with 1/age
 * stands in: a job's wait then grows with the square root of its age. Both keep within min_interval
 * and max_interval.
 *
 * Only the wait after the first answer is placed at random: jitter on every wait would cost
 * delay and buy nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/learn.h"

struct poll_policy {
	int64_t min_interval_ms;
	int64_t max_interval_ms;
	int64_t polls_per_job;
	int64_t overdue_after_ms;
	int64_t lost_after_ms;
	const struct learn_curve *curve; /* of jobs like this; NULL = not enough is known */
	double k;                        /* with a curve: of schedule_solve_k, in sqrt(ms) */
};

/* The first poll of one of n jobs that came together: the more, the wider they are spread. */
int64_t schedule_first_ms(size_t n, uint64_t random);
/* The same for jobs that were watched before: the likelier one has finished meanwhile, the sooner.
 */
int64_t schedule_resume_ms(size_t n, double chance, uint64_t random);
/* With nothing learned: from an answer to the next request, for a job watched since age_ms. */
int64_t schedule_interval_ms(const struct poll_policy *policy, int64_t age_ms);
/*
 * From an answer to the next request: learned if the policy has a curve, else as above. A learned
 * wait ends where the density of checks, added up from now on, reaches one check, or after the
 * first answer a random number between a half and one and a half.
 */
int64_t schedule_next_ms(
        const struct poll_policy *policy, int64_t age_ms, bool is_first, uint64_t random);

/* Jobs alike that share a budget with others; weight: their share of all jobs, in any unit. */
struct schedule_class {
	const struct learn_curve *curve;
	double weight;
};
/*
 * What a job costs and how late its end is noticed on average with this k: polls including the one
 * at the start and the one that finds it finished.
 */
struct schedule_forecast {
	double polls;
	double delay_ms;
};
struct schedule_forecast schedule_forecast(
        const struct poll_policy *policy, double k, const struct schedule_class *classes, size_t n);
/* The k with which a job of these costs so many polls on average, as near as min_interval and
 * max_interval let it. */
double schedule_solve_k(const struct poll_policy *policy, double polls,
        const struct schedule_class *classes, size_t n);

/*
 * From a failure, the n-th in a row (from 1), to the next try: full jitter over a doubling cap,
 * above min_interval. retry_after_ms (-1 = none) is a floor, as far as max_interval.
 */
int64_t schedule_retry_ms(
        const struct poll_policy *policy, unsigned n, int64_t retry_after_ms, uint64_t random);
/* min(first * 2^level, max), for waits that double. */
int64_t schedule_doubled_ms(int64_t first_ms, int64_t max_ms, unsigned level);
/* The same with half jitter, for what many may wait for in step: in [d/2, d], d being that. */
int64_t schedule_backoff_ms(int64_t first_ms, int64_t max_ms, unsigned level, uint64_t random);

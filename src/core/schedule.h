/*
 * When to ask next. Times in milliseconds; `random` is a uniform 64-bit number.
 *
 * A job's wait grows with the square root of its age, between min_interval and max_interval: old
 * jobs are slow jobs, and to learn of their end a little later costs little of the whole. (Keller
 * 1974, doi 10.1287/mnsc.21.3.256: the best check density is proportional to the square root of
 * the completion hazard; with nothing known of the durations, a hazard that falls with 1/age.)
 * Only the first poll is placed at random: jitter on every wait would cost delay and buy nothing.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct poll_policy {
	int64_t min_interval_ms;
	int64_t max_interval_ms;
	int64_t polls_per_job;
	int64_t overdue_after_ms;
	int64_t lost_after_ms;
};

/* The first poll of one of n jobs that came together: the more, the wider they are spread. */
int64_t schedule_first_ms(size_t n, uint64_t random);
/* From an answer to the next request, for a job watched since age_ms. */
int64_t schedule_interval_ms(const struct poll_policy *policy, int64_t age_ms);
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

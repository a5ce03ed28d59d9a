#include "core/schedule.h"

#include <math.h>

#include "core/limits.h"

enum { SPREAD_PER_JOB_MS = 20 };

/* Jobs of a quarter of an hour cost about polls_per_job requests: 2 * sqrt(900 s) / k = polls. */
static const double TYPICAL_DURATION_S = 900;

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
	return value < low ? low : value > high ? high : value;
}

/* Uniform in [0, bound]. */
static int64_t pick(int64_t bound, uint64_t random)
{
	return bound > 0 ? (int64_t)(random % (uint64_t)(bound + 1)) : 0;
}

int64_t schedule_doubled_ms(int64_t first_ms, int64_t max_ms, unsigned level)
{
	int64_t value = first_ms;

	for (unsigned i = 0; i < level && value < max_ms; i++)
		value *= 2;
	return value < max_ms ? value : max_ms;
}

int64_t schedule_first_ms(size_t n, uint64_t random)
{
	size_t full = FIRST_POLL_SPREAD_MS / SPREAD_PER_JOB_MS;

	return pick(n >= full ? FIRST_POLL_SPREAD_MS : (int64_t)n * SPREAD_PER_JOB_MS, random);
}

int64_t schedule_interval_ms(const struct poll_policy *policy, int64_t age_ms)
{
	double age_s = age_ms > 0 ? (double)age_ms / 1000.0 : 0;
	double k = 2 * sqrt(TYPICAL_DURATION_S) / (double)policy->polls_per_job;
	double wait_ms = 1000.0 * k * sqrt(age_s);

	return clamp(wait_ms > 1e15 ? INT64_MAX : (int64_t)wait_ms, policy->min_interval_ms,
	        policy->max_interval_ms);
}

int64_t schedule_retry_ms(
        const struct poll_policy *policy, unsigned n, int64_t retry_after_ms, uint64_t random)
{
	int64_t cap = schedule_doubled_ms(policy->min_interval_ms, policy->max_interval_ms, n);
	int64_t wait = policy->min_interval_ms + pick(cap - policy->min_interval_ms, random);

	if (wait < retry_after_ms)
		wait = retry_after_ms;
	return clamp(wait, policy->min_interval_ms, policy->max_interval_ms);
}

int64_t schedule_backoff_ms(int64_t first_ms, int64_t max_ms, unsigned level, uint64_t random)
{
	int64_t cap = schedule_doubled_ms(first_ms, max_ms, level);

	return cap / 2 + pick(cap - cap / 2, random);
}

#include "core/schedule.h"

#include <assert.h>
#include <math.h>

#include "core/limits.h"

enum { SPREAD_PER_JOB_MS = 20, SOLVE_STEPS = 24, RESUME_JITTER = 16 };

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

static int64_t first_spread_ms(size_t n)
{
	size_t full = FIRST_POLL_SPREAD_MS / SPREAD_PER_JOB_MS;

	return n >= full ? FIRST_POLL_SPREAD_MS : (int64_t)n * SPREAD_PER_JOB_MS;
}

int64_t schedule_first_ms(size_t n, uint64_t random)
{
	return pick(first_spread_ms(n), random);
}

int64_t schedule_resume_ms(size_t n, double chance, uint64_t random)
{
	int64_t spread = first_spread_ms(n);
	double wait_ms = (1 - chance) * (double)spread;

	return clamp((int64_t)wait_ms + pick(spread / RESUME_JITTER, random), 0, spread);
}

int64_t schedule_interval_ms(const struct poll_policy *policy, int64_t age_ms)
{
	double age_s = age_ms > 0 ? (double)age_ms / 1000.0 : 0;
	double k = 2 * sqrt(TYPICAL_DURATION_S) / (double)policy->polls_per_job;
	double wait_ms = 1000.0 * k * sqrt(age_s);

	return clamp((int64_t)wait_ms, policy->min_interval_ms, policy->max_interval_ms);
}

/* ---- learned ---- */

/* Noticed within a hundredth of its age: sooner is worth nobody's credits. */
enum { CHECKS_PER_AGE_MAX = 128 };

/* Checks a millisecond at this hazard. */
static double density(const struct poll_policy *policy, double k, double hazard)
{
	double wanted = sqrt(hazard) / k;
	double least = 1 / (double)policy->max_interval_ms;
	double most = 1 / (double)policy->min_interval_ms;

	return wanted < least ? least : wanted > most ? most : wanted;
}

static int64_t learned_ms(const struct poll_policy *policy, int64_t age_ms, double checks)
{
	double from = age_ms > 0 ? (double)age_ms : 0, at = from;

	for (size_t i = learn_bin_of(from);; i++) {
		assert(i < LEARN_BINS); /* the last has no end */
		double per_ms = density(policy, policy->k, (double)policy->curve->hazard[i]);
		double end = i + 1 < LEARN_BINS ? learn_bin_ms(i + 1) : INFINITY;

		if (checks <= (end - at) * per_ms)
			return clamp((int64_t)(at + checks / per_ms - from),
			        policy->min_interval_ms, policy->max_interval_ms);
		checks -= (end - at) * per_ms;
		at = end;
	}
}

int64_t schedule_next_ms(
        const struct poll_policy *policy, int64_t age_ms, bool is_first, uint64_t random)
{
	int64_t least = age_ms / CHECKS_PER_AGE_MAX;

	if (!policy->curve)
		return schedule_interval_ms(policy, age_ms);
	int64_t wait =
	        learned_ms(policy, age_ms, is_first ? 0.5 + (double)(random >> 11) * 0x1p-53 : 1);

	/* Where jobs are so short that the budget cannot be spent on them, k tends to 0; one that
	 * is stuck must not be asked for hours as if it were about to finish. */
	return clamp(wait, least < policy->max_interval_ms ? least : policy->max_interval_ms,
	        policy->max_interval_ms);
}

/*
 * Polls: the integral of survival times density, the first, and half a one more, as the one that
 * finds the end comes half an interval after it. Delay: half an interval, where the job finishes.
 * Both with the hazard constant within a bin.
 */
static struct schedule_forecast forecast_of(
        const struct poll_policy *policy, double k, const struct learn_curve *curve)
{
	struct schedule_forecast sum = {.polls = 1.5};
	double survival = 1, from = 0;

	for (size_t i = 0; i < LEARN_BINS && survival > 1e-6; i++) {
		double hazard = (double)curve->hazard[i], to = learn_bin_ms(i + 1);
		double per_ms = density(policy, k, hazard);
		double next = survival * exp(-hazard * (to - from));

		sum.polls += (survival - next) / hazard * per_ms;
		sum.delay_ms += (survival - next) / per_ms / 2;
		survival = next;
		from = to;
	}
	return sum;
}

struct schedule_forecast schedule_forecast(
        const struct poll_policy *policy, double k, const struct schedule_class *classes, size_t n)
{
	struct schedule_forecast mean = {0};
	double weight = 0;

	for (size_t i = 0; i < n; i++) {
		struct schedule_forecast one = forecast_of(policy, k, classes[i].curve);

		mean.polls += classes[i].weight * one.polls;
		mean.delay_ms += classes[i].weight * one.delay_ms;
		weight += classes[i].weight;
	}
	if (weight > 0) {
		mean.polls /= weight;
		mean.delay_ms /= weight;
	}
	return mean;
}

double schedule_solve_k(const struct poll_policy *policy, double polls,
        const struct schedule_class *classes, size_t n)
{
	double low = log(1e-3), high = log(1e9); /* sqrt(ms) */

	for (int i = 0; i < SOLVE_STEPS; i++) {
		double middle = (low + high) / 2;

		if (schedule_forecast(policy, exp(middle), classes, n).polls > polls)
			low = middle;
		else
			high = middle;
	}
	return exp(high);
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

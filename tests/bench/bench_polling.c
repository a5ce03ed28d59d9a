/*
 * When to poll, compared in virtual time: how many polls a job costs and how late its end is
 * noticed, for fixed intervals, two back-offs, the learned schedule (core/learn, core/schedule as
 * they ship) and the same schedule with the hazards known.
 *
 * Everybody asks first at a random instant within FIRST_POLL_SPREAD_MS after the job began, and
 * that poll counts, as does the one that finds the job finished. No answer takes time. Jobs come
 * one after another, so that each teaches the next.
 *
 * Usage: bench_polling [SEED]. Prints Markdown tables; each demand with PASS or MISSED; exits 1 if
 * one was missed.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/learn.h"
#include "core/limits.h"
#include "core/schedule.h"
#include "util/mem.h"
#include "util/rng.h"

enum {
	CLASSES_MAX = 3,
	JOBS = 400,
	JOBS_LEARNING = 200, /* of these, before anything is measured */
	RUNS = 60,
	STEADY_JOBS = 40000, /* for those that learn nothing */
	RELEARN_EVERY = 5,
	DRIFT_AT = 500,
	DRIFT_JOBS = 200,
	DRIFT_WINDOW = 25,
	DRIFT_RUNS = 150,
};

static const struct poll_policy policy_defaults = {
        .min_interval_ms = 1000,
        .max_interval_ms = 5 * 60 * 1000,
        .polls_per_job = 20,
};

static int n_missed;

static void demand(bool is_met, const char *words, double value, double limit)
{
	printf("%s: %s: %.3f, wanted at most %.3f\n", is_met ? "PASS" : "MISSED", words, value,
	        limit);
	n_missed += !is_met;
}

/* ---- the world ---- */

struct class
{
	double median_s, sigma, share;
};

struct world {
	const char *name;
	struct class classes[CLASSES_MAX];
	size_t n;
};

static double normal(struct rng *rng)
{
	double u = 1 - rng_unit(rng); /* never 0 */

	return sqrt(-2 * log(u)) * cos(2 * M_PI * rng_unit(rng));
}

static size_t draw_class(const struct world *world, struct rng *rng)
{
	double at = rng_unit(rng);
	size_t i = 0;

	while (i + 1 < world->n && at >= world->classes[i].share)
		at -= world->classes[i++].share;
	return i;
}

static double draw_ms(const struct class *class, struct rng *rng)
{
	return 1000 * class->median_s * exp(class->sigma * normal(rng));
}

static double mean_ms(const struct world *world)
{
	double mean = 0;

	for (size_t i = 0; i < world->n; i++) {
		const struct class *class = &world->classes[i];

		mean += class->share * 1000 * class->median_s *
		        exp(class->sigma * class->sigma / 2);
	}
	return mean;
}

/* P(T > t) */
static double survival(const struct class *class, double ms)
{
	return ms <= 0 ? 1 : 0.5 * erfc(log(ms / 1000 / class->median_s) / class->sigma / M_SQRT2);
}

/* The hazards as they are, in the bins that the program uses. */
static void true_curve(const struct class *class, struct learn_curve *curve)
{
	for (size_t i = 0; i < LEARN_BINS; i++) {
		double from = learn_bin_ms(i), to = learn_bin_ms(i + 1);
		double before = survival(class, from), after = survival(class, to);
		double hazard = after > 1e-12 ? log(before / after) / (to - from) : 1 / from;

		curve->hazard[i] = (float)(hazard > 1e-12 ? hazard : 1e-12);
	}
}

/* ---- who polls ---- */

enum kind { FIXED, BACKOFF, LEARNED };

struct poller {
	enum kind kind;
	double interval_ms;                 /* FIXED; BACKOFF: the first */
	double factor, cap_ms;              /* BACKOFF */
	struct poll_policy policy;          /* LEARNED, with curve and k */
	struct learn *learn;                /* LEARNED: taught by what is seen; NULL = nobody */
	const struct learn_curve *believed; /* with it */
};

struct cost {
	double polls, delay_ms;
	size_t n;
};

static double first_wait(struct poller *poller, double age, struct rng *rng, double *wait)
{
	switch (poller->kind) {
	case FIXED:
	case BACKOFF:
		*wait = poller->interval_ms;
		return *wait;
	case LEARNED:
		break;
	}
	return (double)schedule_next_ms(&poller->policy, (int64_t)age, true, rng_next(rng));
}

static double next_wait(struct poller *poller, double age, double *wait)
{
	switch (poller->kind) {
	case FIXED:
		return *wait;
	case BACKOFF:
		*wait *= poller->factor;
		if (*wait > poller->cap_ms)
			*wait = poller->cap_ms;
		return *wait;
	case LEARNED:
		break;
	}
	return (double)schedule_next_ms(&poller->policy, (int64_t)age, false, 0);
}

/* One job from its start to the poll that finds it finished. */
static void watch_job(struct poller *poller, double duration, struct rng *rng, struct cost *cost)
{
	double at = FIRST_POLL_SPREAD_MS * rng_unit(rng), before = 0, wait = 0;
	bool is_first = true;

	cost->n++;
	cost->polls++;
	while (at < duration) {
		if (poller->learn)
			learn_passed(poller->learn, poller->believed, (int64_t)before, (int64_t)at);
		before = at;
		at += is_first ? first_wait(poller, at, rng, &wait) : next_wait(poller, at, &wait);
		is_first = false;
		cost->polls++;
	}
	cost->delay_ms += at - duration;
	/* One that is finished at the first look says nothing, here as in the daemon. */
	if (poller->learn && !is_first)
		learn_finished(poller->learn, poller->believed, (int64_t)before, (int64_t)at);
}

static void mean(struct cost *cost)
{
	cost->polls /= (double)cost->n;
	cost->delay_ms /= (double)cost->n;
}

static struct cost run_steady(
        const struct world *world, struct poller pollers[CLASSES_MAX], uint64_t seed)
{
	struct cost cost = {0};
	struct rng rng;

	rng_seed(&rng, seed);
	for (int i = 0; i < STEADY_JOBS; i++) {
		size_t c = draw_class(world, &rng);

		watch_job(&pollers[c], draw_ms(&world->classes[c], &rng), &rng, &cost);
	}
	mean(&cost);
	return cost;
}

static struct cost run_simple(const struct world *world, struct poller poller, uint64_t seed)
{
	struct poller pollers[CLASSES_MAX] = {poller, poller, poller};

	return run_steady(world, pollers, seed);
}

/* The fixed interval that costs so many polls: one at the start, and half a one more than the age
 * then has intervals. */
static struct cost run_fixed_at(const struct world *world, double polls, uint64_t seed)
{
	double interval = (mean_ms(world) - FIRST_POLL_SPREAD_MS / 2.0) / (polls - 1.5);

	return run_simple(world, (struct poller){.kind = FIXED, .interval_ms = interval}, seed);
}

static struct cost run_clairvoyant(
        const struct world *world, const struct poll_policy *policy, double polls, uint64_t seed)
{
	struct learn_curve curves[CLASSES_MAX];
	struct schedule_class classes[CLASSES_MAX];
	struct poller pollers[CLASSES_MAX] = {0};

	for (size_t i = 0; i < world->n; i++) {
		true_curve(&world->classes[i], &curves[i]);
		classes[i] = (struct schedule_class){&curves[i], world->classes[i].share};
	}
	double k = schedule_solve_k(policy, polls, classes, world->n);

	for (size_t i = 0; i < world->n; i++) {
		pollers[i] = (struct poller){.kind = LEARNED, .policy = *policy};
		pollers[i].policy.curve = &curves[i];
		pollers[i].policy.k = k;
	}
	return run_steady(world, pollers, seed);
}

/* ---- the learner ---- */

struct learner {
	struct learn learns[CLASSES_MAX];
	struct learn_curve curves[CLASSES_MAX];
	struct poller pollers[CLASSES_MAX];
	size_t n;
	double polls;
};

static void relearn(struct learner *learner)
{
	struct schedule_class classes[CLASSES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < learner->n; i++) {
		learn_curve_make(&learner->learns[i], &learner->curves[i]);
		if (!learn_knows_enough(&learner->learns[i]))
			continue;
		classes[n++] =
		        (struct schedule_class){&learner->curves[i], learner->learns[i].n_samples};
	}
	double k = schedule_solve_k(&learner->pollers[0].policy, learner->polls, classes, n);

	for (size_t i = 0; i < learner->n; i++) {
		bool is_enough = learn_knows_enough(&learner->learns[i]);

		learner->pollers[i].policy.curve = is_enough ? &learner->curves[i] : NULL;
		learner->pollers[i].policy.k = k;
	}
}

static void learner_init(
        struct learner *learner, size_t n, const struct poll_policy *policy, double polls)
{
	*learner = (struct learner){.n = n, .polls = polls};
	for (size_t i = 0; i < n; i++) {
		learner->pollers[i] = (struct poller){
		        .kind = LEARNED,
		        .policy = *policy,
		        .learn = &learner->learns[i],
		        .believed = &learner->curves[i],
		};
	}
	relearn(learner);
}

static void learner_watch(struct learner *learner, const struct world *world, int number,
        struct rng *rng, struct cost *cost)
{
	size_t c = draw_class(world, rng);

	watch_job(&learner->pollers[c], draw_ms(&world->classes[c], rng), rng, cost);
	if (number % RELEARN_EVERY == 0)
		relearn(learner);
}

static struct cost run_learned(
        const struct world *world, const struct poll_policy *policy, double polls, uint64_t seed)
{
	struct learner *learner = MEM_NEW(struct learner);
	struct cost cost = {0}, unmeasured = {0};
	struct rng rng;

	rng_seed(&rng, seed);
	for (int run = 0; run < RUNS; run++) {
		learner_init(learner, world->n, policy, polls);
		for (int i = 0; i < JOBS; i++)
			learner_watch(
			        learner, world, i, &rng, i < JOBS_LEARNING ? &unmeasured : &cost);
	}
	free(learner);
	mean(&cost);
	return cost;
}

/* ---- tables ---- */

static void print_row(const char *name, const struct cost *cost, const struct cost *equal)
{
	printf("| %-34s | %5.1f | %6.1f s |", name, cost->polls, cost->delay_ms / 1000);
	if (equal)
		printf(" %.2f |\n", cost->delay_ms / equal->delay_ms);
	else
		printf(" |\n");
}

static void print_simple(
        const struct world *world, const char *name, struct poller poller, uint64_t seed)
{
	struct cost cost = run_simple(world, poller, seed);
	struct cost equal = run_fixed_at(world, cost.polls, seed);

	print_row(name, &cost, &equal);
}

/* limit: of the learned delay by that of a fixed interval at equal polls; 0 = none demanded. */
static void compare(const struct world *world, double limit, uint64_t seed)
{
	struct poller fixed = {.kind = FIXED, .interval_ms = 30000};
	struct cost at_30s = run_simple(world, fixed, seed);

	printf("\n%s\n\n| | polls a job | mean delay | delay by that of a fixed interval at equal "
	       "polls |\n|---|---|---|---|\n",
	        world->name);
	print_row("fixed 30 s", &at_30s, &at_30s);
	print_simple(world, "back-off x1.5 from 1 s, cap 60 s",
	        (struct poller){BACKOFF, .interval_ms = 1000, .factor = 1.5, .cap_ms = 60000},
	        seed);
	print_simple(world, "back-off x2 from 1 s, no cap",
	        (struct poller){BACKOFF, .interval_ms = 1000, .factor = 2, .cap_ms = 1e12}, seed);
	struct cost learned = run_learned(world, &policy_defaults, at_30s.polls, seed);
	struct cost equal = run_fixed_at(world, learned.polls, seed);
	struct cost best = run_clairvoyant(world, &policy_defaults, learned.polls, seed);

	print_row("learned, after 200 jobs", &learned, &equal);
	print_row("the same with the hazards known", &best, &equal);
	printf("\n");
	if (limit > 0)
		demand(learned.delay_ms <= limit * equal.delay_ms,
		        "learned by fixed at equal polls", learned.delay_ms / equal.delay_ms,
		        limit);
	demand(learned.delay_ms <= 1.10 * best.delay_ms, "learned by hazards known, at equal polls",
	        learned.delay_ms / best.delay_ms, 1.10);
	demand(fabs(learned.polls / at_30s.polls - 1) <= 0.10, "polls off what was asked for",
	        fabs(learned.polls / at_30s.polls - 1), 0.10);
}

static void compare_classes(uint64_t seed)
{
	static const struct world world = {
	        .classes = {{60, 0.3, 1.0 / 3}, {600, 0.3, 1.0 / 3}, {7200, 0.3, 1.0 / 3}},
	        .n = 3,
	};
	struct poll_policy policy = policy_defaults;

	policy.max_interval_ms = 30 * 60 * 1000;
	struct cost learned = run_learned(&world, &policy, (double)policy.polls_per_job, seed);
	struct cost uniform = run_fixed_at(&world, learned.polls, seed);
	struct cost best = run_clairvoyant(&world, &policy, learned.polls, seed);

	printf("\nThree modules, medians of 1, 10 and 120 minutes, sigma 0.3, one budget of 20 "
	       "polls "
	       "a job, max_interval 30 min\n\n| | polls a job | mean delay | by uniform |\n"
	       "|---|---|---|---|\n");
	print_row("one interval for all", &uniform, &uniform);
	print_row("learned, after 200 jobs", &learned, &uniform);
	print_row("the same with the hazards known", &best, &uniform);
	printf("\n");
	demand(learned.delay_ms <= 0.5 * uniform.delay_ms, "learned by uniform at equal polls",
	        learned.delay_ms / uniform.delay_ms, 0.5);
}

/* ---- drift ---- */

enum { WINDOWS = DRIFT_JOBS / DRIFT_WINDOW };

static void drift(double factor, const char *name, uint64_t seed)
{
	struct world before = {.classes = {{300, 0.3, 1}}, .n = 1}, after = before;
	struct cost costs[WINDOWS] = {0}, unmeasured = {0};
	struct learner *learner = MEM_NEW(struct learner);
	struct rng rng;

	after.classes[0].median_s *= factor;
	rng_seed(&rng, seed);
	for (int run = 0; run < DRIFT_RUNS; run++) {
		learner_init(learner, 1, &policy_defaults, 12.4);
		for (int i = 0; i < DRIFT_AT; i++)
			learner_watch(learner, &before, i, &rng, &unmeasured);
		for (int i = 0; i < DRIFT_JOBS; i++)
			learner_watch(learner, &after, i, &rng, &costs[i / DRIFT_WINDOW]);
	}
	free(learner);
	printf("| %s |", name);
	double last = 0;

	for (int i = 0; i < WINDOWS; i++) {
		mean(&costs[i]);
		struct cost best = run_clairvoyant(&after, &policy_defaults, costs[i].polls, seed);

		last = costs[i].delay_ms / best.delay_ms;
		printf(" %.2f (%.1f) |", last, costs[i].polls);
	}
	printf("\n");
}

static void compare_drift(uint64_t seed)
{
	printf("\nDurations that change at once after %d jobs (median 300 s, sigma 0.3): delay by "
	       "that with the new hazards known at equal polls, and polls a job, for jobs after "
	       "the "
	       "change\n\n|",
	        DRIFT_AT);
	for (int i = 0; i < WINDOWS; i++)
		printf(" | %d-%d", i * DRIFT_WINDOW + 1, (i + 1) * DRIFT_WINDOW);
	printf(" |\n|---|");
	for (int i = 0; i < WINDOWS; i++)
		printf("---|");
	printf("\n");
	drift(1, "no change", seed);
	drift(0.5, "half as long", seed);
	drift(2, "twice as long", seed);
}

int main(int argc, char **argv)
{
	static const struct world worlds[] = {
	        {"Lognormal durations, median 300 s, sigma 0.3", {{300, 0.3, 1}}, 1},
	        {"Lognormal durations, median 300 s, sigma 0.6", {{300, 0.6, 1}}, 1},
	        {"Lognormal durations, median 300 s, sigma 1.0", {{300, 1.0, 1}}, 1},
	        {"Two modules: two jobs in three of median 120 s, one of 1200 s, sigma 0.3",
	                {{120, 0.3, 2.0 / 3}, {1200, 0.3, 1.0 / 3}}, 2},
	};
	static const double limits[] = {0.55, 1.0, 1.05, 1.0};
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;

	for (size_t i = 0; i < ARRAY_LEN(worlds); i++)
		compare(&worlds[i], limits[i], seed);
	compare_classes(seed);
	compare_drift(seed);
	printf("\n%d demands missed (seed %llu)\n", n_missed, (unsigned long long)seed);
	return n_missed ? 1 : 0;
}

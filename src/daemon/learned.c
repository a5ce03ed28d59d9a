#include "daemon/learned.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"

enum { MAKE_EVERY_MS = 1000, DAY_MS = 24 * 3600 * 1000 };

/* Of the credits of a day, what is planned with: the rest is for failures and bad luck. */
static const double CREDITS_PLANNED = 0.9;

struct kind {
	char module[LEARNED_MODULE_MAX_BYTES + 1]; /* "" = of all jobs */
	struct learn learn;
	struct learn_curve curve;
	bool is_dirty; /* newer than what is stored */
};

struct learned {
	struct kind *kinds[1 + LEARNED_MODULES_MAX]; /* owned; [0] is of all jobs */
	size_t n;
	bool is_stale; /* something was learned since curves and k were made */
	int64_t made_mono_ms;
	double k, polls; /* for these polls; 0 = not made yet */
	struct poll_policy made_for;
	double n_recent; /* finished jobs, fading over a day */
	int64_t recent_mono_ms;
};

/* ---- the store ---- */

static char *value_name(const char *account, const char *module)
{
	return module[0] ? mem_printf("learned.%s.%s", account, module)
	                 : mem_printf("learned.%s", account);
}

static bool is_module_name(const char *name)
{
	size_t len =
	        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return len > 0 && len <= LEARNED_MODULE_MAX_BYTES && name[len] == '\0';
}

static struct kind *add_kind(struct learned *learned, const char *module)
{
	struct kind *kind = MEM_NEW(struct kind);

	str_copy(kind->module, sizeof(kind->module), module);
	learn_curve_make(&kind->learn, &kind->curve);
	learned->kinds[learned->n++] = kind;
	return kind;
}

/* The value of the account itself: what was learned of all jobs, and the modules' names, a line
 * each. */
static int take_all(void *arg, const char *value)
{
	struct learned *learned = arg;
	struct kind *all = learned->kinds[0];

	if (!value)
		return 0;
	cleanup(mem_free_p) char *copy = mem_strdup(value);
	char *rest = copy, *line = strsep(&rest, "\n");

	learn_decode(&all->learn, line);
	while ((line = strsep(&rest, "\n")))
		learned_module(learned, line);
	return 0;
}

static int take_module(void *arg, const char *value)
{
	struct kind *kind = arg;

	if (value)
		learn_decode(&kind->learn, value);
	return 0;
}

int learned_load(struct store *store, const char *account, struct learned **out)
{
	struct learned *learned = MEM_NEW(struct learned);

	add_kind(learned, "");
	cleanup(mem_free_p) char *name = value_name(account, "");
	int r = store_value_get(store, name, take_all, learned);

	for (size_t i = 1; i < learned->n && !r; i++) {
		cleanup(mem_free_p) char *module = value_name(account, learned->kinds[i]->module);

		r = store_value_get(store, module, take_module, learned->kinds[i]);
	}
	for (size_t i = 0; i < learned->n; i++) {
		learn_curve_make(&learned->kinds[i]->learn, &learned->kinds[i]->curve);
		learned->kinds[i]->is_dirty = false;
	}
	learned->is_stale = true;
	*out = learned;
	if (r < 0)
		*out = learned_free(learned);
	return r;
}

struct learned *learned_free(struct learned *learned)
{
	if (!learned)
		return NULL;
	for (size_t i = 0; i < learned->n; i++)
		free(learned->kinds[i]);
	free(learned);
	return NULL;
}

static int write_kind(
        const struct learned *learned, size_t i, struct store *store, const char *account)
{
	const struct kind *kind = learned->kinds[i];
	cleanup(mem_free_p) char *name = value_name(account, kind->module);
	cleanup(buf_deinit) struct buf value = {0};
	char text[LEARN_TEXT_MAX];

	learn_encode(&kind->learn, text);
	buf_adds(&value, text);
	for (size_t m = 1; i == 0 && m < learned->n; m++)
		buf_addf(&value, "\n%s", learned->kinds[m]->module);
	return store_value_put(store, name, buf_str(&value));
}

int learned_write(struct learned *learned, struct store *store, const char *account)
{
	for (size_t i = 0; i < learned->n; i++) {
		struct kind *kind = learned->kinds[i];

		if (!kind->is_dirty)
			continue;
		int r = write_kind(learned, i, store, account);

		if (r < 0)
			return r;
		kind->is_dirty = false;
	}
	return 0;
}

/* ---- learning ---- */

uint8_t learned_module(struct learned *learned, const char *name)
{
	for (size_t i = 1; i < learned->n; i++) {
		if (strcmp(learned->kinds[i]->module, name) == 0)
			return (uint8_t)i;
	}
	if (learned->n > LEARNED_MODULES_MAX || !is_module_name(name))
		return 0;
	add_kind(learned, name);
	learned->kinds[0]->is_dirty = true; /* it lists the modules */
	return (uint8_t)(learned->n - 1);
}

const char *learned_module_name(const struct learned *learned, uint8_t module)
{
	return module ? learned->kinds[module]->module : NULL;
}

void learned_passed(struct learned *learned, uint8_t module, int64_t from_ms, int64_t to_ms)
{
	struct kind *all = learned->kinds[0], *kind = learned->kinds[module];

	learn_passed(&all->learn, &all->curve, from_ms, to_ms);
	all->is_dirty = true;
	if (kind == all)
		return;
	learn_passed(&kind->learn, &kind->curve, from_ms, to_ms);
	kind->is_dirty = true;
}

static double faded(const struct learned *learned, struct now now)
{
	double age = (double)(now.mono_ms - learned->recent_mono_ms);

	return learned->n_recent * exp(-age / DAY_MS);
}

void learned_finished(
        struct learned *learned, uint8_t module, int64_t from_ms, int64_t to_ms, struct now now)
{
	struct kind *all = learned->kinds[0], *kind = learned->kinds[module];

	learned->n_recent = faded(learned, now) + 1;
	learned->recent_mono_ms = now.mono_ms;
	learned->is_stale = true;
	learn_finished(&all->learn, &all->curve, from_ms, to_ms);
	all->is_dirty = true;
	if (kind == all)
		return;
	learn_finished(&kind->learn, &kind->curve, from_ms, to_ms);
	kind->is_dirty = true;
}

double learned_jobs_a_day(const struct learned *learned, struct now now)
{
	return faded(learned, now);
}

/* ---- using it ---- */

/* NULL: nobody knows enough. */
static const struct kind *kind_for(const struct learned *learned, uint8_t module)
{
	if (learn_knows_enough(&learned->kinds[module]->learn))
		return learned->kinds[module];
	return learn_knows_enough(&learned->kinds[0]->learn) ? learned->kinds[0] : NULL;
}

double learned_chance(const struct learned *learned, uint8_t module, int64_t from_ms, int64_t to_ms)
{
	const struct kind *kind = kind_for(learned, module);

	return kind ? 1 - learn_survival(&kind->curve, from_ms, to_ms) : 0.5;
}

/* Modules that know enough, and the account for the jobs of all others. */
static size_t classes_of(const struct learned *learned,
        struct schedule_class classes[static 1 + LEARNED_MODULES_MAX])
{
	double rest = (double)learned->kinds[0]->learn.n_samples;
	size_t n = 0;

	for (size_t i = 1; i < learned->n; i++) {
		const struct kind *kind = learned->kinds[i];

		if (!learn_knows_enough(&kind->learn))
			continue;
		rest -= (double)kind->learn.n_samples;
		classes[n++] = (struct schedule_class){
		        .curve = &kind->curve, .weight = (double)kind->learn.n_samples};
	}
	if (n == 0 || rest >= 1)
		classes[n++] = (struct schedule_class){
		        .curve = &learned->kinds[0]->curve, .weight = rest < 1 ? 1 : rest};
	return n;
}

static bool is_made_for(
        const struct learned *learned, const struct poll_policy *policy, double polls)
{
	return fabs(polls / learned->polls - 1) < 0.02 &&
	       learned->made_for.min_interval_ms == policy->min_interval_ms &&
	       learned->made_for.max_interval_ms == policy->max_interval_ms;
}

static void make(
        struct learned *learned, const struct poll_policy *policy, double polls, struct now now)
{
	struct schedule_class classes[1 + LEARNED_MODULES_MAX];

	if (learned->polls > 0) {
		if (!learned->is_stale && is_made_for(learned, policy, polls))
			return;
		if (now.mono_ms - learned->made_mono_ms < MAKE_EVERY_MS)
			return;
	}
	for (size_t i = 0; i < learned->n && learned->is_stale; i++)
		learn_curve_make(&learned->kinds[i]->learn, &learned->kinds[i]->curve);
	learned->k = schedule_solve_k(policy, polls, classes, classes_of(learned, classes));
	learned->polls = polls;
	learned->made_for = *policy;
	learned->made_mono_ms = now.mono_ms;
	learned->is_stale = false;
}

void learned_shape(struct learned *learned, uint8_t module, double polls, struct now now,
        struct poll_policy *policy)
{
	const struct kind *kind = kind_for(learned, module);

	policy->polls_per_job = polls < 1 ? 1 : (int64_t)polls;
	policy->curve = NULL;
	if (!kind)
		return;
	make(learned, policy, polls, now);
	policy->curve = &kind->curve;
	policy->k = learned->k;
}

double learned_polls(const struct learned *learned, const struct poll_policy *policy,
        int64_t credits_per_day, size_t n_running, struct now now)
{
	double jobs = learned_jobs_a_day(learned, now), wanted = (double)policy->polls_per_job;

	if (jobs < (double)n_running)
		jobs = (double)n_running;
	double affordable = jobs > 0 ? CREDITS_PLANNED * (double)credits_per_day / jobs : wanted;

	return affordable < wanted ? affordable : wanted;
}

/* ---- showing it ---- */

static void write_kind_json(struct json_out *w, const struct kind *kind)
{
	bool is_known = learn_knows_enough(&kind->learn);

	json_open_object(w, NULL);
	json_put_string(w, "module", kind->module[0] ? kind->module : NULL);
	json_put_integer(w, "samples", (int64_t)kind->learn.n_samples);
	json_put_bool(w, "learned", is_known);
	json_put_number(
	        w, "median", is_known ? (double)learn_quantile_ms(&kind->curve, 0.5) / 1000 : NAN);
	json_put_number(
	        w, "p95", is_known ? (double)learn_quantile_ms(&kind->curve, 0.95) / 1000 : NAN);
	json_close_object(w);
}

void learned_write_durations(struct json_out *w, const struct learned *learned)
{
	json_open_array(w, "durations");
	for (size_t i = 0; learned && i < learned->n; i++)
		write_kind_json(w, learned->kinds[i]);
	json_close_array(w);
}

static void write_forecast(struct json_out *w, const struct poll_policy *policy, double polls,
        double jobs_a_day, const struct schedule_class *classes, size_t n)
{
	double k = schedule_solve_k(policy, polls, classes, n);
	struct schedule_forecast forecast = schedule_forecast(policy, k, classes, n);

	json_open_object(w, NULL);
	json_put_number(w, "polls_per_job", polls);
	json_put_number(w, "polls", forecast.polls);
	json_put_number(w, "delay", forecast.delay_ms / 1000);
	json_put_number(w, "credits_per_day", forecast.polls * jobs_a_day);
	json_close_object(w);
}

void learned_write_forecast(struct json_out *w, const struct learned *learned,
        const struct poll_policy *policy, struct now now)
{
	static const double factors[] = {0.5, 1, 2, 4};
	struct schedule_class classes[1 + LEARNED_MODULES_MAX];

	json_open_array(w, "forecast");
	for (size_t i = 0; i < ARRAY_LEN(factors) && kind_for(learned, 0); i++)
		write_forecast(w, policy, (double)policy->polls_per_job * factors[i],
		        learned_jobs_a_day(learned, now), classes, classes_of(learned, classes));
	json_close_array(w);
}

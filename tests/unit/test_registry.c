/*
 * The registry against a plain model over random sequences of operations, and what it packs at its
 * edges.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/registry.h"
#include "seed.h"
#include "util/mem.h"
#include "util/str.h"

enum { JOBS = 600, STEPS = 24000, CHECK_EVERY = 3000, ACCOUNTS = 3 };

struct model_job {
	struct tracked *tracked; /* NULL = not in it */
	uint64_t ticket;
	int64_t key; /* 0 = none yet */
	char name[40];
	char message[40]; /* "" = no error */
	char word[40];    /* its state, if it is one of many */
	struct job job;
	struct job_terms terms;
};

struct model {
	struct registry *registry;
	struct model_job jobs[JOBS];
	size_t n;
	int64_t last_key;
	struct rng rng;
};

static void id_of(size_t i, char id[static JOB_ID_MAX + 1])
{
	/* Of every length, with and without zeros in front. */
	snprintf(id, JOB_ID_MAX + 1, "%0*zu", (int)(1 + i % JOB_ID_MAX), i);
}

static uint32_t account_of(size_t i)
{
	return (uint32_t)(i % ACCOUNTS);
}

static void check_job(const struct model *m, size_t i)
{
	const struct model_job *job = &m->jobs[i];
	const struct tracked *tracked = job->tracked;
	struct tracked_error error = registry_error(m->registry, tracked);
	struct job_terms terms = registry_terms(m->registry, tracked);
	struct job found = registry_job(m->registry, tracked);
	char id[JOB_ID_MAX + 1];

	id_of(i, id);
	ck_assert_str_eq(tracked_id(tracked).text, id);
	ck_assert_ptr_eq(registry_find(m->registry, account_of(i), id), tracked);
	ck_assert_ptr_eq(registry_by_ticket(m->registry, job->ticket), tracked);
	ck_assert_int_eq(tracked_key(tracked), job->key);
	ck_assert(
	        str_is_equal(registry_name(m->registry, tracked), job->name[0] ? job->name : NULL));
	ck_assert(str_is_equal(error.message, job->message[0] ? job->message : NULL));
	ck_assert_ptr_eq(terms.hooks, job->terms.hooks);
	ck_assert_int_eq(terms.overdue_after_ms, job->terms.overdue_after_ms);
	ck_assert_str_eq(found.state, job->job.state);
	ck_assert_str_eq(registry_state(m->registry, tracked), job->job.state);
	ck_assert_int_eq(found.kind, job->job.kind);
	ck_assert_int_eq(found.since_wall_ms, job->job.since_wall_ms);
	ck_assert_int_eq(found.watched_mono_ms, job->job.watched_mono_ms);
	ck_assert_int_eq(found.not_found_since_mono_ms, job->job.not_found_since_mono_ms);
	ck_assert_int_eq(found.n_failures, job->job.n_failures);
	ck_assert_int_eq(found.n_not_found, job->job.n_not_found);
	ck_assert_int_eq(found.is_overdue_told, job->job.is_overdue_told);
	ck_assert_int_eq(found.is_revived, job->job.is_revived);
	ck_assert_int_eq(tracked_is_polled(tracked), job_is_polled(&job->job));
}

static int compare_keys(const void *a, const void *b)
{
	int64_t of_a = *(const int64_t *)a, of_b = *(const int64_t *)b;

	return (of_a > of_b) - (of_a < of_b);
}

static bool is_wanted(const struct model_job *job, size_t i, const struct registry_filter *filter)
{
	bool is_finished = job_kind_is_finished((enum job_kind)job->job.kind);

	return job->tracked && job->key &&
	       (!filter->is_of_account || filter->account == account_of(i)) &&
	       (!filter->state || strcmp(filter->state, job->job.state) == 0) &&
	       (!filter->name || strcmp(filter->name, job->name) == 0) &&
	       (filter->finished < 0 || (filter->finished == 1) == is_finished);
}

/* The walk, begun in the middle too, gives those that are wanted, in the order of their keys. */
static void check_walk(const struct model *m, const struct registry_filter *filter)
{
	static int64_t keys[JOBS];
	struct registry_walk walk;
	size_t n = 0;

	for (size_t i = 0; i < JOBS; i++) {
		if (is_wanted(&m->jobs[i], i, filter))
			keys[n++] = m->jobs[i].key;
	}
	qsort(keys, n, sizeof(keys[0]), compare_keys);
	for (size_t from = 0; from <= n; from += 1 + n / 3) {
		registry_walk_begin(m->registry, from ? keys[from - 1] : 0, filter, &walk);
		for (size_t i = from; i < n; i++) {
			struct tracked *tracked = registry_next(&walk);

			ck_assert_ptr_nonnull(tracked);
			ck_assert_int_eq(tracked_key(tracked), keys[i]);
		}
		ck_assert_ptr_null(registry_next(&walk));
	}
}

static void check_walks(const struct model *m)
{
	static const char *const some[] = {
	        NULL, "ADDED", "COMPLETED", "LOST", "word 7", "nobody said so", "trouble 1"};

	for (uint32_t account = 0; account <= ACCOUNTS; account++) {
		for (size_t k = 0; k < ARRAY_LEN(some); k++) {
			struct registry_filter filter = {.is_of_account = account < ACCOUNTS,
			        .account = account,
			        .state = some[k],
			        .finished = (int)(k + account) % 3 - 1};

			check_walk(m, &filter);
			filter.state = NULL;
			filter.name = m->jobs[k * 7].name[0] ? m->jobs[k * 7].name : "nobody";
			check_walk(m, &filter);
			filter.finished = -1;
			check_walk(m, &filter);
		}
	}
}

/* Also of words whose marks are the same; of other jobs each time, all of them in five times. */
static void check_states_of_some(const struct model *m, int step)
{
	for (size_t i = (size_t)(step / CHECK_EVERY % 5); i < JOBS; i += 5) {
		struct registry_filter filter = {.state = m->jobs[i].job.state, .finished = -1};

		if (m->jobs[i].tracked)
			check_walk(m, &filter);
	}
}

/* All are counted once; a state by itself is counted right. */
static void check_states(const struct model *m)
{
	size_t n_all = 0;

	for (uint32_t account = 0; account < ACCOUNTS; account++) {
		struct registry_state counts[REGISTRY_STATES_MAX];
		size_t n = registry_states(m->registry, account, counts);

		for (size_t k = 0; k < n; k++) {
			size_t wanted = 0;

			ck_assert_uint_gt(counts[k].n, 0);
			n_all += counts[k].n;
			for (size_t i = 0; i < JOBS; i++)
				wanted += m->jobs[i].tracked && account_of(i) == account &&
				          strcmp(m->jobs[i].job.state, counts[k].state) == 0;
			ck_assert_uint_eq(
			        counts[k].word ? wanted : 0, counts[k].word ? counts[k].n : 0);
		}
	}
	ck_assert_uint_eq(n_all, m->n);
}

static void check_all(const struct model *m, int step)
{
	const struct registry_filter all = {.finished = -1};
	uint32_t cursor = 0;
	size_t n = 0;

	ck_assert_uint_eq(registry_count(m->registry), m->n);
	for (size_t i = 0; i < JOBS; i++) {
		if (m->jobs[i].tracked)
			check_job(m, i);
	}
	check_walk(m, &all);
	check_walks(m);
	check_states_of_some(m, step);
	check_states(m);
	while (registry_each(m->registry, &cursor))
		n++;
	ck_assert_uint_eq(n, m->n);
}

static void add(struct model *m, size_t i)
{
	struct model_job *job = &m->jobs[i];
	int64_t old_key = job->key;
	char id[JOB_ID_MAX + 1];

	id_of(i, id);
	ck_assert_ptr_null(registry_find(m->registry, account_of(i), id));
	ck_assert_ptr_null(registry_by_ticket(m->registry, job->ticket));
	*job = (struct model_job){.tracked = registry_add(m->registry, account_of(i), id)};
	job->job = (struct job){.state = JOB_STATE_PENDING, .kind = JOB_PENDING};
	job->ticket = registry_ticket(job->tracked);
	m->n++;
	/* One that is watched once more has its key of old. */
	if (old_key) {
		job->key = old_key;
		registry_set_key(m->registry, job->tracked, old_key);
	}
}

static void change_job(struct model *m, struct model_job *job)
{
	static const char *const states[] = {
	        "ADDED", "IN PROGRESS", "COMPLETED", "LOST", "A word of their own"};
	const char *state = states[rng_below(&m->rng, ARRAY_LEN(states))];

	/* At times more words than are counted apart. */
	if (rng_below(&m->rng, 2)) {
		snprintf(job->word, sizeof(job->word), "word %zu",
		        (size_t)rng_below(&m->rng, m->n > JOBS / 2 ? 100 : 10));
		state = job->word;
	}
	job->job = (struct job){
	        .state = state,
	        .kind = (uint8_t)job_kind_of(state),
	        .since_wall_ms = INT64_C(1780000000000) + (int64_t)rng_below(&m->rng, 1000000),
	        .watched_mono_ms = -(int64_t)rng_below(&m->rng, UINT64_C(1) << 40),
	        .not_found_since_mono_ms = (int64_t)rng_below(&m->rng, UINT64_C(1) << 40),
	        .n_failures = (uint16_t)rng_below(&m->rng, UINT16_MAX + 1),
	        .n_not_found = (uint8_t)rng_below(&m->rng, UINT8_MAX + 1),
	        .is_overdue_told = rng_below(&m->rng, 2),
	        .is_revived = rng_below(&m->rng, 2),
	};
	registry_set_job(m->registry, job->tracked, &job->job);
}

static void change(struct model *m, struct model_job *job)
{
	struct tracked *tracked = job->tracked;

	switch (rng_below(&m->rng, 6)) {
	case 0:
		snprintf(job->name, sizeof(job->name), "name %zu",
		        (size_t)rng_below(&m->rng, UINT64_C(1) << 4 * rng_below(&m->rng, 16)));
		registry_set_name(m->registry, tracked, job->name);
		break;
	case 1:
		snprintf(job->message, sizeof(job->message), "trouble %zu",
		        (size_t)rng_below(&m->rng, 5));
		registry_set_error(
		        m->registry, tracked, ERROR_TIMEOUT, job->message, 1780000000000);
		break;
	case 2:
		job->message[0] = '\0';
		registry_clear_error(m->registry, tracked);
		break;
	case 3:
		job->terms = (struct job_terms){
		        .overdue_after_ms = (int64_t)rng_below(&m->rng, 4) * 3600000};
		registry_set_terms(m->registry, tracked, &job->terms);
		break;
	case 4:
		if (job->key)
			break;
		job->key = ++m->last_key;
		registry_set_key(m->registry, tracked, job->key);
		break;
	default:
		change_job(m, job);
	}
}

START_TEST(test_against_a_model)
{
	struct model *m = MEM_NEW(struct model);

	m->registry = registry_new();
	seed_rng(&m->rng, "test_against_a_model");
	for (int step = 0; step < STEPS; step++) {
		size_t i = rng_below(&m->rng, JOBS);
		struct model_job *job = &m->jobs[i];

		if (!job->tracked) {
			add(m, i);
		} else if (rng_below(&m->rng, 10) < (step / 6000 % 2 ? 7 : 1)) {
			registry_remove(m->registry, job->tracked);
			job->tracked = NULL;
			m->n--;
		} else {
			change(m, job);
		}
		if (step % CHECK_EVERY == 0)
			check_all(m, step);
	}
	check_all(m, STEPS);
	registry_free(m->registry);
	free(m);
}
END_TEST

START_TEST(test_ids)
{
	static const char *const ids[] = {"0", "00", "000", "7", "07", "99999999999999999999",
	        "00000000000000000000", "12345678901234567890", "1234567890123456789"};
	struct registry *registry = registry_new();

	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		ck_assert_ptr_null(registry_find(registry, 0, ids[i]));
		ck_assert_str_eq(tracked_id(registry_add(registry, 0, ids[i])).text, ids[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		ck_assert_str_eq(tracked_id(registry_find(registry, 0, ids[i])).text, ids[i]);
		ck_assert_ptr_null(registry_find(registry, 1, ids[i]));
	}
	ck_assert_ptr_null(registry_find(registry, 0, ""));
	ck_assert_ptr_null(registry_find(registry, 0, "7x"));
	ck_assert_ptr_null(registry_find(registry, 0, "x"));
	ck_assert_ptr_null(registry_find(registry, 0, "000000000000000000007"));
	registry_free(registry);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("registry");
	TCase *tests = tcase_create("registry");
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, test_against_a_model);
	tcase_add_test(tests, test_ids);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

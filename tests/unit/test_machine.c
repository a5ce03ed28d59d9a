/*
 * The life of a job: every pair of what it is and what was observed is a row of a table; then what
 * takes more than one answer (LOST, revival, overdue); then random lives against the invariants.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/machine.h"
#include "seed.h"
#include "util/mem.h"
#include "util/str.h"

static const struct poll_policy policy = {
        .min_interval_ms = 15000,
        .max_interval_ms = 300000,
        .polls_per_job = 20,
        .overdue_after_ms = 86400000,
        .lost_after_ms = 600000,
};

static const struct now start = {.mono_ms = 5000000, .wall_ms = INT64_C(1800000000000)};

/* Watched for an hour. */
static struct job job_in(const char *state)
{
	return (struct job){
	        .state = state,
	        .kind = (uint8_t)job_kind_of(state),
	        .watched_mono_ms = start.mono_ms - 3600000,
	        .since_wall_ms = start.wall_ms - 1800000,
	        .n_failures = 2,
	};
}

static struct observation observed(enum observation_kind kind, const char *state)
{
	return (struct observation){
	        .kind = kind,
	        .error = kind == OBSERVED_STATUS ? ERROR_NONE : ERROR_BROKEN,
	        .retry_after_ms = -1,
	        .state = state,
	};
}

static struct now later(int64_t ms)
{
	return (struct now){.mono_ms = start.mono_ms + ms, .wall_ms = start.wall_ms + ms};
}

/* ---- the table ---- */

enum wait_class {
	WAIT_INTERVAL, /* by the job's age */
	WAIT_RETRY,    /* with jitter, by its failures */
	WAIT_NEVER,
};

static const struct row {
	const char *before;
	enum observation_kind kind;
	const char *said; /* of OBSERVED_STATUS */
	const char *after;
	enum event_type event;
	const char *from, *to; /* of the event */
	enum wait_class wait;
	unsigned n_failures; /* after; 2 before */
} rows[] = {
/* Whatever is no document and no "no such job" moves nothing; neither does one "no such job". */
#define MOVES_NOTHING(state)                                                                       \
	{state, OBSERVED_NOT_FOUND, NULL, state, EVENT_NONE, NULL, NULL, WAIT_RETRY, 3},           \
	        {state, OBSERVED_THROTTLED, NULL, state, EVENT_NONE, NULL, NULL, WAIT_RETRY, 3},   \
	        {state, OBSERVED_REFUSED, NULL, state, EVENT_NONE, NULL, NULL, WAIT_RETRY, 3},     \
	        {state, OBSERVED_UNREACHABLE, NULL, state, EVENT_NONE, NULL, NULL, WAIT_RETRY, 3}, \
	{                                                                                          \
		state, OBSERVED_GARBLED, NULL, state, EVENT_NONE, NULL, NULL, WAIT_RETRY, 3        \
	}
/* After the end nothing counts. */
#define IS_OVER(state)                                                                             \
	{state, OBSERVED_STATUS, "ADDED", state, EVENT_NONE, NULL, NULL, WAIT_NEVER, 2},           \
	        {state, OBSERVED_NOT_FOUND, NULL, state, EVENT_NONE, NULL, NULL, WAIT_NEVER, 2},   \
	        {state, OBSERVED_THROTTLED, NULL, state, EVENT_NONE, NULL, NULL, WAIT_NEVER, 2},   \
	        {state, OBSERVED_REFUSED, NULL, state, EVENT_NONE, NULL, NULL, WAIT_NEVER, 2},     \
	        {state, OBSERVED_UNREACHABLE, NULL, state, EVENT_NONE, NULL, NULL, WAIT_NEVER, 2}, \
	{                                                                                          \
		state, OBSERVED_GARBLED, NULL, state, EVENT_NONE, NULL, NULL, WAIT_NEVER, 2        \
	}
#define SAID(state, word, event, from, wait)                                                       \
	{                                                                                          \
		state, OBSERVED_STATUS, word, word, event, from, word, wait, 0                     \
	}
#define SAID_ALL(state, from)                                                                      \
	SAID(state, "ADDED", EVENT_JOB_ADDED, from, WAIT_INTERVAL),                                \
	        SAID(state, "QUEUED", EVENT_JOB_QUEUED, from, WAIT_INTERVAL),                      \
	        SAID(state, "IN PROGRESS", EVENT_JOB_IN_PROGRESS, from, WAIT_INTERVAL),            \
	        SAID(state, "COMPLETED", EVENT_JOB_COMPLETED, from, WAIT_NEVER),                   \
	        SAID(state, "FAILURE", EVENT_JOB_FAILED, from, WAIT_NEVER),                        \
	        SAID(state, "FAILED", EVENT_JOB_FAILED, from, WAIT_NEVER),                         \
	        SAID(state, "PARKED", EVENT_JOB_UNKNOWN_STATE, from, WAIT_INTERVAL)
#define SAID_AGAIN(state)                                                                          \
	{                                                                                          \
		state, OBSERVED_STATUS, state, state, EVENT_NONE, NULL, NULL, WAIT_INTERVAL, 0     \
	}
        SAID_ALL("PENDING", NULL),
        MOVES_NOTHING("PENDING"),
        SAID_AGAIN("ADDED"),
        SAID("ADDED", "QUEUED", EVENT_JOB_QUEUED, "ADDED", WAIT_INTERVAL),
        SAID("ADDED", "IN PROGRESS", EVENT_JOB_IN_PROGRESS, "ADDED", WAIT_INTERVAL),
        SAID("ADDED", "COMPLETED", EVENT_JOB_COMPLETED, "ADDED", WAIT_NEVER),
        SAID("ADDED", "FAILURE", EVENT_JOB_FAILED, "ADDED", WAIT_NEVER),
        SAID("ADDED", "FAILED", EVENT_JOB_FAILED, "ADDED", WAIT_NEVER),
        SAID("ADDED", "PARKED", EVENT_JOB_UNKNOWN_STATE, "ADDED", WAIT_INTERVAL),
        MOVES_NOTHING("ADDED"),
        SAID_AGAIN("QUEUED"),
        SAID("QUEUED", "ADDED", EVENT_JOB_ADDED, "QUEUED", WAIT_INTERVAL),
        SAID("QUEUED", "IN PROGRESS", EVENT_JOB_IN_PROGRESS, "QUEUED", WAIT_INTERVAL),
        SAID("QUEUED", "COMPLETED", EVENT_JOB_COMPLETED, "QUEUED", WAIT_NEVER),
        SAID("QUEUED", "FAILURE", EVENT_JOB_FAILED, "QUEUED", WAIT_NEVER),
        MOVES_NOTHING("QUEUED"),
        SAID_AGAIN("IN PROGRESS"),
        SAID("IN PROGRESS", "ADDED", EVENT_JOB_ADDED, "IN PROGRESS", WAIT_INTERVAL),
        SAID("IN PROGRESS", "QUEUED", EVENT_JOB_QUEUED, "IN PROGRESS", WAIT_INTERVAL),
        SAID("IN PROGRESS", "COMPLETED", EVENT_JOB_COMPLETED, "IN PROGRESS", WAIT_NEVER),
        SAID("IN PROGRESS", "FAILURE", EVENT_JOB_FAILED, "IN PROGRESS", WAIT_NEVER),
        MOVES_NOTHING("IN PROGRESS"),
        SAID_ALL("WAITING FOR GODOT", "WAITING FOR GODOT"),
        SAID_AGAIN("PARKED"),
        SAID("PARKED", "parked", EVENT_JOB_UNKNOWN_STATE, "PARKED", WAIT_INTERVAL),
        MOVES_NOTHING("PARKED"),
        IS_OVER("COMPLETED"),
        IS_OVER("FAILURE"),
        IS_OVER("FAILED"),
        IS_OVER("LOST"),
};

static void check_wait(const struct row *row, const struct step *step, uint64_t random)
{
	int64_t expected = -1;

	if (row->wait == WAIT_INTERVAL)
		expected = schedule_interval_ms(&policy, 3600000);
	else if (row->wait == WAIT_RETRY)
		expected = schedule_retry_ms(&policy, row->n_failures, -1, random);
	ck_assert_int_eq(step->wait_ms, expected);
}

START_TEST(test_table)
{
	const struct row *row = &rows[_i];
	const uint64_t random = UINT64_C(0x123456789abcdef) * (uint64_t)(_i + 1);
	struct job before = job_in(row->before);
	struct observation observation = observed(row->kind, row->said);
	struct step step = machine_step(&before, &observation, &policy, false, start, random);

	ck_assert_str_eq(step.job.state, row->after);
	ck_assert_int_eq(step.job.kind, job_kind_of(row->after));
	ck_assert_uint_eq(step.job.n_failures, row->n_failures);
	ck_assert_uint_eq(step.job.n_not_found,
	        row->kind == OBSERVED_NOT_FOUND && row->wait == WAIT_RETRY ? 1 : 0);
	ck_assert(!step.wants_account_pause);
	check_wait(row, &step, random);
	if (row->event == EVENT_NONE) {
		ck_assert_uint_eq(step.n_events, 0);
		ck_assert_int_eq(step.job.since_wall_ms, before.since_wall_ms);
	} else {
		ck_assert_uint_eq(step.n_events, 1);
		ck_assert_int_eq(step.events[0].type, row->event);
		ck_assert(str_is_equal(step.events[0].from_state, row->from));
		ck_assert(str_is_equal(step.events[0].to_state, row->to));
		ck_assert_int_eq(step.job.since_wall_ms, start.wall_ms);
	}
	ck_assert_int_eq(step.job.watched_mono_ms, before.watched_mono_ms);
	ck_assert_int_eq(job_is_polled(&step.job), row->wait != WAIT_NEVER);
}
END_TEST

START_TEST(test_table_is_total)
{
	bool is_there[JOB_KINDS][OBSERVATION_KINDS] = {0};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		is_there[job_kind_of(rows[i].before)][rows[i].kind] = true;
	for (int kind = 0; kind < JOB_KINDS; kind++) {
		for (int seen = 0; seen < OBSERVATION_KINDS; seen++)
			ck_assert_msg(is_there[kind][seen], "no row of %d and %d", kind, seen);
	}
}
END_TEST

/* ---- what takes more than one answer ---- */

/* One "no such job" after another, at these times; what the job is after the last. */
static struct step not_found_at(struct job *job, const int64_t *at_ms, size_t n)
{
	struct observation observation = observed(OBSERVED_NOT_FOUND, NULL);
	struct step step = {0};

	for (size_t i = 0; i < n; i++) {
		step = machine_step(job, &observation, &policy, false, later(at_ms[i]), 0);
		*job = step.job;
	}
	return step;
}

START_TEST(test_lost_takes_three_answers_over_lost_after)
{
	static const struct {
		int64_t at_ms[5];
		size_t n;
		bool is_lost;
	} lives[] = {
	        {{0, 600000}, 2, false}, /* long enough, too few */
	        {{0, 1000, 2000}, 3, false},
	        {{0, 1000, 599999}, 3, false},
	        {{0, 1000, 600000}, 3, true},
	        {{0, 1000, 2000, 3000, 600000}, 5, true},
	        {{0, 599998, 599999, 600000}, 4, true},
	};
	struct job job = job_in("ADDED");
	struct step step;

	for (size_t i = 0; i < ARRAY_LEN(lives); i++) {
		job = job_in("ADDED");
		step = not_found_at(&job, lives[i].at_ms, lives[i].n);
		ck_assert_str_eq(job.state, lives[i].is_lost ? "LOST" : "ADDED");
		ck_assert_uint_eq(step.n_events, lives[i].is_lost);
		if (!lives[i].is_lost) {
			ck_assert_int_ge(step.wait_ms, policy.min_interval_ms);
			continue;
		}
		ck_assert_int_eq(step.wait_ms, -1);
		ck_assert_int_eq(step.events[0].type, EVENT_JOB_LOST);
		ck_assert_str_eq(step.events[0].from_state, "ADDED");
		ck_assert_str_eq(step.events[0].to_state, "LOST");
		ck_assert(!job_is_polled(&job));
	}
	/* At the first look, too: from_state is null then. */
	job = job_in("PENDING");
	step = not_found_at(&job, (const int64_t[]){0, 1, 600000}, 3);
	ck_assert_str_eq(job.state, "LOST");
	ck_assert_ptr_null(step.events[0].from_state);
}
END_TEST

START_TEST(test_document_ends_the_row_and_failures_do_not)
{
	struct observation document = observed(OBSERVED_STATUS, "ADDED");
	struct observation failure = observed(OBSERVED_UNREACHABLE, NULL);
	struct job job = job_in("ADDED");
	struct step step;

	not_found_at(&job, (const int64_t[]){0, 300000}, 2);
	step = machine_step(&job, &document, &policy, false, later(600000), 0);
	job = step.job;
	ck_assert_uint_eq(job.n_not_found, 0);
	not_found_at(&job, (const int64_t[]){600001, 900000}, 2);
	ck_assert_str_eq(job.state, "ADDED");
	step = machine_step(&job, &failure, &policy, false, later(5000000), 0);
	job = step.job;
	ck_assert_str_eq(job.state, "ADDED");
	ck_assert_uint_eq(step.n_events, 0);
	not_found_at(&job, (const int64_t[]){5000001}, 1);
	ck_assert_str_eq(job.state, "LOST");
}
END_TEST

START_TEST(test_account_lost_wants_a_pause_instead)
{
	struct observation observation = observed(OBSERVED_NOT_FOUND, NULL);
	struct job job = job_in("QUEUED");
	struct step step;

	for (int i = 0; i < 300; i++) {
		step = machine_step(&job, &observation, &policy, true, later(i * 300000), 0);
		ck_assert_int_eq(step.wants_account_pause, i >= 2);
		ck_assert_str_eq(step.job.state, "QUEUED");
		ck_assert_uint_eq(step.n_events, 0);
		ck_assert_int_ge(step.wait_ms, policy.min_interval_ms);
		ck_assert_int_le(step.wait_ms, policy.max_interval_ms);
		job = step.job;
	}
	/* As soon as another job of the account is known, this one is lost. */
	step = machine_step(&job, &observation, &policy, false, later(300 * 300000), 0);
	ck_assert_str_eq(step.job.state, "LOST");
	ck_assert(!step.wants_account_pause);
}
END_TEST

START_TEST(test_revived_lost_job)
{
	struct observation document = observed(OBSERVED_STATUS, "COMPLETED");
	struct observation failure = observed(OBSERVED_UNREACHABLE, NULL);
	struct job job = job_in("LOST");
	struct step step;

	job.is_revived = true;
	ck_assert(job_is_polled(&job));
	/* It is asked on while nothing is known. */
	step = machine_step(&job, &failure, &policy, false, start, 0);
	ck_assert_str_eq(step.job.state, "LOST");
	ck_assert(job_is_polled(&step.job));
	ck_assert_int_ge(step.wait_ms, policy.min_interval_ms);
	ck_assert_uint_eq(step.n_events, 0);
	/* A document counts as ever. */
	step = machine_step(&job, &document, &policy, false, start, 0);
	ck_assert_str_eq(step.job.state, "COMPLETED");
	ck_assert_uint_eq(step.n_events, 1);
	ck_assert_int_eq(step.events[0].type, EVENT_JOB_COMPLETED);
	ck_assert_str_eq(step.events[0].from_state, "LOST");
	ck_assert_int_eq(step.wait_ms, -1);
	document.state = "ADDED";
	step = machine_step(&job, &document, &policy, false, start, 0);
	ck_assert_str_eq(step.job.state, "ADDED");
	ck_assert(!step.job.is_revived);
	ck_assert(job_is_polled(&step.job));
	/* Lost once more: it rests again, and that is no event. */
	step = not_found_at(&job, (const int64_t[]){0, 1000, 600000}, 3);
	ck_assert_str_eq(job.state, "LOST");
	ck_assert(!job.is_revived);
	ck_assert(!job_is_polled(&job));
	ck_assert_uint_eq(step.n_events, 0);
	ck_assert_int_eq(step.wait_ms, -1);
}
END_TEST

START_TEST(test_only_lost_is_revived)
{
	struct observation document = observed(OBSERVED_STATUS, "ADDED");
	struct step step;

	for (size_t i = 0; i < 3; i++) {
		struct job job = job_in((const char *const[]){"COMPLETED", "FAILURE", "FAILED"}[i]);

		ck_assert(!job_is_polled(&job));
		step = machine_step(&job, &document, &policy, false, start, 0);
		ck_assert_mem_eq(&step.job, &job, sizeof(job));
	}
}
END_TEST

START_TEST(test_counters_stop_at_their_ends)
{
	struct observation failure = observed(OBSERVED_GARBLED, NULL);
	struct observation not_found = observed(OBSERVED_NOT_FOUND, NULL);
	struct job job = job_in("ADDED");

	for (int i = 0; i < 70000; i++)
		job = machine_step(&job, &failure, &policy, false, start, 0).job;
	ck_assert_uint_eq(job.n_failures, UINT16_MAX);
	for (int i = 0; i < 300; i++)
		job = machine_step(&job, &not_found, &policy, false, start, 0).job;
	ck_assert_uint_eq(job.n_not_found, UINT8_MAX);
	ck_assert_str_eq(job.state, "ADDED");
}
END_TEST

START_TEST(test_retry_after_is_a_floor)
{
	struct observation throttled = observed(OBSERVED_THROTTLED, NULL);
	struct job job = job_in("ADDED");

	throttled.retry_after_ms = 100000;
	ck_assert_int_eq(machine_step(&job, &throttled, &policy, false, start, 0).wait_ms, 100000);
	throttled.retry_after_ms = RETRY_AFTER_MAX_MS;
	ck_assert_int_eq(machine_step(&job, &throttled, &policy, false, start, 0).wait_ms,
	        policy.max_interval_ms);
}
END_TEST

/* Asked again max_interval after it was asked, or at once if the answer took longer. */
START_TEST(test_max_interval_runs_from_the_request)
{
	struct observation document = observed(OBSERVED_STATUS, "ADDED");
	struct observation failure = observed(OBSERVED_UNREACHABLE, NULL);
	struct now old = {.mono_ms = start.mono_ms + 100 * policy.max_interval_ms};
	struct job job = job_in("ADDED");

	failure.retry_after_ms = policy.max_interval_ms;
	for (int64_t took_ms = 0; took_ms < 3 * policy.max_interval_ms; took_ms += 1000) {
		int64_t left = policy.max_interval_ms - took_ms;

		document.took_ms = failure.took_ms = took_ms;
		ck_assert_int_eq(machine_step(&job, &document, &policy, false, old, 0).wait_ms,
		        left > 0 ? left : 0);
		ck_assert_int_eq(machine_step(&job, &failure, &policy, false, old, 0).wait_ms,
		        left > 0 ? left : 0);
	}
}
END_TEST

/* However long the last answer took: a job that is over is not asked once more. */
START_TEST(test_a_slow_answer_ends_it_too)
{
	struct observation completed = observed(OBSERVED_STATUS, "COMPLETED");
	struct observation unknown = observed(OBSERVED_NOT_FOUND, NULL);
	struct job job = job_in("IN PROGRESS"), gone = job_in("IN PROGRESS");

	gone.n_not_found = LOST_AFTER_ANSWERS - 1;
	gone.not_found_since_mono_ms = start.mono_ms - policy.lost_after_ms;
	completed.took_ms = unknown.took_ms = 3 * policy.max_interval_ms;
	ck_assert_int_eq(machine_step(&job, &completed, &policy, false, start, 0).wait_ms, -1);
	ck_assert_int_eq(machine_step(&gone, &unknown, &policy, false, start, 0).wait_ms, -1);
}
END_TEST

START_TEST(test_wall_clock_does_not_move_the_waits)
{
	struct observation document = observed(OBSERVED_STATUS, "ADDED");
	struct job job = job_in("ADDED");
	int64_t wait_ms = machine_step(&job, &document, &policy, false, start, 0).wait_ms;
	struct now back = {.mono_ms = start.mono_ms, .wall_ms = 0};
	struct now ahead = {.mono_ms = start.mono_ms, .wall_ms = start.wall_ms * 2};

	ck_assert_int_eq(machine_step(&job, &document, &policy, false, back, 0).wait_ms, wait_ms);
	ck_assert_int_eq(machine_step(&job, &document, &policy, false, ahead, 0).wait_ms, wait_ms);
}
END_TEST

START_TEST(test_overdue)
{
	struct job job = job_in("IN PROGRESS");
	struct step step;

	ck_assert_int_eq(machine_overdue_at_mono_ms(&job, &policy),
	        job.watched_mono_ms + policy.overdue_after_ms);
	step = machine_tell_overdue(&job);
	ck_assert_uint_eq(step.n_events, 1);
	ck_assert_int_eq(step.events[0].type, EVENT_JOB_OVERDUE);
	ck_assert_str_eq(step.events[0].from_state, "IN PROGRESS");
	ck_assert_str_eq(step.events[0].to_state, "IN PROGRESS");
	ck_assert_str_eq(step.job.state, "IN PROGRESS");
	ck_assert_int_eq(step.job.since_wall_ms, job.since_wall_ms);
	ck_assert(job_is_polled(&step.job));
	/* Once only. */
	ck_assert_int_eq(machine_overdue_at_mono_ms(&step.job, &policy), INT64_MAX);
	/* PENDING never stands in an event. */
	job = job_in("PENDING");
	step = machine_tell_overdue(&job);
	ck_assert_ptr_null(step.events[0].from_state);
	ck_assert_ptr_null(step.events[0].to_state);
	for (size_t i = 0; i < 4; i++) {
		job = job_in((const char *const[]){"COMPLETED", "FAILURE", "FAILED", "LOST"}[i]);
		ck_assert_int_eq(machine_overdue_at_mono_ms(&job, &policy), INT64_MAX);
	}
}
END_TEST

/* ---- random lives ---- */

struct life {
	struct rng rng;
	struct now now;
	struct poll_policy policy;
	struct job job;
	const char *last_told; /* to_state of the latest event */
	unsigned n_not_found;  /* since the last document */
	int64_t not_found_since_mono_ms;
	bool is_account_lost;
};

static struct observation life_observe(struct life *life)
{
	static const char *const states[] = {"ADDED", "ADDED", "QUEUED", "IN PROGRESS",
	        "IN PROGRESS", "PARKED", "COMPLETED", "FAILURE", "FAILED"};
	struct observation observation =
	        observed((enum observation_kind)rng_below(&life->rng, OBSERVATION_KINDS), NULL);

	if (observation.kind == OBSERVED_STATUS)
		observation.state = states[rng_below(&life->rng, ARRAY_LEN(states))];
	else if (rng_below(&life->rng, 5) == 0)
		observation.retry_after_ms = (int64_t)rng_below(&life->rng, RETRY_AFTER_MAX_MS);
	return observation;
}

static void life_begin(struct life *life)
{
	int64_t min_ms = 10 + (int64_t)rng_below(&life->rng, 20000);

	life->now = start;
	life->policy = (struct poll_policy){
	        .min_interval_ms = min_ms,
	        .max_interval_ms = min_ms + (int64_t)rng_below(&life->rng, 600000),
	        .polls_per_job = 1 + (int64_t)rng_below(&life->rng, 100),
	        .overdue_after_ms = 1 + (int64_t)rng_below(&life->rng, 86400000),
	        .lost_after_ms = (int64_t)rng_below(&life->rng, 600000),
	};
	life->job = (struct job){.state = JOB_STATE_PENDING,
	        .kind = JOB_PENDING,
	        .watched_mono_ms = start.mono_ms,
	        .since_wall_ms = start.wall_ms};
	life->last_told = NULL;
	life->n_not_found = 0;
	life->is_account_lost = rng_below(&life->rng, 4) == 0;
}

/* What may become of the state, and what is told of it. */
static void life_check_state(
        struct life *life, const struct observation *observation, const struct step *step)
{
	const struct job *before = &life->job;
	bool is_changed = strcmp(step->job.state, before->state) != 0;
	bool may_be_lost =
	        life->n_not_found >= 3 &&
	        life->now.mono_ms - life->not_found_since_mono_ms >= life->policy.lost_after_ms;

	ck_assert_uint_eq(step->n_events, is_changed);
	ck_assert_int_eq(step->job.kind, job_kind_of(step->job.state));
	if (is_changed && observation->kind == OBSERVED_STATUS) {
		ck_assert_str_eq(step->job.state, observation->state);
	} else if (is_changed) {
		ck_assert_int_eq(observation->kind, OBSERVED_NOT_FOUND);
		ck_assert_str_eq(step->job.state, JOB_STATE_LOST);
		ck_assert(may_be_lost && !life->is_account_lost);
	}
	ck_assert(!step->wants_account_pause || (may_be_lost && life->is_account_lost));
	if (is_changed) {
		ck_assert(str_is_equal(step->events[0].from_state, life->last_told));
		ck_assert_str_eq(step->events[0].to_state, step->job.state);
		life->last_told = step->events[0].to_state;
	}
	ck_assert_int_eq(
	        step->job.since_wall_ms, is_changed ? life->now.wall_ms : before->since_wall_ms);
}

/* False after the end. */
static bool life_step(struct life *life)
{
	struct observation observation = life_observe(life);
	struct step step;

	if (observation.kind == OBSERVED_STATUS)
		life->n_not_found = 0;
	else if (observation.kind == OBSERVED_NOT_FOUND && life->n_not_found++ == 0)
		life->not_found_since_mono_ms = life->now.mono_ms;
	step = machine_step(&life->job, &observation, &life->policy, life->is_account_lost,
	        life->now, rng_next(&life->rng));
	life_check_state(life, &observation, &step);
	ck_assert_int_eq(step.wait_ms == -1, !job_is_polled(&step.job));
	if (step.wait_ms != -1) {
		ck_assert_int_ge(step.wait_ms, life->policy.min_interval_ms);
		ck_assert_int_le(step.wait_ms, life->policy.max_interval_ms);
	}
	life->job = step.job;
	life->now.mono_ms += step.wait_ms > 0 ? step.wait_ms : 1;
	/* The wall clock may jump either way. */
	life->now.wall_ms += rng_below(&life->rng, 50)
	                             ? step.wait_ms
	                             : (int64_t)rng_below(&life->rng, 200000000) - 100000000;
	if (!job_is_polled(&life->job) && life->job.kind == JOB_LOST && rng_below(&life->rng, 2))
		life->job.is_revived = true;
	return job_is_polled(&life->job);
}

START_TEST(test_random_lives)
{
	enum { LIVES = 2000, STEPS_MAX = 300 };
	struct life life = {0};
	size_t n_of[JOB_KINDS] = {0};

	seed_rng(&life.rng, "test_random_lives");
	for (int i = 0; i < LIVES; i++) {
		life_begin(&life);
		for (int step = 0; step < STEPS_MAX && life_step(&life); step++)
			;
		n_of[life.job.kind]++;
		if (job_is_polled(&life.job))
			continue;
		/* After the end no answer whatever moves it. */
		for (int late = 0; late < 10; late++) {
			struct observation observation = life_observe(&life);
			struct step step = machine_step(&life.job, &observation, &life.policy,
			        false, life.now, rng_next(&life.rng));

			ck_assert_mem_eq(&step.job, &life.job, sizeof(life.job));
			ck_assert_uint_eq(step.n_events, 0);
			ck_assert_int_eq(step.wait_ms, -1);
		}
	}
	/* The dice reach every end. */
	ck_assert(n_of[JOB_COMPLETED] > 0 && n_of[JOB_FAILURE] > 0 && n_of[JOB_LOST] > 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("machine");
	TCase *tests = tcase_create("machine");
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, test_table, 0, ARRAY_LEN(rows));
	tcase_add_test(tests, test_table_is_total);
	tcase_add_test(tests, test_lost_takes_three_answers_over_lost_after);
	tcase_add_test(tests, test_document_ends_the_row_and_failures_do_not);
	tcase_add_test(tests, test_account_lost_wants_a_pause_instead);
	tcase_add_test(tests, test_revived_lost_job);
	tcase_add_test(tests, test_only_lost_is_revived);
	tcase_add_test(tests, test_counters_stop_at_their_ends);
	tcase_add_test(tests, test_retry_after_is_a_floor);
	tcase_add_test(tests, test_max_interval_runs_from_the_request);
	tcase_add_test(tests, test_a_slow_answer_ends_it_too);
	tcase_add_test(tests, test_wall_clock_does_not_move_the_waits);
	tcase_add_test(tests, test_overdue);
	tcase_add_test(tests, test_random_lives);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

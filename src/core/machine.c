/*
 * The life of a job.
 *
 *      watched                    every word of Zoho's may follow every other
 *         |                    +----------------------------------------------+
 *         v                    v                                              |
 *     PENDING --STATUS--> ADDED, QUEUED, IN PROGRESS, unknown words --STATUS--+
 *         |                    |                |
 *         |                    |                +--STATUS--> COMPLETED | FAILURE | FAILED   (end)
 *         +-----NOT_FOUND------+
 *           LOST_AFTER_ANSWERS times in a row, over lost_after at least
 *                     |
 *                     v
 *                   LOST   (end, but somebody's wish to poll revives it: any STATUS then counts)
 *
 *     THROTTLED, REFUSED, UNREACHABLE, GARBLED never move a job: they put off its next poll.
 */
#include "core/machine.h"

#include <stdint.h>
#include <string.h>

static int64_t age_ms(const struct job *job, struct now now)
{
	return now.mono_ms > job->watched_mono_ms ? now.mono_ms - job->watched_mono_ms : 0;
}

static enum event_type event_of_kind(enum job_kind kind)
{
	static const enum event_type types[JOB_KINDS] = {
	        [JOB_ADDED] = EVENT_JOB_ADDED,
	        [JOB_QUEUED] = EVENT_JOB_QUEUED,
	        [JOB_IN_PROGRESS] = EVENT_JOB_IN_PROGRESS,
	        [JOB_COMPLETED] = EVENT_JOB_COMPLETED,
	        [JOB_FAILURE] = EVENT_JOB_FAILED,
	        [JOB_LOST] = EVENT_JOB_LOST,
	        [JOB_UNKNOWN] = EVENT_JOB_UNKNOWN_STATE,
	};
	return types[kind];
}

static void add_event(struct step *step, enum event_type type, const char *from, const char *to)
{
	step->events[step->n_events++] =
	        (struct step_event){.type = type, .from_state = from, .to_state = to};
}

static void move(struct step *step, const char *state, struct now now)
{
	struct job *job = &step->job;
	const char *from = job->kind == JOB_PENDING ? NULL : job->state;

	job->state = state;
	job->kind = (uint8_t)job_kind_of(state);
	job->since_wall_ms = now.wall_ms;
	add_event(step, event_of_kind((enum job_kind)job->kind), from, state);
}

static void count_failure(struct job *job)
{
	if (job->n_failures < UINT16_MAX)
		job->n_failures++;
}

static void on_status(struct step *step, const struct observation *observation,
        const struct poll_policy *policy, struct now now, uint64_t random)
{
	struct job *job = &step->job;
	bool is_first = job->kind == JOB_PENDING;

	job->n_failures = 0;
	job->n_not_found = 0;
	job->is_revived = false;
	if (strcmp(job->state, observation->state) != 0)
		move(step, observation->state, now);
	step->wait_ms = job_is_polled(job)
	                        ? schedule_next_ms(policy, age_ms(job, now), is_first, random)
	                        : -1;
}

static bool is_lost(const struct job *job, const struct poll_policy *policy, struct now now)
{
	return job->n_not_found >= LOST_AFTER_ANSWERS &&
	       now.mono_ms - job->not_found_since_mono_ms >= policy->lost_after_ms;
}

static void on_not_found(struct step *step, const struct poll_policy *policy, bool is_account_lost,
        struct now now, uint64_t random)
{
	struct job *job = &step->job;

	count_failure(job);
	if (job->n_not_found == 0)
		job->not_found_since_mono_ms = now.mono_ms;
	if (job->n_not_found < UINT8_MAX)
		job->n_not_found++;
	step->wait_ms = schedule_retry_ms(policy, job->n_failures, -1, random);
	if (!is_lost(job, policy, now))
		return;
	if (is_account_lost) {
		step->wants_account_pause = true;
		return;
	}
	if (job->kind != JOB_LOST)
		move(step, JOB_STATE_LOST, now);
	job->is_revived = false;
	step->wait_ms = -1;
}

/* From request to request it is never longer than max_interval, however long the answer took. What
 * is over (-1) stays so. */
static int64_t wait_from_answer_ms(
        int64_t wait_ms, const struct observation *observation, const struct poll_policy *policy)
{
	int64_t latest = policy->max_interval_ms - observation->took_ms;

	if (wait_ms < 0 || wait_ms <= latest)
		return wait_ms;
	return latest > 0 ? latest : 0;
}

struct step machine_step(const struct job *job, const struct observation *observation,
        const struct poll_policy *policy, bool is_account_lost, struct now now, uint64_t random)
{
	struct step step = {.job = *job, .wait_ms = -1};

	if (!job_is_polled(job))
		return step; /* an answer that came after the end */
	switch (observation->kind) {
	case OBSERVED_STATUS:
		on_status(&step, observation, policy, now, random);
		break;
	case OBSERVED_NOT_FOUND:
		on_not_found(&step, policy, is_account_lost, now, random);
		break;
	case OBSERVED_THROTTLED:
	case OBSERVED_REFUSED:
	case OBSERVED_UNREACHABLE:
	case OBSERVED_GARBLED:
		count_failure(&step.job);
		step.wait_ms = schedule_retry_ms(
		        policy, step.job.n_failures, observation->retry_after_ms, random);
		break;
	}
	step.wait_ms = wait_from_answer_ms(step.wait_ms, observation, policy);
	return step;
}

int64_t machine_overdue_at_mono_ms(const struct job *job, const struct poll_policy *policy)
{
	if (job->is_overdue_told || job_kind_is_finished((enum job_kind)job->kind))
		return INT64_MAX;
	return job->watched_mono_ms + policy->overdue_after_ms;
}

struct step machine_tell_overdue(const struct job *job)
{
	struct step step = {.job = *job};
	const char *state = job->kind == JOB_PENDING ? NULL : job->state;

	step.job.is_overdue_told = true;
	add_event(&step, EVENT_JOB_OVERDUE, state, state);
	return step;
}

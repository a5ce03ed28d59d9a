/*
 * What becomes of a job when Zoho was asked: the whole life of a job is decided here.
 *
 * Pure: the job as it is, what was observed, the policy and the time go in; the job as it shall be,
 * the events to record and the next poll come out. Nothing is stored or sent here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/event.h"
#include "core/job.h"
#include "core/observe.h"
#include "core/schedule.h"
#include "util/clock.h"

enum { STEP_EVENTS_MAX = 2 };

struct step_event {
	enum event_type type;
	const char *from_state, *to_state; /* NULL = null; borrowed from job and observation */
};

struct step {
	struct job job; /* job.state may point into the observation: intern it before that goes */
	struct step_event events[STEP_EVENTS_MAX];
	size_t n_events;
	int64_t wait_ms; /* to the next poll; -1 = never again */
	/* Three times unknown, but so is every job of the account: the account shall be paused
	 * instead. */
	bool wants_account_pause;
};

/* is_account_lost: every job of the account (three at least) is unknown to Zoho, this one included.
 */
struct step machine_step(const struct job *job, const struct observation *observation,
        const struct poll_policy *policy, bool is_account_lost, struct now now, uint64_t random);

/* When the event job.overdue is due (mono time, ms); INT64_MAX = never: told already, or finished.
 */
int64_t machine_overdue_at_mono_ms(const struct job *job, const struct poll_policy *policy);
/* Tells it: the job after, one event, no change of the next poll (wait_ms is meaningless). */
struct step machine_tell_overdue(const struct job *job);

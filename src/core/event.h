/*
 * The kinds of events that the journal holds, and sets of them as hooks name them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The numbers are stored in the database: append only. */
enum event_type {
	EVENT_NONE = 0,
	EVENT_JOB_WATCHED = 1,
	EVENT_JOB_ADDED = 2,
	EVENT_JOB_QUEUED = 3,
	EVENT_JOB_IN_PROGRESS = 4,
	EVENT_JOB_COMPLETED = 5,
	EVENT_JOB_FAILED = 6,
	EVENT_JOB_LOST = 7,
	EVENT_JOB_OVERDUE = 8,
	EVENT_JOB_UNKNOWN_STATE = 9,
	EVENT_JOB_UNWATCHED = 10,
	EVENT_ACCOUNT_PAUSED = 11,
	EVENT_ACCOUNT_RESUMED = 12,
	EVENT_HOOK_DEAD = 13,
	EVENT_TYPES = 14, /* one more than the last */
};

/* Bit 1 << type. */
typedef uint32_t event_set;

#define EVENT_SET_FINISHED                                                                         \
	((1u << EVENT_JOB_COMPLETED) | (1u << EVENT_JOB_FAILED) | (1u << EVENT_JOB_LOST))

/* "job.completed"; NULL for EVENT_NONE and out of range. */
const char *event_type_name(enum event_type type);
/* EVENT_NONE if nobody knows the word. */
enum event_type event_type_by_name(const char *name);
/* A type's name, "job.*", "account.*", "hook.*" or "*": the set, or 0 if nobody knows it. */
event_set event_set_by_name(const char *name);
/* Names the event speaks of a job (and not of an account or a hook alone). */
bool event_type_is_of_job(enum event_type type);

static inline bool event_set_has(event_set set, enum event_type type)
{
	return (set >> type) & 1u;
}

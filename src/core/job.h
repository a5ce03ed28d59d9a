/*
 * A job as the decisions see it, and as it is shown.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"

/*
 * What is known of the word that Zoho said. ADDED, IN PROGRESS, COMPLETED are documented for Bigin,
 * QUEUED and FAILURE for the CRM's twin of the API; FAILED is nowhere documented for bulk read, but
 * taken as an alias of FAILURE. PENDING and LOST are our own.
 */
enum job_kind {
	JOB_PENDING, /* no answer yet */
	JOB_ADDED,
	JOB_QUEUED,
	JOB_IN_PROGRESS,
	JOB_COMPLETED,
	JOB_FAILURE, /* FAILURE and FAILED */
	JOB_LOST,    /* Zoho keeps saying that there is no such job */
	JOB_UNKNOWN, /* a word that nobody knew: polled on */
	JOB_KINDS,
};

/* The states that are our own words, not Zoho's. */
#define JOB_STATE_PENDING "PENDING"
#define JOB_STATE_LOST    "LOST"

/* Of a state as shown and stored. */
enum job_kind job_kind_of(const char *state);
bool job_kind_is_finished(enum job_kind kind);
/* Zoho may say this word (valid UTF-8): 1 to JOB_STATE_MAX_CHARS printable characters, none of our
 * own words. */
bool job_state_is_sayable(const char *word);

/* The part of a job that core/machine decides on. */
struct job {
	const char *state; /* as said, or "PENDING", "LOST"; borrowed (interned by the registry) */
	int64_t watched_mono_ms; /* since when it is watched: ages must not step with the wall clock
	                          */
	int64_t since_wall_ms;   /* when the state was first seen */
	int64_t not_found_since_mono_ms; /* of the first in the present row of "no such job" */
	uint16_t n_failures;             /* in a row; stops counting at its maximum */
	uint8_t n_not_found;             /* in a row; stops counting at its maximum */
	uint8_t kind;                    /* enum job_kind */
	bool is_overdue_told : 1;
	bool is_revived : 1; /* LOST, but polled again since somebody asked */
};

bool job_is_polled(const struct job *job); /* not finished, or LOST and revived */

/*
 * The members of the API's reply as Zoho gave them: JSON texts without white space between tokens,
 * but for operation, which is a plain string. NULL = absent or null. All borrowed.
 */
struct job_document {
	const char *operation;
	const char *created_by;
	const char *created_time;
	const char *query;
	const char *result; /* completed by `url`, the absolute download URL or null (wire/reply) */
	const char *other;  /* an object of the members that nobody knew */
};

/* A job as people see it (docs: bulkwatch-api(7)): all borrowed, times 0 = null. */
struct job_view {
	const char *account, *id, *name, *datacenter, *service, *state;
	bool is_finished, is_watched, is_paused;
	int64_t since_wall_ms, watched_since_wall_ms, last_polled_wall_ms, last_answered_wall_ms,
	        next_poll_wall_ms;
	uint64_t polls, failures;
	int64_t error_at_wall_ms; /* 0 = no last_error */
	const char *error_class, *error_message;
	struct job_document document;
};

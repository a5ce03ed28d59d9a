/*
 * The jobs that were asked for, and where in its life each stands.
 *
 *   step 0 --polls or time--> step 1 --...--> last step, which stays
 *
 * A life begins with the first request for the job. A step with `polls` ends with its so-many-th
 * counted answer, a step with `for` when its time has passed, asked or not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"
#include "sim/script.h"

enum { LIVES_MAX = 2000000 };

struct life {
	const struct script_job *job; /* borrowed from a script */
	char id[JOB_ID_MAX + 1];
	uint16_t dc; /* index */
	uint8_t step;
	uint32_t n_step_polls;
	uint64_t n_requests;
	int64_t step_since_mono_ms;
	int64_t step_until_mono_ms; /* INT64_MAX if it does not end by time */
};

struct lives;

struct lives *lives_new(uint64_t seed, double speed);
struct lives *lives_free(struct lives *lives);
/* All lives are forgotten. */
void lives_clear(struct lives *lives);
/* Those of these ids: they begin anew with the next request. dc -1 = in any data center. */
void lives_forget(struct lives *lives, const struct ids *ids, int dc);
size_t lives_count(const struct lives *lives);
const struct life *lives_at(const struct lives *lives, size_t i);

/* NULL if there is none yet. Borrowed until the next lives_begin(). */
struct life *lives_find(struct lives *lives, uint16_t dc, const char *id);
/* There must be none yet. NULL if there are LIVES_MAX. Borrowed until the next call. */
struct life *lives_begin(struct lives *lives, uint16_t dc, const char *id,
        const struct script_job *job, int64_t mono_ms);

/* Where it stands now. */
const struct script_step *life_look(struct lives *lives, struct life *life, int64_t mono_ms);
/* An answer was given for the step that it stands in. */
void life_count_answer(struct lives *lives, struct life *life, int64_t mono_ms);

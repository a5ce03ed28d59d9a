/*
 * What is known of the durations of an account's jobs: one core/learn for all of them and one for
 * each module, kept in values of the store, and the k that shares the account's polls among them.
 *
 * A module with too few samples is polled by what is known of the whole account; an account with
 * too few by the fixed schedule.
 */
#pragma once

#include <stdint.h>

#include "core/schedule.h"
#include "store/store.h"
#include "util/clock.h"
#include "wire/json.h"

enum {
	LEARNED_MODULES_MAX = 16, /* of an account; the jobs of further ones count for it alone */
	LEARNED_MODULE_MAX_BYTES = 64,
};

struct learned;

/* Reads what the store knows of the account. Values that nobody can read count as none. */
int learned_load(struct store *store, const char *account, struct learned **out);
/* Takes NULL, returns NULL. */
struct learned *learned_free(struct learned *learned);

/* The number of a module, from 1, made if it is new; 0 = none, no name for one, or too many. */
uint8_t learned_module(struct learned *learned, const char *name);

/* NULL for 0. */
const char *learned_module_name(const struct learned *learned, uint8_t module);

/* A job was seen unfinished at the first age and is, or is not, at the second. */
void learned_passed(struct learned *learned, uint8_t module, int64_t from_ms, int64_t to_ms);
void learned_finished(
        struct learned *learned, uint8_t module, int64_t from_ms, int64_t to_ms, struct now now);
/* The probability that a job unfinished at one age is finished at the other; 0.5 if unknown. */
double learned_chance(
        const struct learned *learned, uint8_t module, int64_t from_ms, int64_t to_ms);

/*
 * Gives the policy curve and k for a job of the module, if enough is known: `polls` a job on
 * average over the account. The curve lives until the next call of any function here.
 */
void learned_shape(struct learned *learned, uint8_t module, double polls, struct now now,
        struct poll_policy *policy);

/* Jobs that finished in about the last 24 hours. */
double learned_jobs_a_day(const struct learned *learned, struct now now);
/*
 * How many polls a job may cost: the policy's polls_per_job, or less where the credits of a day
 * would not last for the jobs of a day or those that are watched now.
 */
double learned_polls(const struct learned *learned, const struct poll_policy *policy,
        int64_t credits_per_day, size_t n_running, struct now now);

/* Writes what is new into the open transaction: 0 or a store error. */
int learned_write(struct learned *learned, struct store *store, const char *account);

/* "durations": median and p95 in seconds by module; null = of all jobs. NULL: an empty list. */
void learned_write_durations(struct json_out *w, const struct learned *learned);
/* "forecast": polls, delay and credits a day with half, the same, twice and four times the policy's
 * polls_per_job. Empty while too little is known. A tenth of a millisecond each. */
void learned_write_forecast(struct json_out *w, const struct learned *learned,
        const struct poll_policy *policy, struct now now);

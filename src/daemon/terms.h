/*
 * What the configuration wishes of a job, kept once for all jobs of which it wishes the same, and
 * counted: jobs know it by a number.
 */
#pragma once

#include <stdint.h>

struct hook_set;

struct job_terms {
	const struct hook_set *hooks; /* NULL = those of the account */
	int64_t overdue_after_ms;
};

struct terms;

struct terms *terms_new(void);
/* Takes NULL, returns NULL. */
struct terms *terms_free(struct terms *terms);
/* A counted reference, never 0. */
uint32_t terms_get(struct terms *terms, const struct job_terms *of);
/* Gives one back; takes 0. */
void terms_put(struct terms *terms, uint32_t number);
/* Those of 0 are {NULL, 0}. */
struct job_terms terms_at(const struct terms *terms, uint32_t number);

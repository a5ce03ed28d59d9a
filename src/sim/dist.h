/*
 * Durations as a script gives them: fixed, or drawn at random from a seeded generator.
 *
 *   15s    uniform(10s, 20s)    lognormal(median 300s, sigma 0.3)
 */
#pragma once

#include <stdint.h>

#include "util/rng.h"

enum dist_kind { DIST_FIXED, DIST_UNIFORM, DIST_LOGNORMAL };

/* Zero-initialised it is a fixed duration of 0. */
struct dist {
	enum dist_kind kind;
	int64_t from_ms; /* the duration, the least, or the median */
	int64_t to_ms;   /* uniform: the most */
	double sigma;    /* lognormal: of the logarithm */
};

/* 0, -EINVAL (none of the forms), or -ERANGE (a number beyond what is useful). */
int dist_parse(const char *text, struct dist *out);
/* Milliseconds, at most 1000 days. Fixed ones draw nothing. */
int64_t dist_draw(const struct dist *dist, struct rng *rng);

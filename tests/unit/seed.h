/*
 * The seed of a test that throws dice: $BULKWATCH_TEST_SEED if given, else drawn anew. It is
 * printed, so that a failure can be replayed.
 */
#pragma once

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "util/rng.h"

static inline void seed_rng(struct rng *rng, const char *test)
{
	const char *given = getenv("BULKWATCH_TEST_SEED");
	uint64_t seed = 1;

	if (given)
		seed = strtoull(given, NULL, 10);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = 1;
	printf("%s: BULKWATCH_TEST_SEED=%" PRIu64 "\n", test, seed);
	fflush(stdout);
	rng_seed(rng, seed);
}

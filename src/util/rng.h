/*
 * Random numbers for jitter and spreading, never for secrets: xoshiro256** by Blackman and Vigna
 * (public domain, https://prng.di.unimi.it/), seeded through splitmix64. Seeded state, so that a
 * simulation replays; the program seeds it from getrandom(2).
 */
#pragma once

#include <stdint.h>

struct rng {
	uint64_t s[4];
};

void rng_seed(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
/* Uniform in [0, bound); 0 if bound is 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);
/* Uniform in [0, 1). */
double rng_unit(struct rng *rng);

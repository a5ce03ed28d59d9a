/*
 * How many jobs each account has in each state, counted as they come, change and go: nobody ever
 * walks a million of them for a number.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { CENSUS_STATES_MAX = 32 };

struct census_count {
	uint32_t state; /* its number in the registry's pool of words; 0 = all others together */
	uint32_t n;
};

struct census;

struct census *census_new(void);
/* Takes NULL, returns NULL. */
struct census *census_free(struct census *census);
/* One of the account's goes from one state to another; 0 = none, when it comes or goes. */
void census_move(struct census *census, uint32_t account, uint32_t from, uint32_t to);
/* Of one account, in no order; how many counts there are, none of them 0. */
size_t census_of(const struct census *census, uint32_t account,
        struct census_count counts[static CENSUS_STATES_MAX + 1]);

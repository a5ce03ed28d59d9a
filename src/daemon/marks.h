/*
 * What lists of jobs are asked for, in 32 bits a job, so that a walk over a million of them touches
 * four bytes of each that is not wanted. Different accounts, states and names may have the same
 * bits: a mark says who cannot be wanted, not who is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct mark {
	uint32_t mask, bits; /* bits outside of mask are 0 */
};

/* Each adds what it says. The state is its number in the registry's pool of words. */
void mark_account(struct mark *mark, uint32_t account);
void mark_state(struct mark *mark, uint32_t state);
void mark_finished(struct mark *mark, bool is_finished);
/* NULL: it has none. */
void mark_name(struct mark *mark, const char *name);

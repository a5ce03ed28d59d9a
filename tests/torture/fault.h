/*
 * The n-th fault: calls that may fail are counted, and one of them, or all from it on, is made to.
 * A run without a fault says how many there are.
 */
#pragma once

#include <stdbool.h>

enum fault_kind { FAULT_ALLOCATION, FAULT_CALL };

/* Begins to count in this thread alone. nth 0: none fails. variant chooses the error of a call. */
void fault_arm(enum fault_kind kind, unsigned nth, bool is_lasting, unsigned variant);
void fault_disarm(void);
/* Since fault_arm(). */
unsigned fault_count(void);
/* The function that failed first; "" if none did. */
const char *fault_where(void);

/* Counts; whether this one fails. For the wrappers. */
bool fault_is_due(enum fault_kind kind, const char *name);
unsigned fault_variant(void);

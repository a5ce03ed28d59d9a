/*
 * Makes a history that fails small: whatever can be left out while it fails with the same words
 * (but for numbers) is left out.
 */
#pragma once

#include <stdbool.h>

#include "history.h"

/* Fails in the same way: their words are the same but for numbers and where it was. */
bool shrink_is_same_failure(const char *a, const char *b);
/* Prints what became of it and how to run it again. */
void shrink_and_tell(const struct history *history, const struct history_result *failure);

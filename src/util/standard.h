/* The three standard descriptors of a process, and whether what it printed arrived. */
#pragma once

#include <stdbool.h>

/*
 * To be called first: those that were closed are opened, so that no file or socket of ours ever
 * becomes one of them. What is printed to one that was closed fails. Does not return without
 * descriptors.
 */
void standard_open(void);

/* To be called last. False: what stdout was told did not all arrive, as is said on stderr. */
bool standard_flush(const char *program);

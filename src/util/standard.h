/* The three standard descriptors of a process, and whether what it printed arrived. */
#pragma once

/*
 * To be called first: those that were closed are opened, so that no file or socket of ours ever
 * becomes one of them. What is printed to one that was closed fails. Does not return without
 * descriptors.
 */
void standard_open(void);

/* 0, or a negative error number: what stdout was told did not all arrive. */
int standard_flush(void);

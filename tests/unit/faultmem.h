/*
 * SQLite's memory (https://sqlite.org/malloc.html, "Test memory allocation wrappers"), of which a
 * chosen allocation fails. One thread, one test at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Before anything else is asked of SQLite. */
void faultmem_install(void);
/* The nth allocation (from 1) from now on fails, with is_lasting all after it, too. */
void faultmem_fail(int64_t nth, bool is_lasting);
/* Ends that; whether it came so far. */
bool faultmem_heal(void);

/* What goes wrong between store/ and what it calls, and what the store has to make of it. */
#pragma once

enum { STORE_FAULTS = 11 };

/* A call of SQLite's fails with the first, one of the kernel's with the second. */
struct store_fault {
	int sqlite;
	int system_errno; /* what SQLite tells of the kernel's answer */
	int at_start;     /* the store's error while it opens; ... */
	int in_use;       /* ... once it is open */
	int kernel;
	int of_kernel; /* the store's error for that errno where it is not -errno; ERR_IO too, if it
	                  passes */
};

extern const struct store_fault store_faults[STORE_FAULTS];

/*
 * The error law of the whole program.
 *
 * A function that can fail returns int. 0 is success; a negative number says that infrastructure
 * failed and is passed up unchanged: -errno, or one of the few of our own below. A positive number
 * MODULE_E_* is listed in the module's header and answered by the direct caller. Whoever returns
 * an error does not log it.
 */
#pragma once

#include <stdbool.h>

enum {
	ERR_FIRST = -10000,
	ERR_CORRUPT = -10000, /* the database is damaged */
	ERR_NEWER = -10001,   /* the database was written by a newer version */
	ERR_FOREIGN = -10002, /* the file is not a bulkwatch database */
	ERR_LOCKED = -10003,  /* another instance holds it */
	ERR_FULL = -10004,    /* the disk is full; what was tried is rolled back, and may be tried
	                         again */
	ERR_IO = -10005,      /* an I/O error: what is on disk is unknown until it is read again */
	ERR_LAST = -10005,
};

/*
 * Whether it speaks of the machine's state at this moment (memory, descriptors, room, a device that
 * failed to answer), and not of what somebody must mend: the same may go well later.
 */
bool err_is_passing(int error);

/* A sentence's worth of words for a negative error; static storage. */
const char *err_text(int error);

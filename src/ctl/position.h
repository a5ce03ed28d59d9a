/*
 * Where a named consumer of events stopped: the id of the last event that was done with, in a file
 * DIR/NAME.position, written beside and renamed, both synced. One process at a time may have a name
 * (DIR/NAME.lock, flock, never unlinked).
 */
#pragma once

#include <stdint.h>

#include "ctl/ctl.h"

enum { POSITION_INSTANCE_SIZE = 17 };

struct position {
	char *path;                            /* owned */
	int dir_fd, lock_fd;                   /* -1 = none */
	char instance[POSITION_INSTANCE_SIZE]; /* of the database that seq is of; "" = none yet */
	int64_t seq;                           /* 0 = none yet */
};

/* CTL_OK, or said why not. position_close in any case. */
int position_open(struct position *position, const char *dir, const char *name);
void position_close(struct position *position);
/* It is on disk when this returns CTL_OK. */
int position_save(struct position *position, const char *instance, int64_t seq);

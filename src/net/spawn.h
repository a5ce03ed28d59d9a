/*
 * A process as posix_spawn makes it: clean state, pipes, a pidfd. For net/child alone.
 */
#pragma once

#include <sys/types.h>

#include "net/child.h"

struct spawned {
	pid_t pid;     /* and its group's number */
	int pidfd;     /* owned, as the others; CLOEXEC */
	int input_fd;  /* its stdin; non-blocking */
	int output_fd; /* its stdout and stderr; non-blocking */
};

/* 0, or -errno of whatever failed, the exec in the child included; then none of its descriptors is
 * open. */
int spawn_start(const struct child_spec *spec, struct spawned *process);

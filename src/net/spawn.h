/*
 * A process as posix_spawn makes it: clean state, pipes, a pidfd. For net/child alone.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "net/child.h"

struct spawned {
	pid_t pid;            /* and its group's number */
	int pidfd;            /* owned, as the others; CLOEXEC */
	int input_fd;         /* its stdin; non-blocking */
	int output_fd;        /* its stdout and stderr; non-blocking */
	size_t input_written; /* bytes of the input that lie in the pipe already */
};

/*
 * What the pipe takes of the input (64 KiB as a rule) lies in it before the program begins: should
 * we die meanwhile, it reads all of it and no torn half. 0, or -errno of whatever failed, the exec
 * in the child included; then none of its descriptors is open.
 */
int spawn_start(const struct child_spec *spec, struct spawned *process);

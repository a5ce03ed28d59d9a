/*
 * A process as posix_spawn makes it: clean state, pipes, a pidfd. For net/child alone.
 */
#pragma once

#include <signal.h>
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

/*
 * Writes what the pipe takes of input from *at on, and moves *at. 0: all of it is written; -EAGAIN:
 * the pipe is full; -EPIPE: nobody reads it any more, which is the child's right.
 */
int spawn_feed(int fd, const char *input, size_t len, size_t *at);
/* Its end, and reaps it; *info is zeroed before. options: 0, or WNOHANG: then info->si_pid stays 0
 * as long as it lives. */
void spawn_wait(pid_t pid, int options, siginfo_t *info);

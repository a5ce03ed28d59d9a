/*
 * Children: starts a program with clean process state (posix_spawn, nothing open beyond fd 2,
 * default signals, own process group, given environment alone), feeds its stdin from memory, keeps
 * the last bytes that it prints (stdout and stderr in one), ends it at its time-out (SIGTERM to the
 * group, SIGKILL after a grace), and sees its end through a pidfd.
 *
 * Done is: exited and reaped, and its output closed or a short drain (CHILD_DRAIN_MS) passed, since
 * a grandchild may hold the pipe open for ever. The daemon itself runs with umask 077 and
 * RLIMIT_CORE 0, which children inherit; working directory is /.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"

enum {
	CHILD_OUTPUT_MAX_BYTES = 64 * 1024, /* the last ones are kept */
	CHILD_DRAIN_MS = 500,
	CHILD_KILL_AFTER_MS = 5000, /* between SIGTERM and SIGKILL */
};

struct children;

struct child_spec {
	const char *const *argv; /* [0] is an absolute path; NULL-terminated; copied */
	const char *const *envp; /* the whole environment; NULL-terminated; copied */
	const char *input;       /* for stdin; copied */
	size_t input_len;
	int64_t timeout_ms;
};

enum child_end {
	CHILD_EXITED,    /* code: the exit status */
	CHILD_SIGNALED,  /* code: the signal */
	CHILD_TIMED_OUT, /* ended by us; code: the signal that did it, or 0 if it exited on SIGTERM
	                  */
	CHILD_NOT_STARTED, /* code: errno of the spawn */
};

struct child_result {
	enum child_end end;
	int code;
	int64_t duration_ms;
	const char *output; /* borrowed until the callback returns; NUL-terminated; any bytes */
	size_t output_len;
	uint64_t output_dropped; /* bytes that came before those kept */
};

typedef void child_done_fn(void *arg, uint64_t owner, const struct child_result *result);

int children_new(struct loop *loop, struct children **out);
/* Kills (SIGKILL to the groups) and reaps what still runs, calling nobody. Takes NULL, returns
 * NULL. */
struct children *children_free(struct children *children);
/*
 * Starts one. fn is called once, later, from the loop, also when the start itself failed
 * (CHILD_NOT_STARTED), so the caller has one path. The result is delivered by children_harvest().
 */
void child_start(struct children *children, const struct child_spec *spec, child_done_fn *fn,
        void *arg, uint64_t owner);
/* Ends the child of this owner as its time-out would. */
void child_stop(struct children *children, uint64_t owner);
size_t children_running(const struct children *children);
/* Delivers every result that is complete; returns how many. Called by the turn's end. */
size_t children_harvest(struct children *children);

/*
 * Is this program fit to be run: absolute, a regular executable file, owned by root or by us, not
 * writable by group or others (its directory is not looked at). 0, or CHILD_E_*; words gets a
 * sentence.
 */
enum { CHILD_E_MISSING = 1, CHILD_E_UNFIT = 2 };
int child_check_program(const char *path, char *words, size_t size);

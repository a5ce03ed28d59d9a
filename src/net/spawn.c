/*
 * The start of a program, and whether it is fit to be started.
 *
 * posix_spawn and not fork: its cost does not grow with the daemon's memory. What a child would
 * inherit unasked is cut here: descriptors beyond 2 (other libraries open theirs without CLOEXEC),
 * the signal mask, ignored signals, the environment, the working directory. Umask and limits are
 * inherited on purpose, since posix_spawn can set neither.
 */
#include "net/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/mem.h"

/*
 * Moves a descriptor beyond fd 2, so that the child's dup2 calls cannot step on one another, and
 * nobody takes ours for stderr, even in a daemon that was started with fds 0-2 closed.
 */
static int spawn_raise(int *fd)
{
	int moved;

	if (*fd > STDERR_FILENO)
		return 0;
	moved = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (moved < 0)
		return -errno;
	close(*fd);
	*fd = moved;
	return 0;
}

/* Only our own end becomes non-blocking. */
static int spawn_pipe(int fds[2], int ours)
{
	int error;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		fds[0] = fds[1] = -1;
		return -errno;
	}
	error = spawn_raise(&fds[0]);
	if (!error)
		error = spawn_raise(&fds[1]);
	if (!error && fcntl(fds[ours], F_SETFL, O_NONBLOCK) < 0)
		error = -errno;
	return error;
}

/* All signals default and unblocked, a group of its own. */
static int spawn_set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none;
	sigset_t all;
	int error;

	sigemptyset(&none);
	/* sigfillset leaves out the two that glibc keeps for itself (32 and 33), and those that are
	 * left out its posix_spawn has ignored in the child. */
	memset(&all, 0xff, sizeof(all));
	error = posix_spawnattr_setsigmask(attributes, &none);
	if (!error)
		error = posix_spawnattr_setsigdefault(attributes, &all);
	if (!error)
		error = posix_spawnattr_setpgroup(attributes, 0);
	if (!error)
		error = posix_spawnattr_setflags(attributes,
		        POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	return error;
}

static int spawn_set_actions(posix_spawn_file_actions_t *actions, int input, int output)
{
	int error = posix_spawn_file_actions_adddup2(actions, input, STDIN_FILENO);

	if (!error)
		error = posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);
	if (!error)
		error = posix_spawn_file_actions_adddup2(actions, output, STDERR_FILENO);
	if (!error)
		error = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
	if (!error)
		error = posix_spawn_file_actions_addchdir_np(actions, "/");
	return error;
}

/* 0 and *pid, or -errno of whatever failed, the exec in the child included. */
static int spawn_exec(const struct child_spec *spec, int input, int output, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int error = posix_spawn_file_actions_init(&actions);

	if (error)
		return -error;
	error = posix_spawnattr_init(&attributes);
	if (error) {
		posix_spawn_file_actions_destroy(&actions);
		return -error;
	}
	error = spawn_set_attributes(&attributes);
	if (!error)
		error = spawn_set_actions(&actions, input, output);
	/* Its prototype is older than const pointers to const strings; it changes nothing. */
	if (!error)
		error = posix_spawn(pid, spec->argv[0], &actions, &attributes,
		        (char *const *)(uintptr_t)spec->argv, (char *const *)(uintptr_t)spec->envp);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

/* Without a pidfd its end would never be seen: it ends here and now. */
static int spawn_open_pidfd(struct spawned *process)
{
	siginfo_t info;
	int error;

	process->pidfd = pidfd_open(process->pid, 0);
	error = process->pidfd < 0 ? -errno : spawn_raise(&process->pidfd);
	if (!error)
		return 0;
	mem_close_p(&process->pidfd);
	process->pidfd = -1;
	kill(-process->pid, SIGKILL);
	spawn_wait(process->pid, 0, &info);
	return error;
}

int spawn_feed(int fd, const char *input, size_t len, size_t *at)
{
	while (*at < len) {
		ssize_t n = write(fd, input + *at, len - *at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		*at += (size_t)n;
	}
	return 0;
}

/* Its number is its own until it is reaped here. Nothing else than a signal can be in the way. */
void spawn_wait(pid_t pid, int options, siginfo_t *info)
{
	*info = (siginfo_t){0};
	while (waitid(P_PID, (id_t)pid, info, WEXITED | options) < 0)
		assert(errno == EINTR);
}

static int spawn_with_pipes(
        const struct child_spec *spec, int input[2], int output[2], struct spawned *process)
{
	int error = spawn_pipe(input, 1);

	if (!error)
		error = spawn_pipe(output, 0);
	if (!error)
		/* If it is full, the rest follows from the loop. */
		spawn_feed(input[1], spec->input, spec->input_len, &process->input_written);
	if (!error)
		error = spawn_exec(spec, input[0], output[1], &process->pid);
	if (error < 0)
		return error;
	/* Closed first, so that their descriptors are free for the pidfd. */
	close(input[0]);
	close(output[1]);
	input[0] = output[1] = -1;
	return spawn_open_pidfd(process);
}

int spawn_start(const struct child_spec *spec, struct spawned *process)
{
	int input[2] = {-1, -1};
	int output[2] = {-1, -1};
	int error = spawn_with_pipes(spec, input, output, process);

	if (error < 0) {
		for (int i = 0; i < 2; i++) {
			mem_close_p(&input[i]);
			mem_close_p(&output[i]);
		}
		return error;
	}
	process->input_fd = input[1];
	process->output_fd = output[0];
	return 0;
}

int child_check_program(const char *path, char *words, size_t size)
{
	struct stat st;

	if (path[0] != '/') {
		snprintf(words, size, "%s is not an absolute path", path);
		return CHILD_E_UNFIT;
	}
	if (stat(path, &st) < 0) {
		bool is_missing = errno == ENOENT || errno == ENOTDIR;

		snprintf(words, size, "%s: %s", path, strerror(errno));
		return is_missing ? CHILD_E_MISSING : CHILD_E_UNFIT;
	}
	if (!S_ISREG(st.st_mode))
		snprintf(words, size, "%s is not a regular file", path);
	else if (st.st_uid != 0 && st.st_uid != geteuid())
		snprintf(words, size, "%s is owned by user %u, neither root nor us", path,
		        (unsigned int)st.st_uid);
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		snprintf(words, size, "%s can be written by its group or by others", path);
	else if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		snprintf(words, size, "%s is not executable", path);
	else
		return 0;
	return CHILD_E_UNFIT;
}

#include "ctl/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/buf.h"
#include "util/mem.h"
#include "util/str.h"

/* Ours without its BULKWATCH_EVENT_* and the like, then the event's; strings are borrowed. */
static char **environment_new(const struct event_environment *event)
{
	size_t n = 0, n_own = 0;

	while (environ[n_own])
		n_own++;
	char **envp = mem_new(n_own + event->n + 1, sizeof(*envp));

	for (size_t i = 0; i < n_own; i++) {
		size_t len = strcspn(environ[i], "=") + 1;
		bool is_replaced = false;

		for (size_t k = 0; k < event->n && !is_replaced; k++)
			is_replaced = strncmp(environ[i], event->envp[k], len) == 0;
		if (!is_replaced)
			envp[n++] = environ[i];
	}
	for (size_t i = 0; i < event->n; i++)
		envp[n++] = event->envp[i];
	return envp;
}

static int spawn(const char *const *argv, char **envp, int input, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t all, none;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	int r = posix_spawnp(
	        pid, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv, envp);

	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* A program need not read it: then EPIPE ends it (SIGPIPE is ignored by the caller). */
static void feed(int fd, const struct buf *input)
{
	size_t done = 0;

	while (done < input->len) {
		ssize_t n = write(fd, input->data + done, input->len - done);

		if (n < 0 && errno != EINTR)
			return;
		done += n > 0 ? (size_t)n : 0;
	}
}

static struct program_result wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		return (struct program_result){PROGRAM_SIGNALED, WTERMSIG(status)};
	return (struct program_result){PROGRAM_EXITED, WEXITSTATUS(status)};
}

static struct program_result run(
        const char *const *argv, const struct event_environment *env, const struct buf *input)
{
	cleanup(mem_free_p) char **envp = environment_new(env);
	int pipe_fds[2];
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return (struct program_result){PROGRAM_NOT_STARTED, errno};
	int r = spawn(argv, envp, pipe_fds[0], &pid);

	close(pipe_fds[0]);
	if (r == 0)
		feed(pipe_fds[1], input);
	close(pipe_fds[1]);
	return r ? (struct program_result){PROGRAM_NOT_STARTED, r} : wait_for(pid);
}

struct program_result program_run(const char *const *argv, const struct event_view *event,
        const char *consumer, uint64_t attempt)
{
	struct event_attempt about = {.hook = consumer, .attempt = attempt};
	struct event_environment env;
	struct program_result result;
	struct buf input = {0};
	struct json_out w;

	event_environment_init(&env, event, &about);
	json_out_init(&w, &input, false);
	event_write_cloud(&w, event);
	json_out_deinit(&w);
	buf_addc(&input, '\n');
	result = run(argv, &env, &input);
	event_environment_deinit(&env);
	buf_deinit(&input);
	return result;
}

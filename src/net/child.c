/*
 * Children, from posix_spawn to their result.
 *
 *            deadline or stop              SIGTERM + 5 s
 *   RUNNING ------------------> ENDING ------------------> KILLED
 *      |                           |                          |
 *      | exit                      | exit, and nobody left    | exit
 *      v                           v in the group             v
 *   DRAINING <-----------------------------------------------
 *      | output closed, or CHILD_DRAIN_MS passed
 *      v
 *    DONE, delivered by children_harvest()
 *
 * A leader that ends on SIGTERM is reaped at once, since only then kill(-group, 0) tells whether
 * others of its group remain; they keep what is left of the grace. Their group's number cannot be
 * another's while one of them lives, and it is asked for anew every CHILD_LOOK_MS.
 *
 * The parent's end of stdin may be closed by the child at any time; SIGPIPE is ignored since
 * loop_new(), and the child gets it back as the default. Not done here: umask and limits, which
 * posix_spawn cannot set and children inherit, and a child that leaves its group by setsid().
 */
#include "net/child.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/spawn.h"
#include "net/tail.h"
#include "util/mem.h"

enum {
	CHILD_READ_BYTES = 64 * 1024,
	CHILD_READS_A_TURN = 16, /* of one child, so that a chatterer leaves the loop to others */
	CHILD_LOOK_MS = 50,
};

_Static_assert(
        (int)CHILD_OUTPUT_MAX_BYTES == (int)TAIL_MAX_BYTES, "the ring keeps what is promised");

enum child_phase { CHILD_RUNNING, CHILD_ENDING, CHILD_KILLED, CHILD_DRAINING, CHILD_DONE };

struct child {
	TAILQ_ENTRY(child) link;
	struct children *children; /* borrowed */
	child_done_fn *fn;
	void *arg;
	uint64_t owner;
	enum child_phase phase;
	struct spawned process;   /* -1 = that descriptor is closed */
	struct event *exit_event; /* owned, as the others; NULL = none */
	struct event *input_event;
	struct event *output_event;
	struct loop_timer *timer; /* of the phase; owned */
	char *input;              /* what is still to be written; owned */
	size_t input_len;
	size_t input_at;
	struct tail output;
	int64_t started_mono_ms;
	int64_t kill_at_mono_ms;
	bool is_reaped;
	struct child_result result; /* but for its output */
};

TAILQ_HEAD(child_list, child);

struct children {
	struct loop *loop; /* borrowed */
	struct child_list running;
	struct child_list done;
	size_t n_running;
	size_t n_done;
	char *read_buffer; /* owned */
};

/* ---- ends of pipes ---- */

static void child_close(int *fd, struct event **event)
{
	if (*event)
		event_free(*event);
	*event = NULL;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Everything of it is closed; only its result is left, for the harvest. */
static void child_finish(struct child *child)
{
	struct children *children = child->children;

	child->phase = CHILD_DONE;
	child_close(&child->process.input_fd, &child->input_event);
	child_close(&child->process.output_fd, &child->output_event);
	child_close(&child->process.pidfd, &child->exit_event);
	if (child->timer)
		loop_timer_clear(child->timer);
	TAILQ_REMOVE(&children->running, child, link);
	children->n_running--;
	TAILQ_INSERT_TAIL(&children->done, child, link);
	children->n_done++;
	loop_wake(children->loop);
}

static void child_drain(struct child *child)
{
	child->phase = CHILD_DRAINING;
	child_close(&child->process.input_fd, &child->input_event);
	if (child->process.output_fd < 0)
		child_finish(child);
	else
		loop_timer_set(
		        child->timer, loop_now(child->children->loop).mono_ms + CHILD_DRAIN_MS);
}

/* ---- the exit ---- */

static void child_take_status(struct child *child, const siginfo_t *info)
{
	bool is_signal = info->si_code != CLD_EXITED;

	child->is_reaped = true;
	child->result.duration_ms =
	        loop_now(child->children->loop).mono_ms - child->started_mono_ms;
	if (child->phase == CHILD_RUNNING) {
		child->result.end = is_signal ? CHILD_SIGNALED : CHILD_EXITED;
		child->result.code = info->si_status;
	} else {
		child->result.end = CHILD_TIMED_OUT;
		child->result.code = is_signal ? info->si_status : 0;
	}
}

/* Whether its end is known now. */
static bool child_reap(struct child *child)
{
	siginfo_t info;

	assert(!child->is_reaped);
	spawn_wait(child->process.pid, WNOHANG, &info);
	if (info.si_pid == 0)
		return false;
	child_take_status(child, &info);
	child_close(&child->process.pidfd, &child->exit_event);
	return true;
}

/* Asked after the leader was reaped: a zombie is a member too. */
static bool child_group_is_gone(const struct child *child)
{
	return kill(-child->process.pid, 0) < 0 && errno == ESRCH;
}

static void child_kill(struct child *child)
{
	child->phase = CHILD_KILLED;
	kill(-child->process.pid, SIGKILL);
	if (child->is_reaped)
		child_drain(child);
}

/* The leader is gone, though its time was over; others of its group may still be tidying up. */
static void child_look_at_group(struct child *child)
{
	int64_t now_mono_ms = loop_now(child->children->loop).mono_ms;
	int64_t next_mono_ms = now_mono_ms + CHILD_LOOK_MS;

	if (child_group_is_gone(child)) {
		child_drain(child);
		return;
	}
	if (now_mono_ms >= child->kill_at_mono_ms) {
		child_kill(child);
		return;
	}
	loop_timer_set(child->timer,
	        next_mono_ms < child->kill_at_mono_ms ? next_mono_ms : child->kill_at_mono_ms);
}

static void child_on_reaped(struct child *child)
{
	if (child->phase == CHILD_ENDING)
		child_look_at_group(child);
	else
		child_drain(child);
}

static void child_on_exit(evutil_socket_t fd, short what, void *arg)
{
	struct child *child = arg;

	(void)fd;
	(void)what;
	if (child_reap(child))
		child_on_reaped(child);
}

/* ---- its time ---- */

static void child_end(struct child *child)
{
	if (child->phase != CHILD_RUNNING)
		return;
	/* It may have ended by itself in this very turn: then that is its end. */
	if (child_reap(child)) {
		child_on_reaped(child);
		return;
	}
	child->phase = CHILD_ENDING;
	kill(-child->process.pid, SIGTERM);
	child->kill_at_mono_ms = loop_now(child->children->loop).mono_ms + CHILD_KILL_AFTER_MS;
	loop_timer_set(child->timer, child->kill_at_mono_ms);
}

static void child_on_timer(void *arg)
{
	struct child *child = arg;

	/* The others have no time of their own. */
	assert(child->phase != CHILD_KILLED && child->phase != CHILD_DONE);
	if (child->phase == CHILD_RUNNING)
		child_end(child);
	else if (child->phase == CHILD_DRAINING)
		child_finish(child);
	else if (child->is_reaped)
		child_look_at_group(child);
	else
		child_kill(child);
}

/* ---- its input and output ---- */

static void child_on_input(evutil_socket_t fd, short what, void *arg)
{
	struct child *child = arg;

	(void)what;
	if (spawn_feed(fd, child->input, child->input_len, &child->input_at) != -EAGAIN)
		child_close(&child->process.input_fd, &child->input_event);
}

static void child_on_output(evutil_socket_t fd, short what, void *arg)
{
	struct child *child = arg;
	char *buffer = child->children->read_buffer;

	(void)what;
	for (int i = 0; i < CHILD_READS_A_TURN; i++) {
		ssize_t n = read(fd, buffer, CHILD_READ_BYTES);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			child_close(&child->process.output_fd, &child->output_event);
			if (child->phase == CHILD_DRAINING)
				child_finish(child);
			return;
		}
		tail_add(&child->output, buffer, (size_t)n);
	}
}

/* ---- the start ---- */

static struct event *child_watch(
        struct child *child, int fd, short events, event_callback_fn on_event)
{
	struct event_base *base = loop_event_base(child->children->loop);
	struct event *event =
	        mem_must(event_new(base, fd, (short)(events | EV_PERSIST), on_event, child));

	loop_event_add(event, NULL);
	return event;
}

static struct child *child_new(struct children *children, const struct child_spec *spec)
{
	struct child *child = MEM_NEW(struct child);

	child->children = children;
	child->process = (struct spawned){.pidfd = -1, .input_fd = -1, .output_fd = -1};
	child->started_mono_ms = loop_now(children->loop).mono_ms;
	child->input = mem_strndup(spec->input ? spec->input : "", spec->input_len);
	child->input_len = spec->input_len;
	TAILQ_INSERT_TAIL(&children->running, child, link);
	children->n_running++;
	return child;
}

static struct child *child_free(struct child *child)
{
	assert(child->phase == CHILD_DONE);
	loop_timer_free(child->timer);
	tail_deinit(&child->output);
	free(child->input);
	free(child);
	return NULL;
}

void child_start(struct children *children, const struct child_spec *spec, child_done_fn *fn,
        void *arg, uint64_t owner)
{
	struct child *child = child_new(children, spec);
	int error;

	child->fn = fn;
	child->arg = arg;
	child->owner = owner;
	error = spawn_start(spec, &child->process);
	if (error < 0) {
		child->result.end = CHILD_NOT_STARTED;
		child->result.code = -error;
		child->is_reaped = true;
		child_finish(child);
		return;
	}
	child->input_at = child->process.input_written;
	child->exit_event = child_watch(child, child->process.pidfd, EV_READ, child_on_exit);
	child->output_event =
	        child_watch(child, child->process.output_fd, EV_READ, child_on_output);
	child->input_event = child_watch(child, child->process.input_fd, EV_WRITE, child_on_input);
	child->timer = loop_timer_new(children->loop, child_on_timer, child);
	loop_timer_set(child->timer, child->started_mono_ms + spec->timeout_ms);
	child_on_input(child->process.input_fd, EV_WRITE, child);
}

/* ---- all of them ---- */

int children_new(struct loop *loop, struct children **out)
{
	struct sigaction on_child;
	struct children *children;

	/* An inherited SIG_IGN would have the kernel reap children before they are asked for. */
	if (sigaction(SIGCHLD, NULL, &on_child) < 0)
		return -errno;
	if (on_child.sa_handler == SIG_IGN)
		signal(SIGCHLD, SIG_DFL);
	children = MEM_NEW(struct children);
	children->loop = loop;
	children->read_buffer = mem_new(CHILD_READ_BYTES, 1);
	TAILQ_INIT(&children->running);
	TAILQ_INIT(&children->done);
	*out = children;
	return 0;
}

/* By force, and waits: SIGKILL leaves a leader nothing to wait for but the kernel. */
static void child_end_now(struct child *child)
{
	siginfo_t info;

	if (!child->is_reaped || child->phase == CHILD_ENDING)
		kill(-child->process.pid, SIGKILL);
	if (!child->is_reaped)
		spawn_wait(child->process.pid, 0, &info);
	child->is_reaped = true;
	child_finish(child);
}

struct children *children_free(struct children *children)
{
	struct child *child;

	if (!children)
		return NULL;
	while ((child = TAILQ_FIRST(&children->running)))
		child_end_now(child);
	while ((child = TAILQ_FIRST(&children->done))) {
		TAILQ_REMOVE(&children->done, child, link);
		child_free(child);
	}
	free(children->read_buffer);
	free(children);
	return NULL;
}

void child_stop(struct children *children, uint64_t owner)
{
	struct child *next;

	for (struct child *child = TAILQ_FIRST(&children->running); child; child = next) {
		next = TAILQ_NEXT(child, link);
		if (child->owner == owner)
			child_end(child);
	}
}

size_t children_running(const struct children *children)
{
	return children->n_running;
}

static void child_deliver(struct child *child)
{
	struct child_result result = child->result;

	result.output = tail_text(&child->output);
	result.output_len = child->output.len;
	result.output_dropped = child->output.dropped;
	child->fn(child->arg, child->owner, &result);
}

/* Those that a callback starts, and that fail at once, come in the next turn. */
size_t children_harvest(struct children *children)
{
	size_t n = children->n_done;

	for (size_t i = 0; i < n; i++) {
		struct child *child = TAILQ_FIRST(&children->done);

		TAILQ_REMOVE(&children->done, child, link);
		children->n_done--;
		child_deliver(child);
		child_free(child);
	}
	return n;
}

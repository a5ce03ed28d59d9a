/*
 * The event loop over libevent. A turn is one event_base_loop(EVLOOP_ONCE), the turn-end function,
 * and what was deferred before them.
 *
 * The clock is read at the first question of a turn, not before the wait: libevent 2.1 offers no
 * hook between its wait and its callbacks. Outside loop_run() every question reads it anew, since a
 * start or a drain may take long.
 *
 * SIGPIPE is ignored for the whole process from loop_new() on: a peer or child that leaves early
 * must be an EPIPE here, never our end.
 */
#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/mem.h"

/* libevent's own clock stops in suspend: a longer wait would oversleep by the time suspended. */
enum { LOOP_WAIT_MAX_MS = 60 * 1000 };

/* Apart from struct loop, so that loop_now() can fill it behind a const pointer. */
struct loop_clock {
	struct now now;
	int64_t began_us; /* of clock_stopwatch_us() */
	bool is_read;     /* in this turn, or since loop_read_clock() */
};

struct loop_deferred {
	loop_fn *fn;
	void *arg;
};

struct loop {
	struct event_base *base;        /* owned */
	struct loop_clock *clock;       /* owned */
	struct loop_deferred *deferred; /* owned */
	size_t n_deferred;
	size_t cap_deferred;
	loop_fn *turn_end;
	void *turn_end_arg;
	bool is_running;
	bool is_dispatching; /* inside libevent */
	bool is_stopping;
	bool is_woken;
};

struct loop_timer {
	struct loop *loop;
	struct event *event; /* owned */
	loop_fn *fn;
	void *arg;
	int64_t at_mono_ms;
	bool is_set;
};

struct loop_signal {
	struct event *event; /* owned */
	loop_fn *fn;
	void *arg;
};

/*
 * That the kernel would not watch a descriptor, for want of memory or beyond a limit, libevent
 * tells in words alone. Nothing would ever be heard of it again: as bad as any other lack of
 * memory.
 */
static void loop_on_libevent(int severity, const char *words)
{
	(void)severity;
	dprintf(STDERR_FILENO, "<4>libevent: %s\n", words);
	if (strncmp(words, "Epoll ", 6) == 0)
		mem_exhausted();
}

static struct event_base *loop_base_new(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	if (!config)
		return NULL;
	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

/* libevent writes through some of what its allocator answers without looking at it. */
static void *loop_memory_new(size_t size)
{
	return mem_new(size, 1);
}

static void *loop_memory_resize(void *old, size_t size)
{
	return mem_resize(old, size, 1);
}

int loop_new(struct loop **out)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct loop *loop;
	struct event_base *base;

	event_set_log_callback(loop_on_libevent);
	/* Before anything else of libevent's; again is no harm. */
	event_set_mem_functions(loop_memory_new, loop_memory_resize, free);
	errno = ENOMEM;
	base = loop_base_new();
	if (!base)
		return -errno;
	sigaction(SIGPIPE, &ignore, NULL);
	loop = MEM_NEW(struct loop);
	loop->base = base;
	loop->clock = MEM_NEW(struct loop_clock);
	*out = loop;
	return 0;
}

/* Runs those that are there now; what they defer in turn waits for the next turn. */
static void loop_run_deferred(struct loop *loop)
{
	struct loop_deferred *batch = loop->deferred;
	size_t n = loop->n_deferred;

	if (n == 0)
		return;
	loop->deferred = NULL;
	loop->n_deferred = loop->cap_deferred = 0;
	for (size_t i = 0; i < n; i++)
		batch[i].fn(batch[i].arg);
	free(batch);
}

struct loop *loop_free(struct loop *loop)
{
	if (!loop)
		return NULL;
	assert(!loop->is_running);
	while (loop->n_deferred > 0)
		loop_run_deferred(loop);
	event_base_free(loop->base);
	free(loop->clock);
	free(loop);
	return NULL;
}

void loop_set_turn_end(struct loop *loop, loop_fn *fn, void *arg)
{
	loop->turn_end = fn;
	loop->turn_end_arg = arg;
}

/*
 * EVLOOP_ONCE stands in both kinds of turn: EVLOOP_NONBLOCK alone goes on for as long as there is
 * something ready, so that steady traffic would keep the turn from ending.
 */
static int loop_turn(struct loop *loop)
{
	bool may_wait = !loop->is_woken && loop->n_deferred == 0;
	int flags = EVLOOP_NO_EXIT_ON_EMPTY | EVLOOP_ONCE | (may_wait ? 0 : EVLOOP_NONBLOCK);
	int result;

	loop->is_woken = false;
	loop->clock->is_read = false;
	loop->is_dispatching = true;
	errno = EIO;
	result = event_base_loop(loop->base, flags);
	loop->is_dispatching = false;
	if (result < 0)
		return -errno;
	if (loop->turn_end)
		loop->turn_end(loop->turn_end_arg);
	loop_run_deferred(loop);
	return 0;
}

int loop_run(struct loop *loop)
{
	int error = 0;

	assert(!loop->is_running);
	loop->is_running = true;
	while (!loop->is_stopping && error == 0)
		error = loop_turn(loop);
	loop->is_running = loop->is_stopping = false;
	loop_read_clock(loop);
	return error;
}

void loop_stop(struct loop *loop)
{
	loop->is_stopping = true;
}

struct now loop_now(const struct loop *loop)
{
	struct loop_clock *clock = loop->clock;

	if (!clock->is_read) {
		clock->now = clock_now();
		clock->began_us = clock_stopwatch_us();
		clock->is_read = true;
	}
	return clock->now;
}

void loop_read_clock(struct loop *loop)
{
	if (!loop->is_running)
		loop->clock->is_read = false;
}

int64_t loop_turn_us(const struct loop *loop)
{
	return loop->clock->is_read ? clock_stopwatch_us() - loop->clock->began_us : 0;
}

void loop_defer(struct loop *loop, loop_fn *fn, void *arg)
{
	if (loop->n_deferred == loop->cap_deferred) {
		loop->cap_deferred = loop->cap_deferred ? loop->cap_deferred * 2 : 8;
		loop->deferred =
		        mem_resize(loop->deferred, loop->cap_deferred, sizeof(*loop->deferred));
	}
	loop->deferred[loop->n_deferred++] = (struct loop_deferred){.fn = fn, .arg = arg};
}

void loop_wake(struct loop *loop)
{
	loop->is_woken = true;
}

/*
 * The delay is taken from a fresh reading: a turn's end may be long after the turn's own time.
 * Waking too early is right, since loop_timer_fire() arms anew.
 *
 * What is due already is made active at once, which saves the timer heap; but not from inside
 * libevent's processing, which would run it in the same turn: a timer that keeps setting itself to
 * now would then never let the turn end.
 */
static void loop_timer_arm(struct loop_timer *timer)
{
	int64_t now_mono_ms = clock_now().mono_ms;
	int64_t delay_ms = 0;
	struct timeval wait;

	if (timer->at_mono_ms > now_mono_ms)
		delay_ms = timer->at_mono_ms - now_mono_ms;
	if (delay_ms == 0 && !timer->loop->is_dispatching) {
		event_active(timer->event, EV_TIMEOUT, 0);
		return;
	}
	if (delay_ms > LOOP_WAIT_MAX_MS)
		delay_ms = LOOP_WAIT_MAX_MS;
	wait = (struct timeval){
	        .tv_sec = (time_t)(delay_ms / 1000),
	        .tv_usec = (suseconds_t)(delay_ms % 1000 * 1000),
	};
	loop_event_add(timer->event, &wait);
}

static void loop_timer_fire(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *timer = arg;

	(void)fd;
	(void)what;
	assert(timer->is_set);
	if (loop_now(timer->loop).mono_ms < timer->at_mono_ms) {
		loop_timer_arm(timer);
		return;
	}
	timer->is_set = false;
	timer->fn(timer->arg);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *fn, void *arg)
{
	struct loop_timer *timer = MEM_NEW(struct loop_timer);

	timer->loop = loop;
	timer->fn = fn;
	timer->arg = arg;
	timer->event = mem_must(evtimer_new(loop->base, loop_timer_fire, timer));
	return timer;
}

struct loop_timer *loop_timer_free(struct loop_timer *timer)
{
	if (!timer)
		return NULL;
	event_free(timer->event);
	free(timer);
	return NULL;
}

void loop_timer_set(struct loop_timer *timer, int64_t at_mono_ms)
{
	timer->at_mono_ms = at_mono_ms;
	timer->is_set = true;
	loop_timer_arm(timer);
}

void loop_timer_clear(struct loop_timer *timer)
{
	timer->is_set = false;
	event_del(timer->event);
}

static void loop_signal_fire(evutil_socket_t fd, short what, void *arg)
{
	struct loop_signal *signal = arg;

	(void)fd;
	(void)what;
	signal->fn(signal->arg);
}

int loop_signal_new(struct loop *loop, int signo, loop_fn *fn, void *arg, struct loop_signal **out)
{
	struct loop_signal *signal = MEM_NEW(struct loop_signal);

	signal->fn = fn;
	signal->arg = arg;
	signal->event = mem_must(evsignal_new(loop->base, signo, loop_signal_fire, signal));
	errno = EINVAL;
	if (event_add(signal->event, NULL) < 0) {
		int error = -errno;

		loop_signal_free(signal);
		return error;
	}
	*out = signal;
	return 0;
}

struct loop_signal *loop_signal_free(struct loop_signal *signal)
{
	if (!signal)
		return NULL;
	event_free(signal->event);
	free(signal);
	return NULL;
}

void loop_event_add(struct event *event, const struct timeval *wait)
{
	if (event_add(event, wait) < 0)
		mem_exhausted();
}

void *loop_event_base(struct loop *loop)
{
	return loop->base;
}

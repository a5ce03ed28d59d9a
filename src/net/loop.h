/*
 * The event loop: one libevent base, turns, timers, signals, and the only reading of the clock
 * besides util/clock.
 *
 * A turn: wait until something is ready (or a timer is due), read the clock once, run what is
 * ready, then call the turn-end function (in which the daemon decides, commits and publishes), then
 * run what was deferred. This header names no type of libevent's: the simulation puts another
 * net/ with a virtual clock behind the same functions.
 */
#pragma once

#include <stdint.h>

#include "util/clock.h"

struct loop;
struct loop_timer;
struct loop_signal;

typedef void loop_fn(void *arg);

/*
 * 0, or -ENOMEM and the like. The loop outlives everything made on it. SIGPIPE is ignored in the
 * whole process from here on; children get the default back (net/child).
 */
int loop_new(struct loop **out);
/* Takes NULL, returns NULL. Runs what is still deferred. Timers and signals must be freed before.
 */
struct loop *loop_free(struct loop *loop);

/* Called once at the end of every turn; one function, set before loop_run. */
void loop_set_turn_end(struct loop *loop, loop_fn *fn, void *arg);
/* Turns until loop_stop(); 0, or a negative error of the backend's. */
int loop_run(struct loop *loop);
/* The current turn is finished, its end included. */
void loop_stop(struct loop *loop);
/* The time as read when this turn began; the same value for the whole turn. Outside of turns it is
 * read once, and again after each loop_read_clock(), which does nothing within a turn: at a start
 * there are millions of questions. */
struct now loop_now(const struct loop *loop);
void loop_read_clock(struct loop *loop);
/* How long this turn has lasted, from its first question for the time: what is ready was waited for
 * before that. */
int64_t loop_turn_us(const struct loop *loop);
/* Runs fn after this turn's end: the way to free an object inside its own callback. */
void loop_defer(struct loop *loop, loop_fn *fn, void *arg);
/* Makes the loop take another turn at once instead of waiting; cheap, may be repeated. */
void loop_wake(struct loop *loop);

/*
 * A timer fires once at or after at_mono_ms (milliseconds of CLOCK_BOOTTIME, as in struct now). The
 * clock that libevent waits on stops in suspend, so the wait is never armed further than a minute
 * and re-armed until the time has come.
 */
struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *fn, void *arg);
struct loop_timer *loop_timer_free(struct loop_timer *timer); /* not inside its own callback */
void loop_timer_set(struct loop_timer *timer, int64_t at_mono_ms);
void loop_timer_clear(struct loop_timer *timer);

/* fn runs in the loop, not in signal context. 0 or a negative error. */
int loop_signal_new(struct loop *loop, int signo, loop_fn *fn, void *arg, struct loop_signal **out);
struct loop_signal *loop_signal_free(struct loop_signal *signal);

/*
 * event_add() for whom nothing could go on without it: where neither libevent nor the kernel has
 * the memory, the process ends.
 */
struct event;
struct timeval;
void loop_event_add(struct event *event, const struct timeval *wait);

/* The struct event_base, as void *, for the other files of net/ alone. */
void *loop_event_base(struct loop *loop);

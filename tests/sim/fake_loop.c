/*
 * net/loop.h on the virtual clock: a turn takes the clock to the next alarm and runs what is due.
 *
 * Promises what the real one promises: one reading of the clock a turn, timers that set themselves
 * do not run twice in a turn, deferred calls after the turn's end. Fails the simulation when the
 * daemon spins (many turns in which nothing came about) or when nothing would ever wake it.
 */
#include "net/loop.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>

#include "fake.h"
#include "util/mem.h"
#include "world.h"

enum { SPIN_TURNS = 2000, LATE_MS = 100, LONG_TURN_MS = 5, SLOW_TURN = 5, LOOK_US = 3000 };

struct deferred {
	loop_fn *fn;
	void *arg;
};

struct loop {
	struct heap alarms;
	struct deferred *deferred; /* owned */
	size_t n_deferred, cap_deferred;
	loop_fn *turn_end;
	void *turn_end_arg;
	struct loop_signal *signals;
	struct now now;
	bool is_running, is_stopping, is_woken;
};

struct loop_timer {
	struct alarm alarm;
	struct loop *loop;
};

struct loop_signal {
	struct loop *loop;
	struct loop_signal *next;
	int signo;
	loop_fn *fn;
	void *arg;
};

int loop_new(struct loop **out)
{
	*out = MEM_NEW(struct loop);
	return 0;
}

void loop_read_clock(struct loop *loop)
{
	(void)loop; /* the world's clock is always right */
}

/* In some turns each look at the watch finds much time gone, so that what the daemon puts off is
 * put off. */
int64_t loop_turn_us(const struct loop *loop)
{
	static int64_t turn, n_looks;

	n_looks = turn == world->turn ? n_looks + 1 : 1;
	turn = world->turn;
	return (world->mono_ms - loop_now(loop).mono_ms) * 1000 +
	       (turn % SLOW_TURN == 0 ? n_looks * LOOK_US : 0);
}

static void run_deferred(struct loop *loop)
{
	struct deferred *batch = loop->deferred;
	size_t n = loop->n_deferred;

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
	while (loop->n_deferred > 0)
		run_deferred(loop);
	assert(loop->alarms.n == 0 && !loop->signals);
	heap_deinit(&loop->alarms);
	free(loop);
	return NULL;
}

void loop_set_turn_end(struct loop *loop, loop_fn *fn, void *arg)
{
	loop->turn_end = fn;
	loop->turn_end_arg = arg;
}

/* ---- the turn ---- */

/* The kernel wakes nobody too early, but now and then late, and very late under load. */
static int64_t lateness_ms(void)
{
	int64_t ms = 0;

	if (world_may(KIND_CLOCKS) && world_chance(DICE_CLOCK, 0.02)) {
		ms = world_between(DICE_CLOCK, LATE_MS, WORLD_LATE_MAX_MS);
		world_happened(HAPPENED_LATE_WAKE);
	} else if (world_chance(DICE_CLOCK, 0.1)) {
		ms = world_between(DICE_CLOCK, 0, 20);
	}
	return ms;
}

static void wait(struct loop *loop)
{
	int64_t next = heap_first_key(&loop->alarms);

	if (loop->is_woken || loop->n_deferred > 0)
		return;
	if (next == INT64_MAX)
		world_fail("nothing would ever wake the daemon");
	if (next > world->mono_ms) {
		int64_t late_ms = lateness_ms();

		world_advance_to(next + late_ms);
		if (late_ms >= LATE_MS)
			world->woken_mono_ms = world->mono_ms;
		world_was_busy();
	}
}

static void run_alarms(struct loop *loop)
{
	for (;;) {
		struct heap_node *node = heap_first(&loop->alarms);

		if (!node || heap_first_key(&loop->alarms) > loop->now.mono_ms)
			return;
		struct alarm *alarm = container_of(node, struct alarm, node);

		if (alarm->set_in_turn == world->turn)
			return;
		heap_remove(&loop->alarms, node);
		alarm->fn(alarm->arg);
	}
}

/* Most turns take no virtual time but that of their commits. */
static void take_time(void)
{
	if (world_chance(DICE_CLOCK, 0.1))
		world_advance_to(world->mono_ms + world_between(DICE_CLOCK, 1, LONG_TURN_MS));
}

static void turn(struct loop *loop)
{
	wait(loop);
	world->turn++;
	if (world->turn - world->busy_step > SPIN_TURNS)
		world_fail("the daemon spins: %d turns in which nothing came about", SPIN_TURNS);
	loop->is_woken = false;
	outside_turn(loop);
	loop->now = world_now();
	run_alarms(loop);
	take_time();
	if (loop->turn_end)
		loop->turn_end(loop->turn_end_arg);
	run_deferred(loop);
}

int loop_run(struct loop *loop)
{
	assert(!loop->is_running);
	loop->is_running = true;
	outside_begin(loop);
	while (!loop->is_stopping)
		turn(loop);
	outside_end(loop);
	loop->is_running = loop->is_stopping = false;
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->is_stopping = true;
}

struct now loop_now(const struct loop *loop)
{
	return loop->is_running ? loop->now : world_now();
}

void loop_defer(struct loop *loop, loop_fn *fn, void *arg)
{
	if (loop->n_deferred == loop->cap_deferred) {
		loop->cap_deferred = loop->cap_deferred ? loop->cap_deferred * 2 : 8;
		loop->deferred =
		        mem_resize(loop->deferred, loop->cap_deferred, sizeof(*loop->deferred));
	}
	loop->deferred[loop->n_deferred++] = (struct deferred){.fn = fn, .arg = arg};
}

void loop_wake(struct loop *loop)
{
	loop->is_woken = true;
}

/* ---- alarms and timers ---- */

void fake_alarm_set(struct loop *loop, struct alarm *alarm, int64_t at_mono_ms)
{
	alarm->set_in_turn = loop->is_running ? world->turn : -1;
	heap_set(&loop->alarms, &alarm->node, at_mono_ms);
}

void fake_alarm_clear(struct loop *loop, struct alarm *alarm)
{
	heap_remove(&loop->alarms, &alarm->node);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *fn, void *arg)
{
	struct loop_timer *timer = MEM_NEW(struct loop_timer);

	timer->loop = loop;
	timer->alarm.fn = fn;
	timer->alarm.arg = arg;
	return timer;
}

struct loop_timer *loop_timer_free(struct loop_timer *timer)
{
	if (timer)
		fake_alarm_clear(timer->loop, &timer->alarm);
	free(timer);
	return NULL;
}

void loop_timer_set(struct loop_timer *timer, int64_t at_mono_ms)
{
	fake_alarm_set(timer->loop, &timer->alarm, at_mono_ms);
}

void loop_timer_clear(struct loop_timer *timer)
{
	fake_alarm_clear(timer->loop, &timer->alarm);
}

/* ---- signals ---- */

int loop_signal_new(struct loop *loop, int signo, loop_fn *fn, void *arg, struct loop_signal **out)
{
	struct loop_signal *signal = MEM_NEW(struct loop_signal);

	*signal = (struct loop_signal){
	        .loop = loop, .next = loop->signals, .signo = signo, .fn = fn, .arg = arg};
	loop->signals = signal;
	*out = signal;
	return 0;
}

struct loop_signal *loop_signal_free(struct loop_signal *signal)
{
	if (!signal)
		return NULL;
	struct loop_signal **link = &signal->loop->signals;

	while (*link != signal)
		link = &(*link)->next;
	*link = signal->next;
	free(signal);
	return NULL;
}

bool fake_loop_signal(struct loop *loop, int signo)
{
	for (struct loop_signal *signal = loop->signals; signal; signal = signal->next) {
		if (signal->signo != signo)
			continue;
		loop->now = world_now();
		signal->fn(signal->arg);
		return true;
	}
	return false;
}

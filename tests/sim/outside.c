/*
 * What goes on whatever the daemon does: what was planned, and the end of the story.
 */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>

#include "evidence.h"
#include "fake.h"
#include "plant.h"
#include "receivers.h"
#include "scenario.h"
#include "tokens.h"
#include "world.h"

enum {
	QUIET_MS = 20 * 60 * 1000, /* after all is done: to see that nothing more is */
	LOOK_EVERY_MS = 5 * 60 * 1000,
};

static struct alarm alarm_clock;
static int64_t quiet_until_mono_ms;

static bool is_all_done(void)
{
	return world->n_open_jobs == 0 && world->n_watched_jobs == world->n_jobs &&
	       world->n_open_deliveries == 0 && world->next_plan == world->n_plans &&
	       world->variant == 0 && world->end.reload_at_turn == 0 && clients_are_done();
}

static void tell_to_stop(struct loop *loop)
{
	if (!world->was_told_to_stop)
		world->told_to_stop_mono_ms = world->mono_ms;
	world->was_told_to_stop = true;
	if (!plant_is(PLANT_DEAF))
		fake_loop_signal(loop, SIGTERM);
}

static void change_config(struct loop *loop, int variant)
{
	world_step("before a new configuration");
	scenario_write_config(variant);
	if (variant >= 0) {
		evidence_reload(world->variant, variant);
		world->variant = variant;
	}
	if (loop) {
		fake_loop_signal(loop, SIGHUP);
		world_happened(variant < 0 ? HAPPENED_BAD_RELOAD : HAPPENED_RELOAD);
	}
	if (variant < 0)
		scenario_write_config(world->variant);
}

void outside_leap(int64_t ms)
{
	world->wall_ms += ms;
	if (ms > 0)
		evidence_leap();
	world_happened(ms > 0 ? HAPPENED_LEAP_FORWARD : HAPPENED_LEAP_BACK);
}

static void run_plan(struct loop *loop, const struct plan *plan)
{
	switch (plan->kind) {
	case PLAN_TOKEN:
		world->accounts[plan->value].n_written++;
		scenario_write_token((int)plan->value);
		break;
	case PLAN_REVOKE:
		tokens_revoke_secret((int)plan->value);
		break;
	case PLAN_SECRET:
		tokens_renew_secret((int)plan->value);
		break;
	case PLAN_KEY:
		receivers_renew_key((int)plan->value);
		break;
	case PLAN_KEY_SPOILT:
		receivers_spoil_key((int)plan->value);
		break;
	case PLAN_VARIANT:
		change_config(loop, (int)plan->value);
		break;
	case PLAN_BAD_CONFIG:
		change_config(loop, -1);
		break;
	case PLAN_WALL:
		outside_leap(plan->value);
		if (loop)
			fprintf(stderr, "sim: the wall clock leaps by %lld s\n",
			        (long long)(plan->value / 1000));
		break;
	case PLAN_SUSPEND:
		world_suspend(plan->value);
		world_happened(HAPPENED_SUSPEND);
		break;
	case PLAN_STOP:
		if (!loop)
			break;
		world_happened(HAPPENED_STOP);
		tell_to_stop(loop);
		break;
	}
}

void outside_run_plans(struct loop *loop)
{
	while (world->next_plan < world->n_plans &&
	        world->plans[world->next_plan].at_mono_ms <= world->mono_ms) {
		/* On a full disk a reload is refused, or done later (test_full_disk.py): nobody
		 * tries then. */
		if (loop && world_room_may_be_news())
			return;
		/* Counted first: a life that dies of it does not meet it again. */
		run_plan(loop, &world->plans[world->next_plan++]);
		world_was_busy();
	}
}

/* Every few minutes at least; the turn that begins looks at what is planned. */
static void ring(void *arg)
{
	(void)arg;
	evidence_look_for_silence();
	evidence_look_for_due();
	evidence_look_at_retention();
	evidence_look_at_memory();
}

/* The first variant is back a few turns after another was tried. */
static void run_turn_plans(struct loop *loop)
{
	if (world->end.stop_at_turn == world->turn)
		tell_to_stop(loop);
	if (world->end.reload_at_turn == world->turn)
		change_config(loop, 1);
	if (world->end.reload_at_turn > 0 && world->end.reload_at_turn + 5 == world->turn) {
		world->end.reload_at_turn = 0;
		change_config(loop, 0);
	}
}

static void look_for_the_end(struct loop *loop)
{
	if (!is_all_done()) {
		quiet_until_mono_ms = 0;
		if (world->mono_ms > world->deadline_mono_ms)
			world_fail(
			        "it does not come to an end: %zu jobs and %zu deliveries are open",
			        world->n_open_jobs, world->n_open_deliveries);
		return;
	}
	if (quiet_until_mono_ms == 0)
		quiet_until_mono_ms = world->mono_ms + QUIET_MS;
	if (world->mono_ms >= quiet_until_mono_ms && !world->is_over) {
		world->is_over = true;
		tell_to_stop(loop);
	}
}

static void set_alarm_clock(struct loop *loop)
{
	int64_t next = world->mono_ms + LOOK_EVERY_MS;

	if (world->next_plan < world->n_plans && world->plans[world->next_plan].at_mono_ms < next)
		next = world->plans[world->next_plan].at_mono_ms;
	fake_alarm_set(loop, &alarm_clock, next);
}

void outside_turn(struct loop *loop)
{
	outside_run_plans(loop);
	run_turn_plans(loop);
	evidence_look_at_stop();
	look_for_the_end(loop);
	if (alarm_clock.node.place == 0)
		set_alarm_clock(loop);
}

void outside_begin(struct loop *loop)
{
	alarm_clock = (struct alarm){.fn = ring};
	quiet_until_mono_ms = 0;
	set_alarm_clock(loop);
	clients_begin(loop);
}

void outside_end(struct loop *loop)
{
	fake_alarm_clear(loop, &alarm_clock);
	clients_end();
}

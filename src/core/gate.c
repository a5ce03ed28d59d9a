#include "core/gate.h"

#include "core/limits.h"
#include "core/schedule.h"

const char *gate_state_name(enum gate_state state)
{
	static const char *const names[] = {
	        [GATE_OK] = "ok", [GATE_HELD] = "held", [GATE_PAUSED] = "paused"};

	return names[state];
}

static void raise_level(uint8_t *level)
{
	if (*level < UINT8_MAX)
		(*level)++;
}

static void enter(struct gate *gate, enum gate_state state, enum error_class reason, struct now now)
{
	gate->state = state;
	gate->reason = reason;
	gate->since_wall_ms = now.wall_ms;
	gate->is_probing = false;
}

static enum gate_change open_up(struct gate *gate, struct now now)
{
	enter(gate, GATE_OK, ERROR_NONE, now);
	gate->level = 0;
	return GATE_BECAME_OK;
}

static int64_t hold_ms(
        const struct gate *gate, const struct observation *observation, uint64_t random)
{
	if (observation->retry_after_ms >= 0)
		return observation->retry_after_ms;
	/* Never less than the doubled time; a tenth of jitter on top keeps accounts out of step. */
	int64_t wait = schedule_doubled_ms(THROTTLE_FIRST_MS, THROTTLE_MAX_MS, gate->level);

	return wait + (int64_t)(random % (uint64_t)(wait / 10));
}

static enum gate_change on_throttled(struct gate *gate, const struct observation *observation,
        bool is_probe, struct now now, uint64_t random)
{
	if (gate->state != GATE_OK && !is_probe)
		return GATE_SAME; /* sent before the hold began: it tells nothing new */
	gate->is_probing = false;
	gate->until_mono_ms = gate->held_mono_ms = now.mono_ms + hold_ms(gate, observation, random);
	raise_level(&gate->level);
	if (gate->state != GATE_OK)
		return GATE_SAME;
	enter(gate, GATE_HELD, ERROR_THROTTLED, now);
	return GATE_BECAME_HELD;
}

static void probe_from(struct gate *gate, int64_t mono_ms)
{
	gate->until_mono_ms = mono_ms > gate->held_mono_ms ? mono_ms : gate->held_mono_ms;
}

static void put_off_probe(struct gate *gate, struct now now, uint64_t random)
{
	gate->is_probing = false;
	int64_t wait = schedule_doubled_ms(PROBE_FIRST_MS, PROBE_MAX_MS, gate->level);

	probe_from(gate, now.mono_ms + wait - (int64_t)(random % (uint64_t)(wait / 10)));
	raise_level(&gate->level);
}

enum gate_change gate_pause(
        struct gate *gate, enum error_class reason, struct now now, uint64_t random)
{
	bool was_paused = gate->state == GATE_PAUSED;

	if (!was_paused) {
		gate->level = 0;
		enter(gate, GATE_PAUSED, reason, now);
	}
	gate->reason = reason;
	put_off_probe(gate, now, random);
	return was_paused ? GATE_SAME : GATE_BECAME_PAUSED;
}

static enum gate_change on_refused(struct gate *gate, const struct observation *observation,
        bool is_probe, struct now now, uint64_t random)
{
	if (gate->state == GATE_PAUSED && !is_probe)
		return GATE_SAME;
	return gate_pause(gate, observation->error, now, random);
}

/* The probe got an answer that neither opens nor closes: ask again after the same kind of wait. */
static enum gate_change on_passing_failure(
        struct gate *gate, bool is_probe, struct now now, uint64_t random)
{
	if (is_probe && gate->state != GATE_OK) {
		put_off_probe(gate, now, random);
		gate->level--;
	}
	return GATE_SAME;
}

enum gate_change gate_observe(struct gate *gate, const struct observation *observation,
        bool is_probe, struct now now, uint64_t random)
{
	switch (observation->kind) {
	case OBSERVED_STATUS:
		if (gate->state != GATE_OK && is_probe)
			return open_up(gate, now);
		if (gate->state == GATE_OK)
			gate->level = 0;
		return GATE_SAME;
	case OBSERVED_NOT_FOUND:
		if (gate->state != GATE_OK && is_probe && gate->reason != ERROR_ALL_LOST)
			return open_up(gate, now);
		if (gate->state != GATE_OK && is_probe)
			put_off_probe(gate, now, random);
		return GATE_SAME;
	case OBSERVED_THROTTLED:
		return on_throttled(gate, observation, is_probe, now, random);
	case OBSERVED_REFUSED:
		return on_refused(gate, observation, is_probe, now, random);
	case OBSERVED_UNREACHABLE:
	case OBSERVED_GARBLED:
		break;
	}
	return on_passing_failure(gate, is_probe, now, random);
}

int64_t gate_closed_until_mono(const struct gate *gate, int64_t mono_ms)
{
	if (gate->state == GATE_OK)
		return 0;
	if (gate->is_probing)
		return INT64_MAX;
	return gate->until_mono_ms <= mono_ms ? 0 : gate->until_mono_ms;
}

bool gate_pass(struct gate *gate)
{
	if (gate->state == GATE_OK)
		return false;
	gate->is_probing = true;
	return true;
}

void gate_unpass(struct gate *gate)
{
	gate->is_probing = false;
}

void gate_probe_now(struct gate *gate, int64_t mono_ms)
{
	probe_from(gate, mono_ms);
}

void circuit_observe(struct circuit *circuit, const struct observation *observation, bool is_probe,
        struct now now, uint64_t random)
{
	if (observation->kind != OBSERVED_UNREACHABLE) {
		*circuit = (struct circuit){0};
		return;
	}
	if (circuit->n_failures < UINT16_MAX)
		circuit->n_failures++;
	if (circuit->is_open && !is_probe)
		return; /* sent before it opened */
	if (circuit->n_failures < CIRCUIT_AFTER_FAILURES)
		return;
	circuit->is_open = true;
	circuit->is_probing = false;
	circuit->until_mono_ms = now.mono_ms + schedule_backoff_ms(CIRCUIT_FIRST_MS, CIRCUIT_MAX_MS,
	                                               circuit->level, random);
	raise_level(&circuit->level);
}

int64_t circuit_open_until_mono(const struct circuit *circuit, int64_t mono_ms)
{
	if (!circuit->is_open)
		return 0;
	if (circuit->is_probing)
		return INT64_MAX;
	return circuit->until_mono_ms <= mono_ms ? 0 : circuit->until_mono_ms;
}

bool circuit_pass(struct circuit *circuit)
{
	if (!circuit->is_open)
		return false;
	circuit->is_probing = true;
	return true;
}

void circuit_unpass(struct circuit *circuit)
{
	circuit->is_probing = false;
}

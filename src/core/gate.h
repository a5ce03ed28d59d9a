/*
 * Who may ask: the state of an account (ok, held, paused) and the circuit of a data center. Both
 * are moved by observations alone and answer one question: may a request go out, and if not, when.
 *
 *   account   ok --THROTTLED--> held --good answer of the one probe--> ok
 *             ok, held --REFUSED--> paused --good answer of a probe--> ok
 *             (a probe that is refused again doubles the wait, to PROBE_MAX_MS)
 *   circuit   closed --CIRCUIT_AFTER_FAILURES times UNREACHABLE--> open --any answer to the
 * probe--> closed
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/observe.h"
#include "util/clock.h"

enum gate_state { GATE_OK, GATE_HELD, GATE_PAUSED };

const char *gate_state_name(enum gate_state state); /* "ok" "held" "paused" */

/* Zero-initialised is ok. */
struct gate {
	enum gate_state state;
	enum error_class reason; /* ERROR_NONE when ok */
	int64_t since_wall_ms;   /* in this state; 0 = always */
	int64_t until_mono_ms;   /* held or paused: the next probe */
	int64_t held_mono_ms;    /* as 429 told: no probe is sooner, whoever asks for one */
	uint8_t level;           /* of the doubling wait */
	bool is_probing;         /* the one probe is on its way */
};

enum gate_change { GATE_SAME, GATE_BECAME_OK, GATE_BECAME_HELD, GATE_BECAME_PAUSED };

/* is_probe: the request was sent while held or paused. GATE_BECAME_OK tells nothing of what it was:
 * keep the old state. */
enum gate_change gate_observe(struct gate *gate, const struct observation *observation,
        bool is_probe, struct now now, uint64_t random);
/* Pauses for a reason that is not an answer's (every job lost, a secret that cannot be read). */
enum gate_change gate_pause(
        struct gate *gate, enum error_class reason, struct now now, uint64_t random);
/* 0: may ask now. Else the mono time when to look again; INT64_MAX: when the probe's answer is
 * there. */
int64_t gate_closed_until_mono(const struct gate *gate, int64_t mono_ms);
/* A request goes out. True: it is the probe. */
bool gate_pass(struct gate *gate);
/* The probe was dropped without an answer. */
void gate_unpass(struct gate *gate);
/* The next probe may go at once, or once a hold is over: the configuration or a secret changed. */
void gate_probe_now(struct gate *gate, int64_t mono_ms);

/* Zero-initialised is closed, which lets everything pass. */
struct circuit {
	uint16_t n_failures; /* in a row */
	bool is_open;
	bool is_probing;
	uint8_t level;
	int64_t until_mono_ms;
};

void circuit_observe(struct circuit *circuit, const struct observation *observation, bool is_probe,
        struct now now, uint64_t random);
int64_t circuit_open_until_mono(
        const struct circuit *circuit, int64_t mono_ms); /* as gate_closed_until_mono */
bool circuit_pass(struct circuit *circuit);
void circuit_unpass(struct circuit *circuit);

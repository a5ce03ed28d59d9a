/*
 * Who may ask: the gate of an account (holds, pauses, probes) and the circuit of a data center.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/gate.h"
#include "core/limits.h"
#include "seed.h"
#include "util/mem.h"

static const struct now start = {.mono_ms = 1000000, .wall_ms = INT64_C(1800000000000)};

static struct now later(int64_t mono_ms)
{
	return (struct now){.mono_ms = mono_ms, .wall_ms = start.wall_ms + mono_ms - start.mono_ms};
}

static struct observation observed(enum observation_kind kind)
{
	static const enum error_class errors[OBSERVATION_KINDS] = {
	        [OBSERVED_STATUS] = ERROR_NONE,
	        [OBSERVED_NOT_FOUND] = ERROR_NOT_FOUND,
	        [OBSERVED_THROTTLED] = ERROR_THROTTLED,
	        [OBSERVED_REFUSED] = ERROR_TOKEN,
	        [OBSERVED_UNREACHABLE] = ERROR_TIMEOUT,
	        [OBSERVED_GARBLED] = ERROR_BAD_REPLY,
	};

	return (struct observation){
	        .kind = kind, .error = errors[kind], .retry_after_ms = -1, .state = "ADDED"};
}

static enum gate_change see(
        struct gate *gate, enum observation_kind kind, bool is_probe, int64_t mono_ms)
{
	struct observation observation = observed(kind);

	return gate_observe(gate, &observation, is_probe, later(mono_ms), 0);
}

/* Waits until the gate lets a probe out, and answers it. */
static enum gate_change probe(struct gate *gate, enum observation_kind kind)
{
	int64_t due = gate->until_mono_ms;

	ck_assert_int_eq(gate_closed_until_mono(gate, due - 1), due);
	ck_assert_int_eq(gate_closed_until_mono(gate, due), 0);
	ck_assert(gate_pass(gate));
	ck_assert_int_eq(gate_closed_until_mono(gate, due), INT64_MAX);
	return see(gate, kind, true, due);
}

/* ---- holds ---- */

START_TEST(test_gate_ok_lets_all_pass)
{
	struct gate gate = {0};

	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(gate_closed_until_mono(&gate, i), 0);
		ck_assert(!gate_pass(&gate));
		ck_assert_int_eq(see(&gate, OBSERVED_STATUS, false, i), GATE_SAME);
		ck_assert_int_eq(see(&gate, OBSERVED_NOT_FOUND, false, i), GATE_SAME);
		ck_assert_int_eq(see(&gate, OBSERVED_UNREACHABLE, false, i), GATE_SAME);
		ck_assert_int_eq(see(&gate, OBSERVED_GARBLED, false, i), GATE_SAME);
	}
	ck_assert_int_eq(gate.state, GATE_OK);
	ck_assert_int_eq(gate.reason, ERROR_NONE);
	ck_assert_str_eq(gate_state_name(GATE_OK), "ok");
	ck_assert_str_eq(gate_state_name(GATE_HELD), "held");
	ck_assert_str_eq(gate_state_name(GATE_PAUSED), "paused");
}
END_TEST

START_TEST(test_hold_doubles_to_its_cap)
{
	static const int64_t waits_s[] = {60, 120, 240, 480, 900, 900, 900};
	struct gate gate = {0};

	ck_assert_int_eq(see(&gate, OBSERVED_THROTTLED, false, start.mono_ms), GATE_BECAME_HELD);
	ck_assert_int_eq(gate.state, GATE_HELD);
	ck_assert_int_eq(gate.reason, ERROR_THROTTLED);
	ck_assert_int_eq(gate.since_wall_ms, start.wall_ms);
	ck_assert_int_eq(gate.until_mono_ms, start.mono_ms + THROTTLE_FIRST_MS);
	for (size_t i = 1; i < ARRAY_LEN(waits_s); i++) {
		int64_t due = gate.until_mono_ms;

		ck_assert_int_eq(probe(&gate, OBSERVED_THROTTLED), GATE_SAME);
		ck_assert_int_eq(gate.until_mono_ms - due, waits_s[i] * 1000);
		ck_assert_int_eq(gate.since_wall_ms, start.wall_ms);
	}
	/* Hundreds of refused probes overflow nothing. */
	for (int i = 0; i < 600; i++)
		ck_assert_int_eq(probe(&gate, OBSERVED_THROTTLED), GATE_SAME);
	ck_assert_int_eq(probe(&gate, OBSERVED_STATUS), GATE_BECAME_OK);
	ck_assert_int_eq(gate.state, GATE_OK);
	ck_assert_int_eq(gate.reason, ERROR_NONE);
	ck_assert_int_eq(gate_closed_until_mono(&gate, 0), 0);
	/* A hold after a good answer begins anew. */
	see(&gate, OBSERVED_THROTTLED, false, 5000);
	ck_assert_int_eq(gate.until_mono_ms, 5000 + THROTTLE_FIRST_MS);
}
END_TEST

START_TEST(test_hold_has_a_little_jitter_above)
{
	struct rng rng;

	seed_rng(&rng, "test_hold_has_a_little_jitter_above");
	for (int i = 0; i < 1000; i++) {
		struct gate gate = {0};
		struct observation observation = observed(OBSERVED_THROTTLED);

		gate_observe(&gate, &observation, false, start, rng_next(&rng));
		ck_assert_int_ge(gate.until_mono_ms, start.mono_ms + THROTTLE_FIRST_MS);
		ck_assert_int_le(gate.until_mono_ms, start.mono_ms + THROTTLE_FIRST_MS * 11 / 10);
	}
}
END_TEST

START_TEST(test_hold_obeys_retry_after)
{
	struct gate gate = {0};
	struct observation observation = observed(OBSERVED_THROTTLED);

	observation.retry_after_ms = 7000;
	ck_assert_int_eq(
	        gate_observe(&gate, &observation, false, start, UINT64_MAX), GATE_BECAME_HELD);
	ck_assert_int_ge(gate.until_mono_ms, start.mono_ms + 7000);
	ck_assert_int_le(gate.until_mono_ms, start.mono_ms + 7700);
	ck_assert(gate_pass(&gate));
	observation.retry_after_ms = RETRY_AFTER_MAX_MS;
	ck_assert_int_eq(
	        gate_observe(&gate, &observation, true, later(start.mono_ms + 8000), 0), GATE_SAME);
	ck_assert_int_ge(gate.until_mono_ms, start.mono_ms + 8000 + RETRY_AFTER_MAX_MS);
}
END_TEST

START_TEST(test_late_answers_change_nothing)
{
	static const enum observation_kind kinds[] = {OBSERVED_STATUS, OBSERVED_NOT_FOUND,
	        OBSERVED_THROTTLED, OBSERVED_UNREACHABLE, OBSERVED_GARBLED};
	struct gate held = {0}, paused = {0}, before;

	see(&held, OBSERVED_THROTTLED, false, start.mono_ms);
	see(&paused, OBSERVED_REFUSED, false, start.mono_ms);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		before = held;
		ck_assert_int_eq(see(&held, kinds[i], false, start.mono_ms + 10), GATE_SAME);
		ck_assert_mem_eq(&held, &before, sizeof(before));
		before = paused;
		ck_assert_int_eq(see(&paused, kinds[i], false, start.mono_ms + 10), GATE_SAME);
		ck_assert_mem_eq(&paused, &before, sizeof(before));
	}
	before = paused;
	ck_assert_int_eq(see(&paused, OBSERVED_REFUSED, false, start.mono_ms + 10), GATE_SAME);
	ck_assert_mem_eq(&paused, &before, sizeof(before));
	/* Nor do they free the way that the probe has taken. */
	ck_assert(gate_pass(&held));
	see(&held, OBSERVED_STATUS, false, start.mono_ms + 90000);
	see(&held, OBSERVED_THROTTLED, false, start.mono_ms + 90000);
	ck_assert_int_eq(gate_closed_until_mono(&held, INT64_MAX - 1), INT64_MAX);
	/* But a refusal is told of an account that is only held. */
	held.is_probing = false;
	ck_assert_int_eq(
	        see(&held, OBSERVED_REFUSED, false, start.mono_ms + 10), GATE_BECAME_PAUSED);
}
END_TEST

/* ---- pauses ---- */

START_TEST(test_pause_probe_doubles_to_its_cap)
{
	static const int64_t waits_s[] = {60, 120, 240, 480, 900, 900};
	struct gate gate = {0};

	ck_assert_int_eq(see(&gate, OBSERVED_REFUSED, false, start.mono_ms), GATE_BECAME_PAUSED);
	ck_assert_int_eq(gate.state, GATE_PAUSED);
	ck_assert_int_eq(gate.reason, ERROR_TOKEN);
	ck_assert_int_eq(gate.since_wall_ms, start.wall_ms);
	ck_assert_int_eq(gate.until_mono_ms, start.mono_ms + PROBE_FIRST_MS);
	for (size_t i = 1; i < ARRAY_LEN(waits_s); i++) {
		int64_t due = gate.until_mono_ms;

		ck_assert_int_eq(probe(&gate, OBSERVED_REFUSED), GATE_SAME);
		ck_assert_int_eq(gate.until_mono_ms - due, waits_s[i] * 1000);
	}
	for (int i = 0; i < 600; i++)
		ck_assert_int_eq(probe(&gate, OBSERVED_REFUSED), GATE_SAME);
	ck_assert_int_eq(gate.since_wall_ms, start.wall_ms);
	ck_assert_int_eq(probe(&gate, OBSERVED_NOT_FOUND), GATE_BECAME_OK);
	ck_assert_int_eq(gate.state, GATE_OK);
	ck_assert_int_eq(see(&gate, OBSERVED_REFUSED, false, 5000), GATE_BECAME_PAUSED);
	ck_assert_int_eq(gate.until_mono_ms, 5000 + PROBE_FIRST_MS);
}
END_TEST

START_TEST(test_probe_waits_within_bounds)
{
	struct rng rng;

	seed_rng(&rng, "test_probe_waits_within_bounds");
	for (int i = 0; i < 300; i++) {
		struct gate gate = {0};
		struct now now = start;

		gate_pause(&gate, ERROR_SECRET, now, rng_next(&rng));
		for (int round = 0; round < 20; round++) {
			int64_t wait = gate.until_mono_ms - now.mono_ms;

			ck_assert_int_ge(wait, PROBE_FIRST_MS * 9 / 10);
			ck_assert_int_le(wait, PROBE_MAX_MS);
			now = later(gate.until_mono_ms);
			gate_pause(&gate, ERROR_SECRET, now, rng_next(&rng));
		}
	}
}
END_TEST

START_TEST(test_probe_without_a_clear_answer_is_repeated)
{
	static const enum observation_kind kinds[] = {OBSERVED_UNREACHABLE, OBSERVED_GARBLED};
	struct gate gate = {0};
	int64_t first_wait = 0;

	see(&gate, OBSERVED_REFUSED, false, start.mono_ms);
	for (int i = 0; i < 1000; i++) {
		int64_t due = gate.until_mono_ms;

		ck_assert_int_eq(probe(&gate, kinds[i % 2]), GATE_SAME);
		if (i == 0)
			first_wait = gate.until_mono_ms - due;
		/* The network's being down is no refusal: the wait does not grow. */
		ck_assert_int_eq(gate.until_mono_ms - due, first_wait);
		ck_assert_int_eq(gate.state, GATE_PAUSED);
		ck_assert_int_eq(gate.reason, ERROR_TOKEN);
	}
	ck_assert_int_ge(first_wait, PROBE_FIRST_MS);
	ck_assert_int_le(first_wait, 2 * PROBE_FIRST_MS);
	ck_assert_int_eq(probe(&gate, OBSERVED_STATUS), GATE_BECAME_OK);
}
END_TEST

START_TEST(test_pause_beats_hold_and_throttling_keeps_a_pause)
{
	struct gate gate = {0};

	see(&gate, OBSERVED_THROTTLED, false, start.mono_ms);
	probe(&gate, OBSERVED_THROTTLED);
	ck_assert_int_eq(probe(&gate, OBSERVED_REFUSED), GATE_BECAME_PAUSED);
	ck_assert_int_eq(gate.reason, ERROR_TOKEN);
	/* The doubling of the hold is not that of the pause. */
	ck_assert_int_le(gate.until_mono_ms, start.mono_ms + (60 + 120) * 1000 + PROBE_FIRST_MS);
	ck_assert_int_eq(probe(&gate, OBSERVED_THROTTLED), GATE_SAME);
	ck_assert_int_eq(gate.state, GATE_PAUSED);
	ck_assert_int_eq(gate.reason, ERROR_TOKEN);
	ck_assert_int_eq(probe(&gate, OBSERVED_STATUS), GATE_BECAME_OK);
}
END_TEST

START_TEST(test_all_lost_opens_by_a_document_only)
{
	struct gate gate = {0};
	int64_t due;

	ck_assert_int_eq(gate_pause(&gate, ERROR_ALL_LOST, start, 0), GATE_BECAME_PAUSED);
	ck_assert_int_eq(gate_pause(&gate, ERROR_ALL_LOST, start, 0), GATE_SAME);
	due = gate.until_mono_ms;
	ck_assert_int_eq(probe(&gate, OBSERVED_NOT_FOUND), GATE_SAME);
	ck_assert_int_eq(gate.state, GATE_PAUSED);
	ck_assert_int_gt(gate.until_mono_ms, due);
	ck_assert_int_eq(probe(&gate, OBSERVED_STATUS), GATE_BECAME_OK);
}
END_TEST

START_TEST(test_probe_now_and_unpass)
{
	struct gate gate = {0};

	see(&gate, OBSERVED_REFUSED, false, start.mono_ms);
	ck_assert_int_gt(gate_closed_until_mono(&gate, start.mono_ms + 1), start.mono_ms + 1);
	gate_probe_now(&gate, start.mono_ms + 1);
	ck_assert_int_eq(gate_closed_until_mono(&gate, start.mono_ms + 1), 0);
	ck_assert(gate_pass(&gate));
	ck_assert_int_eq(gate_closed_until_mono(&gate, start.mono_ms + 2), INT64_MAX);
	gate_unpass(&gate);
	ck_assert_int_eq(gate_closed_until_mono(&gate, start.mono_ms + 2), 0);
}
END_TEST

/* A paused account's probe that is told to wait: neither a reload nor another pause asks sooner. */
START_TEST(test_probe_now_keeps_to_a_hold)
{
	struct gate gate = {0};
	struct observation throttled = {.kind = OBSERVED_THROTTLED, .retry_after_ms = 200000};
	int64_t held;

	see(&gate, OBSERVED_REFUSED, false, start.mono_ms);
	ck_assert(gate_pass(&gate));
	ck_assert_int_eq(gate_observe(&gate, &throttled, true, start, 0), GATE_SAME);
	held = start.mono_ms + 200000;
	gate_probe_now(&gate, start.mono_ms + 1);
	ck_assert_int_eq(gate_closed_until_mono(&gate, start.mono_ms + 1), held);
	ck_assert_int_eq(gate_pause(&gate, ERROR_ALL_LOST, start, 0), GATE_SAME);
	ck_assert_int_ge(gate_closed_until_mono(&gate, start.mono_ms + 1), held);
	gate_probe_now(&gate, held + 1);
	ck_assert_int_eq(gate_closed_until_mono(&gate, held + 1), 0);
}
END_TEST

/* ---- circuit ---- */

static void circuit_see(
        struct circuit *circuit, enum observation_kind kind, bool is_probe, int64_t mono_ms)
{
	struct observation observation = observed(kind);

	circuit_observe(circuit, &observation, is_probe, later(mono_ms), UINT64_MAX);
}

static void circuit_break(struct circuit *circuit)
{
	for (int i = 0; i < CIRCUIT_AFTER_FAILURES; i++)
		circuit_see(circuit, OBSERVED_UNREACHABLE, false, start.mono_ms);
	ck_assert(circuit->is_open);
}

START_TEST(test_circuit_opens_after_failures_in_a_row)
{
	struct circuit circuit = {0};

	ck_assert_int_eq(CIRCUIT_AFTER_FAILURES, 5);
	for (int i = 0; i < 4; i++)
		circuit_see(&circuit, OBSERVED_UNREACHABLE, false, start.mono_ms);
	/* Any answer at all, even a bad one, shows that the data center lives. */
	circuit_see(&circuit, OBSERVED_GARBLED, false, start.mono_ms);
	for (int i = 0; i < 4; i++) {
		circuit_see(&circuit, OBSERVED_UNREACHABLE, false, start.mono_ms);
		ck_assert_int_eq(circuit_open_until_mono(&circuit, start.mono_ms), 0);
		ck_assert(!circuit_pass(&circuit));
	}
	circuit_see(&circuit, OBSERVED_UNREACHABLE, false, start.mono_ms);
	ck_assert(circuit.is_open);
	ck_assert_int_ge(circuit_open_until_mono(&circuit, start.mono_ms),
	        start.mono_ms + CIRCUIT_FIRST_MS / 2);
	ck_assert_int_le(
	        circuit_open_until_mono(&circuit, start.mono_ms), start.mono_ms + CIRCUIT_FIRST_MS);
}
END_TEST

START_TEST(test_a_probe_that_finds_the_gate_open_changes_nothing)
{
	struct gate gate = {0}, before;

	see(&gate, OBSERVED_REFUSED, false, start.mono_ms);
	see(&gate, OBSERVED_STATUS, true, start.mono_ms);
	before = gate;
	ck_assert_int_eq(see(&gate, OBSERVED_GARBLED, true, start.mono_ms + 1), GATE_SAME);
	ck_assert_mem_eq(&gate, &before, sizeof(gate));
}
END_TEST

START_TEST(test_circuit_counts_to_its_end)
{
	struct circuit circuit = {0};

	for (int i = 0; i < UINT16_MAX + 10; i++)
		circuit_see(&circuit, OBSERVED_UNREACHABLE, false, start.mono_ms);
	ck_assert_uint_eq(circuit.n_failures, UINT16_MAX);
	ck_assert(circuit.is_open);
}
END_TEST

START_TEST(test_circuit_lets_one_probe_out)
{
	struct circuit circuit = {0};
	int64_t due;

	circuit_break(&circuit);
	due = circuit.until_mono_ms;
	ck_assert_int_eq(circuit_open_until_mono(&circuit, due - 1), due);
	ck_assert_int_eq(circuit_open_until_mono(&circuit, due), 0);
	ck_assert(circuit_pass(&circuit));
	ck_assert_int_eq(circuit_open_until_mono(&circuit, due + 1000000), INT64_MAX);
	circuit_unpass(&circuit);
	ck_assert_int_eq(circuit_open_until_mono(&circuit, due), 0);
	ck_assert(circuit_pass(&circuit));
	/* Failures of requests that were under way neither put it off nor free its way. */
	circuit_see(&circuit, OBSERVED_UNREACHABLE, false, due + 100);
	ck_assert_int_eq(circuit.until_mono_ms, due);
	ck_assert_int_eq(circuit_open_until_mono(&circuit, due + 1000000), INT64_MAX);
	circuit_see(&circuit, OBSERVED_STATUS, true, due + 200);
	ck_assert(!circuit.is_open);
	ck_assert_int_eq(circuit_open_until_mono(&circuit, due + 200), 0);
	/* It takes as many failures as ever to open it again. */
	for (int i = 0; i < 4; i++)
		circuit_see(&circuit, OBSERVED_UNREACHABLE, false, due);
	ck_assert(!circuit.is_open);
}
END_TEST

START_TEST(test_circuit_wait_doubles_to_its_cap)
{
	struct circuit circuit = {0};
	int64_t whole = CIRCUIT_FIRST_MS;

	circuit_break(&circuit);
	for (int i = 0; i < 400; i++) {
		int64_t due = circuit.until_mono_ms;

		whole = whole * 2 < CIRCUIT_MAX_MS ? whole * 2 : CIRCUIT_MAX_MS;
		ck_assert(circuit_pass(&circuit));
		circuit_see(&circuit, OBSERVED_UNREACHABLE, true, due);
		ck_assert(circuit.is_open);
		ck_assert_int_ge(circuit.until_mono_ms - due, whole / 2);
		ck_assert_int_le(circuit.until_mono_ms - due, whole);
	}
	ck_assert_int_eq(whole, CIRCUIT_MAX_MS);
	/* Even a refusal is an answer. */
	ck_assert(circuit_pass(&circuit));
	circuit_see(&circuit, OBSERVED_REFUSED, true, circuit.until_mono_ms);
	ck_assert(!circuit.is_open);
	circuit_break(&circuit);
	ck_assert_int_le(circuit.until_mono_ms, start.mono_ms + CIRCUIT_FIRST_MS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gate");
	TCase *tests = tcase_create("gate");
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, test_gate_ok_lets_all_pass);
	tcase_add_test(tests, test_hold_doubles_to_its_cap);
	tcase_add_test(tests, test_hold_has_a_little_jitter_above);
	tcase_add_test(tests, test_hold_obeys_retry_after);
	tcase_add_test(tests, test_late_answers_change_nothing);
	tcase_add_test(tests, test_pause_probe_doubles_to_its_cap);
	tcase_add_test(tests, test_probe_waits_within_bounds);
	tcase_add_test(tests, test_probe_without_a_clear_answer_is_repeated);
	tcase_add_test(tests, test_pause_beats_hold_and_throttling_keeps_a_pause);
	tcase_add_test(tests, test_all_lost_opens_by_a_document_only);
	tcase_add_test(tests, test_probe_now_and_unpass);
	tcase_add_test(tests, test_probe_now_keeps_to_a_hold);
	tcase_add_test(tests, test_circuit_opens_after_failures_in_a_row);
	tcase_add_test(tests, test_a_probe_that_finds_the_gate_open_changes_nothing);
	tcase_add_test(tests, test_circuit_counts_to_its_end);
	tcase_add_test(tests, test_circuit_lets_one_probe_out);
	tcase_add_test(tests, test_circuit_wait_doubles_to_its_cap);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Programs. evidence_poll.c has requests, evidence_commit.c what is committed. */
#include "evidence.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "tokens.h"
#include "util/hash.h"
#include "util/mem.h"
#include "util/str.h"

enum {
	DRAIN_MAX_MS = 60 * 1000, /* drain_timeout, and a program that must be killed */
	SETTLED_MS = 60 * 60 * 1000,
	MEMORY_GROWTH_MAX = 24 * 1024 * 1024,
};

void evidence_new_life(void)
{
	for (size_t i = 0; i < world->n_accounts; i++) {
		struct world_account *account = &world->accounts[i];

		account->has_asked = false;
		account->n_in_flight = 0;
		/* Only the wall clock tells a new life how long ago credits were spent. */
		if (world->has_leapt)
			account->n_spent = 0;
		account->held_until_mono_ms = account->refused_since_mono_ms = 0;
		account->full_mono_ms = 0;
	}
	for (size_t i = 0; i < world->n_datacenters; i++) {
		world->datacenters[i].n_in_flight = 0;
		world->datacenters[i].full_mono_ms = 0;
	}
	for (size_t i = 0; i < world->n_jobs; i++) {
		struct world_job *job = &world->jobs[i];

		job->told = WORD_NONE;
		job->n_not_found = 0;
		job->next_poll_mono_ms = job->due_mono_ms = 0;
		job->heard_mono_ms = world->mono_ms;
		job->refused_token = 0;
		job->is_in_flight = job->is_asked_for = job->is_revived = false;
	}
	for (size_t i = 0; i < world->n_deliveries; i++) {
		struct seen_delivery *delivery = &world->deliveries[i];

		if (delivery->state == DELIVERY_RUNNING)
			delivery->state = DELIVERY_PENDING;
		if (delivery->is_running)
			world_happened(HAPPENED_HOOK_VANISHED);
		delivery->is_running = delivery->has_gone_well = delivery->has_failed_for_good =
		        false;
	}
	tokens_new_life();
	world->has_leapt = false;
	memset(world->n_running, 0, sizeof(world->n_running));
	world->memory_bytes = 0;
	world->born_mono_ms = world->mono_ms;
}

void evidence_leap(void)
{
	world->has_leapt = true;
	for (size_t i = 0; i < world->n_accounts; i++) {
		if (!world->accounts[i].has_asked)
			world->accounts[i].n_spent = 0;
	}
}

/* Other intervals and limits: what was due is due at another time. */
void evidence_reload(int from, int to)
{
	for (size_t i = 0; i < world->n_jobs; i++)
		world->jobs[i].due_mono_ms = 0;
	for (size_t i = 0; i < world->n_accounts; i++) {
		struct world_account *account = &world->accounts[i];

		/* Another file is another token: what was said of the old one is forgotten. */
		if (account->has_other_file[from] != account->has_other_file[to])
			account->held_until_mono_ms = 0;
	}
}

/* ---- bounds ---- */

void evidence_look_at_stop(void)
{
	int64_t since_ms = world->mono_ms - world->told_to_stop_mono_ms;

	if (world->was_told_to_stop && since_ms > DRAIN_MAX_MS &&
	        world->woken_mono_ms < world->told_to_stop_mono_ms)
		world_fail(
		        "it still runs %" PRId64 " s after it was told to stop", since_ms / 1000);
}

/* What is kept after an hour is what this world needs, but for growing caches. */
void evidence_look_at_memory(void)
{
	struct mallinfo2 info = mallinfo2();
	size_t bytes = info.uordblks + info.hblkhd;

	/* What a power cut will take back is remembered in this process, too. */
	if (world->end.is_power_cut || world->mono_ms < world->born_mono_ms + SETTLED_MS)
		return;
	if (world->memory_bytes == 0)
		world->memory_bytes = bytes;
	if (bytes > world->memory_bytes + MEMORY_GROWTH_MAX)
		world_fail("%zu bytes of memory are in use, %zu were after an hour", bytes,
		        world->memory_bytes);
}

void evidence_no_secret(const char *where, const char *bytes, size_t len)
{
	if (len > 0 && memmem(bytes, len, WORLD_CANARY, strlen(WORLD_CANARY)))
		world_fail("a secret is in %s", where);
}

/* ---- programs ---- */

static const char *variable(const struct child_spec *spec, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; spec->envp[i]; i++) {
		if (str_has_prefix(spec->envp[i], "BULKWATCH_") &&
		        strncmp(spec->envp[i] + strlen("BULKWATCH_"), name, len) == 0 &&
		        spec->envp[i][strlen("BULKWATCH_") + len] == '=')
			return spec->envp[i] + strlen("BULKWATCH_") + len + 1;
	}
	world_fail("a program without BULKWATCH_%s", name);
}

static void judge_texts(const struct child_spec *spec, const struct seen_event *event, int64_t seq)
{
	const char *state = word_text((enum word)event->to);
	const struct world_job *job = event->job < 0 ? NULL : &world->jobs[event->job];
	cleanup(mem_free_p) char *id = mem_printf("%s-%" PRId64, world->instance, seq);
	cleanup(mem_free_p) char *quoted = mem_printf("\"id\":\"%s\"", id);
	cleanup(mem_free_p) char *input = mem_strndup(spec->input, spec->input_len);

	if (strcmp(variable(spec, "EVENT_ID"), id) != 0 || !strstr(input, quoted))
		world_fail("event %" PRId64 " reaches a program under the id %s", seq,
		        variable(spec, "EVENT_ID"));
	if (strcmp(variable(spec, "EVENT_TYPE"), event_type_name((enum event_type)event->type)) !=
	        0)
		world_fail("event %" PRId64 " reaches a program as %s", seq,
		        variable(spec, "EVENT_TYPE"));
	if (strcmp(variable(spec, "JOB_ID"), job ? job->id : "") != 0)
		world_fail("event %" PRId64 " reaches a program as one of another job", seq);
	if (state && strcmp(variable(spec, "STATE"), state) != 0)
		world_fail("event %" PRId64 " (%s) reaches a program with the state %s", seq, state,
		        variable(spec, "STATE"));
}

/* What stands before it in the line of its hook and job has ended. */
static void judge_order(int64_t seq, int hook)
{
	if (evidence_find_delivery(seq, hook)->may_be_retried)
		return; /* by hand it may overtake */
	for (int32_t before = world->events[seq].previous; before;
	        before = world->events[before].previous) {
		const struct seen_delivery *delivery = evidence_find_delivery(before, hook);

		if (delivery && !delivery->may_be_retried &&
		        delivery->state != DELIVERY_DELIVERED && delivery->state != DELIVERY_DEAD)
			world_fail("hook %s is given event %" PRId64
			           " before event %d of the same job is done",
			        world->hooks[hook].name, seq, before);
	}
}

static void judge_start(const struct child_spec *spec, const struct seen_delivery *delivery)
{
	int64_t attempt;

	if (delivery->state == DELIVERY_DELIVERED || delivery->state == DELIVERY_DEAD)
		world_fail("hook %s: event %d is %s already, yet given once more",
		        world->hooks[delivery->hook].name, delivery->seq,
		        delivery_state_name((enum delivery_state)delivery->state));
	if (delivery->state != DELIVERY_RUNNING)
		world_fail("hook %s is given event %d, but the claim is not committed",
		        world->hooks[delivery->hook].name, delivery->seq);
	if (delivery->is_running)
		world_fail("hook %s is given event %d while it runs for it",
		        world->hooks[delivery->hook].name, delivery->seq);
	if (str_to_int(variable(spec, "ATTEMPT"), 1, INT64_MAX, &attempt) != 0 ||
	        attempt != delivery->attempts)
		world_fail("hook %s: attempt %s of event %d, but %d are recorded",
		        world->hooks[delivery->hook].name, variable(spec, "ATTEMPT"), delivery->seq,
		        delivery->attempts);
}

int evidence_start(const struct child_spec *spec, bool is_started)
{
	int hook = world_find_hook(variable(spec, "HOOK"));
	uint64_t input_hash = hash_bytes(spec->input, spec->input_len) | 1;
	struct seen_delivery *delivery;
	struct seen_event *event;
	int64_t seq;

	if (hook < 0 || str_to_int(variable(spec, "EVENT_SEQ"), 1, INT64_MAX, &seq) != 0)
		world_fail("a program for hook %s, event %s", variable(spec, "HOOK"),
		        variable(spec, "EVENT_SEQ"));
	if (seq > world->committed_seq)
		world_fail("hook %s is given event %" PRId64 ", which is not committed",
		        world->hooks[hook].name, seq);
	event = &world->events[seq];
	delivery = evidence_find_delivery(seq, hook);
	if (!delivery)
		world_fail("hook %s is given event %" PRId64 " without a delivery on disk",
		        world->hooks[hook].name, seq);
	judge_start(spec, delivery);
	judge_texts(spec, event, seq);
	judge_order(seq, hook);
	evidence_no_secret("the input of a hook", spec->input, spec->input_len);
	for (size_t i = 0; spec->envp[i]; i++)
		evidence_no_secret(
		        "the environment of a hook", spec->envp[i], strlen(spec->envp[i]));
	if (event->input_hash && event->input_hash != input_hash)
		world_fail("event %" PRId64 " is not told with the same words each time", seq);
	event->input_hash = input_hash;
	delivery->is_running = true;
	if (++world->n_running[hook] > world->hooks[hook].parallel)
		world_fail("hook %s runs %d times at once, allowed are %d", world->hooks[hook].name,
		        world->n_running[hook], world->hooks[hook].parallel);
	delivery->n_started += is_started;
	world->n_runs += is_started;
	return (int)(delivery - world->deliveries);
}

void evidence_end(int index, const struct child_result *result)
{
	struct seen_delivery *delivery = &world->deliveries[index];
	bool has_exited = result->end == CHILD_EXITED;

	delivery->is_running = false;
	world->n_running[delivery->hook]--;
	delivery->has_gone_well = has_exited && result->code == 0;
	delivery->has_failed_for_good = has_exited && result->code == HOOK_EXIT_PERMANENT;
}

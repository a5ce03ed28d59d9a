/*
 * What hooks are given: what is the same for a program that is started and a webhook that is called
 * (evidence_call.c), and programs.
 */
#include <inttypes.h>
#include <string.h>

#include "core/limits.h"
#include "evidence.h"
#include "util/hash.h"
#include "util/mem.h"
#include "util/str.h"

/* ---- programs and webhooks ---- */

/* What stands before it in the line of its hook and job has ended. */
static void judge_order(int64_t seq, int hook)
{
	if (evidence_find_delivery(seq, hook)->may_be_retried)
		return; /* by hand it may overtake */
	for (int32_t before = world->events[seq].previous; before;
	        before = world->events[before].previous) {
		const struct seen_delivery *delivery = evidence_find_delivery(before, hook);

		if (delivery && !delivery->may_be_retried && delivery->behind < seq &&
		        delivery->state != DELIVERY_DELIVERED && delivery->state != DELIVERY_DEAD)
			world_fail("hook %s is given event %" PRId64
			           " before event %d of the same job is done",
			        world->hooks[hook].name, seq, before);
	}
}

static void judge_attempt(const struct seen_delivery *delivery)
{
	const char *hook = world->hooks[delivery->hook].name;

	if (delivery->state == DELIVERY_DELIVERED || delivery->state == DELIVERY_DEAD)
		world_fail("hook %s: event %d is %s already, yet given once more", hook,
		        delivery->seq, delivery_state_name((enum delivery_state)delivery->state));
	if (delivery->state != DELIVERY_RUNNING)
		world_fail("hook %s is given event %d, but the claim is not committed", hook,
		        delivery->seq);
	if (delivery->is_running)
		world_fail("hook %s is given event %d while it runs for it", hook, delivery->seq);
	if (delivery->begun == delivery->attempts)
		world_fail("hook %s is given event %d twice in one attempt", hook, delivery->seq);
}

/* The id is that of the event, and its data what was committed with it. */
static void judge_input(const struct given *given)
{
	struct seen_event *event = &world->events[given->seq];
	cleanup(mem_free_p) char *id = mem_printf("%s-%" PRId64, world->instance, given->seq);
	cleanup(mem_free_p) char *quoted = mem_printf("\"id\":\"%s\"", id);
	cleanup(mem_free_p) char *text = mem_strndup(given->input, given->input_len);
	const char *data = strstr(text, "\"data\":");
	uint64_t hash = hash_bytes(given->input, given->input_len) | 1;

	if (strcmp(given->id, id) != 0 || !strstr(text, quoted))
		world_fail("event %" PRId64 " reaches a %s under the id %s", given->seq, given->to,
		        given->id);
	if (!data || given->input_len < 2 ||
	        strcmp(text + given->input_len - strlen("}\n"), "}\n") != 0)
		world_fail(
		        "event %" PRId64 " reaches a %s without its data", given->seq, given->to);
	data += strlen("\"data\":");
	if (hash_bytes(data, strlen(data) - strlen("}\n")) != event->data_hash)
		world_fail("event %" PRId64 " reaches a %s with other data than was committed",
		        given->seq, given->to);
	if (event->input_hash && event->input_hash != hash)
		world_fail(
		        "event %" PRId64 " is not told with the same words each time", given->seq);
	event->input_hash = hash;
	evidence_no_secret("the input of a hook", given->input, given->input_len);
}

struct seen_delivery *evidence_give(const struct given *given)
{
	const struct world_hook *hook = &world->hooks[given->hook];

	if (given->seq > world->committed_seq)
		world_fail("hook %s is given event %" PRId64 ", which is not committed", hook->name,
		        given->seq);
	struct seen_delivery *delivery = evidence_find_delivery(given->seq, given->hook);

	if (!delivery)
		world_fail("hook %s is given event %" PRId64 " without a delivery on disk",
		        hook->name, given->seq);
	judge_attempt(delivery);
	judge_input(given);
	judge_order(given->seq, given->hook);
	evidence_due_given(delivery);
	delivery->begun = delivery->attempts;
	delivery->is_running = true;
	if (++world->n_running[given->hook] > hook->parallel)
		world_fail("hook %s runs %d times at once, allowed are %d", hook->name,
		        world->n_running[given->hook], hook->parallel);
	return delivery;
}

void evidence_given(struct seen_delivery *delivery, bool has_gone_well, bool has_failed_for_good)
{
	delivery->is_running = false;
	delivery->ended = world_now();
	world->n_running[delivery->hook]--;
	delivery->has_gone_well = has_gone_well;
	delivery->has_failed_for_good = has_failed_for_good;
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

static void judge_environment(const struct child_spec *spec, const struct seen_delivery *delivery)
{
	const struct seen_event *event = &world->events[delivery->seq];
	const char *state = word_text((enum word)event->to);
	const struct world_job *job = event->job < 0 ? NULL : &world->jobs[event->job];
	int64_t attempt;

	if (str_to_int(variable(spec, "ATTEMPT"), 1, INT64_MAX, &attempt) != 0 ||
	        attempt != delivery->attempts)
		world_fail("hook %s: attempt %s of event %d, but %d are recorded",
		        world->hooks[delivery->hook].name, variable(spec, "ATTEMPT"), delivery->seq,
		        delivery->attempts);
	if (strcmp(variable(spec, "EVENT_TYPE"), event_type_name((enum event_type)event->type)) !=
	        0)
		world_fail("event %d reaches a program as %s", delivery->seq,
		        variable(spec, "EVENT_TYPE"));
	if (strcmp(variable(spec, "JOB_ID"), job ? job->id : "") != 0)
		world_fail("event %d reaches a program as one of another job", delivery->seq);
	if (state && strcmp(variable(spec, "STATE"), state) != 0)
		world_fail("event %d (%s) reaches a program with the state %s", delivery->seq,
		        state, variable(spec, "STATE"));
	for (size_t i = 0; spec->envp[i]; i++)
		evidence_no_secret(
		        "the environment of a hook", spec->envp[i], strlen(spec->envp[i]));
}

int evidence_start(const struct child_spec *spec, bool is_started)
{
	struct given given = {
	        .to = "program",
	        .hook = world_find_hook(variable(spec, "HOOK")),
	        .id = variable(spec, "EVENT_ID"),
	        .input = spec->input,
	        .input_len = spec->input_len,
	};

	if (given.hook < 0 || world->hooks[given.hook].is_webhook ||
	        str_to_int(variable(spec, "EVENT_SEQ"), 1, INT64_MAX, &given.seq) != 0)
		world_fail("a program for hook %s, event %s", variable(spec, "HOOK"),
		        variable(spec, "EVENT_SEQ"));
	struct seen_delivery *delivery = evidence_give(&given);

	judge_environment(spec, delivery);
	delivery->n_started += is_started;
	world->n_runs += is_started;
	return (int)(delivery - world->deliveries);
}

void evidence_end(int index, const struct child_result *result)
{
	bool has_exited = result->end == CHILD_EXITED;

	evidence_given(&world->deliveries[index], has_exited && result->code == 0,
	        has_exited && result->code == HOOK_EXIT_PERMANENT);
}

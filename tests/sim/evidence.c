/* Requests and programs; evidence_commit.c has what is committed. */
#include "evidence.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "util/hash.h"
#include "util/mem.h"
#include "util/str.h"

void evidence_new_life(void)
{
	for (size_t i = 0; i < world->n_accounts; i++) {
		struct world_account *account = &world->accounts[i];

		account->n_in_flight = 0;
		account->held_until_mono_ms = account->refused_since_mono_ms = 0;
	}
	for (size_t i = 0; i < world->n_jobs; i++) {
		struct world_job *job = &world->jobs[i];

		job->told = WORD_NONE;
		job->n_not_found = 0;
		job->next_poll_mono_ms = 0;
		job->refused_token = 0;
		job->is_in_flight = job->is_asked_for = job->is_revived = false;
	}
	for (size_t i = 0; i < world->n_deliveries; i++) {
		struct seen_delivery *delivery = &world->deliveries[i];

		if (delivery->state == DELIVERY_RUNNING)
			delivery->state = DELIVERY_PENDING;
		delivery->is_running = delivery->has_gone_well = delivery->has_failed_for_good = false;
	}
}

void evidence_reload(int from, int to)
{
	for (size_t i = 0; i < world->n_accounts; i++) {
		struct world_account *account = &world->accounts[i];

		/* Another file is another token: what was said of the old one is forgotten. */
		if (account->has_other_file[from] != account->has_other_file[to])
			account->held_until_mono_ms = 0;
	}
}

/* ---- requests ---- */

static void understand(const struct http_request *request, struct poll *poll)
{
	static const char authorization[] = "Authorization: Zoho-oauthtoken 1000.";
	const char *header = request->headers[0], *id = strrchr(request->url, '/');
	char name[16];
	int length = 0;

	if (!header || !str_has_prefix(header, authorization) ||
	        sscanf(header + strlen(authorization), "%15[a-z0-9].%d%n", name, &poll->token, &length) != 2 ||
	        header[strlen(authorization) + (size_t)length])
		world_fail("a request without a token that was ever given out");
	poll->account = world_find_account(name);
	poll->job = poll->account < 0 ? -1 : world_find_job(poll->account, id + 1);
	if (poll->job < 0)
		world_fail("a request of account %s for a job that it does not have: %s", name, request->url);
	const struct world_account *account = &world->accounts[poll->account];
	cleanup(mem_free_p) char *url = mem_printf("%s/bigin/bulk/v2/read/%s",
	        world->datacenters[account->datacenter].url, world->jobs[poll->job].id);

	if (strcmp(url, request->url) != 0 || request->post_body)
		world_fail("a request to %s that should go to %s", request->url, url);
	if (poll->token > account->n_written)
		world_fail("a request with a token that is not there yet");
}

static void judge_job(const struct poll *poll)
{
	const struct world_job *job = &world->jobs[poll->job];
	bool may_be_sooner = job->is_asked_for ||
	                     (job->refused_token > 0 && job->refused_token != poll->token + 1);

	if (!job->is_watched)
		world_fail("job %s is polled but not watched", job->id);
	if (word_is_final(job->state))
		world_fail("job %s is finished (%s), yet polled again", job->id, word_text(job->state));
	if (job->state == WORD_LOST && !job->is_revived)
		world_fail("job %s is LOST and nobody revived it, yet it is polled", job->id);
	if (job->is_paused_by_client)
		world_fail("job %s is paused, yet polled", job->id);
	if (job->is_in_flight)
		world_fail("job %s is asked about twice at once", job->id);
	if (world->mono_ms < job->next_poll_mono_ms && !may_be_sooner)
		world_fail("job %s is polled %" PRId64 " ms before min_interval has passed", job->id,
		        job->next_poll_mono_ms - world->mono_ms);
}

static void judge_account(const struct poll *poll)
{
	const struct world_account *account = &world->accounts[poll->account];

	if (account->n_in_flight > account->max_in_flight[world->variant])
		world_fail("account %s has %d requests in flight, allowed are %d", account->name,
		        account->n_in_flight, account->max_in_flight[world->variant]);
	if (account->refused_since_mono_ms == 0 && world->mono_ms < account->held_until_mono_ms)
		world_fail("account %s was told to wait, yet asks %" PRId64 " ms too soon", account->name,
		        account->held_until_mono_ms - world->mono_ms);
}

struct poll evidence_poll(const struct http_request *request)
{
	struct poll poll = {.sent_mono_ms = world->mono_ms};

	understand(request, &poll);
	struct world_job *job = &world->jobs[poll.job];

	world->accounts[poll.account].n_in_flight++;
	world->n_polls++;
	judge_job(&poll);
	judge_account(&poll);
	poll.watches = job->watches;
	job->is_in_flight = true;
	job->is_asked_for = false;
	job->refused_token = 0;
	world_was_busy();
	return poll;
}

/* The least that Zoho's "too many requests" asks for. */
static int64_t hold_ms(const struct zoho_saying *saying)
{
	if (saying->retry_after_s == -1 || saying->retry_after_s == 0)
		return THROTTLE_FIRST_MS;
	return saying->retry_after_s < 1 ? RETRY_AFTER_MIN_MS : saying->retry_after_s * 1000;
}

static void hold(struct world_account *account, const struct poll *poll, const struct zoho_saying *saying)
{
	bool was_held = account->held_until_mono_ms > 0;
	bool is_probe = was_held && poll->sent_mono_ms >= account->held_until_mono_ms;

	if (saying->kind == OBSERVED_THROTTLED && (!was_held || is_probe))
		account->held_until_mono_ms = world->mono_ms + hold_ms(saying);
	else if (saying->kind == OBSERVED_STATUS && is_probe)
		account->held_until_mono_ms = 0;
	if (saying->kind == OBSERVED_REFUSED || saying->kind == OBSERVED_NOT_FOUND)
		account->refused_since_mono_ms = world->mono_ms;
	else if (saying->kind == OBSERVED_STATUS &&
	         poll->sent_mono_ms > account->refused_since_mono_ms)
		account->refused_since_mono_ms = 0;
}

void evidence_answer(const struct poll *poll, const struct zoho_saying *saying)
{
	struct world_account *account = &world->accounts[poll->account];
	struct world_job *job = &world->jobs[poll->job];

	account->n_in_flight--;
	hold(account, poll, saying);
	if (poll->watches != job->watches)
		return; /* of an earlier watch: nobody waits for it any more */
	job->is_in_flight = false;
	job->next_poll_mono_ms = poll->sent_mono_ms + account->min_interval_ms[world->variant];
	if (saying->kind == OBSERVED_REFUSED)
		job->refused_token = poll->token + 1;
	if (saying->kind == OBSERVED_STATUS) {
		job->told = saying->word;
		job->n_not_found = 0;
	} else if (saying->kind == OBSERVED_NOT_FOUND) {
		if (job->n_not_found++ == 0)
			job->not_found_since_mono_ms = world->mono_ms;
	}
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
	if (strcmp(variable(spec, "EVENT_TYPE"), event_type_name((enum event_type)event->type)) != 0)
		world_fail("event %" PRId64 " reaches a program as %s", seq, variable(spec, "EVENT_TYPE"));
	if (strcmp(variable(spec, "JOB_ID"), job ? job->id : "") != 0)
		world_fail("event %" PRId64 " reaches a program as one of another job", seq);
	if (state && strcmp(variable(spec, "STATE"), state) != 0)
		world_fail("event %" PRId64 " (%s) reaches a program with the state %s", seq, state,
		        variable(spec, "STATE"));
}

/* What stands before it in the line of its hook and job has ended. */
static void judge_order(int64_t seq, int hook)
{
	for (int32_t before = world->events[seq].previous; before; before = world->events[before].previous) {
		const struct seen_delivery *delivery = evidence_find_delivery(before, hook);

		if (delivery && delivery->state != DELIVERY_DELIVERED && delivery->state != DELIVERY_DEAD)
			world_fail("hook %s is given event %" PRId64 " before event %d of the same job is done",
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
	if (event->input_hash && event->input_hash != input_hash)
		world_fail("event %" PRId64 " is not told with the same words each time", seq);
	event->input_hash = input_hash;
	delivery->is_running = true;
	delivery->n_started += is_started;
	world->n_runs += is_started;
	return (int)(delivery - world->deliveries);
}

void evidence_end(int index, const struct child_result *result)
{
	struct seen_delivery *delivery = &world->deliveries[index];
	bool has_exited = result->end == CHILD_EXITED;

	delivery->is_running = false;
	delivery->has_gone_well = has_exited && result->code == 0;
	delivery->has_failed_for_good = has_exited && result->code == HOOK_EXIT_PERMANENT;
}

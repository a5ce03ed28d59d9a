/* One attempt of a delivery: claimed, started, ended, recorded. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "core/schedule.h"
#include "daemon/hooks_private.h"
#include "daemon/messages.h"
#include "daemon/program.h"
#include "daemon/webhook.h"
#include "util/err.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/event.h"

enum { RETRY_FLOOR_MS = 1000, OUTPUT_SHOWN_BYTES = 1024 };

static struct hook *hook_of(const struct hooks *hooks, const struct delivery *delivery)
{
	return hooks->hooks[delivery->chain->hook];
}

struct store_delivery attempt_row(
        const struct hooks *hooks, const struct delivery *delivery, enum delivery_state state)
{
	return (struct store_delivery){
	        .id = delivery->id,
	        .event_seq = delivery->event_seq,
	        .hook = hook_of(hooks, delivery)->name,
	        .account = delivery->account,
	        .job_key = delivery->job_key,
	        .job_id = delivery->job_id,
	        .state = state,
	        .attempts = delivery->attempts,
	        .attempts_base = delivery->attempts_base,
	        .next_wall_ms = delivery->next_wall_ms,
	        .created_wall_ms = delivery->created_wall_ms,
	};
}

bool attempt_write_claim(struct hooks *hooks, struct delivery *delivery)
{
	/* Says "lost" until its end is recorded: that is what it is if the daemon dies meanwhile.
	 */
	struct store_attempt attempt = {
	        .delivery_id = delivery->id,
	        .number = delivery->attempts,
	        .started_wall_ms = delivery->started_wall_ms,
	        .duration_ms = -1,
	        .end = ATTEMPT_LOST,
	};

	return journal_wrote(
	        hooks->journal, store_attempt_put(journal_store(hooks->journal), &attempt));
}

/* ---- the end ---- */

/* Full jitter over a doubling cap (Brooker 2015, "Exponential Backoff and Jitter"), with a floor.
 */
static int64_t retry_wait_ms(struct hooks *hooks, const struct delivery *delivery)
{
	const struct config_hook *config = &hook_of(hooks, delivery)->config;
	uint64_t n = delivery->attempts - delivery->attempts_base;
	int64_t cap = schedule_doubled_ms(
	        config->retry_first_ms, config->retry_max_ms, n > 1 ? (unsigned)n - 1 : 0);
	int64_t floor =
	        config->retry_first_ms < RETRY_FLOOR_MS ? config->retry_first_ms : RETRY_FLOOR_MS;
	int64_t wait = (int64_t)rng_below(hooks->rng, (uint64_t)cap + 1);

	return wait < floor ? floor : wait;
}

static void write_dead_data(const struct hooks *hooks, const struct outcome *outcome,
        const struct store_event *event, struct buf *out)
{
	const struct delivery *delivery = outcome->delivery;
	size_t shown =
	        outcome->output_len < OUTPUT_SHOWN_BYTES ? outcome->output_len : OUTPUT_SHOWN_BYTES;
	char id[EVENT_ID_SIZE], delivery_id[24];
	struct json_out w;

	snprintf(delivery_id, sizeof(delivery_id), "%" PRId64, delivery->id);
	event_id(store_instance(journal_store(hooks->journal)), delivery->event_seq, id);
	json_out_init(&w, out, false);
	json_open_object(&w, NULL);
	json_put_string(&w, "hook", hook_of(hooks, delivery)->name);
	json_put_string(&w, "delivery_id", delivery_id);
	json_put_string(&w, "event_id", id);
	json_put_integer(&w, "event_seq", delivery->event_seq);
	json_put_string(&w, "event_type", event_type_name(event->type));
	json_put_integer(&w, "attempts", (int64_t)delivery->attempts);
	json_put_string(&w, "end", attempt_end_name(outcome->end));
	json_put_integer(&w, "code", outcome->code);
	json_put_bytes(&w, "output", outcome->output + outcome->output_len - shown, shown);
	json_put_raw(&w, "job", event_type_is_of_job(event->type) ? event->data : NULL);
	json_close_object(&w);
	json_out_deinit(&w);
}

struct dead_letter {
	struct hooks *hooks;
	const struct outcome *outcome;
	struct buf data;
};

static int copy_dead_data(void *arg, const struct store_event *event)
{
	struct dead_letter *letter = arg;

	write_dead_data(letter->hooks, letter->outcome, event, &letter->data);
	return 0;
}

static void append_dead_event(struct hooks *hooks, const struct outcome *outcome)
{
	const struct delivery *delivery = outcome->delivery;
	struct dead_letter letter = {.hooks = hooks, .outcome = outcome};
	const struct hook_set *all = hooks_all(hooks);
	int r = store_event_get(
	        journal_store(hooks->journal), delivery->event_seq, copy_dead_data, &letter);

	if (r > 0)
		buf_adds(&letter.data, "{}"); /* pruned since: nothing is left to tell */
	if (r < 0) {
		journal_wrote(hooks->journal, r);
	} else {
		struct store_event event = {
		        .type = EVENT_HOOK_DEAD,
		        .at_wall_ms = outcome->ended_wall_ms,
		        .account = delivery->account,
		        .job_key = delivery->job_key,
		        .job_id = delivery->job_id,
		        .data = buf_str(&letter.data),
		};
		journal_append(hooks->journal, &event, all->hooks, all->n, delivery->chain->hook);
	}
	buf_deinit(&letter.data);
}

static void log_outcome(const struct hooks *hooks, const struct outcome *outcome)
{
	const struct delivery *delivery = outcome->delivery;
	const char *hook = hook_of(hooks, delivery)->name;
	const char *account = delivery->account ? delivery->account : "-";
	const char *job = delivery->job_id ? delivery->job_id : "-";
	bool is_dead = outcome->state == DELIVERY_DEAD;
	char seq[24];
	const struct log_field fields[] = {
	        {"BULKWATCH_HOOK", hook},
	        {"BULKWATCH_EVENT_SEQ", seq},
	        {"BULKWATCH_ACCOUNT", delivery->account},
	        {"BULKWATCH_JOB_ID", delivery->job_id},
	        {"MESSAGE_ID", is_dead ? MESSAGE_HOOK_GAVE_UP : NULL},
	};

	snprintf(seq, sizeof(seq), "%lld", (long long)delivery->event_seq);
	if (outcome->state == DELIVERY_DELIVERED)
		log_with(LOG_LEVEL_INFO, fields,
		        "hook %s: delivered event %lld of %s/%s (attempt %llu, %lld ms)", hook,
		        (long long)delivery->event_seq, account, job,
		        (unsigned long long)delivery->attempts, (long long)outcome->duration_ms);
	else if (is_dead)
		log_with(LOG_LEVEL_ERROR, fields,
		        "hook %s: gave up on event %lld of %s/%s after attempt %llu (%s %d): it "
		        "stays dead until retried",
		        hook, (long long)delivery->event_seq, account, job,
		        (unsigned long long)delivery->attempts, attempt_end_name(outcome->end),
		        outcome->code);
	else
		log_with(LOG_LEVEL_WARNING, fields,
		        "hook %s: attempt %llu of event %lld of %s/%s failed (%s %d), next in "
		        "%lld ms",
		        hook, (unsigned long long)delivery->attempts,
		        (long long)delivery->event_seq, account, job,
		        attempt_end_name(outcome->end), outcome->code,
		        (long long)(outcome->next_wall_ms - outcome->ended_wall_ms));
}

static void count_outcome(struct metrics_hook *metrics, const struct outcome *outcome)
{
	metrics->n_delivered += outcome->state == DELIVERY_DELIVERED;
	metrics->n_failed += outcome->state == DELIVERY_PENDING;
	metrics->n_dead += outcome->state == DELIVERY_DEAD;
	if (outcome->duration_ms >= 0)
		metrics_observe(&metrics->attempt, &metrics_program_bounds,
		        (double)outcome->duration_ms / 1000);
}

static void keep_unsaved(struct hooks *hooks, struct outcome *outcome)
{
	outcome->next = hooks->unsaved;
	hooks->unsaved = outcome;
}

static void outcome_on_done(struct journal_change *change, bool is_committed)
{
	struct outcome *outcome = container_of(change, struct outcome, change);
	struct hooks *hooks = outcome->hooks;
	struct delivery *delivery = outcome->delivery;

	if (!is_committed) {
		keep_unsaved(hooks, outcome);
		return;
	}
	log_outcome(hooks, outcome);
	count_outcome(&hook_of(hooks, delivery)->metrics, outcome);
	hooks_give_place(hooks, delivery);
	if (outcome->state == DELIVERY_PENDING) {
		delivery->next_mono_ms = outcome->next_mono_ms;
		delivery->next_wall_ms = outcome->next_wall_ms;
		hooks_queue(hooks, delivery->chain);
	} else {
		hooks_forget(hooks, delivery);
	}
	free(outcome->output);
	free(outcome);
}

/* In one transaction: the delivery, the attempt, and hook.dead if it came to that. */
static void record(struct hooks *hooks, struct outcome *outcome)
{
	struct delivery *delivery = outcome->delivery;
	struct store *store = journal_store(hooks->journal);
	struct store_delivery row = attempt_row(hooks, delivery, outcome->state);
	struct store_attempt attempt = {
	        .delivery_id = delivery->id,
	        .number = delivery->attempts,
	        .started_wall_ms = delivery->started_wall_ms,
	        .duration_ms = outcome->duration_ms,
	        .end = outcome->end,
	        .code = outcome->code,
	        .output = outcome->output,
	        .output_len = outcome->output_len,
	};

	if (journal_is_full(hooks->journal)) {
		keep_unsaved(hooks, outcome);
		return;
	}
	row.next_wall_ms = outcome->next_wall_ms;
	if (outcome->state != DELIVERY_PENDING)
		row.ended_wall_ms = outcome->ended_wall_ms;
	outcome->change.done = outcome_on_done;
	journal_add(hooks->journal, &outcome->change);
	if (journal_is_lost(hooks->journal) ||
	        !journal_wrote(hooks->journal, store_delivery_put(store, &row)))
		return;
	if (attempt.number > 0 && attempt.duration_ms >= 0 &&
	        !journal_wrote(hooks->journal, store_attempt_put(store, &attempt)))
		return;
	if (outcome->state == DELIVERY_DEAD)
		append_dead_event(hooks, outcome);
}

void attempt_record_unsaved(struct hooks *hooks)
{
	struct outcome *outcome = hooks->unsaved;

	hooks->unsaved = NULL;
	while (outcome) {
		struct outcome *next = outcome->next;

		record(hooks, outcome);
		outcome = next;
	}
}

static struct outcome *outcome_new(struct hooks *hooks, struct delivery *delivery)
{
	struct outcome *outcome = MEM_NEW(struct outcome);

	outcome->hooks = hooks;
	outcome->delivery = delivery;
	outcome->ended_wall_ms = loop_now(hooks->loop).wall_ms;
	outcome->output = mem_strdup("");
	return outcome;
}

static bool is_used_up(const struct hooks *hooks, const struct delivery *delivery)
{
	return delivery->attempts - delivery->attempts_base >=
	       (uint64_t)hook_of(hooks, delivery)->config.attempts;
}

static void judge(struct hooks *hooks, struct outcome *outcome)
{
	if (outcome->is_delivered) {
		outcome->state = DELIVERY_DELIVERED;
	} else if (outcome->is_permanent || is_used_up(hooks, outcome->delivery)) {
		outcome->state = DELIVERY_DEAD;
	} else {
		int64_t wait = retry_wait_ms(hooks, outcome->delivery);

		if (wait < outcome->wait_at_least_ms)
			wait = outcome->wait_at_least_ms;
		outcome->state = DELIVERY_PENDING;
		outcome->next_mono_ms = loop_now(hooks->loop).mono_ms + wait;
		outcome->next_wall_ms = outcome->ended_wall_ms + wait;
	}
}

void attempt_give_up(struct hooks *hooks, struct delivery *delivery)
{
	struct outcome *outcome = outcome_new(hooks, delivery);

	outcome->state = DELIVERY_DEAD;
	outcome->end = ATTEMPT_LOST;
	outcome->duration_ms = -1; /* the row of the attempt says "lost" already */
	record(hooks, outcome);
}

/* The running delivery of this id; NULL = none. */
static struct delivery *find_running(const struct hooks *hooks, uint64_t id)
{
	for (size_t i = 0; i < hooks->n_running; i++) {
		if ((uint64_t)hooks->running[i]->id == id)
			return hooks->running[i];
	}
	return NULL;
}

static void set_output(struct outcome *outcome, const char *output, size_t len)
{
	free(outcome->output);
	outcome->output = mem_strndup(output, len);
	outcome->output_len = len;
}

/* ---- the webhook ---- */

static void attempt_on_answer(void *arg, uint64_t owner, const struct http_answer *answer)
{
	struct hooks *hooks = arg;
	struct delivery *delivery = find_running(hooks, owner);
	struct webhook_result result = webhook_result_of(answer);

	if (!delivery)
		return;
	struct hook *hook = hook_of(hooks, delivery);
	struct outcome *outcome = outcome_new(hooks, delivery);

	outcome->end = result.end;
	outcome->code = result.code;
	outcome->is_delivered = result.is_delivered;
	outcome->is_permanent = result.is_permanent;
	outcome->wait_at_least_ms = result.retry_after_ms;
	outcome->duration_ms = answer->duration_ms;
	set_output(outcome, result.output, result.output_len);
	if (result.is_hold)
		hook->held_until_mono_ms = loop_now(hooks->loop).mono_ms + result.retry_after_ms;
	if (result.code == 0)
		log_warning("hook %s: no answer: %s", hook->name, answer->message);
	judge(hooks, outcome);
	record(hooks, outcome);
}

/* Nothing may be written here, after a commit: its end is recorded in the next turn. */
static void webhook_not_sent(
        struct hooks *hooks, struct delivery *delivery, const struct buf *words)
{
	struct outcome *outcome = outcome_new(hooks, delivery);

	log_error("hook %s: %s", hook_of(hooks, delivery)->name, buf_str(words));
	outcome->end = ATTEMPT_NOT_STARTED;
	outcome->code = EACCES;
	set_output(outcome, buf_str(words), words->len);
	judge(hooks, outcome);
	keep_unsaved(hooks, outcome);
	loop_wake(hooks->loop);
}

static void start_webhook(
        struct hooks *hooks, struct delivery *delivery, const struct program *program)
{
	struct webhook_headers headers;
	cleanup(buf_deinit) struct buf words = {0};
	char id[EVENT_ID_SIZE];

	event_id(store_instance(journal_store(hooks->journal)), delivery->event_seq, id);
	struct webhook_message message = {
	        .event_id = id,
	        .body = program->input.data,
	        .body_len = program->input.len,
	};

	if (webhook_send(hooks, hook_of(hooks, delivery), &message, attempt_on_answer, hooks,
	            (uint64_t)delivery->id, &headers, &words) < 0)
		webhook_not_sent(hooks, delivery, &words);
	webhook_headers_deinit(&headers);
}

/* ---- the program ---- */

enum attempt_end attempt_end_of_child(enum child_end end)
{
	switch (end) {
	case CHILD_EXITED:
		return ATTEMPT_EXITED;
	case CHILD_SIGNALED:
		return ATTEMPT_SIGNALED;
	case CHILD_TIMED_OUT:
		return ATTEMPT_TIMED_OUT;
	case CHILD_NOT_STARTED:
		break;
	}
	return ATTEMPT_NOT_STARTED;
}

static void attempt_on_child(void *arg, uint64_t owner, const struct child_result *result)
{
	struct hooks *hooks = arg;
	struct delivery *delivery = find_running(hooks, owner);

	if (!delivery)
		return;
	const struct hook *hook = hook_of(hooks, delivery);
	struct outcome *outcome = outcome_new(hooks, delivery);
	bool is_exit = result->end == CHILD_EXITED;

	outcome->end = attempt_end_of_child(result->end);
	outcome->code = result->code;
	outcome->is_delivered = is_exit && result->code == 0;
	outcome->is_permanent = is_exit && result->code == HOOK_EXIT_PERMANENT;
	outcome->duration_ms = result->duration_ms;
	set_output(outcome, result->output, result->output_len);
	if (result->end == CHILD_NOT_STARTED)
		log_error("hook %s: cannot start %s: %s", hook->name,
		        hook->config.exec ? hook->config.exec[0] : "its program",
		        strerror(result->code));
	judge(hooks, outcome);
	record(hooks, outcome);
}

struct attempt_input {
	struct hooks *hooks;
	struct delivery *delivery;
};

static int start_with_event(void *arg, const struct store_event *stored)
{
	struct attempt_input *input = arg;
	struct hooks *hooks = input->hooks;
	struct delivery *delivery = input->delivery;
	struct program program;

	program_init(&program, hooks, hook_of(hooks, delivery), stored, delivery->attempts, false);
	if (hook_of(hooks, delivery)->config.url)
		start_webhook(hooks, delivery, &program);
	else
		child_start(hooks->children, &program.spec, attempt_on_child, hooks,
		        (uint64_t)delivery->id);
	program_deinit(&program);
	return 0;
}

void attempt_start(struct hooks *hooks, struct delivery *delivery)
{
	struct attempt_input input = {.hooks = hooks, .delivery = delivery};
	int r = store_event_get(
	        journal_store(hooks->journal), delivery->event_seq, start_with_event, &input);

	/* An event is never pruned before its deliveries have ended. */
	if (r)
		log_error("hook %s: cannot read event %lld", hook_of(hooks, delivery)->name,
		        (long long)delivery->event_seq);
	if (r)
		journal_wrote(hooks->journal, r < 0 ? r : ERR_CORRUPT);
}

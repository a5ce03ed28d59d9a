/*
 * Between the daemon and its decisions (the linker's --wrap): what it decides is seen, and faults
 * are planted there.
 */
#include <sys/stat.h>

#include "core/machine.h"
#include "core/refresh.h"
#include "daemon/account.h"
#include "daemon/ledger.h"
#include "daemon/token_file.h"
#include "daemon/webhook.h"
#include "evidence.h"
#include "plant.h"
#include "util/log.h"
#include "util/mem.h"
#include "wire/event.h"
#include "wire/reply.h"
#include "wire/sign.h"

struct step __real_machine_step(const struct job *job, const struct observation *observation,
        const struct poll_policy *policy, bool is_account_lost, struct now now, uint64_t random);
struct step __wrap_machine_step(const struct job *job, const struct observation *observation,
        const struct poll_policy *policy, bool is_account_lost, struct now now, uint64_t random);
void __real_reply_observe(const struct reply *reply, const struct reply_question *question,
        struct reply_texts *texts, struct observation *out);
void __wrap_reply_observe(const struct reply *reply, const struct reply_question *question,
        struct reply_texts *texts, struct observation *out);
int __real_accounts_apply(struct accounts *accounts, const struct config *config,
        struct hooks *hooks, struct buf *words);
int __wrap_accounts_apply(struct accounts *accounts, const struct config *config,
        struct hooks *hooks, struct buf *words);
void __real_event_id(const char *instance, int64_t seq, char id[static EVENT_ID_SIZE]);
void __wrap_event_id(const char *instance, int64_t seq, char id[static EVENT_ID_SIZE]);
int __real_token_file_write(int dir_fd, const char *name, const struct token_record *record);
int __wrap_token_file_write(int dir_fd, const char *name, const struct token_record *record);
int64_t __real_refresh_closed_until_mono(const struct refresh *refresh, int64_t mono_ms);
int64_t __wrap_refresh_closed_until_mono(const struct refresh *refresh, int64_t mono_ms);

void __real_ledger_set_ceiling(struct ledger *ledger);
void __wrap_ledger_set_ceiling(struct ledger *ledger);

int __real_webhook_send(struct hooks *hooks, struct hook *hook,
        const struct webhook_message *message, http_answer_fn *fn, void *arg, uint64_t owner,
        struct webhook_headers *headers, struct buf *words);
int __wrap_webhook_send(struct hooks *hooks, struct hook *hook,
        const struct webhook_message *message, http_answer_fn *fn, void *arg, uint64_t owner,
        struct webhook_headers *headers, struct buf *words);
struct webhook_result __real_webhook_result_of(const struct http_answer *answer);
struct webhook_result __wrap_webhook_result_of(const struct http_answer *answer);
enum credential_error __real_sign_webhook(const char *secrets, const char *id,
        const char *timestamp, const char *body, size_t body_len, struct buf *out);
enum credential_error __wrap_sign_webhook(const char *secrets, const char *id,
        const char *timestamp, const char *body, size_t body_len, struct buf *out);

int64_t __real_hooks_next_mono(const struct hooks *hooks);
int64_t __wrap_hooks_next_mono(const struct hooks *hooks);
int __real_hooks_replay(struct hooks *hooks, const struct replay_wish *wish);
int __wrap_hooks_replay(struct hooks *hooks, const struct replay_wish *wish);
void __real_journal_settle_all(struct journal *journal);
void __wrap_journal_settle_all(struct journal *journal);
void __real_hooks_queue(struct hooks *hooks, struct chain *chain);
void __wrap_hooks_queue(struct hooks *hooks, struct chain *chain);

struct step __wrap_machine_step(const struct job *job, const struct observation *observation,
        const struct poll_policy *policy, bool is_account_lost, struct now now, uint64_t random)
{
	struct step step =
	        __real_machine_step(job, observation, policy, is_account_lost, now, random);

	if (plant_is(PLANT_POLL_FINISHED) && step.job.kind == JOB_COMPLETED)
		step.wait_ms = policy->max_interval_ms;
	if (plant_is(PLANT_SLOW_END_ASKED_AGAIN) && step.job.kind == JOB_COMPLETED &&
	        observation->took_ms > policy->max_interval_ms)
		step.wait_ms = 0;
	if (plant_is(PLANT_POLL_EARLY) && step.wait_ms > 0 && random % 8 == 0)
		step.wait_ms = policy->min_interval_ms / 2;
	if (plant_is(PLANT_LOST_WAKEUP) && step.wait_ms > 0 && random % 8 == 0)
		step.wait_ms = -1;
	if (plant_is(PLANT_NEGLECT) && step.wait_ms > 0 && evidence_answered_account() % 64 == 0)
		step.wait_ms = 20 * policy->max_interval_ms;
	evidence_step(&step);
	return step;
}

void __wrap_ledger_set_ceiling(struct ledger *ledger)
{
	__real_ledger_set_ceiling(ledger);
	if (plant_is(PLANT_OVERSPEND))
		ledger->budget.ceiling *= 2;
}

static void hoard_more(void)
{
	static void *hoard;
	void **more = mem_new(1 << 20, 1);

	*more = hoard;
	hoard = more;
}

void __wrap_reply_observe(const struct reply *reply, const struct reply_question *question,
        struct reply_texts *texts, struct observation *out)
{
	__real_reply_observe(reply, question, texts, out);
	if (plant_is(PLANT_INVENTED_STATE) && out->kind == OBSERVED_UNREACHABLE) {
		out->kind = OBSERVED_STATUS;
		out->error = ERROR_NONE;
		out->state = "FAILED";
	}
	if (plant_is(PLANT_TOLD_SECRET) && question->token)
		log_notice("asked with %s", question->token);
	if (plant_is(PLANT_HOARD))
		hoard_more();
	if (plant_is(PLANT_NO_HOLD) && out->kind == OBSERVED_THROTTLED)
		out->kind = OBSERVED_GARBLED;
}

/* The second program for an event is given another id. */
void __wrap_event_id(const char *instance, int64_t seq, char id[static EVENT_ID_SIZE])
{
	static int n_asked;

	__real_event_id(
	        instance, plant_is(PLANT_OTHER_ID) && ++n_asked % 8 == 0 ? seq + 1 : seq, id);
}

int __wrap_accounts_apply(struct accounts *accounts, const struct config *config,
        struct hooks *hooks, struct buf *words)
{
	int r = __real_accounts_apply(accounts, config, hooks, words);

	for (size_t i = 0; plant_is(PLANT_TOO_MANY_IN_FLIGHT) && i < accounts_count(accounts); i++)
		accounts_get(accounts, (uint32_t)i)->max_in_flight++;
	return r;
}

int64_t __wrap_refresh_closed_until_mono(const struct refresh *refresh, int64_t mono_ms)
{
	if (plant_is(PLANT_TOKENS_TOO_OFTEN) && !refresh->is_asking)
		return 0;
	return __real_refresh_closed_until_mono(refresh, mono_ms);
}

/* The file is as old as the world's clock says: what is too old is swept away. */
int __wrap_token_file_write(int dir_fd, const char *name, const struct token_record *record)
{
	struct timespec at = {.tv_sec = world->wall_ms / 1000};
	const struct timespec times[] = {at, at};
	int r = __real_token_file_write(dir_fd, name, record);

	if (r == 0 && utimensat(dir_fd, name, times, 0) != 0)
		world_fail("the file of a token has no time");
	return r;
}

/* ---- deliveries ---- */

/* Whatever else happens wakes it. */
int64_t __wrap_hooks_next_mono(const struct hooks *hooks)
{
	return plant_is(PLANT_UNTIMED_DELIVERY) ? INT64_MAX : __real_hooks_next_mono(hooks);
}

void __wrap_hooks_queue(struct hooks *hooks, struct chain *chain)
{
	const struct delivery *first = chain->first;

	if (!plant_is(PLANT_UNQUEUED_RETRY) || !first || first->is_claimed || first->attempts == 0)
		__real_hooks_queue(hooks, chain);
}

/* Whoever asks reads what is not committed yet. */
void __wrap_journal_settle_all(struct journal *journal)
{
	if (!plant_is(PLANT_UNSETTLED))
		__real_journal_settle_all(journal);
}

int __wrap_hooks_replay(struct hooks *hooks, const struct replay_wish *wish)
{
	struct replay_wish planted = *wish;

	if (plant_is(PLANT_REPLAY_TOO_MUCH))
		planted.since = 1;
	return __real_hooks_replay(hooks, &planted);
}

/* ---- webhooks ---- */

int __wrap_webhook_send(struct hooks *hooks, struct hook *hook,
        const struct webhook_message *message, http_answer_fn *fn, void *arg, uint64_t owner,
        struct webhook_headers *headers, struct buf *words)
{
	static int n_sent;
	struct webhook_message planted = *message;
	cleanup(mem_free_p) char *other = mem_printf("%s0", message->event_id);

	n_sent++;
	if (plant_is(PLANT_CALL_OTHER_ID) && n_sent % 8 == 0)
		planted.event_id = other;
	if (plant_is(PLANT_CALLED_TWICE) && n_sent % 8 == 0) {
		__real_webhook_send(hooks, hook, message, fn, arg, owner, headers, words);
		webhook_headers_deinit(headers);
	}
	return __real_webhook_send(hooks, hook, &planted, fn, arg, owner, headers, words);
}

struct webhook_result __wrap_webhook_result_of(const struct http_answer *answer)
{
	struct webhook_result result = __real_webhook_result_of(answer);

	if (plant_is(PLANT_UNANSWERED_IS_DELIVERED) && result.end == ATTEMPT_TIMED_OUT)
		result.is_delivered = true;
	if (plant_is(PLANT_GONE_IS_PASSING))
		result.is_permanent = false;
	if (plant_is(PLANT_NO_PATIENCE)) {
		result.is_hold = false;
		result.retry_after_ms = 0;
	}
	return result;
}

enum credential_error __wrap_sign_webhook(const char *secrets, const char *id,
        const char *timestamp, const char *body, size_t body_len, struct buf *out)
{
	if (plant_is(PLANT_UNSIGNED))
		return CREDENTIAL_OK;
	/* The line end behind the object is part of it. */
	if (plant_is(PLANT_OTHER_SIGNATURE))
		body_len--;
	enum credential_error error =
	        __real_sign_webhook(secrets, id, timestamp, body, body_len, out);

	if (error != CREDENTIAL_OK)
		world_happened(HAPPENED_KEY_OF_NO_USE);
	return error;
}

/*
 * Requests: is this one allowed, now? And, now and then, is one missing? What the answers teach is
 * kept for the judgement of what the daemon makes of them.
 */
#include "evidence.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "tokens.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"

enum {
	MINUTE_MS = 60 * 1000,
	DAY_MS = 24 * 60 * MINUTE_MS,
	/* The slowest circuit and a job's own back-off; the slowest gate besides; with some grace.
	 */
	CIRCUIT_REST_MS = 12 * MINUTE_MS,
	GATE_REST_MS = 30 * MINUTE_MS,
	SILENCE_MAX_MS = 12 * MINUTE_MS,
	FULL_REST_MS = 70 * 1000,
};

/* The number of the token; it must be one of this account's. */
static int understand_token(const struct http_request *request, int number)
{
	static const char start[] = "Authorization: Zoho-oauthtoken 1000." WORLD_CANARY ".";
	const struct world_account *account = &world->accounts[number];
	const char *header = request->headers[0];
	int token = -1, length = 0;
	char name[16];

	if (!header || !str_has_prefix(header, start) ||
	        sscanf(header + strlen(start), "%15[a-z0-9].%d%n", name, &token, &length) != 2 ||
	        header[strlen(start) + (size_t)length])
		world_fail("a request without a token that was ever given out");
	if (account->grant < 0 && strcmp(name, account->name) == 0) {
		if (token > account->n_written)
			world_fail("a request with a token that is not there yet");
		return token;
	}
	if (account->grant < 0 || name[0] != 'g' || atoi(name + 1) != account->grant)
		world_fail("account %s uses the token of %s", account->name, name);
	if (!tokens_is_given(account->grant, token))
		world_fail("account %s uses a token that was not made for it", account->name);
	return token;
}

static void understand(const struct http_request *request, struct poll *poll)
{
	const char *id = strrchr(request->url, '/');

	poll->job = world_find_job_by_id(id + 1);
	if (poll->job < 0)
		world_fail("a request for a job that never was: %s", request->url);
	poll->account = world->jobs[poll->job].account;
	poll->token = understand_token(request, poll->account);
	const struct world_account *account = &world->accounts[poll->account];
	cleanup(mem_free_p) char *url = mem_printf("%s/%s/read/%s",
	        world->datacenters[account->datacenter].url,
	        account->is_of_crm ? WORLD_PATH_CRM : WORLD_PATH_BIGIN, world->jobs[poll->job].id);

	if (strcmp(url, request->url) != 0 || request->post_body)
		world_fail("a request to %s that should go to %s", request->url, url);
}

static void judge_job(const struct poll *poll)
{
	const struct world_job *job = &world->jobs[poll->job];
	bool may_be_sooner = job->is_asked_for ||
	                     (job->refused_token > 0 && job->refused_token != poll->token + 1);

	if (!job->is_watched)
		world_fail("job %s is polled but not watched", job->id);
	if (word_is_final(job->state))
		world_fail("job %s is finished (%s), yet polled again", job->id,
		        word_text(job->state));
	if (job->state == WORD_LOST && !job->is_revived)
		world_fail("job %s is LOST and nobody revived it, yet it is polled", job->id);
	if (job->is_paused_by_client)
		world_fail("job %s is paused, yet polled", job->id);
	if (job->is_in_flight)
		world_fail("job %s is asked about twice at once", job->id);
	if (world->mono_ms < job->next_poll_mono_ms && !may_be_sooner)
		world_fail("job %s is polled %" PRId64 " ms before min_interval has passed",
		        job->id, job->next_poll_mono_ms - world->mono_ms);
}

static bool is_short_of_credits(const struct world_account *account)
{
	return account->credits > 0 || account->shares_credits;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/*
 * Nothing that befalls others delays this one: what is due goes out as soon as its own account and
 * data center let it.
 */
static void judge_lag(const struct world_job *job)
{
	const struct world_account *account = &world->accounts[job->account];
	int64_t from = job->due_mono_ms;

	if (from == 0 || is_short_of_credits(account) || job->may_be_paused ||
	        world_disk_was_full(FULL_REST_MS))
		return;
	from = later(from, account->full_mono_ms);
	from = later(from, account->well_from_mono_ms);
	from = later(from, world->datacenters[account->datacenter].well_from_mono_ms);
	from = later(from, world->datacenters[account->datacenter].full_mono_ms);
	from = later(from, world->woken_mono_ms);
	/* It may have waited for a token. */
	if (account->grant >= 0)
		from = later(from, world->grants[account->grant].given_mono_ms);
	if (world->mono_ms > from + LAG_MAX_MS)
		world_fail("job %s is polled %" PRId64 " ms late, though nothing stands in its way",
		        job->id, world->mono_ms - from);
}

static void judge_account(const struct poll *poll)
{
	const struct world_account *account = &world->accounts[poll->account];
	const struct world_datacenter *datacenter = &world->datacenters[account->datacenter];

	if (datacenter->n_in_flight > HTTP_HOST_MAX_CONNECTIONS)
		world_fail("data center %s has %d requests in flight", datacenter->name,
		        datacenter->n_in_flight);
	if (account->n_in_flight > account->max_in_flight[world->variant])
		world_fail("account %s has %d requests in flight, allowed are %d", account->name,
		        account->n_in_flight, account->max_in_flight[world->variant]);
	if (account->refused_since_mono_ms == 0 &&
	        world->mono_ms < account->held_until_mono_ms - TURN_MAX_MS)
		world_fail("account %s was told to wait, yet asks %" PRId64 " ms too soon",
		        account->name, account->held_until_mono_ms - world->mono_ms);
}

struct poll evidence_poll(const struct http_request *request)
{
	struct poll poll = {.sent_mono_ms = world->mono_ms};

	understand(request, &poll);
	struct world_job *job = &world->jobs[poll.job];

	struct world_account *account = &world->accounts[poll.account];

	account->has_asked = true;
	account->n_in_flight++;
	account->n_polls += world->mono_ms < world->trouble_until_mono_ms;
	world->datacenters[account->datacenter].n_in_flight++;
	world->n_polls++;
	judge_job(&poll);
	judge_account(&poll);
	judge_lag(job);
	job->due_mono_ms = 0;
	poll.watches = job->watches;
	job->is_in_flight = true;
	job->heard_mono_ms = world->mono_ms;
	job->polls += !job->is_asked_for;
	job->is_asked_for = false;
	job->refused_token = 0;
	world_was_busy();
	return poll;
}

/* One is spent now: is it still within what may be spent in 24 hours? */
static void judge_credits(struct world_account *account)
{
	int64_t *slot;

	if (!account->credits)
		return;
	slot = &account->spent_mono_ms[account->n_spent % account->credits];
	if (account->n_spent >= account->credits && world->mono_ms < *slot + DAY_MS)
		world_fail("account %s spends more than %d credits in 24 hours", account->name,
		        account->credits);
	*slot = world->mono_ms;
	account->n_spent++;
	if (account->n_spent >= account->credits &&
	        world->mono_ms <
	                account->spent_mono_ms[account->n_spent % account->credits] + DAY_MS)
		world_happened(HAPPENED_CREDITS_SPENT);
}

/* The least that Zoho's "too many requests" asks for. */
static int64_t hold_ms(const struct zoho_saying *saying)
{
	if (saying->retry_after_s == -1 || saying->retry_after_s == 0)
		return THROTTLE_FIRST_MS;
	return saying->retry_after_s < 1 ? RETRY_AFTER_MIN_MS : saying->retry_after_s * 1000;
}

static void hold(
        struct world_account *account, const struct poll *poll, const struct zoho_saying *saying)
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

/* How long nobody may complain of silence. */
static void excuse(struct world_account *account, const struct zoho_saying *saying)
{
	struct world_datacenter *datacenter = &world->datacenters[account->datacenter];

	bool is_probed = account->held_until_mono_ms > 0 || account->refused_since_mono_ms > 0 ||
	                 account->is_paused; /* which outlives a life */

	/* A probe that fails puts off the next one, whatever it failed of. */
	if (saying->kind != OBSERVED_STATUS && is_probed)
		account->well_from_mono_ms =
		        later(account->well_from_mono_ms, world->mono_ms + GATE_REST_MS);
	if (saying->kind == OBSERVED_UNREACHABLE)
		datacenter->well_from_mono_ms = world->mono_ms + CIRCUIT_REST_MS;
	else if (saying->kind != OBSERVED_STATUS && saying->kind != OBSERVED_GARBLED)
		account->well_from_mono_ms =
		        later(account->well_from_mono_ms, world->mono_ms + GATE_REST_MS);
}

void evidence_sent(const struct poll *poll, const struct zoho_saying *saying)
{
	/* What never reached Zoho costs nothing. */
	if (saying->error != HTTP_E_CONNECT && saying->error != HTTP_E_RESOLVE)
		judge_credits(&world->accounts[poll->account]);
}

static struct world_job *answered; /* the one that the daemon is told of right now */

int evidence_answered_account(void)
{
	return answered ? answered->account : -1;
}

void evidence_step(const struct step *step)
{
	if (answered && step->wait_ms >= 0)
		answered->due_mono_ms = world->mono_ms + step->wait_ms;
	if (answered)
		log_debug("sim: job %s is to wait %" PRId64 " ms", answered->id, step->wait_ms);
	answered = NULL;
}

void evidence_answer(const struct poll *poll, const struct zoho_saying *saying)
{
	struct world_account *account = &world->accounts[poll->account];
	struct world_datacenter *datacenter = &world->datacenters[account->datacenter];
	struct world_job *job = &world->jobs[poll->job];

	if (account->n_in_flight >= account->max_in_flight[world->variant])
		account->full_mono_ms = world->mono_ms;
	account->n_in_flight--;
	if (datacenter->n_in_flight >= HTTP_HOST_MAX_CONNECTIONS)
		datacenter->full_mono_ms = world->mono_ms;
	datacenter->n_in_flight--;
	answered = poll->watches == job->watches ? job : NULL;
	log_debug("sim: job %s asked at %" PRId64 ": answer %d, kind %d", job->id,
	        poll->sent_mono_ms, saying->status, (int)saying->kind);
	hold(account, poll, saying);
	excuse(account, saying);
	if (poll->watches != job->watches)
		return; /* of an earlier watch: nobody waits for it any more */
	job->is_in_flight = false;
	job->heard_mono_ms = world->mono_ms;
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

/* A job that nobody asks about any more will never finish. */
void evidence_look_for_silence(void)
{
	/* Nothing is asked while there is no room to write down the answer. */
	if (world->was_told_to_stop || world_disk_was_full(SILENCE_MAX_MS))
		return;
	for (size_t i = 0; i < world->n_jobs; i++) {
		const struct world_job *job = &world->jobs[i];
		const struct world_account *account = &world->accounts[job->account];
		const struct world_datacenter *datacenter =
		        &world->datacenters[account->datacenter];

		if (!job->is_watched || word_is_final(job->state) || job->state == WORD_LOST ||
		        job->is_in_flight || job->may_be_paused || is_short_of_credits(account) ||
		        world->mono_ms < account->well_from_mono_ms ||
		        world->mono_ms < datacenter->well_from_mono_ms)
			continue;
		if (account->grant < 0 && datacenter->n_in_flight < HTTP_HOST_MAX_CONNECTIONS &&
		        account->n_in_flight < account->max_in_flight[world->variant])
			judge_lag(job);
		/* In a crowd its turn may be long in coming: what is judged there are shares. */
		if (world->is_crowd &&
		        later(account->full_mono_ms, datacenter->full_mono_ms) > job->heard_mono_ms)
			continue;
		if (world->mono_ms > job->heard_mono_ms + SILENCE_MAX_MS)
			world_fail("job %s (%s) is forgotten: not polled for %" PRId64 " s",
			        job->id, word_text(job->state),
			        (world->mono_ms - job->heard_mono_ms) / 1000);
	}
}

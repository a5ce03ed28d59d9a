#include "daemon/poller.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/messages.h"
#include "daemon/thrift.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"

enum {
	SEND_PER_TURN = 256,
	LOOK_AT_SECRETS_MS = 2000, /* of accounts that are paused or have no token */
	SECRETS_PER_LOOK = 200,    /* accounts, whose files are opened in one turn */
	SECRETS_GO_ON_MS = 20,
};

/* One request on its way. Found again by its place, which is the id that net/http is given. */
struct poll {
	uint64_t ticket; /* of the job */
	struct account *account;
	struct datacenter *datacenter; /* the account may move meanwhile */
	uint32_t token_generation;
	uint64_t ledger_id; /* that it is charged to */
	bool is_gate_probe, is_circuit_probe;
	bool is_in_use;
};

struct poller {
	struct loop *loop;
	struct tracker *tracker;
	struct poll *polls; /* owned */
	size_t n_polls;
	uint32_t *free_polls;
	size_t n_free;
	size_t n_in_flight;
	struct reply_texts texts;
	struct buf url; /* of the request that is made */
	struct loop_timer *secrets_timer;
	bool is_secrets_timer_set;
	uint32_t secrets_cursor; /* the account to go on with */
	bool has_looked;         /* at one of those before it: it will be looked at again */
	bool is_stopped;
};

static void poller_on_secrets_timer(void *arg);
static void poller_on_token_news(void *arg, const struct grant *grant);

struct poller *poller_new(struct loop *loop, struct tracker *tracker)
{
	struct poller *poller = MEM_NEW(struct poller);

	poller->loop = loop;
	poller->tracker = tracker;
	poller->secrets_timer = loop_timer_new(loop, poller_on_secrets_timer, poller);
	grants_set_news(accounts_grants(tracker->accounts), poller_on_token_news, poller);
	return poller;
}

struct poller *poller_free(struct poller *poller)
{
	if (!poller)
		return NULL;
	loop_timer_free(poller->secrets_timer);
	free(poller->polls);
	free(poller->free_polls);
	reply_texts_deinit(&poller->texts);
	buf_deinit(&poller->url);
	free(poller);
	return NULL;
}

static uint32_t take_place(struct poller *poller)
{
	if (poller->n_free == 0) {
		size_t n = poller->n_polls ? poller->n_polls * 2 : 64;

		poller->polls = mem_resize(poller->polls, n, sizeof(*poller->polls));
		poller->free_polls = mem_resize(poller->free_polls, n, sizeof(*poller->free_polls));
		for (size_t i = n; i > poller->n_polls; i--)
			poller->free_polls[poller->n_free++] = (uint32_t)i - 1;
		poller->n_polls = n;
	}
	return poller->free_polls[--poller->n_free];
}

static int64_t mono_now(const struct poller *poller)
{
	return loop_now(poller->loop).mono_ms;
}

static void touch(struct poller *poller, struct account *account)
{
	queue_touch(poller->tracker->queue, account, mono_now(poller));
}

/* ---- secrets and tokens ---- */

static void look_at_secrets_soon(struct poller *poller)
{
	if (poller->is_secrets_timer_set)
		return;
	poller->is_secrets_timer_set = true;
	loop_timer_set(poller->secrets_timer, mono_now(poller) + LOOK_AT_SECRETS_MS);
}

/* A paused account whose secret was replaced is probed at once, and one without a token asks. */
static void look_at_secrets(struct poller *poller, struct account *account, struct now now)
{
	struct gate *gate = &account->gate;
	bool is_new = account_look_at_secrets(account, now);
	bool is_there = account->grant || account->token.text;

	if (gate->state == GATE_PAUSED && (is_new || (gate->reason == ERROR_SECRET && is_there)))
		gate_probe_now(gate, now.mono_ms);
	touch(poller, account);
}

static void poller_on_secrets_timer(void *arg)
{
	struct poller *poller = arg;
	struct accounts *accounts = poller->tracker->accounts;
	struct now now = loop_now(poller->loop);

	poller->is_secrets_timer_set = false;
	for (int n = 0; poller->secrets_cursor < accounts_count(accounts);
	        poller->secrets_cursor++) {
		struct account *account = accounts_get(accounts, poller->secrets_cursor);

		if (!account->is_configured ||
		        (account->gate.state != GATE_PAUSED &&
		                account->token_wait_until_mono_ms <= now.mono_ms))
			continue;
		if (n++ == SECRETS_PER_LOOK) {
			poller->is_secrets_timer_set = true;
			loop_timer_set(poller->secrets_timer, now.mono_ms + SECRETS_GO_ON_MS);
			return;
		}
		poller->has_looked = true;
		look_at_secrets(poller, account, now);
	}
	if (poller->has_looked)
		look_at_secrets_soon(poller);
	poller->has_looked = false;
	poller->secrets_cursor = 0;
}

/* Those who waited for it look anew: to poll, to wait longer, or to be paused. */
static void poller_on_token_news(void *arg, const struct grant *grant)
{
	struct poller *poller = arg;
	struct accounts *accounts = poller->tracker->accounts;
	int64_t mono_ms = mono_now(poller);

	for (size_t i = 0; i < accounts_count(accounts); i++) {
		struct account *account = accounts_get(accounts, (uint32_t)i);

		if (account->grant != grant)
			continue;
		account->token_wait_until_mono_ms = 0;
		if (account->gate.state == GATE_PAUSED && account->gate.reason == ERROR_GRANT &&
		        grant_token(grant, mono_ms))
			gate_probe_now(&account->gate, mono_ms);
		touch(poller, account);
	}
}

/* ---- the answer ---- */

static void observe_failure(const struct http_answer *answer, struct observation *out)
{
	static const enum error_class classes[] = {
	        [HTTP_E_RESOLVE] = ERROR_DNS,
	        [HTTP_E_CONNECT] = ERROR_CONNECT,
	        [HTTP_E_TLS] = ERROR_TLS,
	        [HTTP_E_TIMEOUT] = ERROR_TIMEOUT,
	        [HTTP_E_BROKEN] = ERROR_BROKEN,
	        [HTTP_E_TOO_LARGE] = ERROR_BAD_REPLY,
	        [HTTP_E_OTHER] = ERROR_BROKEN,
	};

	*out = (struct observation){
	        .kind = answer->error == HTTP_E_TOO_LARGE ? OBSERVED_GARBLED : OBSERVED_UNREACHABLE,
	        .error = classes[answer->error],
	        .retry_after_ms = -1,
	};
	str_copy(out->message, sizeof(out->message), answer->message);
}

/* tracked NULL: the job is gone. */
static void observe(struct poller *poller, const struct poll *poll, const struct tracked *tracked,
        const struct http_answer *answer, struct observation *out)
{
	struct job_id id = tracked ? tracked_id(tracked) : (struct job_id){0};
	struct reply reply = {
	        .http_status = answer->status,
	        .body = answer->body,
	        .len = answer->len,
	        .content_type = answer->content_type,
	        .retry_after_s = answer->retry_after_s,
	};
	struct reply_question question = {
	        .job_id = id.text,
	        .api_url = poll->datacenter->api_url,
	        .token = account_token(poll->account, mono_now(poller)),
	};

	if (answer->error) {
		observe_failure(answer, out);
		return;
	}
	uint64_t fingerprint = tracked ? reply_fingerprint(&reply, &question) : 0;

	if (fingerprint && fingerprint == tracked->fingerprint)
		*out = (struct observation){
		        .kind = OBSERVED_STATUS,
		        .http_status = answer->status,
		        .retry_after_ms = -1,
		        .state = registry_state(poller->tracker->registry, tracked),
		        .is_repeated = true,
		};
	else
		reply_observe(&reply, &question, &poller->texts, out);
	out->fingerprint = fingerprint;
}

static void count_gate(struct account *account, enum gate_change change)
{
	account->metrics.n_held += change == GATE_BECAME_HELD;
	account->metrics.n_paused += change == GATE_BECAME_PAUSED;
}

static void log_gate(const struct account *account, enum gate_change change, enum gate_state before)
{
	bool is_paused = change == GATE_BECAME_PAUSED;
	const struct log_field fields[] = {
	        {"BULKWATCH_ACCOUNT", account->name},
	        {"MESSAGE_ID", is_paused ? MESSAGE_ACCOUNT_PAUSED : NULL},
	};

	if (change == GATE_BECAME_OK && before == GATE_PAUSED)
		log_with(LOG_LEVEL_NOTICE, fields, "account %s: answers again", account->name);
	else if (change == GATE_BECAME_OK)
		log_with(LOG_LEVEL_INFO, fields, "account %s: no longer held", account->name);
	else if (change == GATE_BECAME_HELD)
		log_with(LOG_LEVEL_WARNING, fields, "account %s: held: %s", account->name,
		        account->problem);
	else if (is_paused)
		log_with(LOG_LEVEL_ERROR, fields, "account %s: paused: %s", account->name,
		        account->problem);
}

/* What an administrator can do about it. */
static const char *advice(enum error_class class)
{
	switch (class) {
	case ERROR_TOKEN:
		return "check the token, and that the account's data center is the right one";
	case ERROR_SCOPE:
		return "the token lacks a scope: ZohoBigin.bulk.READ and "
		       "ZohoBigin.modules.{module}.READ are needed";
	case ERROR_PERMISSION:
		return "the token's user may not read this module";
	case ERROR_PATH:
		return "check the data center's api_url and the account's service";
	case ERROR_DOMAIN:
		return "check the account's data center";
	case ERROR_ALL_LOST:
		return "Zoho knows none of its jobs: check the data center and the account";
	default:
		return NULL;
	}
}

static void describe(struct account *account, enum error_class class, const char *message)
{
	const char *what_to_do = advice(class);

	snprintf(account->problem, sizeof(account->problem), "%s%s%s", message,
	        what_to_do ? "; " : "", what_to_do ? what_to_do : "");
}

static void pause_account(
        struct poller *poller, struct account *account, enum error_class class, const char *message)
{
	enum gate_state before = account->gate.state;
	enum gate_change change = gate_pause(
	        &account->gate, class, loop_now(poller->loop), rng_next(poller->tracker->rng));

	describe(account, class, message);
	count_gate(account, change);
	log_gate(account, change, before);
	look_at_secrets_soon(poller);
	if (change == GATE_SAME)
		return;
	poller->tracker->has_account_news = true;
	loop_wake(poller->loop); /* this turn's commit may be over: the next one tells it */
}

static void move_gate(
        struct poller *poller, const struct poll *poll, const struct observation *observation)
{
	struct account *account = poll->account;
	enum gate_state before = account->gate.state;
	enum error_class reason = account->gate.reason;
	enum gate_change change = gate_observe(&account->gate, observation, poll->is_gate_probe,
	        loop_now(poller->loop), rng_next(poller->tracker->rng));

	if (change == GATE_SAME && account->gate.reason != reason) {
		describe(account, observation->error, observation->message);
		log_warning("account %s: still paused, now because: %s", account->name,
		        account->problem);
	}
	if (change == GATE_SAME)
		return;
	if (change != GATE_BECAME_OK)
		describe(account, observation->error, observation->message);
	count_gate(account, change);
	log_gate(account, change, before);
	if (change == GATE_BECAME_PAUSED)
		look_at_secrets_soon(poller);
	poller->tracker->has_account_news = true;
}

/* Accounts of a data center look anew whether they may ask: its circuit opened, closed, or its
 * probe is back. */
static void touch_all(struct poller *poller, const struct datacenter *datacenter)
{
	struct accounts *accounts = poller->tracker->accounts;

	for (size_t i = 0; i < accounts_count(accounts); i++) {
		struct account *account = accounts_get(accounts, (uint32_t)i);

		if (account->datacenter == datacenter)
			touch(poller, account);
	}
}

static void move_circuit(
        struct poller *poller, const struct poll *poll, const struct observation *observation)
{
	struct datacenter *datacenter = poll->datacenter;
	bool was_open = datacenter->circuit.is_open;
	int64_t mono_ms = mono_now(poller);
	int64_t before = circuit_open_until_mono(&datacenter->circuit, mono_ms);

	circuit_observe(&datacenter->circuit, observation, poll->is_circuit_probe,
	        loop_now(poller->loop), rng_next(poller->tracker->rng));
	if (datacenter->circuit.is_open) {
		str_copy(datacenter->problem, sizeof(datacenter->problem), observation->message);
		if (!was_open)
			log_warning("data center %s (%s): not well, one probe at a time: %s",
			        datacenter->name, datacenter->api_url, observation->message);
	} else if (was_open) {
		log_notice("data center %s: answers again", datacenter->name);
	}
	/* Of many answers that fail at once, one opens it. */
	if (circuit_open_until_mono(&datacenter->circuit, mono_ms) != before)
		touch_all(poller, datacenter);
}

static bool is_token_refused(const struct observation *observation)
{
	return observation->kind == OBSERVED_REFUSED && observation->error == ERROR_TOKEN;
}

/* Whoever says such a thing knows who asks. */
static bool is_token_accepted(const struct observation *observation)
{
	return observation->kind == OBSERVED_STATUS || observation->kind == OBSERVED_NOT_FOUND ||
	       (observation->kind == OBSERVED_REFUSED && observation->error != ERROR_TOKEN &&
	               observation->error != ERROR_PATH);
}

/* The token was refused, and there is or will be another one to try: it was replaced while the
 * request was on its way, or is dropped now. */
static bool may_cure_by_token(
        struct poller *poller, const struct poll *poll, const struct observation *observation)
{
	struct account *account = poll->account;
	struct now now = loop_now(poller->loop);

	if (is_token_accepted(observation))
		account_token_accepted(account, poll->token_generation);
	if (!is_token_refused(observation))
		return false;
	account->token_looked_at_mono_ms = INT64_MIN;
	account_look_at_secrets(account, now);
	if (account_token_generation(account) != poll->token_generation)
		return true;
	return account_token_refused(account, now);
}

/* Lets the next account have the connection that became free. */
static void wake_waiting(struct poller *poller, struct datacenter *datacenter)
{
	size_t n_free = HTTP_HOST_MAX_CONNECTIONS - datacenter->n_in_flight;

	/* As many as there are connections: one that is woken may have nothing to ask by now. */
	for (; datacenter->waiting && n_free > 0; n_free--) {
		struct account *account = datacenter->waiting;

		datacenter->waiting = account->next_waiting;
		if (!datacenter->waiting)
			datacenter->waiting_tail = &datacenter->waiting;
		account->is_waiting = false;
		touch(poller, account);
	}
}

static void queue_again(
        struct poller *poller, struct poll *poll, struct tracked *tracked, int64_t wait_ms)
{
	int64_t mono_ms = mono_now(poller);

	if (!tracked->is_paused)
		queue_set(
		        poller->tracker->queue, poll->account, tracked, mono_ms + wait_ms, mono_ms);
}

/* The first request was counted when it was sent. */
static void count_retries(struct tracked *tracked, struct account *account, uint64_t n_sent)
{
	uint64_t n_more = n_sent > 1 ? n_sent - 1 : 0;

	account->n_polls += n_more;
	if (tracked)
		tracked->polls += (uint32_t)n_more;
}

/* Date has no parts of seconds: in the middle of its second is the best guess. */
static void look_at_clock(
        struct datacenter *datacenter, const struct http_answer *answer, struct now now)
{
	if (answer->date_wall_ms < 0)
		return;
	datacenter->is_clock_known = true;
	datacenter->clock_ahead_ms = answer->date_wall_ms + 500 - now.wall_ms;
}

/* From the request to when this turn began, which waits count from, or less: the next request is
 * never sooner than min_interval for what this turn took so far. */
static int64_t took_ms(const struct poller *poller, const struct http_answer *answer)
{
	int64_t ms = answer->duration_ms - (loop_turn_us(poller->loop) + 999) / 1000;

	return ms > 0 ? ms : 0;
}

static void poller_on_answer(void *arg, uint64_t owner, const struct http_answer *answer)
{
	struct poller *poller = arg;
	struct poll *poll = &poller->polls[owner];
	struct tracked *tracked = registry_by_ticket(poller->tracker->registry, poll->ticket);
	struct observation observation;

	assert(poll->is_in_use);
	observe(poller, poll, tracked, answer, &observation);
	observation.took_ms = took_ms(poller, answer);
	poll->account->metrics.n_results[observation.kind]++;
	metrics_observe(&poll->datacenter->metrics.request, &metrics_request_bounds,
	        (double)answer->duration_ms / 1000);
	look_at_clock(poll->datacenter, answer, loop_now(poller->loop));
	poll->account->n_in_flight--;
	poll->datacenter->n_in_flight--;
	count_retries(tracked, poll->account, answer->n_sent);
	thrift_settle(poller->tracker, poll->account, poll->ledger_id, answer->n_sent,
	        answer->credits_remaining);
	poller->n_in_flight--;
	/* Whoever refuses a token is there: others need not wait until there is a new one. */
	move_circuit(poller, poll, &observation);
	if (may_cure_by_token(poller, poll, &observation)) {
		if (poll->is_gate_probe)
			gate_unpass(&poll->account->gate);
		if (tracked) {
			tracked->is_in_flight = false;
			queue_again(poller, poll, tracked, 0);
		}
	} else {
		/* For a job that is gone, what it says of others still counts, but not what it says
		 * of a job. */
		if (poll->account->datacenter == poll->datacenter)
			move_gate(poller, poll, &observation);
		if (tracked) {
			tracked->is_in_flight = false;
			if (tracked->is_changing)
				queue_again(poller, poll, tracked,
				        poll->account->policy.min_interval_ms);
			else if (tracker_observe(poller->tracker, tracked, &observation) &&
			         poll->account->gate.state != GATE_PAUSED)
				pause_account(
				        poller, poll->account, ERROR_ALL_LOST, observation.message);
		}
	}
	touch(poller, poll->account);
	wake_waiting(poller, poll->datacenter);
	poll->is_in_use = false;
	poller->free_polls[poller->n_free++] = (uint32_t)owner;
}

/* ---- the question ---- */

/*
 * Bigin: GET {api}/bigin/bulk/v2/read/{id}; CRM: /crm/bulk/v8/read/{id} (Zoho's API pages). Ids are
 * digits: nothing needs escaping.
 */
static void put_url(struct buf *url, const struct account *account, const struct tracked *tracked)
{
	buf_clear(url);
	buf_adds(url, account->datacenter->api_url);
	buf_adds(url,
	        account->service == SERVICE_CRM ? "/crm/bulk/v8/read/" : "/bigin/bulk/v2/read/");
	buf_adds(url, tracked_id(tracked).text);
}

static int submit(struct poller *poller, struct account *account, const struct tracked *tracked,
        uint32_t place)
{
	static const char scheme[] = "Authorization: Zoho-oauthtoken ";
	const char *token = account_token(account, mono_now(poller));
	size_t len = strlen(token);
	char authorization[sizeof(scheme) + SECRET_MAX_BYTES];

	memcpy(authorization, scheme, sizeof(scheme) - 1);
	str_copy(authorization + sizeof(scheme) - 1, SECRET_MAX_BYTES + 1, token);
	put_url(&poller->url, account, tracked);
	struct http_request request = {
	        .url = buf_str(&poller->url),
	        .headers = {authorization, "Accept: application/json"},
	        .timeout_ms = account->timeout_ms,
	};
	int r = http_submit(account->datacenter->host, &request, poller_on_answer, poller, place);

	explicit_bzero(authorization, sizeof(scheme) + len);
	return r;
}

static void send_poll(struct poller *poller, struct account *account, struct tracked *tracked)
{
	struct now now = loop_now(poller->loop);
	uint32_t place = take_place(poller);
	struct poll *poll = &poller->polls[place];

	*poll = (struct poll){
	        .ticket = registry_ticket(tracked),
	        .account = account,
	        .datacenter = account->datacenter,
	        .token_generation = account_token_generation(account),
	        .is_gate_probe = gate_pass(&account->gate),
	        .is_circuit_probe = circuit_pass(&account->datacenter->circuit),
	        .is_in_use = true,
	};
	int r = submit(poller, account, tracked, place);

	if (r) {
		/* A bug, or no memory: said, and tried again later like any failure. */
		log_error("job %s/%s: cannot send a request (%d)", account->name,
		        tracked_id(tracked).text, r);
		poll->is_in_use = false;
		poller->free_polls[poller->n_free++] = place;
		gate_unpass(&account->gate);
		circuit_unpass(&account->datacenter->circuit);
		queue_set(poller->tracker->queue, account, tracked,
		        now.mono_ms + account->policy.max_interval_ms, now.mono_ms);
		return;
	}
	/* One that was asked for has no time when it was due. */
	if (!tracked->is_asked_for)
		metrics_observe(&account->datacenter->metrics.lag, &metrics_delay_bounds,
		        (double)(now.mono_ms - heap_key(&account->due, &tracked->due)) / 1000);
	heap_remove(&account->due, &tracked->due);
	tracked->is_in_flight = true;
	tracked->is_asked_for = false;
	tracked->is_contact_dirty = true;
	tracked->last_polled_wall_ms = int48_of(now.wall_ms);
	tracked->polls++;
	account->n_polls++;
	poll->ledger_id = thrift_take_credit(poller->tracker, account);
	account->n_in_flight++;
	account->datacenter->n_in_flight++;
	poller->n_in_flight++;
	touch(poller, account);
	if (poll->is_circuit_probe)
		touch_all(poller, account->datacenter);
}

/* There is a token to send. Else the account waits for one, or is paused for want of it. */
static bool has_token(struct poller *poller, struct account *account)
{
	char words[MESSAGE_MAX_BYTES];
	struct now now = loop_now(poller->loop);
	enum error_class error = account_want_token(account, now, words);

	if (error)
		pause_account(poller, account, error, words);
	else if (account->token_wait_until_mono_ms > now.mono_ms)
		look_at_secrets_soon(poller);
	else
		return true;
	touch(poller, account);
	return false;
}

/* False: the account was put aside. */
static bool is_ready(struct poller *poller, struct account *account)
{
	struct datacenter *datacenter = account->datacenter;

	account_look_at_secrets(account, loop_now(poller->loop));
	if (datacenter->n_in_flight >= HTTP_HOST_MAX_CONNECTIONS) {
		account->is_waiting = true;
		account->next_waiting = NULL;
		*datacenter->waiting_tail = account;
		datacenter->waiting_tail = &account->next_waiting;
		touch(poller, account);
		return false;
	}
	return has_token(poller, account) && thrift_has_credit(poller->tracker, account);
}

void poller_dispatch(struct poller *poller)
{
	int64_t mono_ms = mono_now(poller);
	struct account *account;

	if (poller->is_stopped || journal_is_full(poller->tracker->journal))
		return;
	for (int i = 0; i < SEND_PER_TURN; i++) {
		account = queue_first_due(poller->tracker->queue, mono_ms);
		if (!account)
			return;
		if (!is_ready(poller, account))
			continue;
		send_poll(poller, account, queue_due_job(account, mono_ms));
	}
	loop_wake(poller->loop); /* the rest in the next turn, after what has come in meanwhile */
}

int64_t poller_next_mono(const struct poller *poller)
{
	if (poller->is_stopped || journal_is_full(poller->tracker->journal))
		return INT64_MAX;
	return queue_next_mono(poller->tracker->queue);
}

void poller_stop(struct poller *poller)
{
	poller->is_stopped = true;
}

size_t poller_in_flight(const struct poller *poller)
{
	return poller->n_in_flight + grants_in_flight(accounts_grants(poller->tracker->accounts));
}

void poller_poll_now(struct poller *poller, struct tracked *tracked)
{
	int64_t mono_ms = mono_now(poller);
	struct account *account = accounts_get(poller->tracker->accounts, tracked->account);

	if (tracked->kind == JOB_LOST)
		tracked->is_revived = true;
	if (!tracked_is_polled(tracked) || tracked->is_in_flight)
		return;
	tracked->is_asked_for = true;
	/* Before everything else that is due in its account. */
	queue_set(poller->tracker->queue, account, tracked, mono_ms - INT32_MAX, mono_ms);
}

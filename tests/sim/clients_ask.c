/*
 * One who asks at random, and compares what is said with what is committed. Also how anybody asks.
 */
#include <inttypes.h>
#include <string.h>

#include "clients_private.h"
#include "daemon/journal.h"
#include "evidence.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/json.h"
#include "world.h"

static struct asker asker;
static bool is_here; /* while the loop runs */

static void judge_state(const struct json *json, const struct json_node *node)
{
	const char *state = json_get_string(json, node, "state");
	int account = world_find_account(json_get_string(json, node, "account"));
	int job = account < 0 ? -1 : world_find_job(account, json_get_string(json, node, "id"));

	if (job < 0 || !state)
		world_fail("a job is answered that never was");
	if (word_of(state) != world->jobs[job].state)
		world_fail("job %s is said to be %s, what is committed is %s", world->jobs[job].id,
		        state, word_text(world->jobs[job].state));
}

/* Newest first: exactly what is committed. */
static void judge_history(const struct json *json, int job)
{
	const struct json_node *events = json_get(json, json_root(json), "events");
	int32_t seqs[1000];
	size_t n = 0;

	for (int32_t seq = world->jobs[job].last_event; seq && n < ARRAY_LEN(seqs);
	        seq = world->events[seq].previous)
		seqs[n++] = seq;
	for (const struct json_node *e = json_first(json, events); e; e = json_next(json, e)) {
		int64_t seq = 0;

		json_get_integer(json, e, "seq", &seq);
		if (n == 0 || seqs[--n] != seq)
			world_fail("the history of job %s has event %" PRId64 " in the wrong place",
			        world->jobs[job].id, seq);
	}
	if (n > 0)
		world_fail(
		        "the history of job %s lacks event %d", world->jobs[job].id, seqs[n - 1]);
}

/* Paused is who was said to be paused. */
static void judge_accounts(const struct json *json)
{
	const struct json_node *list = json_get(json, json_root(json), "accounts");

	/* What cannot be written cannot be told either. */
	if (world_disk_was_full(10 * 1000) || world->may_have_io_error)
		return;
	for (const struct json_node *a = json_first(json, list); a; a = json_next(json, a)) {
		const char *name = json_get_string(json, a, "name");
		bool is_paused = str_is_equal(json_get_string(json, a, "state"), "paused");
		int account = world_find_account(name);

		if (account < 0 || is_paused != world->accounts[account].is_paused)
			world_fail("account %s is %spaused, but the last event says otherwise",
			        name ? name : "-", is_paused ? "" : "not ");
	}
}

/* What waits for a commit is nobody's business, nor what was only tried. */
static void judge_deliveries(const struct json *json)
{
	const struct json_node *list = json_get(json, json_root(json), "deliveries");

	for (const struct json_node *d = json_first(json, list); d; d = json_next(json, d)) {
		const char *hook = json_get_string(json, d, "hook");
		const struct seen_delivery *known;
		int64_t seq = 0;

		json_get_integer(json, d, "event_seq", &seq);
		known = evidence_find_delivery(seq, world_find_hook(hook));
		if (!known || world->events[seq].is_forgotten)
			world_fail("a delivery of event %" PRId64
			           " to hook %s is told of, which is not committed",
			        seq, hook);
		if (!str_is_equal(
		            json_get_string(json, d, "state"), delivery_state_name(known->state)))
			world_fail("the delivery of event %" PRId64
			           " to hook %s is said to be %s, what is committed is %s",
			        seq, hook, json_get_string(json, d, "state"),
			        delivery_state_name(known->state));
	}
}

static void judge_answer(const struct asker *from, int status, const char *body, size_t len)
{
	cleanup(json_free_p) struct json *json = NULL;

	if (status == 404 &&
	        (from->wish == WISH_GET || from->wish == WISH_HISTORY || from->wish == WISH_WAIT) &&
	        world->jobs[from->job].last_event == 0)
		return;
	/* The end of a daemon whose database failed. */
	if (status == 500 && world->may_have_io_error)
		return;
	if (from->wish == WISH_FORBIDDEN) {
		if (status != 405)
			world_fail(
			        "a change at the door for questions is answered with %d", status);
		return;
	}
	if (status != 200 || json_parse(body, len, 16 << 20, &json) != JSON_OK)
		world_fail("a question (%d) is answered with %d: %.200s", (int)from->wish, status,
		        body);
	if (from->wish == WISH_GET || from->wish == WISH_WAIT) {
		judge_state(json, json_root(json));
	} else if (from->wish == WISH_HISTORY) {
		judge_history(json, from->job);
	} else if (from->wish == WISH_ACCOUNTS) {
		judge_accounts(json);
	} else if (from->wish == WISH_DELIVERIES) {
		judge_deliveries(json);
	} else if (from->wish == WISH_LIST) {
		const struct json_node *list = json_get(json, json_root(json), "jobs");

		for (const struct json_node *j = json_first(json, list); j; j = json_next(json, j))
			judge_state(json, j);
	}
}

void asker_is_answered(struct asker *from)
{
	from->is_waiting = false;
	from->request = NULL;
}

static void asker_on_reply(void *arg, int status, const char *body, size_t len)
{
	struct asker *from = arg;

	asker_is_answered(from);
	world_happened(from->wish == WISH_WAIT        ? HAPPENED_WAITER
	               : from->wish == WISH_FORBIDDEN ? HAPPENED_FORBIDDEN
	                                              : HAPPENED_QUESTION);
	judge_answer(from, status, body, len);
}

static void asker_on_chunk(void *arg, const char *bytes, size_t len)
{
	(void)arg;
	world_fail("a stream that nobody asked for: %.*s", (int)len, bytes);
}

static void asker_on_end(void *arg)
{
	asker_is_answered(arg);
}

void asker_ask(struct asker *from, const char *door, const char *method, const char *target,
        const char *body, asker_reply_fn *on_reply)
{
	struct peer peer = {.on_reply = on_reply,
	        .on_chunk = asker_on_chunk,
	        .on_end = asker_on_end,
	        .arg = from};

	from->request = fake_request_new(from->loop, door, method, target, body, &peer);
	if (!from->request)
		return;
	from->is_waiting = true;
	log_debug("sim: %s %s", method, target);
	fake_request_begin(from->request, NULL, NULL);
}

static char *target_of(const struct asker *from)
{
	static const char *const paths[] = {"/v1/status", "/v1/hooks"};
	const struct world_job *job = &world->jobs[from->job];
	const char *account = world->accounts[job->account].name;

	switch (from->wish) {
	case WISH_LIST:
		return mem_strdup("/v1/jobs?limit=1000");
	case WISH_ACCOUNTS:
		return mem_strdup("/v1/accounts");
	case WISH_DELIVERIES:
		return mem_strdup("/v1/deliveries");
	case WISH_OTHER:
		return mem_strdup(paths[world_below(DICE_CLIENTS, ARRAY_LEN(paths))]);
	case WISH_HISTORY:
		return mem_printf("/v1/jobs/%s/%s/history", account, job->id);
	case WISH_WAIT:
		return mem_printf("/v1/jobs/%s/%s/wait?timeout=10m", account, job->id);
	default:
		return mem_printf("/v1/jobs/%s/%s", account, job->id);
	}
}

void clients_come_soon(void)
{
	if (!is_here || asker.is_waiting || !world_chance(DICE_CLIENTS, 0.4))
		return;
	asker.is_curious = true;
	fake_alarm_set(asker.loop, &asker.alarm,
	        world->mono_ms + world_between(DICE_CLIENTS, 0, JOURNAL_SPACING_MS));
}

static void asker_on_alarm(void *arg)
{
	struct asker *from = arg;

	fake_alarm_set(from->loop, &from->alarm, world->mono_ms + client_pause_ms());
	if (from->is_waiting) {
		/* Some wait patiently, some leave. */
		if (world_chance(DICE_CLIENTS, 0.2)) {
			fake_request_leave(from->request);
			world_happened(HAPPENED_WAITER_LEFT);
			asker_is_answered(from);
		}
		return;
	}
	from->job = (int)world_below(DICE_CLIENTS, world->n_jobs);
	from->wish = from->is_curious && world_chance(DICE_CLIENTS, 0.8)
	                     ? WISH_DELIVERIES
	                     : (enum wish)world_below(DICE_CLIENTS, WISH_FORBIDDEN + 1);
	from->is_curious = false;
	cleanup(mem_free_p) char *target = target_of(from);
	bool is_forbidden = from->wish == WISH_FORBIDDEN;

	asker_ask(from,
	        is_forbidden || world_chance(DICE_CLIENTS, 0.5) ? "query.sock" : "admin.sock",
	        is_forbidden ? "DELETE" : "GET", target, NULL, asker_on_reply);
}

void asker_begin(struct loop *loop)
{
	is_here = true;
	asker = (struct asker){.loop = loop};
	client_begin(loop, &asker.alarm, asker_on_alarm, &asker);
}

void asker_end(void)
{
	is_here = false;
	fake_alarm_clear(asker.loop, &asker.alarm);
}

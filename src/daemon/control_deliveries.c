/* What was sent to hooks, what came of it, and another try. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/hookmatch.h"
#include "daemon/control_private.h"
#include "util/mem.h"
#include "util/str.h"

/* Twenty attempts of one delivery may be 64 KiB each: a page ends early then. */
enum { PAGE_MAX_BYTES = 1024 * 1024 };

struct deliveries {
	struct json_out w;
	struct store *store;
};

static int write_attempt(void *arg, const struct store_attempt *attempt)
{
	struct json_out *w = arg;
	bool is_over = attempt->duration_ms >= 0;

	json_open_object(w, NULL);
	json_put_integer(w, "attempt", (int64_t)attempt->number);
	json_put_time(w, "started", attempt->started_wall_ms);
	json_put_string(w, "end", attempt_end_name(attempt->end));
	if (attempt->end == ATTEMPT_LOST)
		json_put_null(w, "exit");
	else
		json_put_integer(w, "exit", attempt->code);
	if (is_over)
		json_put_number(w, "duration", (double)attempt->duration_ms / 1000);
	else
		json_put_null(w, "duration");
	json_put_bytes(w, "output", attempt->output ? attempt->output : "", attempt->output_len);
	json_close_object(w);
	return 0;
}

static int write_delivery(void *arg, const struct store_delivery *delivery)
{
	struct deliveries *deliveries = arg;
	struct json_out *w = &deliveries->w;
	char id[24];

	if (w->buf->len > PAGE_MAX_BYTES)
		return 1; /* the next page begins with this one */

	snprintf(id, sizeof(id), "%" PRId64, delivery->id);
	json_open_object(w, NULL);
	json_put_string(w, "id", id);
	json_put_string(w, "hook", delivery->hook);
	json_put_integer(w, "event_seq", delivery->event_seq);
	json_put_string(w, "account", delivery->account);
	json_put_string(w, "job_id", delivery->job_id);
	json_put_string(w, "state", delivery_state_name(delivery->state));
	json_put_integer(w, "attempts", (int64_t)delivery->attempts);
	json_put_time(w, "created", delivery->created_wall_ms);
	json_put_time(w, "next_attempt",
	        delivery->state == DELIVERY_PENDING ? delivery->next_wall_ms : 0);
	json_put_time(w, "ended", delivery->ended_wall_ms);
	json_open_array(w, "history");
	int r = store_attempts_read(deliveries->store, delivery->id, write_attempt, w);

	json_close_array(w);
	json_close_object(w);
	return r;
}

/* -1 = any; -2: a problem was answered. */
static int read_state(struct call *call)
{
	const char *text = listen_query(call->request, "state");

	if (!text)
		return -1;
	for (int state = DELIVERY_PENDING; state <= DELIVERY_DEAD; state++) {
		if (strcmp(text, delivery_state_name((enum delivery_state)state)) == 0)
			return state;
	}
	call_problem(call, 400, "state: pending, running, delivered or dead was expected");
	return -2;
}

static bool is_known_hook(struct call *call, const char *hook)
{
	if (!hook || hooks_find(call->control->context.hooks, hook) != HOOKMATCH_NOBODY)
		return true;
	call_problem(call, 404, "there is no hook %.63s", hook);
	return false;
}

void control_get_deliveries(struct call *call)
{
	const char *hook = listen_query(call->request, "hook");
	cleanup(buf_deinit) struct buf body = {0};
	struct deliveries deliveries = {.store = call_store(call)};
	int64_t before, last = 0;
	size_t limit;
	int state = read_state(call);

	if (state < -1 || !is_known_hook(call, hook) || !call_limit(call, &limit) ||
	        !call_integer(call, "before", 0, &before))
		return;
	json_out_init(&deliveries.w, &body, false);
	json_open_object(&deliveries.w, NULL);
	json_open_array(&deliveries.w, "deliveries");
	int r = store_deliveries_read(
	        deliveries.store, before, limit, state, hook, write_delivery, &deliveries, &last);

	json_close_array(&deliveries.w);
	if (last > 0) {
		char next[24];

		snprintf(next, sizeof(next), "%" PRId64, last);
		json_put_string(&deliveries.w, "next", next);
	} else {
		json_put_null(&deliveries.w, "next");
	}
	json_close_object(&deliveries.w);
	json_out_deinit(&deliveries.w);
	if (r < 0)
		call_problem(call, 500, "the database cannot be read");
	else
		call_reply(call, 200, &body);
}

static bool read_id(struct call *call, int64_t *id)
{
	if (str_to_int(call->id, 1, INT64_MAX, id) == 0)
		return true;
	call_problem(call, 404, "there is no delivery %.63s", call->id);
	return false;
}

void control_get_delivery_as(struct call *call, int status)
{
	cleanup(buf_deinit) struct buf body = {0};
	struct deliveries deliveries = {.store = call_store(call)};
	int64_t id;

	if (!read_id(call, &id))
		return;
	json_out_init(&deliveries.w, &body, false);
	int r = store_delivery_get(deliveries.store, id, write_delivery, &deliveries);

	json_out_deinit(&deliveries.w);
	if (r < 0)
		call_problem(call, 500, "the database cannot be read");
	else if (r == STORE_E_NONE)
		call_problem(call, 404, "there is no delivery %.63s", call->id);
	else
		call_reply(call, status, &body);
}

void control_get_delivery(struct call *call)
{
	control_get_delivery_as(call, 200);
}

void control_retry_delivery(struct call *call)
{
	int64_t id;

	if (!call_has_room(call) || !read_id(call, &id))
		return;
	switch (hooks_retry(call->control->context.hooks, id)) {
	case 0:
		call_answer_after_commit(call, control_get_delivery_as, 202);
		return;
	case HOOKS_E_NONE:
		call_problem(call, 404, "there is no delivery %.63s", call->id);
		return;
	case HOOKS_E_DELIVERED:
		call_problem(call, 409, "delivery %.63s was delivered: nothing is left to retry",
		        call->id);
		return;
	case HOOKS_E_RUNNING:
		call_problem(call, 409, "delivery %.63s is running", call->id);
		return;
	default:
		call_problem(call, 500, "the database cannot be read");
	}
}

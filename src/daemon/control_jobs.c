/* GET /v1/jobs, one job, its history, and waiting for its end. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/control_private.h"
#include "daemon/view.h"
#include "daemon/waiters.h"
#include "util/mem.h"
#include "wire/event.h"

enum {
	WAIT_DEFAULT_MS = 60 * 1000,
	WAIT_MAX_MS = 3600 * 1000,
	HISTORY_MAX = 1000,
};

struct writer {
	struct json_out w;
};

static int write_job(void *arg, const struct job_view *view)
{
	struct writer *writer = arg;

	event_write_job(&writer->w, NULL, view);
	return 0;
}

static int write_tracked(struct call *call, struct writer *writer, const struct tracked *tracked)
{
	const struct tracker *tracker = call->control->context.tracker;
	const struct account *account = accounts_get(tracker->accounts, tracked->account);
	struct job job = registry_job(tracker->registry, tracked);
	struct job_id id;
	struct job_view view = view_of_tracked(
	        tracker, tracked, &job, view_wait_ms(tracked, account, call->now), &id);

	return view_with_document(call_store(call), tracked_key(tracked), &view, write_job, writer);
}

/* ---- the list ---- */

/* A thousand jobs may have asked for 20 KB of fields each: a page ends early then. */
enum { PAGE_MAX_BYTES = 8 * 1024 * 1024 };

/* Pages go by the keys of jobs, which never change: what comes and goes meanwhile moves nothing
 * else. */
static int write_page(struct call *call, struct writer *writer,
        const struct registry_filter *filter, int64_t after, size_t limit)
{
	struct registry_walk walk;
	int64_t last = after;
	size_t n = 0;
	int r = 0;

	registry_walk_begin(call->control->context.tracker->registry, after, filter, &walk);
	json_open_array(&writer->w, "jobs");
	struct tracked *tracked = registry_next(&walk);

	for (; tracked && n < limit && !r && writer->w.buf->len < PAGE_MAX_BYTES; n++) {
		r = write_tracked(call, writer, tracked);
		last = tracked_key(tracked);
		tracked = registry_next(&walk);
	}
	json_close_array(&writer->w);
	if (tracked) {
		char next[24];

		snprintf(next, sizeof(next), "%" PRId64, last);
		json_put_string(&writer->w, "next", next);
	} else {
		json_put_null(&writer->w, "next");
	}
	return r;
}

void control_get_jobs(struct call *call)
{
	struct registry_filter filter = {
	        .state = listen_query(call->request, "state"),
	        .name = listen_query(call->request, "name"),
	};
	cleanup(buf_deinit) struct buf body = {0};
	struct account *account;
	struct writer writer;
	int64_t after;
	size_t limit;

	if (!call_limit(call, &limit) || !call_integer(call, "after", 0, &after) ||
	        !call_account(call, &account) || !call_boolean(call, "finished", &filter.finished))
		return;
	filter.is_of_account = account != NULL;
	filter.account = account ? account->handle : 0;
	json_out_init(&writer.w, &body, false);
	json_open_object(&writer.w, NULL);
	int r = write_page(call, &writer, &filter, after, limit);

	json_put_integer(&writer.w, "last_seq", store_last_seq(call_store(call)));
	json_close_object(&writer.w);
	json_out_deinit(&writer.w);
	if (r < 0)
		call_problem(call, 500, "the database cannot be read");
	else
		call_reply(call, 200, &body);
}

/* ---- one job ---- */

struct find {
	struct call *call;
	struct writer *writer;
};

static int write_row(void *arg, const struct store_job *row)
{
	struct find *find = arg;
	struct job_view view = view_of_row(row);

	return view_with_document(call_store(find->call), row->key, &view, write_job, find->writer);
}

static void answer_unknown(struct call *call)
{
	if (accounts_find(call->control->context.tracker->accounts, call->account))
		call_problem(call, 404, "account %.63s has no job %.63s", call->account, call->id);
	else
		call_problem(call, 404, "there is no account %.63s", call->account);
}

int control_write_job(struct call *call, struct buf *body)
{
	const struct tracked *tracked = call_job(call);
	struct writer writer;
	struct find find = {.call = call, .writer = &writer};

	json_out_init(&writer.w, body, false);
	int r = tracked ? write_tracked(call, &writer, tracked)
	                : store_job_find(
	                          call_store(call), call->account, call->id, write_row, &find);

	json_out_deinit(&writer.w);
	return r;
}

void control_reply_job(struct call *call, int r, int status, const struct buf *body)
{
	if (r < 0)
		call_problem(call, 500, "the database cannot be read");
	else if (r == STORE_E_NONE)
		answer_unknown(call);
	else
		call_reply(call, status, body);
}

void control_get_job_as(struct call *call, int status)
{
	cleanup(buf_deinit) struct buf body = {0};
	int r = control_write_job(call, &body);

	control_reply_job(call, r, status, &body);
}

void control_get_job(struct call *call)
{
	control_get_job_as(call, 200);
}

/* ---- history ---- */

static int take_key(void *arg, const struct store_job *row)
{
	*(int64_t *)arg = row->key;
	return 0;
}

struct history {
	struct json_out w;
	struct store *store;
};

static int write_event(void *arg, const struct store_event *event)
{
	struct history *history = arg;
	struct event_view view = view_of_event(history->store, event);

	event_write(&history->w, NULL, &view);
	return 0;
}

void control_get_history(struct call *call)
{
	cleanup(buf_deinit) struct buf body = {0};
	struct store *store = call_store(call);
	struct history history = {.store = store};
	struct store_event_filter filter = {0};
	int64_t last;
	int r = store_job_find(store, call->account, call->id, take_key, &filter.job_key);

	if (r == STORE_E_NONE) {
		answer_unknown(call);
		return;
	}
	json_out_init(&history.w, &body, false);
	json_open_object(&history.w, NULL);
	json_open_array(&history.w, "events");
	if (!r)
		r = store_events_read(store, 0, HISTORY_MAX, &filter, write_event, &history, &last);
	json_close_array(&history.w);
	json_close_object(&history.w);
	json_out_deinit(&history.w);
	if (r < 0)
		call_problem(call, 500, "the database cannot be read");
	else
		call_reply(call, 200, &body);
}

/* ---- wait ---- */

void control_get_wait(struct call *call)
{
	const struct tracked *tracked = call_job(call);
	int64_t timeout_ms;

	if (!call_duration(call, "timeout", WAIT_DEFAULT_MS, WAIT_MAX_MS, &timeout_ms))
		return;
	if (!tracked || job_kind_is_finished((enum job_kind)tracked->kind))
		control_get_job(call);
	else
		waiters_add(call->control->waiters, call, registry_ticket(tracked),
		        call->now.mono_ms + timeout_ms);
}

/* What admin.sock can change: jobs, and the configuration in force. */
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "daemon/control_private.h"
#include "daemon/view.h"
#include "util/err.h"
#include "util/mem.h"
#include "util/str.h"

enum { BODY_MAX_BYTES = 64 * 1024 };

static const char no_room[] = "the disk is full: nothing was changed; try again when there is room";

/*
 * A change is written at once and answered when it is committed, with the turn's end: the answer of
 * a change that the disk had no room for is 507.
 */
struct answer {
	struct journal_change change;
	struct control *control;
	struct listen_request *request; /* NULL: the client has left */
	call_answer_fn *fn;
	int status;
	char *account, *id; /* owned */
};

static void answer_on_gone(void *arg)
{
	((struct answer *)arg)->request = NULL;
}

static void answer_on_done(struct journal_change *change, bool is_committed)
{
	struct answer *answer = container_of(change, struct answer, change);
	struct call call = {
	        .control = answer->control,
	        .request = answer->request,
	        .account = answer->account,
	        .id = answer->id,
	        .now = loop_now(answer->control->context.loop),
	        .is_admin = true,
	};

	if (call.request && is_committed)
		answer->fn(&call, answer->status);
	else if (call.request && journal_is_full(answer->control->context.tracker->journal))
		call_problem(&call, 507, "%s", no_room);
	else if (call.request)
		call_problem(
		        &call, 500, "the database failed: ask again whether anything was changed");
	free(answer->account);
	free(answer->id);
	free(answer);
}

void call_answer_after_commit(struct call *call, call_answer_fn *fn, int status)
{
	struct answer *answer = MEM_NEW(struct answer);

	*answer = (struct answer){
	        .change.done = answer_on_done,
	        .control = call->control,
	        .request = call->request,
	        .fn = fn,
	        .status = status,
	        .account = call->account ? mem_strdup(call->account) : NULL,
	        .id = call->id ? mem_strdup(call->id) : NULL,
	};
	listen_hold(call->request, answer_on_gone, answer);
	journal_add(call->control->context.tracker->journal, &answer->change);
	loop_wake(call->control->context.loop);
}

bool call_has_room(struct call *call)
{
	if (!journal_is_full(call->control->context.tracker->journal))
		return true;
	call_problem(call, 507, "%s", no_room);
	return false;
}

/* ---- POST /v1/jobs ---- */

struct job_wish {
	const char *account, *id, *name;
};

static bool read_member(struct call *call, const struct json_node *member, struct job_wish *wish)
{
	const char **to = NULL;

	if (strcmp(member->key, "account") == 0)
		to = &wish->account;
	else if (strcmp(member->key, "id") == 0)
		to = &wish->id;
	else if (strcmp(member->key, "name") == 0)
		to = &wish->name;
	if (!to) {
		call_problem(call, 400, "unknown member %.60s; known are account, id, name",
		        member->key);
		return false;
	}
	if (member->type == JSON_NULL && to == &wish->name)
		return true;
	*to = json_string(member);
	if (*to)
		return true;
	call_problem(call, 400, "%s: a string was expected%s", member->key,
	        to == &wish->id ? " (ids are strings of digits, beyond what a number can hold)"
	                        : "");
	return false;
}

static bool check_wish(struct call *call, const struct job_wish *wish, struct account **account)
{
	if (!wish->account || !wish->id) {
		call_problem(call, 400, "account and id are required");
		return false;
	}
	if (!str_is_digits(wish->id, 1, JOB_ID_MAX)) {
		call_problem(call, 400, "id: 1 to %d digits were expected", JOB_ID_MAX);
		return false;
	}
	const char *name_problem = wish->name ? config_job_name_problem(wish->name) : NULL;

	if (name_problem) {
		call_problem(call, 400, "name: it %s", name_problem);
		return false;
	}
	*account = accounts_find(call->control->context.tracker->accounts, wish->account);
	if (*account && (*account)->is_configured)
		return true;
	call_problem(call, 404, "there is no account %.63s in the configuration", wish->account);
	return false;
}

static void watch(struct call *call, const struct job_wish *job, struct account *account)
{
	struct tracker *tracker = call->control->context.tracker;
	struct tracked *tracked = registry_find(tracker->registry, account->handle, job->id);
	struct tracker_wish wish = {
	        .account = account,
	        .id = job->id,
	        .name = job->name,
	        .overdue_after_ms = account->policy.overdue_after_ms,
	        .is_from_socket = true,
	        .n_together = 1,
	};

	if (tracked && tracked->is_changing) {
		call_problem(call, 503, "the job is being changed this very moment: try again");
		return;
	}
	if (!tracked)
		tracker_watch(tracker, &wish);
	call->account = account->name;
	call->id = job->id;
	call_answer_after_commit(call, control_get_job_as, tracked ? 200 : 201);
}

void control_post_job(struct call *call)
{
	cleanup(json_free_p) struct json *json = NULL;
	struct job_wish wish = {0};
	struct account *account;
	size_t len;
	const char *body = listen_body(call->request, &len);
	enum json_error error = json_parse(body, len, BODY_MAX_BYTES, &json);

	if (!call_has_room(call))
		return;
	if (error || json_root(json)->type != JSON_OBJECT) {
		call_problem(call, 400,
		        "the body: an object with account and id was expected; it is %s",
		        error ? json_error_words(error) : "no object");
		return;
	}
	for (const struct json_node *m = json_first(json, json_root(json)); m;
	        m = json_next(json, m)) {
		if (!read_member(call, m, &wish))
			return;
	}
	if (check_wish(call, &wish, &account))
		watch(call, &wish, account);
}

/* What takes no members is given none, or an empty object. */
static bool has_no_members(struct call *call)
{
	cleanup(json_free_p) struct json *json = NULL;
	size_t len;
	const char *body = listen_body(call->request, &len);

	if (len == 0)
		return true;
	if (json_parse(body, len, BODY_MAX_BYTES, &json) == JSON_OK &&
	        json_root(json)->type == JSON_OBJECT && !json_first(json, json_root(json)))
		return true;
	call_problem(call, 400, "the body: nothing was expected, or an empty object");
	return false;
}

/* ---- one job ---- */

/* The watched job of the path, ready to be changed; NULL: answered. */
static struct tracked *job_to_change(struct call *call)
{
	struct tracked *tracked = call_job(call);

	if (!has_no_members(call) || !call_has_room(call))
		return NULL;
	if (!tracked)
		call_problem(call, 404, "account %.63s has no watched job %.63s", call->account,
		        call->id);
	else if (tracked->is_changing)
		call_problem(call, 503, "the job is being changed this very moment: try again");
	else
		return tracked;
	return NULL;
}

void control_delete_job(struct call *call)
{
	struct tracked *tracked = job_to_change(call);

	if (!tracked)
		return;
	tracker_unwatch(call->control->context.tracker, tracked, true);
	call_answer_after_commit(call, call_no_content, 204);
}

void control_poll_job(struct call *call)
{
	struct tracked *tracked = job_to_change(call);

	if (!tracked)
		return;
	if (tracked->is_paused) {
		call_problem(call, 409, "the job is paused: resume it first");
		return;
	}
	poller_poll_now(call->control->context.poller, tracked);
	call_answer_after_commit(call, control_get_job_as, 202);
}

static void set_paused(struct call *call, bool is_paused)
{
	struct tracked *tracked = job_to_change(call);

	if (!tracked)
		return;
	if (tracked->is_paused != is_paused)
		tracker_pause(call->control->context.tracker, tracked, is_paused);
	call_answer_after_commit(call, control_get_job_as, 202);
}

void control_pause_job(struct call *call)
{
	set_paused(call, true);
}

void control_resume_job(struct call *call)
{
	set_paused(call, false);
}

/* ---- the configuration ---- */

int control_reload_status(int result)
{
	if (result >= 0)
		return result == 0 ? 200 : 422;
	return result == ERR_FULL ? 507 : 500;
}

void control_post_reload(struct call *call)
{
	const struct control_context *context = &call->control->context;
	cleanup(buf_deinit) struct buf body = {0};
	int r;

	if (!has_no_members(call))
		return;
	r = context->reload(context->reload_arg, &body);

	if (r == 0)
		call_reply(call, 200, &body);
	else
		listen_reply(call->request, control_reload_status(r), "application/problem+json",
		        buf_str(&body), body.len, NULL);
}

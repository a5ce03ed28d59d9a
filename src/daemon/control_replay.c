/* POST /v1/hooks/{name}/replay: past events for a hook. */
#include <stdlib.h>
#include <string.h>

#include "core/hookmatch.h"
#include "daemon/control_private.h"
#include "util/mem.h"

enum { BODY_MAX_BYTES = 4096 };

struct asked {
	struct control *control;
	struct listen_request *request; /* NULL: the client has left */
	char *hook;                     /* owned */
	int64_t since;
};

static void asked_free(struct asked *asked)
{
	free(asked->hook);
	free(asked);
}

static void asked_on_gone(void *arg)
{
	((struct asked *)arg)->request = NULL;
}

/* An unwatched job's own hooks are forgotten: those of its account stand in for them. */
static const struct hook_set *set_of_event(void *arg, const struct store_event *event)
{
	const struct tracker *tracker = arg;
	const struct account *account =
	        event->account ? accounts_find(tracker->accounts, event->account) : NULL;
	const struct tracked *tracked =
	        account && event->job_id
	                ? registry_find(tracker->registry, account->handle, event->job_id)
	                : NULL;

	if (!event_type_is_of_job(event->type))
		return hooks_all(tracker->hooks);
	if (tracked && registry_terms(tracker->registry, tracked).hooks)
		return registry_terms(tracker->registry, tracked).hooks;
	return account && account->is_configured ? account->hooks : hooks_all(tracker->hooks);
}

static void reply_done(struct call *call, const struct asked *asked, int64_t n)
{
	cleanup(buf_deinit) struct buf body = {0};
	struct json_out w;

	json_out_init(&w, &body, false);
	json_open_object(&w, NULL);
	json_put_string(&w, "hook", asked->hook);
	json_put_integer(&w, "since", asked->since);
	json_put_integer(&w, "deliveries", n);
	json_close_object(&w);
	json_out_deinit(&w);
	call_reply(call, 200, &body);
}

static void asked_on_end(void *arg, enum replay_end end, int64_t n)
{
	struct asked *asked = arg;
	struct call call = {.control = asked->control, .request = asked->request, .is_admin = true};

	if (asked->request && end == REPLAY_DONE)
		reply_done(&call, asked, n);
	else if (asked->request && end == REPLAY_FULL)
		call_problem(&call, 507,
		        "the disk is full after %lld deliveries: ask again when there is room",
		        (long long)n);
	else if (asked->request && end == REPLAY_LOST)
		call_problem(&call, 500,
		        "the database failed after %lld deliveries: ask again for the others",
		        (long long)n);
	else if (asked->request)
		call_problem(&call, 409,
		        "hook %s is no longer configured; %lld deliveries were made", asked->hook,
		        (long long)n);
	asked_free(asked);
}

/* {"since": SEQ} */
static bool read_since(struct call *call, int64_t *since)
{
	cleanup(json_free_p) struct json *json = NULL;
	size_t len;
	const char *body = listen_body(call->request, &len);

	if (json_parse(body, len, BODY_MAX_BYTES, &json) == JSON_OK &&
	        json_root(json)->type == JSON_OBJECT) {
		const struct json_node *first = json_first(json, json_root(json));

		if (first && strcmp(first->key, "since") == 0 && !json_next(json, first) &&
		        json_integer(first, since) && *since >= 0)
			return true;
	}
	call_problem(call, 400, "the body: {\"since\": SEQ} was expected, the first event's seq");
	return false;
}

void control_replay_hook(struct call *call)
{
	struct tracker *tracker = call->control->context.tracker;
	struct hooks *hooks = call->control->context.hooks;
	uint32_t handle = hooks_find(hooks, call->name);
	int64_t since;

	if (!call_has_room(call) || !read_since(call, &since))
		return;
	if (handle == HOOKMATCH_NOBODY) {
		call_problem(call, 404, "there is no hook %.63s", call->name);
		return;
	}
	struct asked *asked = MEM_NEW(struct asked);
	struct replay_wish wish = {
	        .hook = handle,
	        .since = since,
	        .set_of = set_of_event,
	        .set_arg = tracker,
	        .fn = asked_on_end,
	        .arg = asked,
	};

	*asked = (struct asked){
	        .control = call->control,
	        .request = call->request,
	        .hook = mem_strdup(call->name),
	        .since = since,
	};
	if (hooks_replay(hooks, &wish) == 0) {
		listen_hold(call->request, asked_on_gone, asked);
		return;
	}
	asked_free(asked);
	call_problem(call, 503,
	        "not now: a replay to this hook is under way, the daemon stops, or the hook is not "
	        "configured");
}

/* POST /v1/hooks/{name}/test: the hook as it would run, shown whole. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/hookmatch.h"
#include "daemon/control_private.h"
#include "util/mem.h"

enum { BODY_MAX_BYTES = 4096 };

struct hook_trial {
	struct control *control;
	struct listen_request *request; /* NULL: the client has left */
};

static void trial_on_gone(void *arg)
{
	((struct hook_trial *)arg)->request = NULL;
}

static void write_list(struct json_out *w, const char *key, const char *const *texts)
{
	if (!texts)
		return;
	json_open_array(w, key);
	for (size_t i = 0; texts[i]; i++)
		json_put_string(w, NULL, texts[i]);
	json_close_array(w);
}

static void write_result(struct json_out *w, const struct hook_test_result *result)
{
	json_open_object(w, NULL);
	json_put_string(w, "end", attempt_end_name(result->end));
	json_put_integer(w, "exit", result->code);
	json_put_bool(w, "delivered", result->is_delivered);
	json_put_number(w, "duration", (double)result->duration_ms / 1000);
	json_put_bytes(w, "output", result->output, result->output_len);
	write_list(w, "environment", result->envp);
	write_list(w, "headers", result->headers);
	json_put_string(w, result->headers ? "body" : "stdin", result->input);
	json_close_object(w);
}

static void trial_on_result(void *arg, const struct hook_test_result *result)
{
	struct hook_trial *trial = arg;
	struct call call = {.control = trial->control, .request = trial->request, .is_admin = true};

	if (trial->request && result) {
		cleanup(buf_deinit) struct buf body = {0};
		struct json_out w;

		json_out_init(&w, &body, false);
		write_result(&w, result);
		json_out_deinit(&w);
		call_reply(&call, 200, &body);
	}
	free(trial);
}

/* {"event": SEQ}, or no body. */
static bool read_event(struct call *call, int64_t *seq)
{
	cleanup(json_free_p) struct json *json = NULL;
	size_t len;
	const char *body = listen_body(call->request, &len);

	*seq = 0;
	if (len == 0)
		return true;
	if (json_parse(body, len, BODY_MAX_BYTES, &json) == JSON_OK &&
	        json_root(json)->type == JSON_OBJECT) {
		const struct json_node *first = json_first(json, json_root(json));
		bool has_others =
		        first && (strcmp(first->key, "event") != 0 || json_next(json, first));

		if (!has_others && (!first || (json_integer(first, seq) && *seq > 0)))
			return true;
	}
	call_problem(call, 400, "the body: nothing, or {\"event\": SEQ} was expected");
	return false;
}

void control_test_hook(struct call *call)
{
	struct hooks *hooks = call->control->context.hooks;
	uint32_t handle = hooks_find(hooks, call->name);
	cleanup(buf_deinit) struct buf words = {0};
	int64_t seq;

	if (!read_event(call, &seq))
		return;
	if (handle == HOOKMATCH_NOBODY) {
		call_problem(call, 404, "there is no hook %.63s", call->name);
		return;
	}
	struct hook_trial *trial = MEM_NEW(struct hook_trial);

	trial->control = call->control;
	trial->request = call->request;
	int r = hooks_test(hooks, handle, seq, trial_on_result, trial, &words);

	if (r == 0) {
		listen_hold(call->request, trial_on_gone, trial);
		return;
	}
	free(trial);
	if (r == HOOKS_E_NONE)
		call_problem(call, 404, "there is no event %" PRId64, seq);
	else if (r == HOOKS_E_UNFIT)
		call_problem(call, 409, "%s", buf_str(&words));
	else if (r == HOOKS_E_BUSY)
		call_problem(call, 503,
		        "not now: too many tests run, the daemon stops, or the hook is not "
		        "configured");
	else
		call_problem(call, 500, "the database cannot be read");
}

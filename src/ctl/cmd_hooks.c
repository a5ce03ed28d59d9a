/* bulkwatch hooks: what is fired, and a test of one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/view.h"
#include "util/mem.h"

/* A test lasts as long as the hook's own time-out allows; what is beyond an hour goes unseen. */
enum { HOOK_TEST_MS = 3600 * 1000 };

/* What did not deliver says so in the exit code, too. */
static int show_test(const struct ctl *ctl, const struct json *json)
{
	bool is_delivered = true;

	view_print_any(ctl, json, json_root(json));
	json_get_bool(json, json_root(json), "delivered", &is_delivered);
	return is_delivered ? CTL_OK : CTL_OTHER;
}

static int hooks_test(struct ctl *ctl, const char *name, int64_t event)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_ADMIN);
	cleanup(buf_deinit) struct buf path = {0}, body = {0};
	struct client_request request = {.method = "POST", .timeout_ms = HOOK_TEST_MS};
	struct answer answer = {0};
	struct json *json = NULL;
	int code;

	if (!client)
		return CTL_CONFIG;
	buf_adds(&path, "/v1/hooks/");
	client_add_encoded(&path, name);
	buf_adds(&path, "/test");
	if (event > 0)
		buf_addf(&body, "{\"event\":%" PRId64 "}", event);
	request.path = buf_str(&path);
	request.body = event > 0 ? buf_str(&body) : NULL;
	code = client_ask(client, &request, &answer);
	if (code == CTL_OK)
		code = answer_parse(&answer, &json);
	if (json)
		code = show_test(ctl, json);
	json_free(json);
	answer_deinit(&answer);
	return code;
}

static int hooks_list(struct ctl *ctl)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_QUERY);
	struct answer answer = {0};
	struct json *json = NULL;
	int code = client ? answer_get(client, "/v1/hooks", &answer, &json) : CTL_CONFIG;
	const struct json_node *hooks = json ? json_get(json, json_root(json), "hooks") : NULL;

	if (code == CTL_OK && ctl->is_json)
		answer_print_json(&answer);
	else if (hooks && !ctl->term.is_terminal)
		view_print_flat(json, hooks, "");
	else if (json_first(json, hooks))
		view_print(ctl, json, json_root(json));
	else if (code == CTL_OK)
		printf("No hooks are configured: bulkwatchd.yaml(5) tells how.\n");
	json_free(json);
	answer_deinit(&answer);
	return code;
}

int cmd_hooks(struct ctl *ctl, const struct args *args)
{
	int64_t event = 0;
	int code = args_integer(args, "event", 1, INT64_MAX, &event);

	if (code != CTL_OK)
		return code;
	if (args->n_operands == 0 && event > 0)
		return args_refuse(args, "--event is for \"hooks test\" alone");
	if (args->n_operands == 0)
		return hooks_list(ctl);
	if (args->n_operands == 1)
		return args_refuse(args, "hooks test needs the name of a hook");
	return hooks_test(ctl, args->operands[1], event);
}

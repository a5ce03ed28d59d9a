/* bulkwatch hooks and deliveries: what is fired, what came of it, a test, another try. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/commands.h"
#include "ctl/jobs.h"
#include "ctl/table.h"
#include "ctl/view.h"
#include "util/mem.h"
#include "util/str.h"

/* Scripts count on these, in this order; new ones are added after them (bulkwatch(1)). */
static const struct table_column delivery_columns[] = {
        {.title = "ID"},
        {.title = "HOOK", .min = 6},
        {.title = "EVENT"},
        {.title = "ACCOUNT", .min = 8, .drop = 2},
        {.title = "JOB"},
        {.title = "STATE"},
        {.title = "ATTEMPTS", .drop = 1},
};

/* A change that answers with its result, or with nothing. */
static int post(struct ctl *ctl, const char *path)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_ADMIN);
	struct client_request request = {.method = "POST", .path = path};
	struct answer answer = {0};
	struct json *json = NULL;
	int code = client ? client_ask(client, &request, &answer) : CTL_CONFIG;

	if (code == CTL_OK && answer.body.len > 0)
		code = answer_parse(&answer, &json);
	else if (code == CTL_OK)
		code = answer_check(&answer);
	if (json)
		view_print_any(ctl, json, json_root(json));
	json_free(json);
	answer_deinit(&answer);
	return code;
}

static int hooks_test(struct ctl *ctl, const char *name)
{
	struct buf path = {0};
	int code;

	buf_adds(&path, "/v1/hooks/");
	client_add_encoded(&path, name);
	buf_adds(&path, "/test");
	code = post(ctl, buf_str(&path));
	buf_deinit(&path);
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
	if (args->n_operands == 0)
		return hooks_list(ctl);
	if (args->n_operands == 1)
		return args_refuse(args, "hooks test needs the name of a hook");
	return hooks_test(ctl, args->operands[1]);
}

static void add_attempts(struct table *table, const struct json *json, const struct json_node *row)
{
	const struct json_node *attempts = json_get(json, row, "attempts");
	char number[24];
	size_t n = 0;

	if (attempts && attempts->type == JSON_ARRAY) {
		for (const struct json_node *one = json_first(json, attempts); one;
		        one = json_next(json, one))
			n++;
		snprintf(number, sizeof(number), "%zu", n);
		table_add(table, number, COLOR_NONE);
	} else {
		table_add(table, attempts ? attempts->text : NULL, COLOR_NONE);
	}
}

static size_t print_deliveries(struct ctl *ctl, const struct json *json)
{
	static const char *const keys[] = {"id", "hook", "event_seq", "account", "job_id", "state"};
	const struct json_node *list = json_get(json, json_root(json), "deliveries");
	struct table table;
	size_t n = 0;

	table_init(&table, &ctl->term, delivery_columns, ARRAY_LEN(delivery_columns));
	for (const struct json_node *row = json_first(json, list); row;
	        row = json_next(json, row)) {
		for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
			const struct json_node *member = json_get(json, row, keys[i]);

			table_add(&table, member ? member->text : NULL,
			        str_is_equal(keys[i], "state") ? color_of_state(json_string(member))
			                                       : COLOR_NONE);
		}
		add_attempts(&table, json, row);
		n++;
	}
	table_flush(&table);
	table_deinit(&table);
	return n;
}

static int deliveries_list(struct ctl *ctl, const struct args *args)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_QUERY);
	struct answer answer = {0};
	struct json *json = NULL;
	struct buf path = {0};
	int code;

	if (!client)
		return CTL_CONFIG;
	buf_adds(&path, "/v1/deliveries");
	query_add(&path, "state", args_option(args, "state"));
	query_add(&path, "hook", args_option(args, "hook"));
	code = answer_get(client, buf_str(&path), &answer, &json);
	if (code == CTL_OK && ctl->is_json)
		answer_print_json(&answer);
	else if (code == CTL_OK && print_deliveries(ctl, json) == 0 && ctl->term.is_terminal)
		printf("No deliveries%s.\n", strchr(buf_str(&path), '?') ? " that fit" : " yet");
	json_free(json);
	answer_deinit(&answer);
	buf_deinit(&path);
	return code;
}

int cmd_deliveries(struct ctl *ctl, const struct args *args)
{
	struct buf path = {0};
	int code;

	if (args->n_operands == 0)
		return deliveries_list(ctl, args);
	if (args->n_operands == 1)
		return args_refuse(args, "deliveries retry needs the id of a delivery");
	buf_adds(&path, "/v1/deliveries/");
	client_add_encoded(&path, args->operands[1]);
	buf_adds(&path, "/retry");
	code = post(ctl, buf_str(&path));
	buf_deinit(&path);
	return code;
}

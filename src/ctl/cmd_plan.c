/* bulkwatch plan: what polls will cost and how late ends will be noticed, as the daemon forecasts
 * it, with the polls_per_job in force and with others. */
#include <math.h>
#include <stdio.h>

#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/jobs.h"
#include "ctl/table.h"
#include "util/mem.h"

/* Scripts count on these, in this order; new ones are added after them (bulkwatch(1)). */
static const struct table_column columns[] = {
        {.title = "ACCOUNT", .min = 8},
        {.title = "POLLS_PER_JOB"},
        {.title = "POLLS"},
        {.title = "DELAY"},
        {.title = "CREDITS A DAY"},
        {.title = "OF", .drop = 1},
        {.title = "NOW"},
};

static double number_of(const struct json *json, const struct json_node *node, const char *key)
{
	const struct json_node *member = json_get(json, node, key);

	return member && member->type == JSON_NUMBER ? strtod(member->text, NULL) : NAN;
}

static void add_number(struct table *table, double value, const char *format_unit, enum color color)
{
	cleanup(mem_free_p) char *text = mem_printf("%.1f%s", value, format_unit);

	table_add(table, isnan(value) ? NULL : text, color);
}

/* forecast NULL: too little is known. */
static void add_row(struct table *table, const struct json *json, const struct json_node *account,
        const struct json_node *forecast)
{
	const struct json_node *row = forecast ? forecast : account;
	double present = number_of(json, account, "polls_per_job");
	double polls = number_of(json, row, "polls_per_job");
	bool is_present = fabs(polls - present) < 0.01;
	enum color color = is_present ? COLOR_BOLD : COLOR_NONE;
	double limit = number_of(json, json_get(json, account, "ledger"), "credits_per_day");
	cleanup(mem_free_p) char *of = mem_printf("%.0f", limit);

	table_add(table, json_get_string(json, account, "account"), color);
	add_number(table, polls, "", color);
	add_number(table, forecast ? number_of(json, row, "polls") : NAN, "", color);
	add_number(table, forecast ? number_of(json, row, "delay") : NAN, "s", color);
	add_number(table, forecast ? number_of(json, row, "credits_per_day") : NAN, "",
	        number_of(json, row, "credits_per_day") > limit ? COLOR_RED : color);
	table_add(table, isnan(limit) ? NULL : of, color);
	table_add(table, is_present ? "yes" : "no", color);
}

static void print_plan(struct ctl *ctl, const struct json *json)
{
	const struct json_node *accounts = json_get(json, json_root(json), "accounts");
	struct table table;

	if (!json_first(json, accounts) && ctl->term.is_terminal)
		printf("No accounts are configured: bulkwatchd.yaml(5) tells how.\n");
	table_init(&table, &ctl->term, columns, ARRAY_LEN(columns));
	for (const struct json_node *account = json_first(json, accounts); account;
	        account = json_next(json, account)) {
		const struct json_node *forecast =
		        json_first(json, json_get(json, account, "forecast"));

		if (!forecast)
			add_row(&table, json, account, NULL);
		for (; forecast; forecast = json_next(json, forecast))
			add_row(&table, json, account, forecast);
	}
	table_flush(&table);
	table_deinit(&table);
}

int cmd_plan(struct ctl *ctl, const struct args *args)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_QUERY);
	struct answer answer = {0};
	struct json *json = NULL;
	cleanup(buf_deinit) struct buf path = {0};

	buf_adds(&path, "/v1/plan");
	query_add(&path, "account", args_option(args, "account"));
	int code = client ? answer_get(client, buf_str(&path), &answer, &json) : CTL_CONFIG;

	if (code == CTL_OK && ctl->is_json)
		answer_print_json(&answer);
	else if (code == CTL_OK)
		print_plan(ctl, json);
	json_free(json);
	answer_deinit(&answer);
	return code;
}

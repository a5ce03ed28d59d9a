/* bulkwatch status, show, history, why and events: what the daemon knows, read once. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/commands.h"
#include "ctl/events.h"
#include "ctl/jobs.h"
#include "ctl/view.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"

int cmd_status(struct ctl *ctl, const struct args *args)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_QUERY);
	struct answer answer = {0};
	struct json *json = NULL;
	int code;

	(void)args;
	if (!client)
		return CTL_CONFIG;
	code = answer_get(client, "/v1/status", &answer, &json);
	if (code == CTL_OK && ctl->is_json)
		answer_print_json(&answer);
	else if (code == CTL_OK)
		view_print_any(ctl, json, json_root(json));
	json_free(json);
	answer_deinit(&answer);
	return code;
}

static void add_relative(struct buf *out, const struct json *json, const struct json_node *job,
        const char *before, const char *key)
{
	char text[TEXT_RELATIVE_SIZE];
	int64_t wall_ms;

	if (text_parse_time(json_get_string(json, job, key), &wall_ms))
		buf_addf(out, "%s%s", before, text_relative(wall_ms, clock_now().wall_ms, text));
}

static bool is_set(const struct json *json, const struct json_node *job, const char *key)
{
	bool value = false;

	return json_get_bool(json, job, key, &value) && value;
}

static void show_line(const struct ctl *ctl, const char *label, struct buf *value, enum color color)
{
	if (value->len > 0)
		view_print_line(ctl, label, buf_str(value), color);
	buf_clear(value);
}

static void show_head(const struct ctl *ctl, const struct json *json, const struct json_node *job)
{
	static const char *const keys[] = {"account", "id", "name"};
	const char *parts[ARRAY_LEN(keys)];
	struct buf text = {0}, safe = {0}, line = {0};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		parts[i] = json_get_string(json, job, keys[i]);
	buf_addf(&text, "%s/%s", parts[0] ? parts[0] : "", parts[1] ? parts[1] : "");
	if (parts[2])
		buf_addf(&text, "  %s", parts[2]);
	text_add_safe(&safe, buf_str(&text), ctl->term.is_utf8);
	term_add_colored(&ctl->term, &line, COLOR_BOLD, buf_str(&safe));
	printf("%s\n", buf_str(&line));
	buf_deinit(&text);
	buf_deinit(&safe);
	buf_deinit(&line);
}

static void show_contact(
        const struct ctl *ctl, const struct json *json, const struct json_node *job)
{
	const struct json_node *error = json_get(json, job, "last_error");
	const char *message = json_get_string(json, error, "message");
	const char *class = json_get_string(json, error, "class");
	int64_t polls = 0, failures = 0;
	struct buf value = {0};

	json_get_integer(json, job, "polls", &polls);
	json_get_integer(json, job, "failures", &failures);
	buf_addf(&value, "%" PRId64, polls);
	add_relative(&value, json, job, ", the last ", "last_polled");
	add_relative(&value, json, job, ", answered ", "last_answered");
	add_relative(&value, json, job, ", the next ", "next_poll");
	show_line(ctl, "Polls", &value, COLOR_NONE);
	if (failures > 0)
		buf_addf(&value, "%" PRId64 " in a row", failures);
	show_line(ctl, "Failures", &value, COLOR_YELLOW);
	if (class || message)
		buf_addf(&value, "%s: %s", class ? class : "error", message ? message : "");
	if (value.len > 0)
		add_relative(&value, json, error, ", ", "at");
	show_line(ctl, "Last error", &value, COLOR_YELLOW);
	buf_deinit(&value);
}

static void show_result(const struct ctl *ctl, const struct json *json, const struct json_node *job)
{
	const struct json_node *result = json_get(json, job, "result");
	const struct json_node *count = json_get(json, result, "count");
	const struct json_node *page = json_get(json, result, "page");
	const char *url = json_get_string(json, result, "url");
	struct buf value = {0};

	if (count && count->text)
		buf_addf(&value, "%s records", count->text);
	if (page && page->text)
		buf_addf(&value, "%spage %s", value.len > 0 ? ", " : "", page->text);
	if (value.len > 0)
		buf_adds(&value, is_set(json, result, "more_records")
		                         ? ", more records on the next page"
		                         : ", no more records");
	show_line(ctl, "Result", &value, COLOR_NONE);
	if (url)
		view_print_line(ctl, "Download", url, COLOR_NONE);
	buf_deinit(&value);
}

static void show_origin(const struct ctl *ctl, const struct json *json, const struct json_node *job)
{
	const struct json_node *query = json_get(json, job, "query");
	const struct json_node *module = json_get(json, query, "module");
	const char *name = json_string(module);
	const char *operation = json_get_string(json, job, "operation");
	const char *created = json_get_string(json, job, "created_time");
	const char *by = json_get_string(json, json_get(json, job, "created_by"), "name");
	struct buf value = {0};

	/* A string at Bigin, an object in the CRM's version 3 and later. */
	if (!name)
		name = json_get_string(json, module, "api_name");
	if (name)
		buf_addf(&value, "%s%s%s", operation ? operation : "", operation ? " of " : "",
		        name);
	else if (operation)
		buf_adds(&value, operation);
	show_line(ctl, "Operation", &value, COLOR_NONE);
	if (created || by)
		buf_addf(&value, "%s%s%s", created ? created : "", by ? " by " : "", by ? by : "");
	show_line(ctl, "Created", &value, COLOR_NONE);
	buf_deinit(&value);
}

static void show_job(const struct ctl *ctl, const struct json *json, const struct json_node *job)
{
	const char *state = json_get_string(json, job, "state");
	const char *datacenter = json_get_string(json, job, "datacenter");
	const char *service = json_get_string(json, job, "service");
	bool is_watched = is_set(json, job, "watched");
	struct buf value = {0};

	show_head(ctl, json, job);
	buf_adds(&value, state ? state : "");
	add_relative(&value, json, job, ", since ", "since");
	show_line(ctl, "State", &value, color_of_state(state));
	buf_adds(&value, is_watched ? "yes" : "no longer");
	add_relative(&value, json, job, ", since ", "watched_since");
	if (is_set(json, job, "paused"))
		buf_adds(&value, ", paused by hand");
	show_line(ctl, "Watched", &value, COLOR_NONE);
	if (datacenter)
		buf_addf(&value, "%s%s%s", datacenter, service ? ", " : "", service ? service : "");
	show_line(ctl, "Data center", &value, COLOR_NONE);
	buf_deinit(&value);
	show_contact(ctl, json, job);
	show_origin(ctl, json, job);
	show_result(ctl, json, job);
}

int cmd_show(struct ctl *ctl, const struct args *args)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_QUERY);
	struct found_job job = {0};
	int code = client ? job_find(client, args->operands[0], &job) : CTL_CONFIG;

	if (code == CTL_OK && ctl->is_json)
		answer_print_json(&job.answer);
	else if (code == CTL_OK && ctl->term.is_terminal)
		show_job(ctl, job.json, json_root(job.json));
	else if (code == CTL_OK)
		view_print_flat(job.json, json_root(job.json), "");
	found_job_deinit(&job);
	return code;
}

/* GET of something below a job's path. */
static int ask_below_job(struct client *client, const char *text, const char *tail,
        struct answer *answer, struct json **json)
{
	struct found_job job = {0};
	struct buf path = {0};
	int code = job_find(client, text, &job);

	if (code == CTL_OK) {
		job_add_path(&path, job.account, job.id, tail);
		code = answer_get(client, buf_str(&path), answer, json);
	}
	buf_deinit(&path);
	found_job_deinit(&job);
	return code;
}

int cmd_history(struct ctl *ctl, const struct args *args)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_QUERY);
	struct answer answer = {0};
	struct json *json = NULL;
	const struct json_node *events, *event;
	int code = client ? ask_below_job(client, args->operands[0], "/history", &answer, &json)
	                  : CTL_CONFIG;

	if (code == CTL_OK && ctl->is_json) {
		answer_print_json(&answer);
	} else if (code == CTL_OK) {
		events = json_get(json, json_root(json), "events");
		for (event = json_first(json, events); event; event = json_next(json, event))
			event_print(ctl, json, event);
		if (!json_first(json, events) && ctl->term.is_terminal)
			printf("Nothing has happened to this job yet.\n");
	}
	json_free(json);
	answer_deinit(&answer);
	return code;
}

int cmd_why(struct ctl *ctl, const struct args *args)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_QUERY);
	struct answer answer = {0};
	struct json *json = NULL;
	int code = client ? ask_below_job(client, args->operands[0], "/why", &answer, &json)
	                  : CTL_CONFIG;

	if (code == CTL_OK && ctl->is_json)
		answer_print_json(&answer);
	else if (code == CTL_OK)
		view_print_any(ctl, json, json_root(json));
	json_free(json);
	answer_deinit(&answer);
	return code;
}

struct events_listing {
	struct ctl *ctl;
	int64_t n, limit;
};

static bool events_on_event(void *arg, const struct json *json, const char *line, size_t len)
{
	struct events_listing *listing = arg;

	(void)line, (void)len;
	event_print(listing->ctl, json, json_root(json));
	/* Somebody waits for each line. */
	fflush(stdout);
	return ++listing->n < listing->limit && !ferror(stdout);
}

int cmd_events(struct ctl *ctl, const struct args *args)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_QUERY);
	struct events_listing listing = {.ctl = ctl, .limit = INT64_MAX};
	struct events_reader reader = {
	        .client = client,
	        .types = args_option(args, "type"),
	        .account = args_option(args, "account"),
	        .is_following = args_option(args, "follow"),
	        .may_begin_later = !args_option(args, "after"),
	        .on_event = events_on_event,
	        .arg = &listing,
	};
	int code = client ? CTL_OK : CTL_CONFIG;

	if (code == CTL_OK)
		code = args_integer(args, "after", 0, INT64_MAX, &reader.after);
	if (code == CTL_OK)
		code = args_integer(args, "limit", 1, INT64_MAX, &listing.limit);
	if (code == CTL_OK)
		code = events_read(&reader);
	if (code == CTL_OK && listing.n == 0 && ctl->term.is_terminal && !ctl->is_json)
		printf("No events%s.\n", reader.types || reader.account ? " that fit" : " yet");
	return code;
}

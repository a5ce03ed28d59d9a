/* bulkwatch config: the configuration's file, checked and shown without the daemon's help, or
 * compared with what the daemon has in force. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/config_diff.h"
#include "ctl/config_json.h"
#include "util/err.h"
#include "util/mem.h"

#define CONFIG_DEFAULT_FILE "/etc/bulkwatch/bulkwatchd.yaml"

/* The file of the daemon that runs, or else the one that it would read by default. Owned. */
static char *config_file(struct ctl *ctl, const struct args *args)
{
	cleanup(client_free_p) struct client *client = NULL;
	struct client_request request = {.path = "/v1/status", .is_quiet = true};
	struct answer answer = {0};
	struct json *json = NULL;
	const char *file = NULL;
	char *copy;

	if (args->n_operands > 1)
		return mem_strdup(args->operands[1]);
	client = client_new(ctl, SOCKET_QUERY);
	if (client && client_ask(client, &request, &answer) == CTL_OK && answer.status == 200 &&
	        json_parse(buf_str(&answer.body), answer.body.len, ANSWER_MAX_BYTES, &json) ==
	                JSON_OK)
		file = json_get_string(json, json_root(json), "config_file");
	copy = mem_strdup(file ? file : CONFIG_DEFAULT_FILE);
	json_free(json);
	answer_deinit(&answer);
	return copy;
}

static void print_safe(FILE *to, const char *text)
{
	struct buf safe = {0};

	/* Line by line: newlines are ours. */
	while (*text) {
		size_t len = strcspn(text, "\n");
		cleanup(mem_free_p) char *line = mem_strndup(text, len);

		buf_clear(&safe);
		text_add_safe(&safe, line, true);
		fprintf(to, "%s\n", buf_str(&safe));
		text += len + (text[len] == '\n');
	}
	buf_deinit(&safe);
}

static void print_problems(const struct config_problems *problems)
{
	struct buf text = {0};

	config_problems_print(problems, &text);
	print_safe(stderr, buf_str(&text));
	buf_deinit(&text);
}

static void print_problems_json(const char *file, const struct config_problems *problems)
{
	struct buf text = {0}, safe = {0};
	struct json_out out;

	json_out_init(&out, &text, false);
	json_open_object(&out, NULL);
	json_put_string(&out, "file", file);
	json_put_bool(&out, "valid", problems->n_errors == 0);
	json_open_array(&out, "problems");
	for (size_t i = 0; i < problems->n; i++) {
		const struct config_problem *problem = &problems->list[i];

		json_open_object(&out, NULL);
		json_put_string(&out, "file", problem->file);
		json_put_integer(&out, "line", (int64_t)problem->line);
		json_put_integer(&out, "column", (int64_t)problem->column);
		json_put_string(&out, "severity", problem->is_warning ? "warning" : "error");
		json_put_string(&out, "message", problem->words);
		json_close_object(&out);
	}
	json_close_array(&out);
	json_close_object(&out);
	json_out_deinit(&out);
	text_add_safe_json(&safe, buf_str(&text), text.len);
	printf("%s\n", buf_str(&safe));
	buf_deinit(&text);
	buf_deinit(&safe);
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static void config_say(const char *file, const struct config_problems *problems)
{
	size_t n_warnings = problems->n - problems->n_errors;
	struct buf safe = {0};

	text_add_safe(&safe, file, true);
	if (problems->n_errors > 0)
		printf("%s: %zu error%s, %zu warning%s\n", buf_str(&safe), problems->n_errors,
		        plural(problems->n_errors), n_warnings, plural(n_warnings));
	else
		printf("%s: valid, %zu warning%s\n", buf_str(&safe), n_warnings,
		        plural(n_warnings));
	buf_deinit(&safe);
}

static void config_print(const struct ctl *ctl, const struct config *config)
{
	struct buf text = {0}, json = {0}, safe = {0};

	config_show(config, &text);
	if (ctl->is_json) {
		config_json_write(buf_str(&text), &json);
		text_add_safe_json(&safe, buf_str(&json), json.len);
		printf("%s\n", buf_str(&safe));
	} else {
		print_safe(stdout, buf_str(&text));
	}
	buf_deinit(&text);
	buf_deinit(&json);
	buf_deinit(&safe);
}

/* ---- what a reload would change ---- */

static void print_change(const struct ctl *ctl, const struct config_change *change)
{
	const char *words = change->needs_restart ? "  (needs a restart)" : "";
	struct buf line = {0}, safe = {0};

	if (change->old) {
		buf_addf(&line, "- %s: %s%s", change->path, change->old, change->new ? "" : words);
		text_add_safe(&safe, buf_str(&line), ctl->term.is_utf8);
		buf_clear(&line);
		term_add_colored(&ctl->term, &line, COLOR_RED, buf_str(&safe));
		printf("%s\n", buf_str(&line));
	}
	buf_clear(&line);
	buf_clear(&safe);
	if (change->new) {
		buf_addf(&line, "+ %s: %s%s", change->path, change->new, words);
		text_add_safe(&safe, buf_str(&line), ctl->term.is_utf8);
		buf_clear(&line);
		term_add_colored(&ctl->term, &line, COLOR_GREEN, buf_str(&safe));
		printf("%s\n", buf_str(&line));
	}
	buf_deinit(&line);
	buf_deinit(&safe);
}

static void print_diff_json(const char *file, const struct config_diff *diff)
{
	struct buf text = {0}, safe = {0};
	struct json_out out;

	json_out_init(&out, &text, false);
	json_open_object(&out, NULL);
	json_put_string(&out, "file", file);
	json_open_array(&out, "changes");
	for (size_t i = 0; i < diff->n; i++) {
		json_open_object(&out, NULL);
		json_put_string(&out, "path", diff->list[i].path);
		json_put_string(&out, "old", diff->list[i].old);
		json_put_string(&out, "new", diff->list[i].new);
		json_put_bool(&out, "needs_restart", diff->list[i].needs_restart);
		json_close_object(&out);
	}
	json_close_array(&out);
	json_close_object(&out);
	json_out_deinit(&out);
	text_add_safe_json(&safe, buf_str(&text), text.len);
	printf("%s\n", buf_str(&safe));
	buf_deinit(&text);
	buf_deinit(&safe);
}

static int print_diff(const struct ctl *ctl, const char *file, const char *old, const char *new)
{
	struct config_diff diff;
	int code;

	config_diff_init(&diff, old, new);
	code = diff.n > 0 ? CTL_OTHER : CTL_OK;
	for (size_t i = 0; i < diff.n && !ctl->is_json; i++)
		print_change(ctl, &diff.list[i]);
	if (ctl->is_json)
		print_diff_json(file, &diff);
	else if (diff.n == 0 && ctl->term.is_terminal)
		printf("A reload would change no option.\n");
	config_diff_deinit(&diff);
	return code;
}

/* The file is read as the daemon would read it, so with its environment. */
static void take_environment(const struct json *json)
{
	const struct json_node *member =
	        json_first(json, json_get(json, json_root(json), "environment"));

	for (; member; member = json_next(json, member)) {
		if (json_string(member))
			setenv(member->key, json_string(member), true);
	}
}

static int config_compare(struct ctl *ctl, const struct args *args)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_ADMIN);
	struct config_problems problems = {0};
	struct config *config = NULL;
	struct answer answer = {0};
	struct json *json = NULL;
	struct buf shown = {0};
	int code = client ? answer_get(client, "/v1/config", &answer, &json) : CTL_CONFIG;
	const char *file = NULL, *old = NULL;

	if (code == CTL_OK) {
		old = json_get_string(json, json_root(json), "yaml");
		file = args->n_operands > 1 ? args->operands[1]
		                            : json_get_string(json, json_root(json), "file");
		take_environment(json);
	}
	if (code == CTL_OK && (!old || !file)) {
		ctl_say("the daemon's answer has no configuration");
		code = CTL_OTHER;
	}
	if (code == CTL_OK && config_load(file, CONFIG_LOOK, &config, &problems) != 0) {
		print_problems(&problems);
		code = CTL_CONFIG;
	}
	if (code == CTL_OK) {
		config_forget_jobs(config); /* so has the daemon */
		config_show(config, &shown);
		code = print_diff(ctl, file, old, buf_str(&shown));
	}
	config_problems_deinit(&problems);
	config_free(config);
	json_free(json);
	answer_deinit(&answer);
	buf_deinit(&shown);
	return code;
}

int cmd_config(struct ctl *ctl, const struct args *args)
{
	bool is_check = strcmp(args->operands[0], "check") == 0;
	struct config_problems problems = {0};
	struct config *config = NULL;
	cleanup(mem_free_p) char *file = NULL;
	int code;

	if (strcmp(args->operands[0], "diff") == 0)
		return config_compare(ctl, args);
	file = config_file(ctl, args);
	code = config_load(file, CONFIG_LOOK, &config, &problems);
	if (code < 0) {
		ctl_say("%s: %s", file, err_text(code));
		config_problems_deinit(&problems);
		return CTL_OTHER;
	}
	if (is_check && ctl->is_json)
		print_problems_json(file, &problems);
	else if (is_check || code != 0)
		print_problems(&problems);
	if (is_check && !ctl->is_json)
		config_say(file, &problems);
	if (!is_check && code == 0)
		config_print(ctl, config);
	config_problems_deinit(&problems);
	config_free(config);
	return code == 0 ? CTL_OK : CTL_CONFIG;
}

/*
 * bulkwatch doctor: looks at the daemon, its accounts, hooks, database and configuration, and says
 * what is wrong. Errors make the exit code 1, warnings do not.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/table.h"
#include "util/err.h"
#include "util/mem.h"
#include "util/str.h"

enum finding { FINDING_OK, FINDING_WARNING, FINDING_ERROR };

struct doctor {
	struct ctl *ctl;
	struct table table;
	struct buf text; /* of --json */
	struct json_out out;
	size_t n_errors;
};

static void doctor_find(struct doctor *doctor, enum finding finding, const char *subject,
        const char *format, ...) __attribute__((format(printf, 4, 5)));

static void doctor_find(
        struct doctor *doctor, enum finding finding, const char *subject, const char *format, ...)
{
	static const char *const names[] = {"ok", "warning", "error"};
	static const enum color colors[] = {COLOR_GREEN, COLOR_YELLOW, COLOR_RED};
	struct buf words = {0};
	va_list args;

	va_start(args, format);
	buf_addv(&words, format, args);
	va_end(args);
	doctor->n_errors += finding == FINDING_ERROR;
	table_add(&doctor->table, names[finding], colors[finding]);
	table_add(&doctor->table, subject, COLOR_NONE);
	table_add(&doctor->table, buf_str(&words), COLOR_NONE);
	json_open_object(&doctor->out, NULL);
	json_put_string(&doctor->out, "finding", names[finding]);
	json_put_string(&doctor->out, "subject", subject);
	json_put_string(&doctor->out, "message", buf_str(&words));
	json_close_object(&doctor->out);
	buf_deinit(&words);
}

static void look_at_version(struct doctor *doctor, const struct json *json)
{
	const char *version = json_get_string(json, json_root(json), "version");

	if (str_is_equal(version, BULKWATCH_VERSION))
		doctor_find(doctor, FINDING_OK, "daemon", "answers, version %s", version);
	else
		doctor_find(doctor, FINDING_WARNING, "daemon",
		        "its version is %s, that of this command %s: restart it after an upgrade",
		        version ? version : "not told", BULKWATCH_VERSION);
}

static void look_at_accounts(struct doctor *doctor, const struct json *json)
{
	const struct json_node *list = json_get(json, json_root(json), "accounts");

	if (!json_first(json, list))
		doctor_find(doctor, FINDING_WARNING, "accounts", "there are none");
	for (const struct json_node *account = json_first(json, list); account;
	        account = json_next(json, account)) {
		const char *name = json_get_string(json, account, "name");
		const char *state = json_get_string(json, account, "state");
		const char *reason = json_get_string(json, account, "reason");
		cleanup(mem_free_p) char *subject = mem_printf("account %s", name ? name : "");
		/* Held is a limit's doing, which passes by itself. */
		enum finding finding = str_is_equal(state, "ok")     ? FINDING_OK
		                       : str_is_equal(state, "held") ? FINDING_WARNING
		                                                     : FINDING_ERROR;

		doctor_find(doctor, finding, subject, "%s%s%s", state ? state : "no state",
		        reason ? ": " : "", reason ? reason : "");
	}
}

static void look_at_hooks(struct doctor *doctor, const struct json *json)
{
	const struct json_node *list = json_get(json, json_root(json), "hooks");

	for (const struct json_node *hook = json_first(json, list); hook;
	        hook = json_next(json, hook)) {
		const char *name = json_get_string(json, hook, "name");
		const char *state = json_get_string(json, hook, "state");
		cleanup(mem_free_p) char *subject = mem_printf("hook %s", name ? name : "");
		int64_t n_dead = 0;

		json_get_integer(json, hook, "dead", &n_dead);
		if (n_dead > 0)
			doctor_find(doctor, FINDING_WARNING, subject,
			        "%" PRId64 " deliveries are dead: \"bulkwatch deliveries --state "
			        "dead\" lists them",
			        n_dead);
		/* Parked: deliveries wait for a hook that the configuration no longer has. */
		if (state && !str_is_equal(state, "ok"))
			doctor_find(doctor, FINDING_WARNING, subject, "%s", state);
		else if (n_dead == 0)
			doctor_find(doctor, FINDING_OK, subject, "ok");
	}
}

static void look_at_database(struct doctor *doctor, const struct json *json)
{
	const struct json_node *database = json_get(json, json_root(json), "database");
	const char *state = json_get_string(json, database, "state");
	const char *detail = json_get_string(json, database, "detail");

	if (state && !str_is_equal(state, "ok"))
		doctor_find(doctor, FINDING_ERROR, "database", "%s%s%s", state, detail ? ": " : "",
		        detail ? detail : "");
	else if (state)
		doctor_find(doctor, FINDING_OK, "database", "ok");
}

static void look_at_problems(
        struct doctor *doctor, const char *file, const struct config_problems *problems)
{
	for (size_t i = 0; i < problems->n; i++) {
		const struct config_problem *problem = &problems->list[i];

		doctor_find(doctor, problem->is_warning ? FINDING_WARNING : FINDING_ERROR,
		        "configuration", "%s:%zu:%zu: %s", problem->file, problem->line,
		        problem->column, problem->words);
	}
	if (problems->n == 0)
		doctor_find(doctor, FINDING_OK, "configuration", "%s is valid", file);
}

static void look_at_config(struct doctor *doctor, const struct json *json)
{
	const char *file = json_get_string(json, json_root(json), "config_file");
	struct config_problems problems = {0};
	struct config *config = NULL;
	int code;

	if (!file)
		return;
	/* The daemon has read it; that we may not is no fault of anybody's. */
	if (access(file, R_OK) != 0) {
		doctor_find(doctor, FINDING_WARNING, "configuration",
		        "%s cannot be read by you, so it is not checked", file);
		return;
	}
	code = config_load(file, true, &config, &problems);
	if (code < 0)
		doctor_find(doctor, FINDING_ERROR, "configuration", "%s: %s", file, err_text(code));
	else
		look_at_problems(doctor, file, &problems);
	config_problems_deinit(&problems);
	config_free(config);
}

static void look_at_all(struct doctor *doctor)
{
	cleanup(client_free_p) struct client *client = client_new(doctor->ctl, SOCKET_QUERY);
	struct answer answer = {0};
	struct json *json = NULL;

	if (client && answer_get(client, "/v1/status", &answer, &json) == CTL_OK) {
		look_at_version(doctor, json);
		look_at_database(doctor, json);
		look_at_accounts(doctor, json);
		look_at_hooks(doctor, json);
		look_at_config(doctor, json);
	} else {
		doctor_find(doctor, FINDING_ERROR, "daemon", "does not tell its status");
	}
	json_free(json);
	answer_deinit(&answer);
}

int cmd_doctor(struct ctl *ctl, const struct args *args)
{
	static const struct table_column columns[] = {
	        {.title = "FINDING"}, {.title = "SUBJECT"}, {.title = "WORDS"}};
	struct doctor doctor = {.ctl = ctl};
	struct buf safe = {0};

	(void)args;
	table_init(&doctor.table, &ctl->term, columns, ARRAY_LEN(columns));
	json_out_init(&doctor.out, &doctor.text, false);
	json_open_object(&doctor.out, NULL);
	json_open_array(&doctor.out, "findings");
	look_at_all(&doctor);
	json_close_array(&doctor.out);
	json_close_object(&doctor.out);
	json_out_deinit(&doctor.out);
	text_add_safe_json(&safe, buf_str(&doctor.text), doctor.text.len);
	if (ctl->is_json)
		printf("%s\n", buf_str(&safe));
	else
		table_flush(&doctor.table);
	table_deinit(&doctor.table);
	buf_deinit(&doctor.text);
	buf_deinit(&safe);
	return doctor.n_errors > 0 ? CTL_OTHER : CTL_OK;
}

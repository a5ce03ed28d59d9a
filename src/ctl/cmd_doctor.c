/*
 * bulkwatch doctor: looks at the sockets, the daemon, its database, data centers, accounts, hooks
 * and configuration, and says what is wrong and what to do. Errors make the exit code 1, warnings
 * do not.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/table.h"
#include "util/err.h"
#include "util/mem.h"
#include "util/str.h"

enum { CLOCK_WARNING_S = 10, CLOCK_ERROR_S = 300 };

#define CONFIG_FILE_DEFAULT "/etc/bulkwatch/bulkwatchd.yaml"

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

/* A socket's own file: that the daemon listens on it is another question. */
static void look_at_socket(struct doctor *doctor, const char *name, mode_t mode, const char *who)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/%s", doctor->ctl->runtime_dir, name);
	cleanup(mem_free_p) char *subject = mem_printf("socket %s", name);
	struct stat st;

	if (lstat(path, &st) != 0 && errno == EACCES)
		doctor_find(doctor, FINDING_ERROR, subject,
		        "%s may not be entered by you: it is for the daemon's group, so \"adduser "
		        "YOU bulkwatch\" and log in again",
		        doctor->ctl->runtime_dir);
	else if (lstat(path, &st) != 0)
		doctor_find(doctor, FINDING_ERROR, subject,
		        "%s: %s: does the daemon run (systemctl status bulkwatchd), and is this "
		        "its "
		        "runtime_dir?",
		        path, strerrordesc_np(errno));
	else if (!S_ISSOCK(st.st_mode))
		doctor_find(doctor, FINDING_ERROR, subject,
		        "%s is no socket: remove it and restart the daemon", path);
	else if (st.st_mode & 0777 & ~mode)
		doctor_find(doctor, FINDING_ERROR, subject,
		        "its mode is %04o, so that others than %s can use it: %04o is right, which "
		        "a "
		        "restart of the daemon (or SocketMode= of its unit) gives it",
		        st.st_mode & 0777U, who, mode);
	else if (access(path, R_OK | W_OK) != 0)
		doctor_find(doctor, FINDING_OK, subject, "mode %04o, for %s, not for you",
		        st.st_mode & 0777U, who);
	else
		doctor_find(
		        doctor, FINDING_OK, subject, "mode %04o, for %s", st.st_mode & 0777U, who);
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

static void look_at_clock(struct doctor *doctor, const struct json *json,
        const struct json_node *datacenter, const char *subject)
{
	const struct json_node *number = json_get(json, datacenter, "clock_ahead");
	double ahead = number && number->text ? strtod(number->text, NULL) : 0;

	if (!number || !number->text)
		doctor_find(doctor, FINDING_OK, subject, "ok, its clock is not known yet");
	else if (fabs(ahead) > CLOCK_WARNING_S)
		doctor_find(doctor, fabs(ahead) > CLOCK_ERROR_S ? FINDING_ERROR : FINDING_WARNING,
		        subject,
		        "its clock is %.0f s %s of this machine's: set this one right (timedatectl "
		        "set-ntp true), else certificates and times of tokens are misjudged",
		        fabs(ahead), ahead > 0 ? "ahead" : "behind");
	else
		doctor_find(doctor, FINDING_OK, subject, "ok, clocks agree");
}

static void look_at_datacenters(struct doctor *doctor, const struct json *json)
{
	const struct json_node *list = json_get(json, json_root(json), "datacenters");

	for (const struct json_node *datacenter = json_first(json, list); datacenter;
	        datacenter = json_next(json, datacenter)) {
		const char *name = json_get_string(json, datacenter, "name");
		const char *url = json_get_string(json, datacenter, "api_url");
		const char *problem = json_get_string(json, datacenter, "problem");
		cleanup(mem_free_p) char *subject = mem_printf("datacenter %s", name ? name : "");

		if (str_is_equal(json_get_string(json, datacenter, "state"), "down"))
			doctor_find(doctor, FINDING_ERROR, subject,
			        "%s fails: %s; it is probed until it is well: look at network, "
			        "DNS, firewall and clock of this machine, and at Zoho's status "
			        "page",
			        url ? url : "", problem ? problem : "for some reason");
		else
			look_at_clock(doctor, json, datacenter, subject);
	}
}

/* Those reasons whose detail is what Zoho said and not yet what to do. */
static const char *remedy_of(const char *reason)
{
	static const struct {
		const char *reason, *remedy;
	} remedies[] = {
	        {"token", "put a new token into its file: it is read at once"},
	        {"grant", "make a new refresh token (see the README) and put it into its file"},
	        {"scope", "make a token with the scopes that the README names"},
	        {"permission", "give the token's user the right to export"},
	        {"api_domain", "set datacenter to the one that the token is of"},
	        {"secret", "mend the file or its mode (0400): it is looked at again at once"},
	        {"all_lost", "its token may be of another organisation or data center"},
	        {"path", "service may be wrong: bigin or crm"},
	        {"credits", "raise credits_per_day, or see \"bulkwatch plan\""},
	        {"throttled", "it passes by itself"},
	};

	for (size_t i = 0; i < ARRAY_LEN(remedies); i++) {
		if (str_is_equal(remedies[i].reason, reason))
			return remedies[i].remedy;
	}
	return NULL;
}

static void look_at_token(struct doctor *doctor, const struct json *json,
        const struct json_node *account, const char *subject)
{
	const struct json_node *token = json_get(json, account, "token");
	const char *state = json_get_string(json, token, "state");
	const char *problem = json_get_string(json, token, "problem");

	/* The next token, or the next start, will miss what is missing beside a good one. */
	if (problem)
		doctor_find(doctor, str_is_equal(state, "ok") ? FINDING_WARNING : FINDING_ERROR,
		        subject, "its token: %s", problem);
	else
		doctor_find(doctor, FINDING_OK, subject, "ok%s%s", state ? ", token " : "",
		        state ? state : "");
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
		const char *detail = json_get_string(json, account, "detail");
		const char *remedy = remedy_of(reason);

		if (str_is_equal(state, "ok"))
			look_at_token(doctor, json, account, subject);
		else
			doctor_find(doctor,
			        str_is_equal(state, "held") ? FINDING_WARNING : FINDING_ERROR,
			        subject, "%s: %s%s%s%s%s", state ? state : "no state",
			        reason ? reason : "", detail ? ": " : "", detail ? detail : "",
			        remedy ? "; " : "", remedy ? remedy : "");
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
			        "%" PRId64 " deliveries are dead: \"bulkwatch deliveries --dead "
			        "--hook %s\" lists them, \"bulkwatch deliveries retry --hook %s\" "
			        "tries them again",
			        n_dead, name, name);
		/* Parked: deliveries wait for a hook that the configuration no longer has. */
		if (state && !str_is_equal(state, "ok"))
			doctor_find(doctor, FINDING_WARNING, subject,
			        "%s: it is not in the configuration, but deliveries wait for it: "
			        "put it back, and they go on",
			        state);
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
		cleanup(buf_deinit) struct buf place = {0};

		config_problem_place(problem, &place);
		doctor_find(doctor, problem->is_warning ? FINDING_WARNING : FINDING_ERROR,
		        "configuration", "%s %s", buf_str(&place), problem->words);
	}
	if (problems->n == 0)
		doctor_find(doctor, FINDING_OK, "configuration", "%s is valid", file);
}

/* The daemon has read it; that we may not is no fault of anybody's. */
static void look_at_config(struct doctor *doctor, const char *file)
{
	struct config_problems problems = {0};
	struct config *config = NULL;
	int code;

	if (access(file, R_OK) != 0) {
		doctor_find(doctor, FINDING_WARNING, "configuration",
		        "%s cannot be read by you, so it is not checked: try as root", file);
		return;
	}
	code = config_load(file, CONFIG_LOOK, &config, &problems);
	if (code < 0)
		doctor_find(doctor, FINDING_ERROR, "configuration", "%s: %s", file, err_text(code));
	else
		look_at_problems(doctor, file, &problems);
	config_problems_deinit(&problems);
	config_free(config);
}

static void look_at_status(struct doctor *doctor, const struct json *json)
{
	look_at_version(doctor, json);
	look_at_database(doctor, json);
	look_at_datacenters(doctor, json);
	look_at_accounts(doctor, json);
	look_at_hooks(doctor, json);
}

static void look_at_all(struct doctor *doctor)
{
	cleanup(client_free_p) struct client *client = client_new(doctor->ctl, SOCKET_QUERY);
	cleanup(json_free_p) struct json *json = NULL;
	struct answer answer = {0};
	const char *file = NULL;

	look_at_socket(doctor, "query.sock", 0660, "the daemon's group");
	look_at_socket(doctor, "admin.sock", 0600, "root and the daemon's user");
	if (client && answer_get(client, "/v1/status", &answer, &json) == CTL_OK) {
		look_at_status(doctor, json);
		file = json_get_string(json, json_root(json), "config_file");
	} else {
		doctor_find(doctor, FINDING_ERROR, "daemon",
		        "does not tell its status: \"systemctl status bulkwatchd\" and "
		        "\"journalctl -u bulkwatchd\" may say why");
		file = access(CONFIG_FILE_DEFAULT, F_OK) == 0 ? CONFIG_FILE_DEFAULT : NULL;
	}
	if (file)
		look_at_config(doctor, file);
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

/*
 * bulkwatch add, remove, pause, resume, poll and reload: changes, all over admin.sock, which only
 * the daemon's own user can open.
 */
#include <stdio.h>
#include <string.h>

#include "core/limits.h"
#include "ctl/commands.h"
#include "ctl/jobs.h"
#include "ctl/view.h"
#include "util/mem.h"
#include "util/str.h"

static void print_done(const struct ctl *ctl, const char *account, const char *id, const char *done)
{
	struct buf text = {0}, safe = {0};

	/* Silent in a pipe: the exit code says it. */
	if (!ctl->term.is_terminal || ctl->is_json)
		return;
	buf_addf(&text, "%s/%s %s", account, id, done);
	text_add_safe(&safe, buf_str(&text), ctl->term.is_utf8);
	printf("%s\n", buf_str(&safe));
	buf_deinit(&text);
	buf_deinit(&safe);
}

static char *add_body(const char *account, const char *id, const char *name)
{
	struct buf body = {0};
	struct json_out out;

	json_out_init(&out, &body, false);
	json_open_object(&out, NULL);
	json_put_string(&out, "account", account);
	json_put_string(&out, "id", id);
	if (name)
		json_put_string(&out, "name", name);
	json_close_object(&out);
	json_out_deinit(&out);
	return buf_steal(&body);
}

int cmd_add(struct ctl *ctl, const struct args *args)
{
	const char *account = args->operands[0], *id = args->operands[1];
	const char *name = args_option(args, "name");
	cleanup(mem_free_p) char *body = add_body(account, id, name);
	cleanup(client_free_p) struct client *client = NULL;
	struct answer answer = {0};
	int code;

	if (!str_is_digits(id, 1, JOB_ID_MAX))
		return args_refuse(
		        args, "a job's id is 1 to %d digits; not \"%s\"", JOB_ID_MAX, id);
	if (name && !str_is_utf8(name, strlen(name), NULL))
		return args_refuse(args, "the name is not UTF-8");
	client = client_new(ctl, SOCKET_ADMIN);
	if (!client)
		return CTL_CONFIG;
	code = client_ask(client,
	        &(struct client_request){.method = "POST", .path = "/v1/jobs", .body = body},
	        &answer);
	if (code == CTL_OK)
		code = answer_take(ctl, &answer);
	if (code == CTL_OK)
		print_done(ctl, account, id,
		        answer.status == 201 ? "is watched from now on" : "was watched already");
	answer_deinit(&answer);
	return code;
}

/* Of POST /v1/reload alone (bulkwatch-api(7)). */
enum { HTTP_CONFIG_REFUSED = 422 };

struct change {
	const char *method;
	const char *tail; /* of the job's path */
	const char *done;
};

/* As it is now: the answer to a removal has no body. */
static int print_removed(const struct ctl *ctl, struct client *client, const char *path)
{
	struct answer answer = {0};
	int code = client_ask(client, &(struct client_request){.path = path}, &answer);

	if (code == CTL_OK)
		code = answer_take(ctl, &answer);
	answer_deinit(&answer);
	return code;
}

static int change_job(
        struct ctl *ctl, struct client *client, const char *text, const struct change *change)
{
	struct answer answer = {0};
	struct found_job job;
	struct buf path = {0};
	int code = job_find(client, text, &job);

	if (code == CTL_OK) {
		job_add_path(&path, job.account, job.id, change->tail);
		code = client_ask(client,
		        &(struct client_request){.method = change->method, .path = buf_str(&path)},
		        &answer);
	}
	if (code == CTL_OK)
		code = answer_take(ctl, &answer);
	/* It is known, but no longer watched: said in the daemon's words. */
	if (code == CTL_OTHER && answer.status == 404)
		code = CTL_NO_JOB;
	if (code == CTL_OK && ctl->is_json && answer.body.len == 0)
		code = print_removed(ctl, client, buf_str(&path));
	if (code == CTL_OK)
		print_done(ctl, job.account, job.id, change->done);
	found_job_deinit(&job);
	answer_deinit(&answer);
	buf_deinit(&path);
	return code;
}

/* All that can be changed are, whatever becomes of the others; the first failure is the exit code.
 */
static int change_jobs(struct ctl *ctl, const struct args *args, const struct change *change)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_ADMIN);
	int first = CTL_OK;

	if (!client)
		return CTL_CONFIG;
	for (size_t i = 0; i < args->n_operands; i++) {
		int code = change_job(ctl, client, args->operands[i], change);

		if (code != CTL_OK && first == CTL_OK)
			first = code;
		if (code == CTL_UNREACHABLE || code == CTL_NOT_PERMITTED)
			break;
	}
	return first;
}

int cmd_remove(struct ctl *ctl, const struct args *args)
{
	static const struct change change = {"DELETE", "", "is no longer watched"};

	return change_jobs(ctl, args, &change);
}

int cmd_pause(struct ctl *ctl, const struct args *args)
{
	static const struct change change = {"POST", "/pause", "is paused"};

	return change_jobs(ctl, args, &change);
}

int cmd_resume(struct ctl *ctl, const struct args *args)
{
	static const struct change change = {"POST", "/resume", "is polled again"};

	return change_jobs(ctl, args, &change);
}

int cmd_poll(struct ctl *ctl, const struct args *args)
{
	static const struct change change = {"POST", "/poll", "will be polled as soon as it may"};

	return change_jobs(ctl, args, &change);
}

int cmd_reload(struct ctl *ctl, const struct args *args)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_ADMIN);
	struct client_request request = {.method = "POST", .path = "/v1/reload"};
	struct answer answer = {0};
	struct json *json = NULL;
	int code = client ? client_ask(client, &request, &answer) : CTL_CONFIG;

	(void)args;
	if (code == CTL_OK && answer.body.len > 0)
		code = answer_parse(&answer, &json);
	else if (code == CTL_OK)
		code = answer_check(&answer);
	if (code != CTL_OK && answer.status == HTTP_CONFIG_REFUSED)
		code = CTL_CONFIG;
	if (json)
		view_print_any(ctl, json, json_root(json));
	if (code == CTL_OK && ctl->term.is_terminal && !ctl->is_json)
		printf("The configuration is read again.\n");
	json_free(json);
	answer_deinit(&answer);
	return code;
}

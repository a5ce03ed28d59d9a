#include "ctl/answer.h"

#include <inttypes.h>
#include <stdio.h>

#include "util/mem.h"

static int answer_exit_code(int status)
{
	switch (status) {
	case 400:
		return CTL_USAGE;
	case 401:
	case 403:
	case 405:
		return CTL_NOT_PERMITTED;
	default:
		return CTL_OTHER;
	}
}

/* An element of errors[]: a place in a file and words, or whatever else it is, as it is. */
static void say_error(const struct json *json, const struct json_node *error)
{
	const char *file = json_get_string(json, error, "file");
	const char *words = json_get_string(json, error, "message");
	int64_t line = 0, column = 0;
	struct buf raw = {0};

	if (!words)
		words = json_get_string(json, error, "detail");
	if (!words)
		words = json_string(error);
	if (!words) {
		json_add_raw(json, error, &raw);
		words = buf_str(&raw);
	}
	json_get_integer(json, error, "line", &line);
	json_get_integer(json, error, "column", &column);
	if (file && line > 0)
		ctl_say("%s:%" PRId64 ":%" PRId64 ": %s", file, line, column, words);
	else if (file)
		ctl_say("%s: %s", file, words);
	else
		ctl_say("%s", words);
	buf_deinit(&raw);
}

static void say_problem(const struct answer *answer, const struct json *json)
{
	const struct json_node *root = json_root(json);
	const struct json_node *errors = json_get(json, root, "errors");
	const char *title = json_get_string(json, root, "title");
	const char *detail = json_get_string(json, root, "detail");
	int64_t pruned_through;

	if (!title)
		ctl_say("the daemon answered with the HTTP status %d", answer->status);
	else if (detail)
		ctl_say("%s: %s", title, detail);
	else
		ctl_say("%s", title);
	for (const struct json_node *error = json_first(json, errors); error;
	        error = json_next(json, error))
		say_error(json, error);
	if (json_get_integer(json, root, "pruned_through", &pruned_through))
		ctl_say("events up to %" PRId64 " are gone; go on with --after %" PRId64,
		        pruned_through, pruned_through);
}

int answer_check(const struct answer *answer)
{
	cleanup(json_free_p) struct json *json = NULL;

	if (answer->status >= 200 && answer->status <= 299)
		return CTL_OK;
	/* What the HTTP library refuses by itself comes as HTML: then the status must do. */
	if (json_parse(buf_str(&answer->body), answer->body.len, ANSWER_MAX_BYTES, &json) ==
	        JSON_OK)
		say_problem(answer, json);
	else
		ctl_say("the daemon answered with the HTTP status %d", answer->status);
	return answer_exit_code(answer->status);
}

int answer_parse(const struct answer *answer, struct json **json)
{
	int code = answer_check(answer);
	enum json_error error;

	*json = NULL;
	if (code != CTL_OK)
		return code;
	error = json_parse(buf_str(&answer->body), answer->body.len, ANSWER_MAX_BYTES, json);
	if (error == JSON_OK)
		return CTL_OK;
	ctl_say("the daemon's answer is %s", json_error_words(error));
	return CTL_OTHER;
}

int answer_get(struct client *client, const char *path, struct answer *answer, struct json **json)
{
	int code = client_ask(client, &(struct client_request){.path = path}, answer);

	*json = NULL;
	return code == CTL_OK ? answer_parse(answer, json) : code;
}

int answer_take(const struct ctl *ctl, const struct answer *answer)
{
	cleanup(json_free_p) struct json *json = NULL;
	int code = answer_check(answer);

	if (code != CTL_OK || !ctl->is_json || answer->body.len == 0)
		return code;
	code = answer_parse(answer, &json);
	if (code == CTL_OK)
		answer_print_json(answer);
	return code;
}

void answer_print_json(const struct answer *answer)
{
	const struct buf *body = &answer->body;
	struct buf out = {0};

	text_add_safe_json(&out, buf_str(body), body->len);
	if (out.len == 0 || out.data[out.len - 1] != '\n')
		buf_addc(&out, '\n');
	fwrite(buf_str(&out), 1, out.len, stdout);
	buf_deinit(&out);
}

void answer_print_node(const struct json *json, const struct json_node *node)
{
	struct buf raw = {0}, out = {0};

	json_add_raw(json, node, &raw);
	text_add_safe_json(&out, buf_str(&raw), raw.len);
	buf_addc(&out, '\n');
	fwrite(buf_str(&out), 1, out.len, stdout);
	buf_deinit(&raw);
	buf_deinit(&out);
}

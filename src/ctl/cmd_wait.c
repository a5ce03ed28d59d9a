/*
 * bulkwatch wait and watch: follow the journal until certain jobs are finished, or for ever.
 *
 * The journal's last seq is read before the jobs are: what happens between the two is read again,
 * never missed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/events.h"
#include "ctl/jobs.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"

struct waited {
	char *account, *id, *name, *state; /* owned; name may be NULL */
	bool is_finished;
	bool is_unwatched; /* and not finished: nothing will tell how it ends */
};

struct waiting {
	struct ctl *ctl;
	struct waited *jobs; /* owned */
	size_t n, n_finished;
	bool is_any;       /* the first that is finished will do */
	bool is_watching;  /* every event is shown, not only how the jobs end */
	bool has_progress; /* on stderr, which is a terminal */
	size_t progress_width;
	int64_t begun_mono_ms;
	const struct waited *gone; /* was unwatched while it was waited for */
};

static void waiting_deinit(struct waiting *waiting)
{
	for (size_t i = 0; i < waiting->n; i++) {
		free(waiting->jobs[i].account);
		free(waiting->jobs[i].id);
		free(waiting->jobs[i].name);
		free(waiting->jobs[i].state);
	}
	free(waiting->jobs);
}

static bool is_set(const struct json *json, const struct json_node *job, const char *key)
{
	bool value = false;

	return json_get_bool(json, job, key, &value) && value;
}

static void waited_update(struct waited *job, const struct json *json, const struct json_node *node)
{
	const char *state = json_get_string(json, node, "state");
	const char *name = json_get_string(json, node, "name");
	bool is_watched = true;

	json_get_bool(json, node, "watched", &is_watched);
	free(job->state);
	free(job->name);
	job->state = mem_strdup(state ? state : "");
	job->name = name ? mem_strdup(name) : NULL;
	job->is_finished = is_set(json, node, "finished");
	job->is_unwatched = !job->is_finished && !is_watched;
}

static bool waited_has_failed(const struct waited *job)
{
	return job->is_finished && strcmp(job->state, "COMPLETED") != 0;
}

static void progress_clear(const struct waiting *waiting)
{
	if (waiting->has_progress)
		fputs("\r\033[K", stderr);
}

static void progress_show(void *arg)
{
	const struct waiting *waiting = arg;
	char span[TEXT_RELATIVE_SIZE];
	struct buf text = {0}, safe = {0}, cut = {0};

	if (!waiting->has_progress)
		return;
	text_duration((clock_now().mono_ms - waiting->begun_mono_ms) / 1000 * 1000, span);
	if (waiting->n == 1)
		buf_addf(&text, "waiting for %s/%s, %s: %s", waiting->jobs[0].account,
		        waiting->jobs[0].id, waiting->jobs[0].state, span);
	else
		buf_addf(&text, "waiting, %zu of %zu jobs finished: %s", waiting->n_finished,
		        waiting->n, span);
	text_add_safe(&safe, buf_str(&text), waiting->ctl->term.is_utf8);
	text_add_cut(&cut, buf_str(&safe), waiting->progress_width - 1, false);
	fprintf(stderr, "\r%s\033[K", buf_str(&cut));
	buf_deinit(&text);
	buf_deinit(&safe);
	buf_deinit(&cut);
}

static void waited_print(const struct waiting *waiting, const struct waited *job,
        const struct json *json, const struct json_node *node)
{
	const struct term *term = &waiting->ctl->term;
	struct buf text = {0}, safe = {0}, line = {0};

	progress_clear(waiting);
	if (waiting->ctl->is_json) {
		answer_print_node(json, node);
	} else if (term->is_terminal) {
		buf_addf(&text, "%s/%s%s%s  ", job->account, job->id, job->name ? "  " : "",
		        job->name ? job->name : "");
		text_add_safe(&line, buf_str(&text), term->is_utf8);
		text_add_safe(&safe, job->state, term->is_utf8);
		term_add_colored(term, &line, color_of_state(job->state), buf_str(&safe));
		printf("%s\n", buf_str(&line));
	} else {
		const char *fields[] = {job->account, job->id, job->name, job->state};

		for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
			text_add_safe(&line, fields[i] && *fields[i] ? fields[i] : "-", true);
			buf_addc(&line, i + 1 < ARRAY_LEN(fields) ? '\t' : '\n');
		}
		fputs(buf_str(&line), stdout);
	}
	fflush(stdout);
	buf_deinit(&text);
	buf_deinit(&safe);
	buf_deinit(&line);
}

static bool waiting_is_over(const struct waiting *waiting)
{
	return waiting->n > 0 && waiting->n_finished >= (waiting->is_any ? 1 : waiting->n);
}

/* The state of a job has come, with the job itself or an event of it. */
static void waiting_take(struct waiting *waiting, struct waited *job, const struct json *json,
        const struct json_node *node)
{
	waited_update(job, json, node);
	if (job->is_unwatched)
		waiting->gone = job;
	if (!job->is_finished)
		return;
	waiting->n_finished++;
	if (!waiting->is_watching)
		waited_print(waiting, job, json, node);
}

static bool waiting_on_event(void *arg, const struct json *json, const char *line, size_t len)
{
	struct waiting *waiting = arg;
	const struct json_node *event = json_root(json);
	const char *account = json_get_string(json, event, "account");
	const char *id = json_get_string(json, event, "job_id");
	bool is_ours = waiting->n == 0;

	(void)line, (void)len;
	for (size_t i = 0; i < waiting->n && !waiting_is_over(waiting); i++) {
		struct waited *job = &waiting->jobs[i];

		if (!str_is_equal(job->account, account) || !str_is_equal(job->id, id))
			continue;
		is_ours = true;
		if (!job->is_finished && json_get(json, event, "job"))
			waiting_take(waiting, job, json, json_get(json, event, "job"));
	}
	if (waiting->is_watching && is_ours) {
		event_print(waiting->ctl, json, event);
		fflush(stdout);
	}
	return !waiting_is_over(waiting) && !waiting->gone && !ferror(stdout);
}

static int read_last_seq(struct client *client, int64_t *seq)
{
	struct answer answer = {0};
	struct json *json = NULL;
	int code = answer_get(client, "/v1/status", &answer, &json);

	if (code == CTL_OK && !json_get_integer(json, json_root(json), "last_seq", seq)) {
		ctl_say("the daemon's answer has no last_seq");
		code = CTL_OTHER;
	}
	json_free(json);
	answer_deinit(&answer);
	return code;
}

static int waiting_find(struct waiting *waiting, struct client *client, const struct args *args)
{
	waiting->jobs = mem_new(args->n_operands, sizeof(*waiting->jobs));
	for (size_t i = 0; i < args->n_operands; i++) {
		struct waited *job = &waiting->jobs[waiting->n];
		struct found_job found;
		int code = job_find(client, args->operands[i], &found);

		if (code == CTL_OK) {
			job->account = mem_strdup(found.account);
			job->id = mem_strdup(found.id);
			waiting->n++;
			waiting_take(waiting, job, found.json, json_root(found.json));
			if (waiting->is_watching && waiting->ctl->term.is_terminal)
				waited_print(waiting, job, found.json, json_root(found.json));
		}
		found_job_deinit(&found);
		if (code != CTL_OK)
			return code;
	}
	return CTL_OK;
}

/* A deadline is not said here. */
static int waiting_run(struct waiting *waiting, const struct args *args, int64_t deadline_mono_ms)
{
	cleanup(client_free_p) struct client *client = client_new(waiting->ctl, SOCKET_QUERY);
	struct events_reader reader = {
	        .client = client,
	        .is_following = true,
	        .deadline_mono_ms = deadline_mono_ms,
	        .types = waiting->n > 0 || args->n_operands > 0 ? "job.*" : NULL,
	        .on_event = waiting_on_event,
	        .on_tick = waiting->has_progress ? progress_show : NULL,
	        .arg = waiting,
	};
	int code = client ? read_last_seq(client, &reader.after) : CTL_CONFIG;

	if (code == CTL_OK)
		code = waiting_find(waiting, client, args);
	if (code != CTL_OK || waiting_is_over(waiting))
		return code;
	if (!waiting->gone)
		code = events_read(&reader);
	progress_clear(waiting);
	if (code == CTL_OK && waiting->gone) {
		ctl_say("%s/%s is no longer watched, so nothing will tell how it ends; "
		        "\"bulkwatch add %s %s\" watches it again",
		        waiting->gone->account, waiting->gone->id, waiting->gone->account,
		        waiting->gone->id);
		code = CTL_OTHER;
	}
	return code;
}

static void say_timed_out(const struct waiting *waiting, const char *timeout)
{
	struct buf again = {0};

	for (size_t i = 0; i < waiting->n; i++) {
		const struct waited *job = &waiting->jobs[i];

		if (job->is_finished)
			continue;
		ctl_say("%s/%s is not finished after %s: %s", job->account, job->id, timeout,
		        job->state);
		buf_addf(&again, " %s/%s", job->account, job->id);
	}
	ctl_say("the daemon goes on watching; to go on waiting: bulkwatch wait%s --timeout %s%s",
	        waiting->is_any ? " --any" : "", timeout, buf_str(&again));
	buf_deinit(&again);
}

static int waiting_verdict(const struct waiting *waiting)
{
	for (size_t i = 0; i < waiting->n; i++) {
		if (waited_has_failed(&waiting->jobs[i]))
			return CTL_FAILED;
	}
	return CTL_OK;
}

int cmd_wait(struct ctl *ctl, const struct args *args)
{
	const char *dumb = getenv("TERM");
	struct term term;
	struct waiting waiting = {
	        .ctl = ctl,
	        .is_any = args_option(args, "any"),
	        .begun_mono_ms = clock_now().mono_ms,
	};
	int64_t timeout_ms = 0;
	int code = args_duration(args, "timeout", &timeout_ms);

	term_init(&term, STDERR_FILENO);
	waiting.has_progress = term.is_terminal && dumb && strcmp(dumb, "dumb") != 0;
	waiting.progress_width = term.width;
	if (code == CTL_OK && waiting.is_any && args_option(args, "all"))
		code = args_refuse(args, "--all and --any exclude each other");
	if (code == CTL_OK)
		code = waiting_run(&waiting, args,
		        args_option(args, "timeout") ? waiting.begun_mono_ms + timeout_ms : 0);
	if (code == CTL_TIMED_OUT)
		say_timed_out(&waiting, args_option(args, "timeout"));
	if (code == CTL_OK)
		code = waiting_verdict(&waiting);
	waiting_deinit(&waiting);
	return code;
}

int cmd_watch_lines(struct ctl *ctl, const struct args *args)
{
	struct waiting waiting = {
	        .ctl = ctl, .is_watching = true, .begun_mono_ms = clock_now().mono_ms};
	int code = waiting_run(&waiting, args, 0);

	waiting_deinit(&waiting);
	return code;
}

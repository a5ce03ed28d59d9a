/* The environment of a hook, made from an event and its snapshot alone, so that it is the same at
 * every attempt. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/job.h"
#include "core/limits.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/event.h"

enum { VARIABLES_MAX = 32 };

/* What does not fit an environment (or is not there) is empty: a hook finds it in its stdin. */
static void put(struct event_environment *env, const char *name, const char *value)
{
	bool is_fit = value && strlen(value) <= HOOK_ENV_VALUE_MAX_BYTES &&
	              !str_has_control(value, strlen(value));

	env->envp[env->n++] = mem_printf("BULKWATCH_%s=%s", name, is_fit ? value : "");
}

static void put_integer(struct event_environment *env, const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	put(env, name, text);
}

static void put_inherited(struct event_environment *env, const char *name, const char *value)
{
	if (value)
		env->envp[env->n++] = mem_printf("%s=%s", name, value);
}

/* A string, number or bool as its text; NULL for all else. */
static const char *scalar(const struct json_node *node)
{
	if (!node ||
	        (node->type != JSON_STRING && node->type != JSON_NUMBER && node->type != JSON_BOOL))
		return NULL;
	return node->text;
}

static void put_job(struct event_environment *env, const struct json *json,
        const struct json_node *job, const struct event_view *event)
{
	const struct json_node *result = json_get(json, job, "result");
	const struct json_node *query = json_get(json, job, "query");
	const char *page = scalar(json_get(json, result, "page"));
	const char *state = json_get_string(json, job, "state");

	put(env, "JOB_ID", event->job_id);
	put(env, "JOB_NAME", json_get_string(json, job, "name"));
	put(env, "DATACENTER", json_get_string(json, job, "datacenter"));
	put(env, "SERVICE", json_get_string(json, job, "service"));
	if (state && strcmp(state, JOB_STATE_PENDING) == 0)
		state = NULL; /* no answer yet: a word of ours, not of an event */
	put(env, "STATE", event->to_state ? event->to_state : state);
	put(env, "PREVIOUS_STATE", event->from_state);
	put(env, "OPERATION", json_get_string(json, job, "operation"));
	put(env, "MODULE", json_get_string(json, job, "module"));
	put(env, "PAGE", page ? page : scalar(json_get(json, query, "page")));
	put(env, "COUNT", scalar(json_get(json, result, "count")));
	put(env, "PER_PAGE", scalar(json_get(json, result, "per_page")));
	put(env, "MORE_RECORDS", scalar(json_get(json, result, "more_records")));
	put(env, "DOWNLOAD_URL", json_get_string(json, result, "url"));
	put(env, "CREATED_TIME", scalar(json_get(json, job, "created_time")));
}

void event_environment_init(struct event_environment *env, const struct event_view *event,
        const struct event_attempt *attempt)
{
	cleanup(json_free_p) struct json *json = NULL;
	const struct json_node *job = NULL;
	char id[EVENT_ID_SIZE], at[CLOCK_TEXT_SIZE];

	*env = (struct event_environment){.envp = mem_new(VARIABLES_MAX, sizeof(char *))};
	if (json_parse(event->data, strlen(event->data), SIZE_MAX, &json) == JSON_OK)
		job = event_type_is_of_job(event->type) ? json_root(json)
		                                        : json_get(json, json_root(json), "job");
	event_id(event->instance, event->seq, id);
	put(env, "EVENT_ID", id);
	put_integer(env, "EVENT_SEQ", event->seq);
	put(env, "EVENT_TYPE", event_type_name(event->type));
	put(env, "EVENT_TIME", clock_format(event->at_wall_ms, at));
	put(env, "ACCOUNT", event->account);
	put_job(env, json, job, event);
	put(env, "HOOK", attempt->hook);
	put_integer(env, "ATTEMPT", (int64_t)attempt->attempt);
	if (attempt->is_test)
		put(env, "TEST", "1");
	put_inherited(env, "PATH", attempt->path);
	put_inherited(env, "LANG", attempt->lang);
	put_inherited(env, "HOME", attempt->home);
	put_inherited(env, "TZ", attempt->tz);
}

void event_environment_deinit(struct event_environment *env)
{
	for (size_t i = 0; i < env->n; i++)
		free(env->envp[i]);
	free(env->envp);
	*env = (struct event_environment){0};
}

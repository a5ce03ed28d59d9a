/*
 * Jobs and events as JSON, for the sockets and for hooks (docs: bulkwatch-api(7),
 * bulkwatch-hooks(7)).
 *
 * An event's `data` is a snapshot made when it happened and stored with it: every attempt of every
 * hook, and every reader, is given the same.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/event.h"
#include "core/job.h"
#include "util/buf.h"
#include "wire/json.h"

/* `module` of the query: a string (Bigin) or an object with api_name (CRM v3 and later); "" if
 * there is none. */
enum { EVENT_MODULE_MAX_BYTES = 128 };
void event_module_of_query(const char *query_json, char module[static EVENT_MODULE_MAX_BYTES]);

/* The job as one object. */
void event_write_job(struct json_out *w, const char *key, const struct job_view *job);
/* The same as a text to be kept with an event; `query` is null if all together would pass
 * HOOK_INPUT_MAX_BYTES. */
void event_job_data(const struct job_view *job, struct buf *out);

/* All borrowed; NULL = null. */
struct event_view {
	const char *instance; /* 16 hex digits of the database */
	int64_t seq;
	enum event_type type;
	int64_t at_wall_ms;
	const char *account, *job_id, *from_state, *to_state;
	const char *data; /* JSON */
};

/* "<instance>-<seq>". */
enum { EVENT_ID_SIZE = 40 };
void event_id(const char *instance, int64_t seq, char id[static EVENT_ID_SIZE]);
/* As the sockets give it. */
void event_write(struct json_out *w, const char *key, const struct event_view *event);
/* As hooks get it: a CloudEvents 1.0 object (https://github.com/cloudevents/spec, v1.0.2). */
void event_write_cloud(struct json_out *w, const struct event_view *event);

/* The environment of a hook: "BULKWATCH_...=value" strings, each owned, ended by NULL. Every name
 * is always there. */
struct event_environment {
	char **envp; /* owned */
	size_t n;
};
struct event_attempt {
	const char *hook;
	uint64_t attempt;
	bool is_test;                        /* somebody tries the hook: BULKWATCH_TEST=1 */
	const char *path, *lang, *home, *tz; /* taken over; NULL = left out */
};
void event_environment_init(struct event_environment *env, const struct event_view *event,
        const struct event_attempt *attempt);
void event_environment_deinit(struct event_environment *env);

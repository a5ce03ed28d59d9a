#include "wire/event.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"

/* What a CloudEvents object adds to its data: ids, type, times, names, each capped, escaped at
 * worst. */
enum { ENVELOPE_MAX_BYTES = 1024, DATA_USUAL_BYTES = 1000 };

void event_module_of_query(const char *query_json, char module[static EVENT_MODULE_MAX_BYTES])
{
	cleanup(json_free_p) struct json *json = NULL;

	module[0] = '\0';
	if (!query_json || json_parse(query_json, strlen(query_json), REPLY_MAX_BYTES, &json))
		return;
	const struct json_node *node = json_get(json, json_root(json), "module");
	const char *name =
	        json_string(node) ? json_string(node) : json_get_string(json, node, "api_name");

	str_copy(module, EVENT_MODULE_MAX_BYTES, name ? name : "");
}

static void write_error(struct json_out *w, const struct job_view *job)
{
	if (!job->error_at_wall_ms) {
		json_put_null(w, "last_error");
		return;
	}
	json_open_object(w, "last_error");
	json_put_time(w, "at", job->error_at_wall_ms);
	json_put_string(w, "class", job->error_class);
	json_put_string(w, "message", job->error_message);
	json_close_object(w);
}

static void write_document(
        struct json_out *w, const struct job_document *document, bool has_room_for_query)
{
	char module[EVENT_MODULE_MAX_BYTES];

	event_module_of_query(document->query, module);
	json_put_string(w, "operation", document->operation);
	json_put_string(w, "module", module[0] ? module : NULL);
	json_put_raw(w, "created_by", document->created_by);
	json_put_raw(w, "created_time", document->created_time);
	json_put_raw(w, "query", has_room_for_query ? document->query : NULL);
	json_put_raw(w, "result", document->result);
	json_put_raw(w, "other", document->other);
}

static void write_job(
        struct json_out *w, const char *key, const struct job_view *job, bool has_room_for_query)
{
	json_open_object(w, key);
	json_put_string(w, "account", job->account);
	json_put_string(w, "id", job->id);
	json_put_string(w, "name", job->name);
	json_put_string(w, "datacenter", job->datacenter);
	json_put_string(w, "service", job->service);
	json_put_string(w, "state", job->state);
	json_put_bool(w, "finished", job->is_finished);
	json_put_bool(w, "watched", job->is_watched);
	json_put_bool(w, "paused", job->is_paused);
	json_put_time(w, "since", job->since_wall_ms);
	json_put_time(w, "watched_since", job->watched_since_wall_ms);
	json_put_time(w, "last_polled", job->last_polled_wall_ms);
	json_put_time(w, "last_answered", job->last_answered_wall_ms);
	json_put_time(w, "next_poll", job->next_poll_wall_ms);
	json_put_integer(w, "polls", (int64_t)job->polls);
	json_put_integer(w, "failures", (int64_t)job->failures);
	write_error(w, job);
	write_document(w, &job->document, has_room_for_query);
	json_close_object(w);
}

void event_write_job(struct json_out *w, const char *key, const struct job_view *job)
{
	write_job(w, key, job, true);
}

void event_job_data(const struct job_view *job, struct buf *out)
{
	bool has_room = true;

	do {
		struct json_out w;

		buf_clear(out);
		buf_reserve(out, DATA_USUAL_BYTES);
		json_out_init(&w, out, false);
		write_job(&w, NULL, job, has_room);
		json_out_deinit(&w);
		has_room = !has_room;
	} while (!has_room && out->len + ENVELOPE_MAX_BYTES > HOOK_INPUT_MAX_BYTES);
}

void event_id(const char *instance, int64_t seq, char id[static EVENT_ID_SIZE])
{
	snprintf(id, EVENT_ID_SIZE, "%s-%" PRId64, instance, seq);
}

void event_write(struct json_out *w, const char *key, const struct event_view *event)
{
	char id[EVENT_ID_SIZE];

	event_id(event->instance, event->seq, id);
	json_open_object(w, key);
	json_put_integer(w, "seq", event->seq);
	json_put_string(w, "id", id);
	json_put_string(w, "type", event_type_name(event->type));
	json_put_time(w, "at", event->at_wall_ms);
	json_put_string(w, "account", event->account);
	json_put_string(w, "job_id", event->job_id);
	json_put_string(w, "from_state", event->from_state);
	json_put_string(w, "to_state", event->to_state);
	json_put_raw(w, event_type_is_of_job(event->type) ? "job" : "data", event->data);
	json_close_object(w);
}

static void write_subject(struct json_out *w, const struct event_view *event)
{
	if (event->account && event->job_id) {
		cleanup(mem_free_p) char *subject =
		        mem_printf("%s/%s", event->account, event->job_id);

		json_put_string(w, "subject", subject);
	} else if (event->account) {
		json_put_string(w, "subject", event->account);
	}
}

void event_write_cloud(struct json_out *w, const struct event_view *event)
{
	char id[EVENT_ID_SIZE];
	cleanup(mem_free_p) char *type = mem_printf("bulkwatch.%s", event_type_name(event->type));
	cleanup(mem_free_p) char *source = mem_printf("/bulkwatch/%s", event->instance);

	event_id(event->instance, event->seq, id);
	json_open_object(w, NULL);
	json_put_string(w, "specversion", "1.0");
	json_put_string(w, "id", id);
	json_put_string(w, "source", source);
	json_put_string(w, "type", type);
	json_put_time(w, "time", event->at_wall_ms);
	write_subject(w, event);
	json_put_string(w, "datacontenttype", "application/json");
	json_put_raw(w, "data", event->data);
	json_close_object(w);
}

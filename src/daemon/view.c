#include "daemon/view.h"

#include "config/config.h"

struct job_view view_of_tracked(const struct tracker *tracker, const struct tracked *tracked,
        const struct job *job, int64_t wait_ms, struct job_id *id)
{
	const struct account *account = accounts_get(tracker->accounts, tracked->account);
	struct tracked_error error = registry_error(tracker->registry, tracked);

	*id = tracked_id(tracked);
	return (struct job_view){
	        .account = account->name,
	        .id = id->text,
	        .name = registry_name(tracker->registry, tracked),
	        .datacenter = account->datacenter->name,
	        .service = config_service_name(account->service),
	        .state = job->state,
	        .is_finished = job_kind_is_finished((enum job_kind)job->kind),
	        .is_watched = true,
	        .is_paused = tracked->is_paused,
	        .since_wall_ms = job->since_wall_ms,
	        .watched_since_wall_ms = int48_value(tracked->watched_since_wall_ms),
	        .last_polled_wall_ms = int48_value(tracked->last_polled_wall_ms),
	        .last_answered_wall_ms = int48_value(tracked->last_answered_wall_ms),
	        .next_poll_wall_ms = wait_ms >= 0 ? loop_now(tracker->loop).wall_ms + wait_ms : 0,
	        .polls = tracked->polls,
	        .failures = job->n_failures,
	        .error_at_wall_ms = error.at_wall_ms,
	        .error_class = error.message ? error_class_name(error.class) : NULL,
	        .error_message = error.message,
	};
}

int64_t view_wait_ms(const struct tracked *tracked, const struct account *account, struct now now)
{
	int64_t at = heap_key(&account->due, &tracked->due);

	if (at == INT64_MAX)
		return -1;
	return at > now.mono_ms ? at - now.mono_ms : 0;
}

struct job_view view_of_row(const struct store_job *row)
{
	return (struct job_view){
	        .account = row->account,
	        .id = row->id,
	        .name = row->name,
	        .datacenter = row->datacenter,
	        .service = row->service,
	        .state = row->state,
	        .is_finished = job_kind_is_finished(job_kind_of(row->state)),
	        .is_watched = row->is_watched,
	        .is_paused = row->is_paused,
	        .since_wall_ms = row->since_wall_ms,
	        .watched_since_wall_ms = row->watched_since_wall_ms,
	        .last_polled_wall_ms = row->last_polled_wall_ms,
	        .last_answered_wall_ms = row->last_answered_wall_ms,
	        .polls = row->polls,
	        .failures = row->failures,
	        .error_at_wall_ms = row->error_at_wall_ms,
	        .error_class = row->error_class,
	        .error_message = row->error_message,
	};
}

struct store_job view_row(const struct tracker *tracker, const struct tracked *tracked,
        const struct job *job, struct job_id *id)
{
	const struct account *account = accounts_get(tracker->accounts, tracked->account);
	struct tracked_error error = registry_error(tracker->registry, tracked);

	*id = tracked_id(tracked);
	return (struct store_job){
	        .key = tracked_key(tracked),
	        .account = account->name,
	        .id = id->text,
	        .name = registry_name(tracker->registry, tracked),
	        .datacenter = account->datacenter->name,
	        .service = config_service_name(account->service),
	        .state = job->state,
	        .origin = tracked->is_from_socket ? ORIGIN_SOCKET : ORIGIN_CONFIG,
	        .is_watched = true,
	        .is_paused = tracked->is_paused,
	        .is_overdue_told = job->is_overdue_told,
	        .since_wall_ms = job->since_wall_ms,
	        .watched_since_wall_ms = int48_value(tracked->watched_since_wall_ms),
	        .last_polled_wall_ms = int48_value(tracked->last_polled_wall_ms),
	        .last_answered_wall_ms = int48_value(tracked->last_answered_wall_ms),
	        .ended_wall_ms =
	                job_kind_is_finished((enum job_kind)job->kind) ? job->since_wall_ms : 0,
	        .polls = tracked->polls,
	        .failures = job->n_failures,
	        .error_at_wall_ms = error.at_wall_ms,
	        .error_class = error.message ? error_class_name(error.class) : NULL,
	        .error_message = error.message,
	};
}

struct with_document {
	struct job_view *view;
	view_fn *fn;
	void *arg;
};

static int give_document(void *arg, const struct job_document *document)
{
	struct with_document *with = arg;

	with->view->document = *document;
	int r = with->fn(with->arg, with->view);

	with->view->document = (struct job_document){0};
	return r;
}

int view_with_document(
        struct store *store, int64_t key, struct job_view *view, view_fn *fn, void *arg)
{
	struct with_document with = {.view = view, .fn = fn, .arg = arg};

	if (!key)
		return fn(arg, view);
	return store_job_document_get(store, key, give_document, &with);
}

struct event_view view_of_event(const struct store *store, const struct store_event *event)
{
	return (struct event_view){
	        .instance = store_instance(store),
	        .seq = event->seq,
	        .type = event->type,
	        .at_wall_ms = event->at_wall_ms,
	        .account = event->account,
	        .job_id = event->job_id,
	        .from_state = event->from_state,
	        .to_state = event->to_state,
	        .data = event->data,
	};
}

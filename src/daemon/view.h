/* A job as people see it, put together from what is in memory and what is in the store. */
#pragma once

#include "core/job.h"
#include "daemon/account.h"
#include "daemon/registry.h"
#include "daemon/tracker.h"
#include "store/store.h"
#include "util/clock.h"
#include "wire/event.h"

/* All borrowed, the id of *id, which is set. `job` may be newer than what the registry has of it.
 * wait_ms: to the next poll; -1 = none. The document is left empty. */
struct job_view view_of_tracked(const struct tracker *tracker, const struct tracked *tracked,
        const struct job *job, int64_t wait_ms, struct job_id *id);
/* To the next poll as it is queued; -1 = none is. */
int64_t view_wait_ms(const struct tracked *tracked, const struct account *account, struct now now);
/* Of a job that is no longer watched. */
struct job_view view_of_row(const struct store_job *row);

/* The row of a tracked job whose decided part is `job`; borrowed as above. */
struct store_job view_row(const struct tracker *tracker, const struct tracked *tracked,
        const struct job *job, struct job_id *id);

/* The job's document from the store into the view; fn is called with it (strings live until it
 * returns). fn's value, or an error. */
typedef int view_fn(void *arg, const struct job_view *view);
int view_with_document(
        struct store *store, int64_t key, struct job_view *view, view_fn *fn, void *arg);

/* All borrowed. */
struct event_view view_of_event(const struct store *store, const struct store_event *event);

/* Shared by control.c (routes, parameters, errors) and the control_*.c of each subject. */
#pragma once

#include "daemon/control.h"
#include "wire/json.h"

struct streams;
struct waiters;

struct control {
	struct control_context context;
	struct streams *streams;
	struct waiters *waiters;
};

/* One request being answered. */
struct call {
	struct control *control;
	struct listen_request *request;
	const char *account, *id, *name; /* from the path; NULL if it has none such */
	struct now now;
	bool is_admin;
};

typedef void call_fn(struct call *call);

/* ---- answers; each ends the request ---- */

void call_reply(struct call *call, int status, const struct buf *json);
/* RFC 9457. */
void __attribute__((format(printf, 3, 4)))
call_problem(struct call *call, int status, const char *format, ...);
void call_no_content(struct call *call, int status);

/* ---- parameters: false = a problem was answered already ---- */

bool call_limit(struct call *call, size_t *limit);
bool call_integer(struct call *call, const char *name, int64_t otherwise, int64_t *out);
/* -1 = not given. */
bool call_boolean(struct call *call, const char *name, int *out);
bool call_duration(
        struct call *call, const char *name, int64_t otherwise_ms, int64_t max_ms, int64_t *out_ms);
/* NULL if `account` is not given; an unknown one is answered with 404. */
bool call_account(struct call *call, struct account **out);

/* The tracked job of the path; NULL (nothing answered yet) if none is watched. */
struct tracked *call_job(const struct call *call);
struct store *call_store(const struct call *call);

/* ---- handlers ---- */

/* The job of the path, with this status; 404 if there is none. */
void control_get_job_as(struct call *call, int status);

call_fn control_get_status, control_get_accounts, control_get_hooks; /* control_status.c */
call_fn control_get_jobs, control_get_job, control_get_history,
        control_get_wait; /* control_jobs.c */
call_fn control_post_job, control_delete_job, control_poll_job, control_pause_job,
        control_resume_job;  /* control_change.c */
call_fn control_post_reload; /* control_change.c */
call_fn control_get_events;  /* streams.c */

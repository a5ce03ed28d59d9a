/* Shared by control.c (routes, parameters, errors) and the control_*.c of each subject. */
#pragma once

#include "daemon/control.h"
#include "wire/json.h"

struct backups;
struct desk;
struct streams;
struct waiters;

struct control {
	struct control_context context;
	struct desk *desk;
	struct streams *streams;
	struct waiters *waiters;
	struct backups *backups;
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

/* ---- changes ---- */

typedef void call_answer_fn(struct call *call, int status);
/* Holds the request until what was written is committed, then fn answers it; 507 if it was undone.
 */
void call_answer_after_commit(struct call *call, call_answer_fn *fn, int status);
/* False: the disk is full, and the request was answered with 507. */
bool call_has_room(struct call *call);

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

/* The job of the path as JSON: 0, STORE_E_NONE or an error; and that as the answer, 404 if there is
 * none. */
int control_write_job(struct call *call, struct buf *body);
void control_reply_job(struct call *call, int r, int status, const struct buf *body);
/* Both in one. */
call_answer_fn control_get_job_as, control_get_delivery_as;

call_fn control_get_status, control_get_accounts, control_get_hooks; /* control_status.c */
call_fn control_get_jobs, control_get_job, control_get_history,
        control_get_wait; /* control_jobs.c */
call_fn control_post_job, control_delete_job, control_poll_job, control_pause_job,
        control_resume_job;                /* control_change.c */
call_fn control_get_why, control_get_plan; /* control_why.c */
call_fn control_post_reload;               /* control_change.c */
call_fn control_get_deliveries, control_get_delivery,
        control_retry_delivery; /* control_deliveries.c */
call_fn control_test_hook;      /* control_hook_test.c */
call_fn control_replay_hook;    /* control_replay.c */
call_fn control_get_config;     /* control_config.c */
call_fn control_get_openapi;    /* control_openapi.c */
call_fn control_get_metrics;    /* control_metrics.c */
call_fn control_get_backup;     /* backups.c */
call_fn control_get_events;     /* streams.c */

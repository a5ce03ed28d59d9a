/*
 * The doors: HTTP and JSON on query.sock and admin.sock (docs: bulkwatch-api(7)).
 *
 * A table of routes says what there is; every handler answers in one bounded slice, holds its
 * request, or hands it to daemon/streams.
 */
#pragma once

#include "daemon/hooks.h"
#include "daemon/poller.h"
#include "daemon/tracker.h"
#include "net/listen.h"

struct control;
struct config;
struct metrics;

/* What the handlers look at and act upon; all borrowed. */
struct control_context {
	struct loop *loop;
	struct tracker *tracker;
	struct poller *poller;
	struct hooks *hooks;
	const struct listen_group *group;
	const struct metrics *metrics;
	struct config *const *config; /* the one in force */
	const char *config_file, *state_dir;
	int64_t started_wall_ms, started_mono_ms;
	/* Reloads the configuration: 0, or CONFIG_E_INVALID with problems, or a negative error. */
	int (*reload)(void *arg, struct buf *result_json);
	void *reload_arg;
};

/* The HTTP status of a reload's result: 422 refused, 507 no room, 500 else. */
int control_reload_status(int result);

struct control *control_new(const struct control_context *context);
/* The listeners must be closed before. */
struct control *control_free(struct control *control);

/* listen_request_fn; arg is the struct control. */
void control_on_query(void *arg, struct listen_request *request);
void control_on_admin(void *arg, struct listen_request *request);

/* The same on a TCP socket, where GET /metrics is all that is answered. */
void control_on_metrics(void *arg, struct listen_request *request);
/* What GET /metrics answers. */
void control_write_metrics(const struct control *control, struct buf *out);

/* Part of the turn's end, before the commit: those who ask and were not answered yet. */
void control_answer(struct control *control);
/* Part of the turn's end, after the commit: streams and waiters get what is new. */
void control_publish(struct control *control);
int64_t control_next_mono(const struct control *control);

/*
 * The daemon as its service manager sees it: ready, reloading, stopping, alive, and a line of how
 * it does (docs: bulkwatchd(8)).
 *
 * It is alive if the loop turns and the database answers a question; it need not be writable, for a
 * full disk is waited for and not mended by a restart.
 */
#pragma once

#include "daemon/hooks.h"
#include "daemon/notify.h"
#include "daemon/poller.h"
#include "daemon/tracker.h"

enum { SERVICE_STATUS_MAX = 256 };

struct service {
	struct notify *notify; /* owned */
	/* Borrowed, set before service_ready. */
	struct loop *loop;
	const struct tracker *tracker;
	const struct poller *poller;
	const struct hooks *hooks;
	int64_t ping_next_mono_ms, status_next_mono_ms, extend_next_mono_ms;
	bool is_ready, is_stopping;
	bool is_status_stale; /* something happened since the line was last written */
	char status[SERVICE_STATUS_MAX];
};

void service_init(struct service *service);
void service_deinit(struct service *service);

/* Everything is open: from here on jobs are watched. */
void service_ready(struct service *service);
void service_reloading(struct service *service);
/* After that, whether the reload was taken or refused. */
void service_reloaded(struct service *service);
/* Told to stop: what runs is waited for. */
void service_stopping(struct service *service);
/* The waiting is over, the last things are written. */
void service_ending(struct service *service);

/* The end of a turn, after its commit. A negative error: the database does not answer. */
int service_turn(struct service *service);
/* When service_turn should be called next. */
int64_t service_next_mono(const struct service *service);

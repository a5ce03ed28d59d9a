#include "daemon/service.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/buf.h"
#include "util/mem.h"

enum {
	STATUS_EVERY_MS = 2000,
	EXTEND_EVERY_MS = 5000,
	EXTEND_BY_MS = 20000,
	EXTEND_END_MS = 60000, /* a million rows of contact take seconds */
	PINGS_PER_WATCHDOG = 3,
	PING_AGAIN_MS = 500, /* the manager's queue was full */
};

void service_init(struct service *service)
{
	*service = (struct service){.notify = notify_new()};
}

void service_deinit(struct service *service)
{
	service->notify = notify_free(service->notify);
}

static int64_t now_mono(const struct service *service)
{
	return loop_now(service->loop).mono_ms;
}

/* ---- the line ---- */

struct sums {
	size_t n_jobs, n_open;
	size_t n_accounts, n_held, n_paused;
	size_t n_running, n_waiting; /* deliveries */
};

static void count(const struct service *service, struct sums *sums)
{
	const struct accounts *accounts = service->tracker->accounts;
	struct hook_info info;

	*sums = (struct sums){0};
	for (size_t i = 0; i < accounts_count(accounts); i++) {
		const struct account *account = accounts_get(accounts, (uint32_t)i);

		sums->n_jobs += account->n_jobs;
		sums->n_open += account->due.n + account->n_in_flight;
		if (!account->is_configured)
			continue;
		sums->n_accounts++;
		sums->n_held += account->gate.state == GATE_HELD;
		sums->n_paused += account->gate.state == GATE_PAUSED;
	}
	for (uint32_t i = 0; hooks_info(service->hooks, i, &info); i++) {
		sums->n_running += info.n_running;
		sums->n_waiting += info.n_pending - info.n_running;
	}
}

static void describe(const struct service *service, struct buf *line)
{
	struct sums sums;

	count(service, &sums);
	if (service->is_stopping)
		buf_addf(line, "Stopping, %zu hooks run; ", hooks_running(service->hooks));
	else if (journal_is_full(service->tracker->journal))
		buf_adds(line, "The disk is full: polls and hooks pause; ");
	buf_addf(line, "%zu jobs, %zu polled; %zu accounts", sums.n_jobs, sums.n_open,
	        sums.n_accounts);
	if (sums.n_paused)
		buf_addf(line, ", %zu paused", sums.n_paused);
	if (sums.n_held)
		buf_addf(line, ", %zu held", sums.n_held);
	buf_addf(line, "; deliveries: %zu running, %zu waiting", sums.n_running, sums.n_waiting);
}

static void send_status(struct service *service)
{
	cleanup(buf_deinit) struct buf line = {0}, message = {0};

	service->is_status_stale = false;
	service->status_next_mono_ms = now_mono(service) + STATUS_EVERY_MS;
	describe(service, &line);
	if (strcmp(line.data, service->status) == 0)
		return;
	buf_addf(&message, "STATUS=%s\n", line.data);
	if (notify_send(service->notify, message.data))
		snprintf(service->status, sizeof(service->status), "%s", line.data);
	else
		service->is_status_stale = true;
}

/* ---- what happened ---- */

void service_ready(struct service *service)
{
	int64_t watchdog_ms = notify_watchdog_ms(service->notify);

	service->is_ready = true;
	service->ping_next_mono_ms = watchdog_ms ? now_mono(service) : INT64_MAX;
	service->extend_next_mono_ms = INT64_MAX;
	notify_send_surely(service->notify, "READY=1\n");
	send_status(service);
}

void service_reloading(struct service *service)
{
	/* A large configuration takes its time: the count of the silence begins anew. */
	notify_send_surely(service->notify, "RELOADING=1\nWATCHDOG=1\n");
}

void service_reloaded(struct service *service)
{
	notify_send_surely(service->notify, "READY=1\nWATCHDOG=1\n");
	service->is_status_stale = true;
}

static void extend(struct service *service, int64_t by_ms)
{
	char line[64];

	snprintf(line, sizeof(line), "EXTEND_TIMEOUT_USEC=%" PRId64 "\n", by_ms * 1000);
	notify_send(service->notify, line);
	service->extend_next_mono_ms = now_mono(service) + EXTEND_EVERY_MS;
}

void service_stopping(struct service *service)
{
	service->is_stopping = true;
	notify_send_surely(service->notify, "STOPPING=1\n");
	extend(service, EXTEND_BY_MS);
	send_status(service);
}

void service_ending(struct service *service)
{
	if (service->is_ready)
		extend(service, EXTEND_END_MS);
}

/* ---- alive ---- */

static int ping(struct service *service)
{
	int r = store_heartbeat(journal_store(service->tracker->journal));
	int64_t mono_ms = now_mono(service);

	if (r < 0)
		return r;
	service->ping_next_mono_ms =
	        mono_ms + (notify_send(service->notify, "WATCHDOG=1\n")
	                                  ? notify_watchdog_ms(service->notify) / PINGS_PER_WATCHDOG
	                                  : PING_AGAIN_MS);
	return 0;
}

int service_turn(struct service *service)
{
	int64_t mono_ms = now_mono(service);
	int r = 0;

	if (!service->is_ready || !notify_has_manager(service->notify))
		return 0;
	if (mono_ms >= service->ping_next_mono_ms)
		r = ping(service);
	if (service->is_stopping && mono_ms >= service->extend_next_mono_ms)
		extend(service, EXTEND_BY_MS);
	if (mono_ms >= service->status_next_mono_ms)
		send_status(service);
	else
		service->is_status_stale = true;
	return r;
}

int64_t service_next_mono(const struct service *service)
{
	int64_t next = INT64_MAX;

	if (!service->is_ready || !notify_has_manager(service->notify))
		return next;
	next = service->ping_next_mono_ms;
	if (service->is_stopping && service->extend_next_mono_ms < next)
		next = service->extend_next_mono_ms;
	if (service->is_status_stale && service->status_next_mono_ms < next)
		next = service->status_next_mono_ms;
	return next;
}

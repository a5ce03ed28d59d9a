/*
 * What the fake net/ and the fake disk share: alarms on the virtual clock, and doors for clients.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/listen.h"
#include "net/loop.h"
#include "util/heap.h"

/* ---- fake_loop.c ---- */

/* Something that happens at a time, in the turn that begins then. Embedded; zero-initialised. */
struct alarm {
	struct heap_node node;
	loop_fn *fn;
	void *arg;
	int64_t set_in_turn; /* not run in the turn that set it */
};
void fake_alarm_set(struct loop *loop, struct alarm *alarm, int64_t at_mono_ms);
void fake_alarm_clear(struct loop *loop, struct alarm *alarm);
/* As if the signal had come. False: nobody listens to it. */
bool fake_loop_signal(struct loop *loop, int signo);

/* ---- outside.c: what goes on whatever the daemon does ---- */

void outside_begin(struct loop *loop);
/* Called before each turn. */
void outside_turn(struct loop *loop);
void outside_end(struct loop *loop);
/* The wall clock is set. */
void outside_leap(int64_t ms);
/* What was planned for the time that has come; loop NULL = no daemon is there to notice. */
void outside_run_plans(struct loop *loop);

/* ---- fake_listen.c, for clients.c ---- */

/* Who asks. Its functions are called while the daemon answers. */
struct peer {
	void (*on_reply)(void *arg, int status, const char *body, size_t len);
	void (*on_chunk)(void *arg, const char *bytes, size_t len);
	void (*on_end)(void *arg); /* of a stream */
	void *arg;
	size_t queue_max; /* bytes that may wait for it to read; 0 = as many as the daemon lets */
};
/*
 * door: "query.sock" or "admin.sock". NULL: it is not open, or there is no place. target: path and
 * query, not encoded.
 */
struct listen_request *fake_request_new(struct loop *loop, const char *door, const char *method,
        const char *target, const char *body, const struct peer *peer);
/*
 * Hands it to the daemon, which may answer at once: the request may be gone then. The headers (NULL
 * = none) live as long as it does.
 */
void fake_request_begin(
        struct listen_request *request, const char *accept, const char *last_event_id);
/* The peer leaves. Its functions are not called any more. */
void fake_request_leave(struct listen_request *request);
/* The peer has read n bytes of the stream. */
void fake_request_read(struct listen_request *request, size_t n);

/* ---- clients.c ---- */

void clients_begin(struct loop *loop);
void clients_end(void);
/* Something was written, which waits for its commit: now and then somebody asks before that. */
void clients_come_soon(void);
/* All readers have all events. */
bool clients_are_done(void);

/* ---- fake_disk.c ---- */

/* The default of SQLite in this process from here on. */
void fake_disk_install(void);
/* Undoes, as far as chance has it, what this process wrote and did not sync. */
void fake_disk_cut_power(void);

/*
 * The journal of events as a stream of lines (NDJSON), taken up again after the last seq when the
 * connection ends; and one event as a line for people or scripts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ctl/client.h"
#include "wire/json.h"

enum {
	EVENT_LINE_MAX_BYTES = 2 * 1024 * 1024,
	EVENTS_RETRY_FIRST_MS = 100,
	EVENTS_RETRY_MAX_MS = 5000,
	EVENTS_RETRY_FOR_MS = 60000, /* how long the daemon may be away, as in a restart */
	EVENTS_REQUEST_MAX_MS = 3600000,
};

/* False ends the reading. line is the event's own text, without its newline. */
typedef bool events_fn(void *arg, const struct json *event, const char *line, size_t len);

struct events_reader {
	struct client *client;
	int64_t after;
	const char *types, *account; /* NULL = all */
	bool is_following;
	/* Events after `after` that are pruned already are no error, before the first one that
	 * came: it is said where the reading begins. */
	bool may_begin_later;
	int64_t deadline_mono_ms; /* 0 = none */
	events_fn *on_event;
	void (*on_tick)(void *arg); /* about once a second; NULL = none */
	/* At a heartbeat: all that there is up to last_seq, and fits, was given; NULL = none. */
	void (*on_quiet)(void *arg, int64_t last_seq);
	void *arg;
};

/*
 * CTL_OK: at the end of the journal, or as on_event wished. CTL_TIMED_OUT: at the deadline, unsaid.
 * reader->after is the last seq that on_event got.
 */
int events_read(struct events_reader *reader);

/* One line of at most the terminal's width, with colours; with the time of day alone. */
void event_add_line(const struct ctl *ctl, struct buf *out, const struct json *json,
        const struct json_node *event);
/* One line: aligned, cut and coloured on a terminal, else tab-separated, else JSON. */
void event_print(const struct ctl *ctl, const struct json *json, const struct json_node *event);

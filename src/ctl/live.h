/*
 * The live view of "bulkwatch watch": what it knows, and how that becomes a frame of lines. Asking
 * and keys are cmd_watch.c's.
 */
#pragma once

#include "ctl/answer.h"
#include "ctl/client.h"
#include "ctl/jobs.h"

enum { LIVE_EVENTS = 12, LIVE_PAGES_MAX = 1000 };

/* Which jobs are shown. */
enum live_filter { LIVE_OPEN, LIVE_ALL, LIVE_FINISHED, LIVE_FILTERS };

struct live_part {
	struct answer answer;
	struct json *json; /* of the answer; NULL = nothing yet */
};

void live_part_deinit(struct live_part *part);

struct live {
	struct ctl *ctl;
	struct client *client;
	struct live_part status, jobs;
	char *events[LIVE_EVENTS]; /* owned: the last ones as JSON, by number modulo LIVE_EVENTS */
	size_t n_events;           /* ever */
	int64_t seq;
	char *pages[LIVE_PAGES_MAX]; /* owned: the `after` of each page that was turned */
	size_t n_pages;
	unsigned filter; /* enum live_filter */
	bool is_filter_chosen;
	bool is_open; /* the screen is ours: nothing may be said */
	bool is_lost; /* the daemon does not answer: what is shown is old */
	size_t height, n_rows, n_event_rows;
};

/* By the size of the terminal now: how many jobs and events there is room for. */
void live_lay_out(struct live *live);
void live_add_frame(struct live *live, struct buf *frame);

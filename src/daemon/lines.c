#include "daemon/lines.h"

#include <stdlib.h>

#include "daemon/view.h"
#include "util/mem.h"

enum {
	LINES_MAX = 128,
	KEEP_MAX_BYTES = 16 * 1024, /* of a place that is used again */
};

struct lines {
	struct line ring[LINES_MAX]; /* by seq */
	int64_t after, through;      /* the window: seqs after `after`, up to `through` */
	const struct store *store;   /* while it is filled */
};

struct lines *lines_new(void)
{
	return MEM_NEW(struct lines);
}

struct lines *lines_free(struct lines *lines)
{
	if (!lines)
		return NULL;
	for (size_t i = 0; i < LINES_MAX; i++) {
		free(lines->ring[i].account);
		buf_deinit(&lines->ring[i].json);
	}
	free(lines);
	return NULL;
}

void line_write(const struct store *store, const struct store_event *event, struct buf *json)
{
	struct event_view view = view_of_event(store, event);
	struct json_out w;

	json_out_init(&w, json, false);
	event_write(&w, NULL, &view);
	json_out_deinit(&w);
}

static int take_event(void *arg, const struct store_event *event)
{
	struct lines *lines = arg;
	struct line *line = &lines->ring[event->seq % LINES_MAX];

	free(line->account);
	if (line->json.cap > KEEP_MAX_BYTES)
		buf_deinit(&line->json);
	buf_clear(&line->json);
	line->seq = event->seq;
	line->type = event->type;
	line->account = event->account ? mem_strdup(event->account) : NULL;
	line_write(lines->store, event, &line->json);
	return 0;
}

int lines_fill(struct lines *lines, struct store *store)
{
	int64_t last_seq = store_last_seq(store), last;
	int64_t from = lines->through;
	int r;

	if (last_seq == lines->through)
		return 0;
	if (from < last_seq - LINES_MAX)
		from = lines->after = last_seq - LINES_MAX;
	lines->store = store;
	r = store_events_read(store, from, LINES_MAX, NULL, take_event, lines, &last);
	if (r < 0)
		return r;
	lines->through = last_seq;
	if (lines->after < last_seq - LINES_MAX)
		lines->after = last_seq - LINES_MAX;
	return 0;
}

bool lines_reach(const struct lines *lines, int64_t after)
{
	return after >= lines->after;
}

const struct line *lines_get(const struct lines *lines, int64_t seq)
{
	const struct line *line = &lines->ring[seq % LINES_MAX];

	return line->seq == seq ? line : NULL;
}

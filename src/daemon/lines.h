/*
 * The last events as texts, each made once for all who follow: a window on the journal's end.
 * Whoever is further behind reads the journal.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"
#include "util/buf.h"

struct lines;

struct line {
	int64_t seq; /* 0 = none */
	enum event_type type;
	char *account; /* owned; NULL = none */
	struct buf json;
};

struct lines *lines_new(void);
/* Takes NULL, returns NULL. */
struct lines *lines_free(struct lines *lines);
/* Takes in what was committed since the last call. 0 or a store error. */
int lines_fill(struct lines *lines, struct store *store);
/* Every event after this seq that is still kept is in the window. */
bool lines_reach(const struct lines *lines, int64_t after);
/* NULL: there is no such event any more. */
const struct line *lines_get(const struct lines *lines, int64_t seq);

/* The text of one event, as the window would have it. */
void line_write(const struct store *store, const struct store_event *event, struct buf *json);

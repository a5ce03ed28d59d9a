/*
 * Jobs: reading /v1/jobs page by page, and finding the one that people mean by an id, a name or
 * account/id.
 */
#pragma once

#include <stdbool.h>

#include "ctl/answer.h"
#include "ctl/client.h"

enum { JOBS_PAGE = 250, JOBS_CANDIDATES_MAX = 10 };

/* Appends "?name=value" or "&name=value"; nothing for NULL. */
void query_add(struct buf *path, const char *name, const char *value);

struct jobs_pager {
	struct client *client; /* borrowed */
	struct buf filter;     /* the path with its filters, without limit and after */
	char *after;           /* owned; NULL = from the first */
	int64_t timeout_ms;    /* for a page; 0 = the client's */
	int64_t page;          /* jobs asked for at once; halved when an answer is too large */
	struct answer answer;
	struct json *json; /* the page, or NULL */
	bool is_last;      /* no page follows this one */
};

/* filter gets "/v1/jobs"; add to it with query_add(). */
void jobs_pager_init(struct jobs_pager *pager, struct client *client);
void jobs_pager_deinit(struct jobs_pager *pager);
/* CTL_OK: pager->json is the next page, with at most `most` jobs. Not to be called after the last.
 */
int jobs_pager_next(struct jobs_pager *pager, int64_t most);

struct found_job {
	char *account, *id; /* owned */
	struct answer answer;
	struct json *json; /* the job, as it was when it was found */
};

void found_job_deinit(struct found_job *job);
/* CTL_OK, or the exit code with everything said: CTL_NO_JOB, CTL_USAGE if several are meant. */
int job_find(struct client *client, const char *text, struct found_job *job);
/* "/v1/jobs/ACCOUNT/ID" + tail. */
void job_add_path(struct buf *path, const char *account, const char *id, const char *tail);

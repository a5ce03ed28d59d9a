/*
 * The log of requests: one JSON object a line, for tests to read back. No token ever stands in it,
 * only a number by which the lines of one run can be told to hold the same one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"

enum {
	REQUEST_LOG_KEPT = 20000, /* lines for request_log_read(), the oldest go first */
	REQUEST_LOG_PATH_MAX = 512,
};

struct request_log;

struct request_record {
	int64_t at_wall_ms;
	const char *dc;
	uint64_t connection;
	const char *method;
	const char *path;
	const char *job;           /* NULL if it is about none */
	int status;                /* 0 = none was sent */
	const char *fault;         /* NULL if none struck */
	const char *state;         /* answered; NULL if none was */
	int64_t state_age_ms;      /* since the job went into it */
	const char *authorization; /* the whole header, or NULL */
};

/* file NULL = no file; otherwise it is appended to. is_kept: for request_log_read(). 0 or -errno.
 */
int request_log_open(const char *file, bool is_kept, struct request_log **out);
/* Takes NULL, returns NULL. */
struct request_log *request_log_close(struct request_log *log);
/* False if the file could not be written for the first time. */
bool request_log_add(struct request_log *log, const struct request_record *record);
/* Of the newest line; 0 if there never was one. */
uint64_t request_log_last(const struct request_log *log);
/* Appends at most limit kept lines with a number beyond after. */
void request_log_read(const struct request_log *log, uint64_t after, size_t limit, struct buf *out);

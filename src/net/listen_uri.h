/*
 * A request's target, cut up and decoded: the path's segments, the query's parameters. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "net/listen.h"

enum { LISTEN_SEGMENTS_MAX = 16 };

struct listen_parameter {
	const char *name;
	const char *value;
};

struct listen_uri {
	char *path;                                /* owned; as it came */
	char *pieces;                              /* owned; what the pointers below point into */
	const char *segments[LISTEN_SEGMENTS_MAX]; /* NULL = not decodable */
	size_t n_segments;                         /* may be more than are kept */
	struct listen_parameter query[LISTEN_QUERY_MAX];
	int n_query; /* -1 = malformed, too many, or one twice */
};

/* path and query (NULL = none) as they came, without the question mark. */
void listen_uri_init(struct listen_uri *uri, const char *path, const char *query);
void listen_uri_deinit(struct listen_uri *uri);

/*
 * Asking the daemon: HTTP/1.1 over one of its two Unix sockets, by libcurl. Answers are capped,
 * every request has a deadline, proxies and ~/.netrc play no part.
 *
 * What goes wrong on the way (no daemon, no permission, a time-out) is said here, with what to do
 * about it; the answer's own status is left to the caller (ctl/answer).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/ctl.h"
#include "util/buf.h"

enum client_socket { SOCKET_QUERY, SOCKET_ADMIN };

enum {
	CLIENT_CONNECT_MS = 5000,
	CLIENT_TIMEOUT_MS = 30000,
	CLIENT_SILENCE_S = 60,          /* of a stream: four heartbeats */
	CLIENT_BACKUP_SILENCE_S = 1800, /* a large database is copied before its first byte comes */
	ANSWER_MAX_BYTES = 16 * 1024 * 1024,
};

struct client;

/* NULL: said why. Nothing is connected before the first request. */
struct client *client_new(const struct ctl *ctl, enum client_socket socket);
struct client *client_free(struct client *client);
void client_free_p(struct client **client);

/*
 * Bytes of a 200 answer as they come; false ends the request, which then counts as done. Other
 * answers are collected in the answer's body even when there is a sink.
 */
typedef bool client_sink_fn(void *arg, const char *bytes, size_t len);

struct client_request {
	const char *method; /* NULL = GET */
	const char *path;   /* with its query; percent-encoded where needed */
	const char *body;   /* JSON, or NULL */
	int64_t timeout_ms; /* in all; 0 = CLIENT_TIMEOUT_MS, or with a sink none but
	                       CLIENT_SILENCE_S */
	bool is_quiet; /* says nothing when the daemon is not reachable: the caller tries again */
	bool may_break_off;   /* nor when the answer ends in the middle */
	client_sink_fn *sink; /* NULL = all into the body */
	void *sink_arg;
	int64_t silence_s;          /* of a sink; 0 = CLIENT_SILENCE_S */
	void (*on_tick)(void *arg); /* about once a second while it is under way; NULL = none */
	void *tick_arg;
};

struct answer {
	int status; /* HTTP's */
	struct buf body;
};

void answer_deinit(struct answer *answer);

/*
 * CTL_OK: *answer is filled, whatever its status. Else the exit code, said but for CTL_TIMED_OUT,
 * which only a request with both a sink and a timeout_ms ends with.
 */
int client_ask(struct client *client, const struct client_request *request, struct answer *answer);

/* Appends text percent-encoded for a path's segment or a query's value (RFC 3986, unreserved). */
void client_add_encoded(struct buf *path, const char *text);

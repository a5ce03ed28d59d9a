/*
 * HTTP out: many concurrent requests over libcurl's multi_socket interface, one multi per host
 * (struct http_host), so that no host's connections, DNS or dead peers can slow another's.
 *
 * Answers are never delivered inside a libcurl callback: http_harvest(), called once at the end of
 * a turn, delivers all that finished. Nothing is followed (a 3xx is an answer like any other), no
 * proxy from the environment, no cookies, no netrc; TLS is verified always.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"

enum {
	HTTP_BODY_MAX_BYTES =
	        1024 * 1024, /* decompressed bytes of a reply; more is HTTP_E_TOO_LARGE */
	HTTP_HOST_MAX_CONNECTIONS =
	        200,           /* in one multi: its cost grows with them (docs/performance.md) */
	HTTP_HEADERS_MAX = 12, /* of one request */
	HTTP_QUEUE_MAX = 100 * 1000, /* requests of one host that wait to be sent */
};

struct http;
struct http_host;

/* Why there is no complete answer. */
enum http_error {
	HTTP_OK = 0,
	HTTP_E_RESOLVE, /* no such host, or DNS is silent */
	HTTP_E_CONNECT, /* refused, unreachable */
	HTTP_E_TLS, /* handshake or certificate; the message names the clock too, expiry being one
	               cause */
	HTTP_E_TIMEOUT,   /* the request's time-out, or too slow */
	HTTP_E_BROKEN,    /* cut or reset before the end, or not HTTP */
	HTTP_E_TOO_LARGE, /* body or headers beyond the cap */
	HTTP_E_OTHER,
};

/* Borrowed: all of it is copied by http_submit(), secrets are wiped from our copy after use. */
struct http_request {
	const char
	        *url; /* absolute, of the host given to http_host_new; ids checked by the caller */
	const char *post_body; /* NULL = GET */
	size_t post_len;
	const char *headers[HTTP_HEADERS_MAX]; /* "Name: value", up to the first NULL; control
	                                          characters are refused */
	int64_t timeout_ms; /* start to end, more than 0; it starts when the request leaves our
	                       queue */
	bool wants_headers; /* keep the raw reply headers (64 KiB at most) */
};

/* Everything is borrowed and lives until the callback returns. */
struct http_answer {
	enum http_error error;
	const char *message; /* one line of words for error, "" if there is none; never a URL's
	                        query, never a secret */
	int status;          /* 0 if none came */
	const char *body;    /* NUL-terminated, len bytes; "" if none */
	size_t len;
	const char *content_type; /* "" if none */
	int64_t retry_after_s;    /* as given: seconds from now, whatever nonsense that is; -1 = not
	                             given or unreadable. The caller clamps. */
	int64_t credits_remaining; /* X-API-CREDITS-REMAINING; -1 = not given */
	int64_t date_wall_ms;      /* the Date header; -1 = not given */
	int64_t duration_ms;
	const char *headers; /* if wanted, else "" */
	bool was_reused;     /* went over a connection used before */
	unsigned n_sent;     /* how often the request went out: 0 = no connection came about */
};

/* owner is the id that http_submit was given: an id, not a pointer, since its object may be gone.
 */
typedef void http_answer_fn(void *arg, uint64_t owner, const struct http_answer *answer);

int http_new(struct loop *loop, struct http **out);
/* All hosts must be freed before. Takes NULL, returns NULL. */
struct http *http_free(struct http *http);

struct http_host_options {
	const char *ca_file; /* NULL = the system's bundle */
	int max_in_flight; /* 1..HTTP_HOST_MAX_CONNECTIONS; more requests are queued by us, in order
	                    */
};

/* One API host: scheme, host and port. base_url: http(s)://host[:port] with nothing behind it. */
int http_host_new(struct http *http, const char *base_url, const struct http_host_options *options,
        struct http_host **out);
/* Drops what is in flight without calling anybody. */
struct http_host *http_host_free(struct http_host *host);

enum {
	HTTP_E_BAD_REQUEST = 100
}; /* control characters, or a URL of another host: nothing was sent */

/*
 * Begins a request. 0: fn will be called once, from http_harvest(). HTTP_E_BAD_REQUEST or a
 * negative error (-ENOBUFS: HTTP_QUEUE_MAX wait already): it will not. A request that failed on a
 * reused connection before any byte of a reply came is tried once more on a fresh connection,
 * within the same time-out; each sending counts in http_host_sent().
 */
int http_submit(struct http_host *host, const struct http_request *request, http_answer_fn *fn,
        void *arg, uint64_t owner);
/* Forgets every request of this fn/arg/owner: the callback will not come. */
void http_cancel(struct http_host *host, void *arg, uint64_t owner);
/* Requests in flight and queued. */
size_t http_host_in_flight(const struct http_host *host);
/* Requests sent since the start, the one retry on a fresh connection included. */
uint64_t http_host_sent(const struct http_host *host);

/*
 * Delivers the answers that are complete, in their order, HTTP_HARVEST_MAX at most: whatever else
 * waits for this turn's end does not wait for all that eight data centers said at once. The rest
 * come in the next turn, which begins at once. Returns how many. Called by the turn's end.
 */
enum { HTTP_HARVEST_MAX = 64 };
size_t http_harvest(struct http *http);
/*
 * Begins at once what was submitted, as the last thing of a turn's end; without it that comes in
 * the next turn. A connection that was given back and taken again in one turn then stays watched as
 * it was, which saves two system calls a request.
 */
void http_flush(struct http *http);

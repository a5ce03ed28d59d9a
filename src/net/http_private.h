/*
 * What the files of HTTP out share, and nobody else: http.c (all hosts, the sockets, the harvest),
 * http_host.c (one multi, its queue and its handles), http_transfer.c (one request with its
 * answer), http_origin.c (whether a URL is of the host).
 *
 * A transfer is in one of three lists at any time: its host's queue, its host's flying ones, or the
 * ready ones of all hosts. An easy handle belongs to a transfer only while that flies.
 */
#pragma once

#include <curl/curl.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "net/http.h"
#include "util/buf.h"

enum {
	HTTP_HEADERS_MAX_BYTES = 64 * 1024, /* of one reply, all that came before its body */
	HTTP_CONTENT_TYPE_MAX_BYTES = 128,
	HTTP_SPARE_MAX = 256,              /* transfers at rest */
	HTTP_SPARE_BODY_MAX_BYTES = 16384, /* of the buffer that one of them keeps */
	HTTP_CONNECT_TIMEOUT_MS = 10 * 1000,
	HTTP_UNACKNOWLEDGED_MS =
	        8 * 1000, /* bytes of a request that the peer's kernel never took */
	HTTP_LOW_SPEED_S = 30,
	HTTP_CONNECTION_IDLE_S = 30,
	/* glibc's resolver gives up after at most 3 servers, twice 5 s each: resolv.conf(5). */
	HTTP_RESOLVER_LINGERS_MS = 30 * 1000,
};

/* ---- http_origin.c ---- */

struct http_origin {
	char *base; /* scheme://host[:port] as given, without what follows; owned, as are the others
	             */
	char *scheme;
	char *host; /* lower case, without a trailing dot */
	char *port; /* the scheme's own if none was given */
};

/* base_url may end with one slash. 0, or -EINVAL: not plain http(s)://host[:port]. */
int http_origin_init(struct http_origin *origin, const char *base_url);
void http_origin_deinit(struct http_origin *origin);
/* Is this an absolute URL of that very origin, without user, fragment or control characters? */
bool http_origin_has(const struct http_origin *origin, const char *url);

/* ---- http_transfer.c ---- */

TAILQ_HEAD(http_transfers, http_transfer);
TAILQ_HEAD(http_hosts, http_host);

/* What came back so far. The buffers outlive the reply, wiped. */
struct http_reply {
	struct buf body;
	struct buf headers; /* only if wanted */
	size_t header_bytes;
	char content_type[HTTP_CONTENT_TYPE_MAX_BYTES];
	int status;
	int64_t credits_remaining;
	int64_t date_wall_ms;
	int64_t retry_after_s;
	bool has_retry_after;
	bool is_retry_after_zero; /* "0" itself, for which libcurl's number is the same as for
	                             nonsense */
	bool is_too_large;
};

struct http_transfer {
	TAILQ_ENTRY(http_transfer) link;
	struct http_host *host; /* borrowed; NULL once ready and its host is freed */
	CURL *easy;             /* owned, of this attempt; NULL unless it flies */
	struct buf url;
	struct buf lines; /* the headers, a NUL after each; wiped after use, as post_body is */
	struct curl_slist headers[HTTP_HEADERS_MAX + 1]; /* over lines, for libcurl */
	size_t n_headers;
	char *post_body; /* NULL = GET */
	size_t post_len;
	int64_t timeout_ms;
	int64_t spent_ms; /* of the attempts that ended */
	http_answer_fn *fn;
	void *arg;
	uint64_t owner;
	bool wants_headers;
	bool is_ready;
	bool is_retry;      /* this is the second attempt */
	bool is_resolving;  /* a resolver's thread may be at work for it */
	bool has_connected; /* this attempt opened a socket of its own */
	bool is_reused;     /* this attempt went over a connection used before */
	unsigned n_sent;
	enum http_error error;
	char words[CURL_ERROR_SIZE]; /* libcurl's error buffer */
	char message[CURL_ERROR_SIZE + 64];
	struct http_reply reply;
};

/* Copies the request. NULL: a header is malformed or holds a control character. */
struct http_transfer *http_transfer_take(struct http *http, const struct http_request *request);
/* Wiped, and kept for the next one with its buffers, or freed. */
void http_transfer_give(struct http *http, struct http_transfer *transfer);
struct http_transfer *http_transfer_free(struct http_transfer *transfer);
/* Makes the handle of an attempt. */
void http_transfer_prepare(struct http_transfer *transfer);
/* Wipes what a buffer holds; its memory stays, or is freed. */
void http_buf_wipe(struct buf *buf);
void http_buf_wipe_free(struct buf *buf);
/* Frees the attempt's handle, which has left libcurl's multi. */
void http_transfer_release(struct http_transfer *transfer);
/* Whether a result is worth the one other attempt; then the transfer is reset for it. */
bool http_transfer_retry(struct http_transfer *transfer, CURLcode result);
/* Takes over what the handle knows of the end. */
void http_transfer_finish(struct http_transfer *transfer, CURLcode result);
void http_transfer_deliver(const struct http_transfer *transfer);

/* ---- http_handle.c ---- */

/* An easy handle with all that never changes, and the callbacks for this transfer. To be freed by
 * curl_easy_cleanup(). */
CURL *http_handle_new(struct http_transfer *transfer);
/* As above without callbacks. NULL: the system's certificates; nothing is shared. */
CURL *http_handle_new_bare(const char *ca_file, CURLSH *share);
/* Ends the process unless it is CURLE_OK: without one of its options nothing may be sent. */
void http_must(CURLcode result);

/* ---- http_host.c ---- */

/* Lets libcurl work on a socket (or CURL_SOCKET_TIMEOUT). */
void http_host_act(struct http_host *host, curl_socket_t fd, int events);
/* Lets libcurl begin the transfers that it was given. */
void http_host_begin(struct http_host *host);
/* Takes the ended transfers from libcurl to the ready list, and sends what was queued. */
void http_host_drain(struct http_host *host);
void http_host_count_sent(struct http_host *host);

/* ---- http.c ---- */

struct http_socket {
	struct event *event;    /* owned; NULL = this descriptor was never watched */
	struct http_host *host; /* borrowed; NULL = not watched now */
};

struct http {
	struct loop *loop;           /* borrowed */
	struct http_hosts hosts;     /* all of them */
	struct http_hosts touched;   /* those whose libcurl worked in this turn */
	struct http_transfers ready; /* to be delivered, in order */
	struct http_transfers spare; /* at rest: nothing of a request is left in them */
	size_t n_spare;
	struct http_socket *sockets; /* by descriptor; owned */
	size_t n_sockets;
};

struct http_host {
	TAILQ_ENTRY(http_host) link;
	TAILQ_ENTRY(http_host) touched_link;
	struct http *http;   /* borrowed */
	CURLM *multi;        /* owned */
	CURLSH *share;       /* owned; TLS sessions */
	struct event *timer; /* owned; libcurl's own */
	struct http_origin origin;
	char *ca_file; /* owned */
	struct http_transfers queue;
	struct http_transfers flying;
	size_t n_queued;
	size_t n_flying;
	size_t n_ready;
	size_t max_in_flight;
	uint64_t n_sent;
	/*
	 * Ends of the slots whose request is over while its resolver's thread may live on, oldest
	 * first in a ring of max_in_flight: silent DNS must not pile up threads.
	 */
	int64_t *lingering_until_mono_ms; /* owned */
	size_t lingering_first;
	size_t n_lingering;
	struct loop_timer *lingering_timer; /* owned */
	/* The last Date header, and what it says; "" = none yet. */
	char date[HTTP_CONTENT_TYPE_MAX_BYTES];
	int64_t date_wall_ms;
	bool is_touched;
	bool has_launched;    /* transfers that libcurl has not begun yet */
	bool is_timer_active; /* to run in the next turn, not at a time */
	bool is_acting;       /* inside curl_multi_socket_action */
};

/* libcurl's socket callback: arms events, nothing else. */
int http_on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused);
/* Forgets the host's sockets. */
void http_forget_sockets(struct http *http, const struct http_host *host);

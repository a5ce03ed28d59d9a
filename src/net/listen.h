/*
 * HTTP in: evhttp on Unix sockets (and loopback TCP), with the bounds that evhttp lacks: header and
 * body sizes, a cap on connections, an idle time-out, slow readers dropped at a high-water mark,
 * survival of descriptor exhaustion.
 *
 * A request is answered at once, or held (listen_hold) and answered later, or turned into a stream
 * of chunks. The peer's leaving ends it in each case; on_gone tells whoever held it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/loop.h"

enum {
	LISTEN_HEADERS_MAX_BYTES = 16 * 1024,
	LISTEN_BODY_MAX_BYTES = 64 * 1024,
	LISTEN_QUEUE_MAX_BYTES = 1024 * 1024, /* unsent bytes of one stream; more = too slow */
	LISTEN_IDLE_MS = 30000,
	LISTEN_QUERY_MAX = 16, /* query parameters */
};

struct listen_group; /* listeners that share one cap on connections */
struct listen;
struct listen_request;

enum listen_method {
	LISTEN_GET,
	LISTEN_HEAD,
	LISTEN_POST,
	LISTEN_PUT,
	LISTEN_DELETE,
	LISTEN_OTHER
};

typedef void listen_request_fn(void *arg, struct listen_request *request);
typedef void listen_gone_fn(void *arg);

/* How many clients the descriptors have room for is the caller's to say. */
int listen_group_new(struct loop *loop, int max_clients, struct listen_group **out);
struct listen_group *listen_group_free(struct listen_group *group);
size_t listen_group_clients(const struct listen_group *group);
/* Bytes of large answers that clients have not taken yet. They have a minute for each. */
size_t listen_group_unsent(const struct listen_group *group);

/* LISTEN_E_PATH: too long for a sockaddr_un, not absolute, or something that is no socket stands
 * there; LISTEN_E_BUSY: a server answers there. Others negative. words (may be NULL) gets a
 * sentence. */
enum { LISTEN_E_PATH = 1, LISTEN_E_BUSY = 2 };
/*
 * A Unix socket made with exactly this mode (umask around bind, never chmod). A stale socket is
 * unlinked; the caller holds the lock that makes this safe. fn is called for each request.
 */
int listen_unix_new(struct listen_group *group, const char *path, mode_t mode,
        listen_request_fn *fn, void *arg, struct listen **out, char *words, size_t size);
/* An inherited listening socket (socket activation): never unlinked. Taken over unless -EINVAL,
 * -ENOTSOCK. */
int listen_fd_new(
        struct listen_group *group, int fd, listen_request_fn *fn, void *arg, struct listen **out);
/* Loopback TCP, for /metrics: a numeric loopback address, else -EINVAL; port 0 = the kernel's
 * choice. */
int listen_tcp_new(struct listen_group *group, const char *address, uint16_t port,
        listen_request_fn *fn, void *arg, struct listen **out);
/* The TCP port; 0 for a Unix socket. */
uint16_t listen_port(const struct listen *listen);
/* Not inside a request's callback. Closes the socket, its connections and held requests (on_gone is
 * called), unlinks what it made. */
struct listen *listen_free(struct listen *listen);

/* Borrowed from the request; decoded. */
enum listen_method listen_method(const struct listen_request *request);
const char *listen_method_name(const struct listen_request *request);
const char *listen_path(
        const struct listen_request *request); /* raw path, undecoded, without query */
/* The path's segments, percent-decoded; NULL beyond the last, or if one decodes to NUL, '/' or bad
 * UTF-8. */
const char *listen_path_segment(const struct listen_request *request, size_t i);
size_t listen_path_segments(const struct listen_request *request);
/* -1: the query is malformed, has too many parameters or one twice. */
int listen_query_count(const struct listen_request *request);
/* In their order; NULL beyond the last. */
const char *listen_query_name(const struct listen_request *request, size_t i);
const char *listen_query_value(const struct listen_request *request, size_t i);
const char *listen_query(
        const struct listen_request *request, const char *name); /* NULL if absent */
const char *listen_header(
        const struct listen_request *request, const char *name);      /* NULL if absent */
const char *listen_body(struct listen_request *request, size_t *len); /* NUL-terminated */
/* SO_PEERCRED of a Unix peer; false if unknown. */
bool listen_peer(const struct listen_request *request, uid_t *uid, pid_t *pid);

/* Answers and forgets the request. extra_headers: strings "Name: value" up to NULL, or NULL. HEAD
 * gets no body. */
void listen_reply(struct listen_request *request, int status, const char *content_type,
        const char *body, size_t len, const char *const *extra_headers);
/* The request will be answered later; on_gone is called once if the peer leaves before (the request
 * is dead then). */
void listen_hold(struct listen_request *request, listen_gone_fn *on_gone, void *arg);
/*
 * It will be answered, held or made a stream in one of the next turns: nobody looks whether the
 * peer is still there, so that a half-close is no leaving. on_gone as above, for an end that shows
 * by itself.
 */
void listen_defer(struct listen_request *request, listen_gone_fn *on_gone, void *arg);
/* A chunked stream, held until listen_stream_end. */
void listen_stream_begin(struct listen_request *request, int status, const char *content_type,
        listen_gone_fn *on_gone, void *arg);
/* False: the reader is too slow (LISTEN_QUEUE_MAX_BYTES unsent); nothing was added; the caller ends
 * it. */
bool listen_stream_add(struct listen_request *request, const char *bytes, size_t len);
size_t listen_stream_unsent(const struct listen_request *request);
/* Sends what is queued, then closes. on_gone is not called. */
void listen_stream_end(struct listen_request *request);

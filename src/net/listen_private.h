/*
 * What the files of HTTP in share: listen.c (sockets), listen_group.c (the cap on connections) and
 * listen_request.c (one request and its answer).
 */
#pragma once

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "net/listen.h"
#include "net/listen_uri.h"

enum {
	/* More than one request's head and body, so that only pipelined excess is left unread. */
	LISTEN_INPUT_MAX_BYTES = 128 * 1024,
	LISTEN_REQUEST_MS = 60 * 1000,  /* for one whole request to arrive */
	LISTEN_RETRY_MS = 100,          /* until a place is looked for again at the cap */
	LISTEN_LARGE_BYTES = 64 * 1024, /* answers are watched until they are sent */
	LISTEN_SENDING_MS = 60 * 1000,
	LISTEN_SWEEP_MS = 1000, /* also until accepting is tried again after an error */
};

/* A large answer on its way, which evhttp has until it is sent. */
struct listen_sending {
	TAILQ_ENTRY(listen_sending) link;
	struct listen_group *group;
	int fd;
	size_t len;
	int64_t since_mono_ms;
};

TAILQ_HEAD(listen_list, listen);
TAILQ_HEAD(listen_sendings, listen_sending);
TAILQ_HEAD(listen_requests, listen_request);

/* What is known of the connection on one descriptor. */
struct listen_client {
	uint64_t cookie;       /* SO_COOKIE of the socket; 0 = none here */
	int64_t since_mono_ms; /* waiting for a request since */
	bool is_busy;          /* a request of its is being answered */
};

struct listen_group {
	struct loop *loop; /* borrowed */
	struct listen_list listens;
	size_t max_clients;
	struct listen_client *clients; /* by descriptor; owned */
	size_t n_slots;
	size_t n_clients;
	struct bufferevent *
	        *accepted; /* borrowed; their descriptors are not known yet; owned array */
	size_t n_accepted;
	struct event *accepted_event; /* owned */
	struct loop_timer *timer;     /* owned */
	bool is_accepting;
	struct listen_sendings sendings; /* the oldest first */
	size_t n_unsent;
};

struct listen {
	TAILQ_ENTRY(listen) link;
	struct listen_group *group;      /* borrowed */
	struct evhttp *http;             /* owned */
	struct evconnlistener *listener; /* http's */
	listen_request_fn *fn;
	void *arg;
	char *path;   /* owned; NULL = nothing to unlink */
	dev_t device; /* of the socket file */
	ino_t inode;
	struct listen_requests requests; /* those not yet answered */
};

/* evhttp's general callback; arg is the struct listen. */
void listen_on_request(struct evhttp_request *http_request, void *arg);
/* Forgets every request that is not answered, telling whoever held it. */
void listen_drop_requests(struct listen *listen);
/* Ends those whose peer left and whose own event cannot tell; for the group's timer. */
void listen_look_at_requests(struct listen *listen);
/* The time-outs of a connection that waits for a request. */
void listen_set_idle_timeouts(struct bufferevent *bev);

/* ---- listen_group.c ---- */

/* The client of this descriptor begins (or has ended) to be served. */
void listen_group_mark(struct listen_group *group, int fd, bool is_busy);
bool listen_group_is_full(const struct listen_group *group);
/* Counts anew who is there. */
void listen_group_count(struct listen_group *group);
/* Arms the timer that counts, and accepts again what may be accepted. */
void listen_group_set_timer(struct listen_group *group);
/* The callbacks of every listener: arg is the struct listen, and evhttp's own. */
struct bufferevent *listen_on_connection(struct event_base *base, void *arg);
void listen_on_accept_error(struct evconnlistener *listener, void *arg);

/*
 * Connections, for the files of the server alone (see sim/server.h for what others may use).
 */
#pragma once

#include <event2/bufferevent.h>

#include "sim/server.h"

enum {
	/* No request, no progress of an answer: long enough for any keep-alive of a client's. */
	CONN_IDLE_S = 600,
};

struct server_links {
	struct conn *first; /* open connections */
	struct conn *dead;  /* to be freed at the next turn */
};

struct server {
	struct event_base *base; /* borrowed */
	SSL_CTX *tls;            /* borrowed, or NULL */
	server_request_fn *on_request;
	void *arg;
	struct evconnlistener *listener; /* owned; NULL while it refuses */
	int placeholder;                 /* a socket that keeps the port meanwhile, or -1 */
	struct event *reaper;            /* owned */
	struct event *rearm;             /* owned: listens again after EMFILE */
	struct server_links conns;
	struct server_stats stats;
	uint64_t last_number;
	uint32_t max_connections;
	uint16_t port;
	bool is_paused; /* the listener is disabled: at the cap, or out of descriptors */
};

/* Takes over the descriptor. */
void conn_open(struct server *server, int fd);
/* Moves it to the dead; may be called from its callbacks, more than once. */
void conn_close(struct conn *conn);
void conn_free_dead(struct server *server);
/* Hands to the kernel what was answered and has not left; as far as that goes without waiting. */
void conn_flush(struct conn *conn);
/* The one after it among the open ones; the first for NULL. */
struct conn *conn_next(struct server *server, struct conn *conn);
/* One connection fewer: the listener may go on. */
void server_on_conn_closed(struct server *server);

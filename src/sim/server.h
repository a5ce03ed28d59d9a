/*
 * A listening port on 127.0.0.1 with its connections, on bufferevents of its own instead of evhttp,
 * since a simulator must be able to misbehave byte by byte.
 *
 * Requests are handed over one at a time a connection; the next one is read when the answer to the
 * last has left. Connections that end are freed at the loop's next turn, never in their callbacks.
 */
#pragma once

#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "sim/http.h"
#include "sim/reply.h"

struct server;
struct conn;

/* Must answer by conn_send(), now or never. The request is borrowed until then. */
typedef void server_request_fn(void *arg, struct conn *conn, const struct http_request *request);

struct server_stats {
	uint64_t n_connections; /* ever */
	uint64_t n_requests;    /* that could be read */
	uint64_t n_bad;         /* refused as no HTTP */
	uint64_t n_tls_failures;
	uint32_t n_open, n_open_max;
	uint32_t n_in_flight, n_in_flight_max; /* asked and not wholly answered */
};

/*
 * Listens at once. port 0 = the kernel chooses. tls is borrowed, NULL = plain. 0, or a negative
 * error, then *out is NULL.
 */
int server_new(struct event_base *base, uint16_t port, SSL_CTX *tls, uint32_t max_connections,
        server_request_fn *on_request, void *arg, struct server **out);
/* Takes NULL, returns NULL. Not inside a callback of the server's. */
struct server *server_free(struct server *server);
uint16_t server_port(const struct server *server);
const struct server_stats *server_stats(const struct server *server);
/* Forgets the counts of the past; what is open or in flight stays counted. */
void server_reset_stats(struct server *server);

/*
 * Stops listening and closes every connection: whoever connects is refused by the kernel, until
 * server_accept_again(). The port stays ours. Either does nothing where nothing is to be done.
 */
void server_refuse(struct server *server);
int server_accept_again(struct server *server);

/* Takes over the reply, which is empty afterwards; what it borrows is needed no longer. */
void conn_send(struct conn *conn, struct reply *reply);
/* Numbered from 1 over the server's life. */
uint64_t conn_number(const struct conn *conn);

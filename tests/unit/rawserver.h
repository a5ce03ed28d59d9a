/*
 * A web server that misbehaves at the level of bytes: a thread for accepting and one for each
 * connection, on loopback. What it does is told by the path; see rawserver.c.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RAWSERVER_CONNECTIONS_MAX = 64, RAWSERVER_SEEN_MAX = 64 };

struct rawserver {
	int fd;
	uint16_t port;
	pthread_t thread;
	pthread_mutex_t mutex; /* guards all that follows */
	pthread_cond_t changed;
	struct rawserver_connection {
		struct rawserver *server;
		pthread_t thread;
		int fd; /* -1 = closed */
	} connections[RAWSERVER_CONNECTIONS_MAX];
	void *tls; /* SSL_CTX; NULL = plain */
	bool is_ending;
	bool is_released; /* what waits at /wait may go on */
	unsigned n_connections;
	unsigned n_requests;
	unsigned n_resumed; /* connections that went on with an earlier TLS session */
	unsigned n_waiting;
	unsigned n_waiting_max;
	size_t n_seen;
	char *seen[RAWSERVER_SEEN_MAX]; /* heads and bodies of requests, in order of arrival */
};

/* tls_dir: NULL, or where cert.pem and key.pem stand. */
void rawserver_init(struct rawserver *server, const char *tls_dir);
void rawserver_deinit(struct rawserver *server);
void rawserver_release(struct rawserver *server);
unsigned rawserver_waiting(struct rawserver *server);
unsigned rawserver_requests(struct rawserver *server);
unsigned rawserver_resumed(struct rawserver *server);
/* The i-th request as it came; "" if there is none. Valid until deinit. */
const char *rawserver_seen(struct rawserver *server, size_t i);
/* Writes cert.pem and key.pem: self-signed, for this name or IP address, good from now-1h to
 * now+days. */
void rawserver_make_certificate(const char *dir, const char *name, int days);

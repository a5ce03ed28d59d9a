#include <assert.h>
#include <errno.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim/conn.h"
#include "util/mem.h"

enum {
	SERVER_BACKLOG = 4096,
	SERVER_REARM_MS = 100, /* out of descriptors: libevent would call back without pause */
};

static void server_pause(struct server *server)
{
	if (server->listener)
		evconnlistener_disable(server->listener);
	server->is_paused = true;
}

static void server_unpause(struct server *server)
{
	if (server->listener)
		evconnlistener_enable(server->listener);
	server->is_paused = false;
}

static void server_on_accept(struct evconnlistener *listener, evutil_socket_t fd,
        struct sockaddr *address, int len, void *arg)
{
	struct server *server = arg;

	(void)listener;
	(void)address;
	(void)len;
	conn_open(server, fd);
	if (server->stats.n_open >= server->max_connections)
		server_pause(server);
}

static void server_on_accept_error(struct evconnlistener *listener, void *arg)
{
	static const struct timeval wait = {.tv_usec = SERVER_REARM_MS * 1000L};
	struct server *server = arg;

	(void)listener;
	server_pause(server);
	evtimer_add(server->rearm, &wait);
}

static void server_on_rearm(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;

	(void)fd;
	(void)what;
	if (server->is_paused && server->stats.n_open < server->max_connections)
		server_unpause(server);
}

void server_on_conn_closed(struct server *server)
{
	server->stats.n_open--;
	if (server->is_paused && !evtimer_pending(server->rearm, NULL))
		server_unpause(server);
}

static void server_on_reap(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	conn_free_dead(arg);
}

/* A socket bound to the server's port (which is chosen now if it is 0), not listening yet. */
static int server_bind(struct server *server)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	        .sin_port = htons(server->port),
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	        getsockname(fd, (struct sockaddr *)&address, &len) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	server->port = ntohs(address.sin_port);
	return fd;
}

/* Takes over the descriptor. */
static int server_listen(struct server *server, int fd)
{
	if (listen(fd, SERVER_BACKLOG) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	server->listener = evconnlistener_new(server->base, server_on_accept, server,
	        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!server->listener) {
		close(fd);
		return -ENOMEM;
	}
	evconnlistener_set_error_cb(server->listener, server_on_accept_error);
	server->is_paused = false;
	return 0;
}

int server_new(struct event_base *base, uint16_t port, SSL_CTX *tls, uint32_t max_connections,
        server_request_fn *on_request, void *arg, struct server **out)
{
	struct server *server = MEM_NEW(struct server);
	int r;

	*out = NULL;
	*server = (struct server){
	        .base = base,
	        .tls = tls,
	        .on_request = on_request,
	        .arg = arg,
	        .placeholder = -1,
	        .max_connections = max_connections,
	        .port = port,
	};
	server->reaper = event_new(base, -1, 0, server_on_reap, server);
	server->rearm = evtimer_new(base, server_on_rearm, server);
	r = server->reaper && server->rearm ? server_bind(server) : -ENOMEM;
	if (r >= 0)
		r = server_listen(server, r);
	if (r < 0) {
		server_free(server);
		return r;
	}
	*out = server;
	return 0;
}

struct server *server_free(struct server *server)
{
	if (!server)
		return NULL;
	for (struct conn *conn = conn_next(server, NULL); conn; conn = conn_next(server, conn))
		conn_flush(conn);
	while (server->conns.first)
		conn_close(server->conns.first);
	if (server->listener)
		evconnlistener_free(server->listener);
	server->listener = NULL;
	conn_free_dead(server);
	assert(server->stats.n_open == 0);
	if (server->placeholder >= 0)
		close(server->placeholder);
	if (server->reaper)
		event_free(server->reaper);
	if (server->rearm)
		event_free(server->rearm);
	free(server);
	return NULL;
}

uint16_t server_port(const struct server *server)
{
	return server->port;
}

const struct server_stats *server_stats(const struct server *server)
{
	return &server->stats;
}

void server_reset_stats(struct server *server)
{
	uint32_t n_open = server->stats.n_open, n_in_flight = server->stats.n_in_flight;

	server->stats = (struct server_stats){
	        .n_open = n_open,
	        .n_open_max = n_open,
	        .n_in_flight = n_in_flight,
	        .n_in_flight_max = n_in_flight,
	};
}

void server_refuse(struct server *server)
{
	if (!server->listener)
		return;
	evconnlistener_free(server->listener);
	server->listener = NULL;
	while (server->conns.first)
		conn_close(server->conns.first);
	/* If it fails now, server_accept_again() binds anew and says why it cannot. */
	server->placeholder = server_bind(server);
}

int server_accept_again(struct server *server)
{
	int fd = server->placeholder;

	if (server->listener)
		return 0;
	server->placeholder = -1;
	if (fd < 0)
		fd = server_bind(server);
	return fd < 0 ? fd : server_listen(server, fd);
}

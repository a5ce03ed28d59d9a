#include "sim/conn.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/mem.h"

/*
 *   HEAD --> BODY --> ASKED --> WAITING (delay) --> SENDING --> HEAD, or LEAVING --> DEAD
 *                       |                              ^
 *                       +--> HELD (hang) --> DEAD      +-- also the refusal of what is no HTTP
 */
enum conn_phase {
	CONN_HEAD,
	CONN_BODY,
	CONN_ASKED, /* the handler has it */
	CONN_WAITING,
	CONN_SENDING,
	CONN_HELD,
	CONN_LEAVING, /* we said all; what still comes is thrown away */
	CONN_DEAD,
};

enum {
	CONN_LEAVING_MS = 2000,
	CONN_OUT_KEPT_BYTES = 16 * 1024, /* of an idle connection, for its next answer */
};

struct conn {
	struct server *server;
	struct conn *previous, *next;
	struct bufferevent *bev; /* owned */
	struct event *timer;     /* owned, NULL until it is needed */
	uint64_t number;
	enum conn_phase phase;
	struct buf head; /* what request points into */
	struct buf body;
	struct http_request request;
	struct reply reply;
	struct buf out;  /* of a slow answer: the bytes that are to come */
	size_t out_from; /* what of it was sent */
	bool is_in_flight;
	bool is_half_closed; /* the client sends no more */
	bool is_reset;       /* close it by RST */
};

static void conn_advance(struct conn *conn);

uint64_t conn_number(const struct conn *conn)
{
	return conn->number;
}

static void conn_end_flight(struct conn *conn)
{
	if (conn->reply.in_flight)
		(*conn->reply.in_flight)--;
	conn->reply.in_flight = NULL;
	if (conn->is_in_flight)
		conn->server->stats.n_in_flight--;
	conn->is_in_flight = false;
}

void conn_close(struct conn *conn)
{
	struct server *server = conn->server;

	if (conn->phase == CONN_DEAD)
		return;
	conn_end_flight(conn);
	conn->phase = CONN_DEAD;
	if (conn->timer)
		event_del(conn->timer);
	bufferevent_disable(conn->bev, EV_READ | EV_WRITE);
	bufferevent_setcb(conn->bev, NULL, NULL, NULL, NULL);
	if (conn->previous)
		conn->previous->next = conn->next;
	else
		server->conns.first = conn->next;
	if (conn->next)
		conn->next->previous = conn->previous;
	conn->previous = NULL;
	conn->next = server->conns.dead;
	server->conns.dead = conn;
	event_active(server->reaper, EV_TIMEOUT, 0);
}

void conn_free_dead(struct server *server)
{
	struct conn *conn;

	while ((conn = server->conns.dead)) {
		server->conns.dead = conn->next;
		if (conn->is_reset) {
			struct linger linger = {.l_onoff = 1, .l_linger = 0};

			setsockopt(bufferevent_getfd(conn->bev), SOL_SOCKET, SO_LINGER, &linger,
			        sizeof(linger));
		}
		bufferevent_free(conn->bev);
		if (conn->timer)
			event_free(conn->timer);
		reply_deinit(&conn->reply);
		buf_deinit(&conn->head);
		buf_deinit(&conn->body);
		buf_deinit(&conn->out);
		free(conn);
		server_on_conn_closed(server);
	}
}

static void conn_arm(struct conn *conn, int64_t ms);

/*
 * Ends what was answered. Where the end of the connection is the end of the body, TLS says that it
 * is meant: without its close_notify a client would know that something is missing. A close() at
 * once would be a RST if the client has sent more than was read, and the RST may overtake the
 * answer in the client's kernel (RFC 9112, 9.6): so only our side is closed first.
 */
static void conn_leave(struct conn *conn)
{
	SSL *ssl = conn->server->tls ? bufferevent_openssl_get_ssl(conn->bev) : NULL;
	struct evbuffer *in = bufferevent_get_input(conn->bev);
	const struct reply *reply = &conn->reply;

	if (ssl && (reply->manner == REPLY_WHOLE || reply->framing == REPLY_CLOSED))
		SSL_shutdown(ssl);
	if (conn->is_half_closed || shutdown(bufferevent_getfd(conn->bev), SHUT_WR) < 0) {
		conn_close(conn);
		return;
	}
	conn->phase = CONN_LEAVING;
	evbuffer_drain(in, evbuffer_get_length(in));
	conn_arm(conn, CONN_LEAVING_MS);
}

void conn_flush(struct conn *conn)
{
	struct evbuffer *out = bufferevent_get_output(conn->bev);

	if (conn->phase != CONN_SENDING || conn->server->tls)
		return;
	bufferevent_disable(conn->bev, EV_WRITE);
	evbuffer_unfreeze(out, 1);
	evbuffer_write(out, bufferevent_getfd(conn->bev));
	evbuffer_freeze(out, 1);
}

struct conn *conn_next(struct server *server, struct conn *conn)
{
	return conn ? conn->next : server->conns.first;
}

static void conn_send_more(struct conn *conn)
{
	cleanup(buf_deinit) struct buf more = {0};

	reply_encode_more(&conn->reply, &more);
	bufferevent_write(conn->bev, more.data, more.len);
}

/* All that was written has left. */
static void conn_on_sent(struct bufferevent *bev, void *arg)
{
	struct conn *conn = arg;

	(void)bev;
	if (conn->phase != CONN_SENDING)
		return;
	if (conn->reply.interval_ms > 0 && conn->out_from < conn->out.len)
		return;
	if (conn->reply.manner == REPLY_ENDLESS_BODY ||
	        conn->reply.manner == REPLY_ENDLESS_HEADERS) {
		conn_send_more(conn);
		return;
	}
	conn_end_flight(conn);
	if (reply_closes(&conn->reply) || conn->is_half_closed) {
		conn_leave(conn);
		return;
	}
	conn->phase = CONN_HEAD;
	conn_advance(conn);
}

static void conn_send_byte(struct conn *conn)
{
	bufferevent_write(conn->bev, conn->out.data + conn->out_from, 1);
	conn->out_from++;
	if (conn->out_from < conn->out.len)
		conn_arm(conn, conn->reply.interval_ms);
}

static void conn_begin_sending(struct conn *conn)
{
	struct reply *reply = &conn->reply;

	conn->phase = CONN_SENDING;
	if (reply->manner == REPLY_RESET || reply->manner == REPLY_DROP) {
		conn->is_reset = reply->manner == REPLY_RESET;
		conn_close(conn);
		return;
	}
	if (reply->manner == REPLY_HANG) {
		conn->phase = CONN_HELD;
		return;
	}
	if (reply->interval_ms > 0) {
		conn_send_byte(conn);
		return;
	}
	bufferevent_write(conn->bev, conn->out.data, conn->out.len);
	if (conn->out.cap > CONN_OUT_KEPT_BYTES)
		buf_deinit(&conn->out);
}

static void conn_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;

	(void)fd;
	(void)what;
	if (conn->phase == CONN_WAITING)
		conn_begin_sending(conn);
	else if (conn->phase == CONN_SENDING)
		conn_send_byte(conn);
	else if (conn->phase == CONN_LEAVING)
		conn_close(conn);
}

static void conn_arm(struct conn *conn, int64_t ms)
{
	struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	if (!conn->timer)
		conn->timer = evtimer_new(conn->server->base, conn_on_timer, conn);
	if (!conn->timer || evtimer_add(conn->timer, &wait) < 0)
		conn_close(conn);
}

void conn_send(struct conn *conn, struct reply *reply)
{
	assert(conn->phase == CONN_ASKED);
	reply_deinit(&conn->reply);
	conn->reply = *reply;
	*reply = (struct reply){0};
	if (!conn->request.keep_alive)
		conn->reply.is_last = true;
	if (strcmp(conn->request.method ? conn->request.method : "", "HEAD") == 0)
		conn->reply.framing = REPLY_BARE;
	/* Before any delay: what the reply borrows may be gone by then. */
	buf_clear(&conn->out);
	conn->out_from = 0;
	reply_encode(&conn->reply, &conn->out);
	reply_deinit(&conn->reply);
	if (conn->reply.delay_ms > 0) {
		conn->phase = CONN_WAITING;
		conn_arm(conn, conn->reply.delay_ms);
		return;
	}
	conn_begin_sending(conn);
}

static void conn_refuse(struct conn *conn, int status)
{
	struct reply reply = {.status = status, .is_last = true};

	conn->server->stats.n_bad++;
	conn->request = (struct http_request){0};
	conn->phase = CONN_ASKED;
	conn_send(conn, &reply);
}

/* False if the head is not wholly here, or is refused. */
static bool conn_read_head(struct conn *conn, struct evbuffer *in)
{
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	size_t len = (size_t)end.pos + 4;
	int refusal;

	if (end.pos < 0 ? evbuffer_get_length(in) > HTTP_HEAD_MAX_BYTES
	                : len > HTTP_HEAD_MAX_BYTES) {
		conn_refuse(conn, 431);
		return false;
	}
	if (end.pos < 0)
		return false;
	buf_clear(&conn->head);
	buf_reserve(&conn->head, len);
	evbuffer_remove(in, conn->head.data, len);
	conn->head.len = len;
	conn->head.data[len] = '\0';
	refusal = http_request_parse(conn->head.data, len, &conn->request);
	if (refusal) {
		conn_refuse(conn, refusal);
		return false;
	}
	conn->phase = CONN_BODY;
	return true;
}

static bool conn_read_body(struct conn *conn, struct evbuffer *in)
{
	size_t len = conn->request.body_len;

	if (evbuffer_get_length(in) < len)
		return false;
	buf_clear(&conn->body);
	buf_reserve(&conn->body, len);
	evbuffer_remove(in, conn->body.data, len);
	conn->body.len = len;
	conn->body.data[len] = '\0';
	conn->request.body = conn->body.data;
	return true;
}

static void conn_advance(struct conn *conn)
{
	struct evbuffer *in = bufferevent_get_input(conn->bev);
	struct server_stats *stats = &conn->server->stats;

	if (conn->phase == CONN_HEAD && !conn_read_head(conn, in))
		return;
	if (conn->phase != CONN_BODY || !conn_read_body(conn, in))
		return;
	conn->phase = CONN_ASKED;
	conn->is_in_flight = true;
	stats->n_requests++;
	stats->n_in_flight++;
	if (stats->n_in_flight > stats->n_in_flight_max)
		stats->n_in_flight_max = stats->n_in_flight;
	conn->server->on_request(conn->server->arg, conn, &conn->request);
}

static void conn_on_readable(struct bufferevent *bev, void *arg)
{
	struct conn *conn = arg;
	struct evbuffer *in = bufferevent_get_input(bev);

	if (conn->phase == CONN_LEAVING)
		evbuffer_drain(in, evbuffer_get_length(in));
	else
		conn_advance(conn);
}

static void conn_on_event(struct bufferevent *bev, short what, void *arg)
{
	struct conn *conn = arg;
	bool is_answering = conn->phase == CONN_WAITING || conn->phase == CONN_SENDING;

	if (what & BEV_EVENT_CONNECTED)
		return;
	if ((what & BEV_EVENT_ERROR) && bufferevent_get_openssl_error(bev) != 0)
		conn->server->stats.n_tls_failures++;
	/* A client that has said all may still listen for its answer. */
	if ((what & BEV_EVENT_EOF) && is_answering) {
		conn->is_half_closed = true;
		return;
	}
	if ((what & BEV_EVENT_TIMEOUT) && (what & BEV_EVENT_READING) && is_answering) {
		bufferevent_enable(bev, EV_READ);
		return;
	}
	conn_close(conn);
}

static struct bufferevent *conn_bufferevent(struct server *server, int fd)
{
	struct bufferevent *bev;
	SSL *ssl;

	if (!server->tls)
		return bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
	ssl = SSL_new(server->tls);
	if (!ssl)
		return NULL;
	bev = bufferevent_openssl_socket_new(
	        server->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	if (!bev)
		SSL_free(ssl);
	else
		bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	return bev;
}

void conn_open(struct server *server, int fd)
{
	static const struct timeval idle = {.tv_sec = CONN_IDLE_S};
	struct bufferevent *bev = conn_bufferevent(server, fd);
	struct conn *conn;
	int yes = 1;

	if (!bev) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	conn = MEM_NEW(struct conn);
	*conn = (struct conn){.server = server,
	        .bev = bev,
	        .number = ++server->last_number,
	        .next = server->conns.first};
	if (conn->next)
		conn->next->previous = conn;
	server->conns.first = conn;
	server->stats.n_connections++;
	server->stats.n_open++;
	if (server->stats.n_open > server->stats.n_open_max)
		server->stats.n_open_max = server->stats.n_open;
	bufferevent_setcb(bev, conn_on_readable, conn_on_sent, conn_on_event, conn);
	bufferevent_setwatermark(bev, EV_READ, 0, HTTP_HEAD_MAX_BYTES + HTTP_BODY_MAX_BYTES + 1);
	bufferevent_set_timeouts(bev, &idle, &idle);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

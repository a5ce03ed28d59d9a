/*
 * One request of evhttp's, from its callback to the last byte of its answer.
 *
 *   NEW --reply--> gone           what evhttp still has to write is evhttp's alone
 *   NEW --hold--> HELD --reply--> gone
 *   NEW, HELD --begin--> STREAM --end--> gone
 *   HELD, STREAM: the peer leaves --> on_gone, gone
 *
 * The peer's leaving is seen by an event of our own: evhttp does not read while a request is held,
 * and enabling its bufferevent's EV_READ behind its back ends the process when one further byte
 * comes. The event reads nothing. It asks for EV_READ beside EV_CLOSED since libevent 2.1 makes a
 * reset connection (EPOLLERR: the peer left with unread bytes) ready for reading and writing only:
 * EV_CLOSED alone would not fire, and the loop would spin for ever. Where bytes wait that are
 * nobody's yet, EV_READ would spin as well; such a connection is looked at by the group's timer
 * instead. A half-close counts as leaving.
 *
 * evhttp frees its request together with the connection, but for one case: it found out by itself
 * while we were not done; then it has cut the request loose, which shows as a request without
 * connection, and the request is ours to free.
 */
#include "net/listen_private.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "util/mem.h"

enum listen_stage { LISTEN_NEW, LISTEN_HELD, LISTEN_STREAM };

struct listen_request {
	TAILQ_ENTRY(listen_request) link;
	struct listen *listen;       /* borrowed */
	struct evhttp_request *http; /* evhttp's; NULL = answered, a HEAD that asked for a stream */
	struct evhttp_connection *connection; /* evhttp's */
	enum listen_stage stage;
	enum evhttp_cmd_type command;
	struct listen_uri uri;
	listen_gone_fn *on_gone; /* of whoever left the callback with it unanswered */
	void *arg;
	struct event *watch; /* owned; NULL while NEW */
	char *body;          /* owned; NULL = not asked for yet */
};

static struct bufferevent *listen_request_bev(const struct listen_request *request)
{
	return evhttp_connection_get_bufferevent(request->connection);
}

/* Forgets it; evhttp's part is left as it is. */
static void listen_request_free(struct listen_request *request)
{
	TAILQ_REMOVE(&request->listen->requests, request, link);
	if (request->watch)
		event_free(request->watch);
	listen_uri_deinit(&request->uri);
	free(request->body);
	free(request);
}

/* As above, on a connection that lives on. */
static void listen_request_detach(struct listen_request *request)
{
	evhttp_connection_set_closecb(request->connection, NULL, NULL);
	listen_set_idle_timeouts(listen_request_bev(request));
	listen_request_free(request);
}

/* evhttp's close callback: the connection is about to be freed. */
static void listen_on_close(struct evhttp_connection *connection, void *arg)
{
	struct listen_request *request = arg;
	listen_gone_fn *on_gone = request->on_gone;
	void *on_gone_arg = request->arg;

	(void)connection;
	if (request->http && !evhttp_request_get_connection(request->http))
		evhttp_request_free(request->http);
	listen_request_free(request);
	on_gone(on_gone_arg);
}

static bool listen_request_is_left(const struct listen_request *request)
{
	struct pollfd fd = {
	        .fd = bufferevent_getfd(listen_request_bev(request)), .events = POLLRDHUP};

	/* Beside what is asked for it tells of POLLERR and POLLHUP alone. */
	return poll(&fd, 1, 0) > 0;
}

/* Fires once; if it was for bytes, listen_look_at_requests() goes on. */
static void listen_on_peer_event(evutil_socket_t fd, short what, void *arg)
{
	struct listen_request *request = arg;

	(void)fd;
	(void)what;
	if (listen_request_is_left(request))
		evhttp_connection_free(request->connection);
}

static struct listen_request *listen_find_left(const struct listen *listen)
{
	struct listen_request *request;

	TAILQ_FOREACH(request, &listen->requests, link)
	{
		if (request->watch && !event_pending(request->watch, EV_READ, NULL) &&
		        listen_request_is_left(request))
			return request;
	}
	return NULL;
}

void listen_look_at_requests(struct listen *listen)
{
	struct listen_request *request;

	/* From the front again: on_gone may have answered any other. */
	while ((request = listen_find_left(listen)))
		evhttp_connection_free(request->connection);
}

void listen_drop_requests(struct listen *listen)
{
	struct listen_request *request;

	while ((request = TAILQ_FIRST(&listen->requests))) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it left the list */
		listen_gone_fn *on_gone = request->on_gone;
		void *on_gone_arg = request->arg;

		listen_request_detach(request);
		on_gone(on_gone_arg);
	}
}

/* ---- a request comes ---- */

/* The whole answer is on its way: the connection waits for its next request. */
static void listen_on_answered(struct evhttp_request *http_request, void *arg)
{
	struct listen *listen = arg;
	struct evhttp_connection *connection = evhttp_request_get_connection(http_request);

	listen_group_mark(listen->group,
	        bufferevent_getfd(evhttp_connection_get_bufferevent(connection)), false);
}

/*
 * Bodies come with a Content-Length: evhttp's parser of chunks takes what is none. It has taken
 * this one already, within the cap on bodies; it goes no further.
 */
static bool listen_request_is_chunked(const struct listen_request *request)
{
	return listen_header(request, "Transfer-Encoding") != NULL;
}

void listen_on_request(struct evhttp_request *http_request, void *arg)
{
	static const char *const close_headers[] = {"Connection: close", NULL};
	struct listen *listen = arg;
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(http_request);
	const char *path = evhttp_uri_get_path(uri);
	struct listen_request *request = MEM_NEW(struct listen_request);

	request->listen = listen;
	request->http = http_request;
	request->connection = evhttp_request_get_connection(http_request);
	request->command = evhttp_request_get_command(http_request);
	listen_uri_init(&request->uri, path && *path ? path : "/", evhttp_uri_get_query(uri));
	TAILQ_INSERT_TAIL(&listen->requests, request, link);
	evhttp_connection_set_closecb(request->connection, listen_on_close, request);
	evhttp_request_set_on_complete_cb(http_request, listen_on_answered, listen);
	listen_group_mark(listen->group, bufferevent_getfd(listen_request_bev(request)), true);
	if (listen_request_is_chunked(request)) {
		static const char words[] = "a body needs a Content-Length\n";

		listen_reply(request, 411, "text/plain; charset=utf-8", words, sizeof(words) - 1,
		        close_headers);
		return;
	}
	listen->fn(listen->arg, request);
}

/* ---- what it asks ---- */

enum listen_method listen_method(const struct listen_request *request)
{
	switch (request->command) {
	case EVHTTP_REQ_GET:
		return LISTEN_GET;
	case EVHTTP_REQ_HEAD:
		return LISTEN_HEAD;
	case EVHTTP_REQ_POST:
		return LISTEN_POST;
	case EVHTTP_REQ_PUT:
		return LISTEN_PUT;
	case EVHTTP_REQ_DELETE:
		return LISTEN_DELETE;
	default:
		return LISTEN_OTHER;
	}
}

const char *listen_method_name(const struct listen_request *request)
{
	switch (request->command) {
	case EVHTTP_REQ_GET:
		return "GET";
	case EVHTTP_REQ_HEAD:
		return "HEAD";
	case EVHTTP_REQ_POST:
		return "POST";
	case EVHTTP_REQ_PUT:
		return "PUT";
	case EVHTTP_REQ_DELETE:
		return "DELETE";
	case EVHTTP_REQ_OPTIONS:
		return "OPTIONS";
	case EVHTTP_REQ_PATCH:
		return "PATCH";
	default:
		return "?";
	}
}

const char *listen_path(const struct listen_request *request)
{
	return request->uri.path;
}

const char *listen_path_segment(const struct listen_request *request, size_t i)
{
	return i < LISTEN_SEGMENTS_MAX ? request->uri.segments[i] : NULL;
}

size_t listen_path_segments(const struct listen_request *request)
{
	return request->uri.n_segments;
}

int listen_query_count(const struct listen_request *request)
{
	return request->uri.n_query;
}

const char *listen_query_name(const struct listen_request *request, size_t i)
{
	return (int)i < request->uri.n_query ? request->uri.query[i].name : NULL;
}

const char *listen_query_value(const struct listen_request *request, size_t i)
{
	return (int)i < request->uri.n_query ? request->uri.query[i].value : NULL;
}

const char *listen_query(const struct listen_request *request, const char *name)
{
	for (int i = 0; i < request->uri.n_query; i++) {
		if (strcmp(request->uri.query[i].name, name) == 0)
			return request->uri.query[i].value;
	}
	return NULL;
}

const char *listen_header(const struct listen_request *request, const char *name)
{
	if (!request->http)
		return NULL;
	return evhttp_find_header(evhttp_request_get_input_headers(request->http), name);
}

const char *listen_body(struct listen_request *request, size_t *len)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(request->http);

	*len = evbuffer_get_length(body);
	if (!request->body) {
		request->body = mem_new(*len + 1, 1);
		evbuffer_copyout(body, request->body, *len);
	}
	return request->body;
}

bool listen_peer(const struct listen_request *request, uid_t *uid, pid_t *pid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int fd = bufferevent_getfd(listen_request_bev(request));

	/* On other sockets the kernel says pid 0. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.pid <= 0)
		return false;
	*uid = peer.uid;
	*pid = peer.pid;
	return true;
}

/* ---- the answer ---- */

static void listen_add_header(struct listen_request *request, const char *name, const char *value)
{
	/* It refuses line breaks in values, which is the caller's bug. */
	int result =
	        evhttp_add_header(evhttp_request_get_output_headers(request->http), name, value);

	assert(result == 0);
	(void)result;
}

static void listen_add_extra_header(struct listen_request *request, const char *header)
{
	const char *colon = strchr(header, ':');
	cleanup(mem_free_p) char *name = NULL;

	assert(colon);
	name = mem_strndup(header, (size_t)(colon - header));
	listen_add_header(request, name, colon + 1 + strspn(colon + 1, " "));
}

/*
 * evhttp would say text/html where nothing is said. A stream's end is its connection's; and at the
 * cap a connection is worth more to the next client than to one that is idle.
 */
static void listen_add_headers(struct listen_request *request, int status, const char *content_type)
{
	if (status != 204 && status != 304)
		listen_add_header(request, "Content-Type",
		        content_type ? content_type : "application/octet-stream");
	if (request->stage == LISTEN_STREAM || listen_group_is_full(request->listen->group))
		listen_add_header(request, "Connection", "close");
}

static struct evbuffer *listen_buffer_of(const char *bytes, size_t len)
{
	struct evbuffer *buffer = mem_must(evbuffer_new());

	if (evbuffer_add(buffer, bytes, len) < 0)
		mem_exhausted();
	return buffer;
}

/* ---- large answers ---- */

static void listen_sending_free(struct listen_sending *sending)
{
	TAILQ_REMOVE(&sending->group->sendings, sending, link);
	sending->group->n_unsent -= sending->len;
	free(sending);
}

static void listen_on_sending_closed(struct evhttp_connection *connection, void *arg)
{
	(void)connection;
	listen_sending_free(arg);
}

static void listen_on_large_answered(struct evhttp_request *http_request, void *arg)
{
	struct listen_sending *sending = arg;

	evhttp_connection_set_closecb(evhttp_request_get_connection(http_request), NULL, NULL);
	listen_group_mark(sending->group, sending->fd, false);
	listen_sending_free(sending);
}

/* From here on the connection tells what becomes of the answer. */
static void listen_watch_sending(
        struct listen_group *group, struct evhttp_request *http, int fd, size_t len)
{
	struct listen_sending *sending = MEM_NEW(struct listen_sending);

	*sending = (struct listen_sending){
	        .group = group,
	        .fd = fd,
	        .len = len,
	        .since_mono_ms = loop_now(group->loop).mono_ms,
	};
	TAILQ_INSERT_TAIL(&group->sendings, sending, link);
	group->n_unsent += len;
	evhttp_connection_set_closecb(
	        evhttp_request_get_connection(http), listen_on_sending_closed, sending);
	evhttp_request_set_on_complete_cb(http, listen_on_large_answered, sending);
}

void listen_reply(struct listen_request *request, int status, const char *content_type,
        const char *body, size_t len, const char *const *extra_headers)
{
	struct evhttp_request *http = request->http;
	struct bufferevent *bev = listen_request_bev(request);
	struct listen_group *group = request->listen->group;
	struct evbuffer *buffer = NULL;
	char length[24];

	assert(request->stage != LISTEN_STREAM);
	listen_add_headers(request, status, content_type);
	for (size_t i = 0; extra_headers && extra_headers[i]; i++)
		listen_add_extra_header(request, extra_headers[i]);
	if (listen_method(request) == LISTEN_HEAD) {
		snprintf(length, sizeof(length), "%zu", len);
		listen_add_header(request, "Content-Length", length);
	} else if (len > 0 && status != 204 && status != 304) {
		buffer = listen_buffer_of(body, len);
	}
	listen_request_detach(request);
	if (buffer && len > LISTEN_LARGE_BYTES)
		listen_watch_sending(group, http, bufferevent_getfd(bev), len);
	evhttp_send_reply(http, status, NULL, buffer);
	/* evhttp would look for the end of input meanwhile, and cut the answer off there. It reads
	 * again when all is written. */
	bufferevent_disable(bev, EV_READ);
	if (buffer)
		evbuffer_free(buffer);
}

static void listen_request_watch(struct listen_request *request)
{
	struct event_base *base = loop_event_base(request->listen->group->loop);
	int fd = bufferevent_getfd(listen_request_bev(request));

	if (request->watch)
		return;
	request->watch =
	        mem_must(event_new(base, fd, EV_READ | EV_CLOSED, listen_on_peer_event, request));
	loop_event_add(request->watch, NULL);
}

void listen_defer(struct listen_request *request, listen_gone_fn *on_gone, void *arg)
{
	assert(request->stage == LISTEN_NEW);
	request->on_gone = on_gone;
	request->arg = arg;
}

void listen_hold(struct listen_request *request, listen_gone_fn *on_gone, void *arg)
{
	assert(request->stage == LISTEN_NEW);
	request->stage = LISTEN_HELD;
	request->on_gone = on_gone;
	request->arg = arg;
	bufferevent_set_timeouts(listen_request_bev(request), NULL, NULL);
	listen_request_watch(request);
}

/*
 * The time-out for writing stays: it runs only while something is unsent, and ends a reader that
 * takes nothing at all. That for reading would cut a stream that is merely quiet.
 *
 * A HEAD is answered whole here; its end is the close of the connection.
 */
void listen_stream_begin(struct listen_request *request, int status, const char *content_type,
        listen_gone_fn *on_gone, void *arg)
{
	struct bufferevent *bev = listen_request_bev(request);
	struct timeval stuck = {.tv_sec = LISTEN_IDLE_MS / 1000};
	bool is_head = listen_method(request) == LISTEN_HEAD;

	assert(request->stage != LISTEN_STREAM);
	request->stage = LISTEN_STREAM;
	request->on_gone = on_gone;
	request->arg = arg;
	listen_add_headers(request, status, content_type);
	bufferevent_set_timeouts(bev, NULL, &stuck);
	listen_request_watch(request);
	if (is_head) {
		struct evhttp_request *http = request->http;

		request->http = NULL;
		evhttp_send_reply(http, status, NULL, NULL);
	} else {
		evhttp_send_reply_start(request->http, status, NULL);
	}
}

bool listen_stream_add(struct listen_request *request, const char *bytes, size_t len)
{
	struct evbuffer *chunk;

	assert(request->stage == LISTEN_STREAM);
	if (!request->http || len == 0)
		return true;
	if (listen_stream_unsent(request) + len > LISTEN_QUEUE_MAX_BYTES)
		return false;
	chunk = listen_buffer_of(bytes, len);
	evhttp_send_reply_chunk(request->http, chunk);
	evbuffer_free(chunk);
	return true;
}

size_t listen_stream_unsent(const struct listen_request *request)
{
	return evbuffer_get_length(bufferevent_get_output(listen_request_bev(request)));
}

void listen_stream_end(struct listen_request *request)
{
	struct evhttp_request *http = request->http;

	assert(request->stage == LISTEN_STREAM);
	listen_request_detach(request);
	if (http)
		evhttp_send_reply_end(http);
}

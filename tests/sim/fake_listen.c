/*
 * net/listen.h without sockets: clients.c asks through fake_request_new(), and what the daemon
 * answers goes to the peer's functions at once. Unread bytes of a stream add up as they would in a
 * socket, so that slow readers are slow.
 */
#include "net/listen.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "evidence.h"
#include "fake.h"
#include "plant.h"
#include "util/mem.h"
#include "util/str.h"
#include "world.h"

enum { SEGMENTS_MAX = 16, LISTENERS_MAX = 4 };

TAILQ_HEAD(held, listen_request);

struct listen_group {
	struct loop *loop;
	size_t n_clients;
	int max_clients;
};

struct listen {
	struct listen_group *group;
	char *path;
	listen_request_fn *fn;
	void *arg;
	struct held held;
};

struct listen_request {
	TAILQ_ENTRY(listen_request) link;
	struct listen *listen;
	struct peer peer;
	char *method, *path, *pieces, *body;
	char *segments[SEGMENTS_MAX];
	size_t n_segments;
	char *names[LISTEN_QUERY_MAX], *values[LISTEN_QUERY_MAX];
	int n_query;
	const char *accept, *last_event_id;
	listen_gone_fn *on_gone;
	void *arg;
	size_t unsent;
	bool is_held, is_stream;
};

/* The doors of this process, of whichever group. */
static struct listen *doors[LISTENERS_MAX];

int listen_group_new(struct loop *loop, int max_clients, struct listen_group **out)
{
	struct listen_group *group = MEM_NEW(struct listen_group);

	group->loop = loop;
	group->max_clients = max_clients;
	*out = group;
	return 0;
}

struct listen_group *listen_group_free(struct listen_group *group)
{
	free(group);
	return NULL;
}

size_t listen_group_clients(const struct listen_group *group)
{
	return group->n_clients;
}

static struct listen *listen_new(
        struct listen_group *group, const char *path, listen_request_fn *fn, void *arg)
{
	struct listen *listen = MEM_NEW(struct listen);
	size_t i = 0;

	while (doors[i])
		i++;
	assert(i < LISTENERS_MAX);
	doors[i] = listen;
	listen->group = group;
	listen->path = mem_strdup(path);
	listen->fn = fn;
	listen->arg = arg;
	TAILQ_INIT(&listen->held);
	return listen;
}

int listen_unix_new(struct listen_group *group, const char *path, mode_t mode,
        listen_request_fn *fn, void *arg, struct listen **out, char *words, size_t size)
{
	if (path[0] != '/') {
		if (words)
			snprintf(words, size, "not absolute");
		return LISTEN_E_PATH;
	}
	assert(mode == 0660 || mode == 0600);
	*out = listen_new(group, path, fn, arg);
	return 0;
}

int listen_fd_new(
        struct listen_group *group, int fd, listen_request_fn *fn, void *arg, struct listen **out)
{
	char path[32];

	if (fd < 0)
		return -EINVAL;
	snprintf(path, sizeof(path), "/fd/%d", fd);
	*out = listen_new(group, path, fn, arg);
	return 0;
}

int listen_tcp_new(struct listen_group *group, const char *address, uint16_t port,
        listen_request_fn *fn, void *arg, struct listen **out)
{
	char path[64];

	snprintf(path, sizeof(path), "/tcp/%.40s:%u", address, port);
	*out = listen_new(group, path, fn, arg);
	return 0;
}

static void request_free(struct listen_request *request)
{
	if (request->is_held)
		TAILQ_REMOVE(&request->listen->held, request, link);
	request->listen->group->n_clients--;
	free(request->method);
	free(request->path);
	free(request->pieces);
	free(request->body);
	free(request);
}

struct listen *listen_free(struct listen *listen)
{
	struct listen_request *request;

	if (!listen)
		return NULL;
	while ((request = TAILQ_FIRST(&listen->held))) {
		struct peer peer = request->peer;

		request->on_gone(request->arg);
		request_free(request);
		peer.on_end(peer.arg);
	}
	for (size_t i = 0; i < LISTENERS_MAX; i++) {
		if (doors[i] == listen)
			doors[i] = NULL;
	}
	free(listen->path);
	free(listen);
	return NULL;
}

/* ---- asking ---- */

static struct listen *find_door(const char *name)
{
	for (size_t i = 0; i < LISTENERS_MAX; i++) {
		const char *path = doors[i] ? doors[i]->path : "";
		const char *slash = strrchr(path, '/');

		if (slash && strcmp(slash + 1, name) == 0)
			return doors[i];
	}
	return NULL;
}

static void cut(struct listen_request *request, const char *target)
{
	char *rest = request->pieces = mem_strdup(target), *query, *word;

	request->path = mem_strndup(target, strcspn(target, "?"));
	query = strchr(rest, '?');
	if (query)
		*query++ = '\0';
	while ((word = strsep(&rest, "/"))) {
		if (*word && request->n_segments < SEGMENTS_MAX)
			request->segments[request->n_segments++] = word;
	}
	while (query && (word = strsep(&query, "&"))) {
		char *value = strchr(word, '=');

		if (value)
			*value++ = '\0';
		request->names[request->n_query] = word;
		request->values[request->n_query++] = value;
	}
}

struct listen_request *fake_request_new(struct loop *loop, const char *door, const char *method,
        const char *target, const char *body, const struct peer *peer)
{
	struct listen *listen = find_door(door);
	struct listen_request *request;

	if (!listen || listen->group->loop != loop ||
	        listen->group->n_clients == (size_t)listen->group->max_clients)
		return NULL;
	world_step("before a request of a client's");
	request = MEM_NEW(struct listen_request);
	request->listen = listen;
	request->peer = *peer;
	request->method = mem_strdup(method);
	request->body = mem_strdup(body ? body : "");
	cut(request, target);
	listen->group->n_clients++;
	world->n_requests++;
	world_was_busy();
	return request;
}

void fake_request_begin(
        struct listen_request *request, const char *accept, const char *last_event_id)
{
	request->accept = accept;
	request->last_event_id = last_event_id;
	request->listen->fn(request->listen->arg, request);
}

void fake_request_leave(struct listen_request *request)
{
	listen_gone_fn *on_gone = request->on_gone;
	void *arg = request->arg;

	assert(request->is_held);
	request_free(request);
	on_gone(arg);
}

void fake_request_read(struct listen_request *request, size_t n)
{
	request->unsent -= n < request->unsent ? n : request->unsent;
}

/* ---- what the daemon looks at ---- */

enum listen_method listen_method(const struct listen_request *request)
{
	static const struct {
		const char *name;
		enum listen_method method;
	} methods[] = {{"GET", LISTEN_GET}, {"HEAD", LISTEN_HEAD}, {"POST", LISTEN_POST},
	        {"PUT", LISTEN_PUT}, {"DELETE", LISTEN_DELETE}};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (strcmp(request->method, methods[i].name) == 0)
			return methods[i].method;
	}
	return LISTEN_OTHER;
}

const char *listen_method_name(const struct listen_request *request)
{
	return request->method;
}

const char *listen_path(const struct listen_request *request)
{
	return request->path;
}

const char *listen_path_segment(const struct listen_request *request, size_t i)
{
	return i < request->n_segments ? request->segments[i] : NULL;
}

size_t listen_path_segments(const struct listen_request *request)
{
	return request->n_segments;
}

int listen_query_count(const struct listen_request *request)
{
	return request->n_query;
}

const char *listen_query_name(const struct listen_request *request, size_t i)
{
	return request->names[i];
}

const char *listen_query_value(const struct listen_request *request, size_t i)
{
	return request->values[i];
}

const char *listen_query(const struct listen_request *request, const char *name)
{
	for (int i = 0; i < request->n_query; i++) {
		if (strcmp(request->names[i], name) == 0)
			return request->values[i];
	}
	return NULL;
}

const char *listen_header(const struct listen_request *request, const char *name)
{
	if (strcasecmp(name, "Accept") == 0)
		return request->accept;
	return strcasecmp(name, "Last-Event-ID") == 0 ? request->last_event_id : NULL;
}

const char *listen_body(struct listen_request *request, size_t *len)
{
	*len = strlen(request->body);
	return request->body;
}

bool listen_peer(const struct listen_request *request, uid_t *uid, pid_t *pid)
{
	(void)request;
	*uid = getuid();
	*pid = getpid();
	return true;
}

/* ---- answers ---- */

void listen_reply(struct listen_request *request, int status, const char *content_type,
        const char *body, size_t len, const char *const *extra_headers)
{
	struct peer peer = request->peer;

	for (size_t i = 0; extra_headers && extra_headers[i]; i++)
		assert(strchr(extra_headers[i], ':'));
	assert(!request->is_stream && content_type && body);
	evidence_no_secret("an answer to a client", body, len);
	world_step("before an answer to a client");
	request_free(request);
	peer.on_reply(peer.arg, status, body, len);
	world_step("after an answer to a client");
}

size_t listen_group_unsent(const struct listen_group *group)
{
	(void)group;
	return 0;
}

static void hold(struct listen_request *request, listen_gone_fn *on_gone, void *arg)
{
	request->on_gone = on_gone;
	request->arg = arg;
	if (!request->is_held)
		TAILQ_INSERT_TAIL(&request->listen->held, request, link);
	request->is_held = true;
}

void listen_defer(struct listen_request *request, listen_gone_fn *on_gone, void *arg)
{
	hold(request, on_gone, arg);
}

void listen_hold(struct listen_request *request, listen_gone_fn *on_gone, void *arg)
{
	hold(request, on_gone, arg);
}

void listen_stream_begin(struct listen_request *request, int status, const char *content_type,
        listen_gone_fn *on_gone, void *arg)
{
	assert(status == 200 && content_type);
	hold(request, on_gone, arg);
	request->is_stream = true;
}

bool listen_stream_add(struct listen_request *request, const char *bytes, size_t len)
{
	int n = 1;

	assert(request->is_stream);
	size_t max = request->peer.queue_max ? request->peer.queue_max : LISTEN_QUEUE_MAX_BYTES;

	if (request->unsent > 0 && request->unsent + len > max)
		return false;
	if (plant_is(PLANT_STREAM_GAP) && world_chance(DICE_CLIENTS, 0.02))
		n = 0;
	if (plant_is(PLANT_STREAM_REPEATS) && world_chance(DICE_CLIENTS, 0.02))
		n = 2;
	request->unsent += len;
	evidence_no_secret("a stream", bytes, len);
	world_was_busy();
	while (n-- > 0)
		request->peer.on_chunk(request->peer.arg, bytes, len);
	world_step("after a piece of a stream");
	return true;
}

size_t listen_stream_unsent(const struct listen_request *request)
{
	return request->unsent;
}

void listen_stream_end(struct listen_request *request)
{
	struct peer peer = request->peer;

	assert(request->is_stream);
	request_free(request);
	peer.on_end(peer.arg);
}

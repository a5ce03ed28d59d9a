/*
 * The cap on connections that evhttp does not have.
 *
 * libevent 2.1 tells nobody of the end of a connection that never sent a request. So connections
 * are counted from outside: evhttp asks us for each connection's bufferevent, whose descriptor is
 * looked up right after, and the socket's SO_COOKIE (unique while the system runs) is noted under
 * that number. A connection lives for as long as its descriptor shows the same cookie. The count
 * is made anew when the cap is reached, and from time to time, which also finds those that take
 * for ever to send one request.
 *
 * At the cap all listeners of the group are switched off, and a listener whose accept() fails for
 * want of descriptors is: left on, they would spin. A timer tries again.
 */
#include "net/listen_private.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

#include "util/mem.h"

/* ---- who is connected ---- */

/* 0: no socket stands there. */
static uint64_t listen_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) < 0)
		return 0;
	return cookie;
}

static bool listen_client_is_there(const struct listen_group *group, size_t fd)
{
	uint64_t cookie = group->clients[fd].cookie;

	return cookie != 0 && listen_cookie((int)fd) == cookie;
}

static struct listen_client *listen_client_at(struct listen_group *group, int fd)
{
	size_t i = (size_t)fd;

	assert(fd >= 0);
	if (i >= group->n_slots) {
		size_t n = i < 64 ? 128 : i * 2;

		group->clients = mem_resize(group->clients, n, sizeof(*group->clients));
		memset(group->clients + group->n_slots, 0,
		        (n - group->n_slots) * sizeof(*group->clients));
		group->n_slots = n;
	}
	return &group->clients[i];
}

/* Looks up the descriptors of what was accepted since the last time. */
static void listen_group_adopt(struct listen_group *group)
{
	for (size_t i = 0; i < group->n_accepted; i++) {
		int fd = bufferevent_getfd(group->accepted[i]);
		struct listen_client *client = listen_client_at(group, fd);

		if (client->cookie == 0)
			group->n_clients++;
		*client = (struct listen_client){
		        .cookie = listen_cookie(fd),
		        .since_mono_ms = loop_now(group->loop).mono_ms,
		};
	}
	group->n_accepted = 0;
}

static void listen_group_on_accepted(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	listen_group_adopt(arg);
}

/* Counts anew, and hangs up on those whose request does not come to its end. */
static void listen_group_sweep(struct listen_group *group)
{
	int64_t now_mono_ms = loop_now(group->loop).mono_ms;

	for (size_t fd = 0; fd < group->n_slots; fd++) {
		struct listen_client *client = &group->clients[fd];

		if (client->cookie == 0)
			continue;
		if (!listen_client_is_there(group, fd)) {
			*client = (struct listen_client){0};
			group->n_clients--;
		} else if (!client->is_busy &&
		           now_mono_ms - client->since_mono_ms > LISTEN_REQUEST_MS) {
			/* evhttp sees the end of the stream and frees the connection. */
			shutdown((int)fd, SHUT_RDWR);
		}
	}
}

void listen_group_mark(struct listen_group *group, int fd, bool is_busy)
{
	struct listen_client *client;

	listen_group_adopt(group);
	client = listen_client_at(group, fd);
	client->is_busy = is_busy;
	client->since_mono_ms = loop_now(group->loop).mono_ms;
}

void listen_group_count(struct listen_group *group)
{
	listen_group_adopt(group);
	listen_group_sweep(group);
}

size_t listen_group_unsent(const struct listen_group *group)
{
	return group->n_unsent;
}

/* Whoever takes for ever to read holds back what others may be sent. */
static void listen_group_end_slow_readers(struct listen_group *group)
{
	int64_t now_mono_ms = loop_now(group->loop).mono_ms;
	struct listen_sending *sending;

	TAILQ_FOREACH(sending, &group->sendings, link)
	{
		if (now_mono_ms - sending->since_mono_ms <= LISTEN_SENDING_MS)
			break;
		shutdown(sending->fd, SHUT_RDWR);
	}
}

bool listen_group_is_full(const struct listen_group *group)
{
	return group->n_clients + group->n_accepted >= group->max_clients;
}

size_t listen_group_clients(const struct listen_group *group)
{
	size_t n = group->n_accepted;

	for (size_t fd = 0; fd < group->n_slots; fd++)
		n += listen_client_is_there(group, fd);
	return n;
}

/* ---- on and off ---- */

static void listen_group_set_accepting(struct listen_group *group, bool is_accepting)
{
	struct listen *listen;

	group->is_accepting = is_accepting;
	TAILQ_FOREACH(listen, &group->listens, link)
	{
		if (is_accepting)
			evconnlistener_enable(listen->listener);
		else
			evconnlistener_disable(listen->listener);
	}
}

void listen_group_set_timer(struct listen_group *group)
{
	int64_t wait_ms = group->is_accepting ? LISTEN_SWEEP_MS : LISTEN_RETRY_MS;

	loop_timer_set(group->timer, loop_now(group->loop).mono_ms + wait_ms);
}

static void listen_group_on_timer(void *arg)
{
	struct listen_group *group = arg;
	struct listen *listen;

	TAILQ_FOREACH(listen, &group->listens, link)
	listen_look_at_requests(listen);
	listen_group_end_slow_readers(group);
	listen_group_count(group);
	/* Also when it is on already: listen_on_accept_error() may have switched one off. */
	if (!listen_group_is_full(group))
		listen_group_set_accepting(group, true);
	if (!TAILQ_EMPTY(&group->listens))
		listen_group_set_timer(group);
}

static void listen_group_pause(struct listen_group *group)
{
	listen_group_set_accepting(group, false);
	listen_group_set_timer(group);
}

/*
 * accept() failed, EMFILE being the usual cause; the connection waits in the backlog until the
 * group's timer switches the listener on again. There is no way from here to the group: the
 * argument is evhttp's own, since a listener has one for both its callbacks.
 */
void listen_on_accept_error(struct evconnlistener *listener, void *arg)
{
	(void)arg;
	evconnlistener_disable(listener);
}

/*
 * evhttp asks for the bufferevent of a connection just accepted. The read mark bounds what a client
 * can have us keep that sends on while its request is being answered.
 */
struct bufferevent *listen_on_connection(struct event_base *base, void *arg)
{
	struct listen *listen = arg;
	struct listen_group *group = listen->group;
	struct bufferevent *bev = mem_must(bufferevent_socket_new(base, -1, 0));

	bufferevent_setwatermark(bev, EV_READ, 0, LISTEN_INPUT_MAX_BYTES);
	assert(group->n_accepted < group->max_clients);
	group->accepted[group->n_accepted++] = bev;
	event_active(group->accepted_event, EV_TIMEOUT, 0);
	if (listen_group_is_full(group)) {
		listen_group_sweep(group);
		if (listen_group_is_full(group))
			listen_group_pause(group);
	}
	return bev;
}

/* ---- the group ---- */

int listen_group_new(struct loop *loop, int max_clients, struct listen_group **out)
{
	struct listen_group *group = MEM_NEW(struct listen_group);

	group->loop = loop;
	group->max_clients = max_clients < 1 ? 1 : (size_t)max_clients;
	group->is_accepting = true;
	group->accepted = mem_new(group->max_clients, sizeof(struct bufferevent *));
	group->accepted_event =
	        mem_must(event_new(loop_event_base(loop), -1, 0, listen_group_on_accepted, group));
	group->timer = loop_timer_new(loop, listen_group_on_timer, group);
	TAILQ_INIT(&group->listens);
	TAILQ_INIT(&group->sendings);
	*out = group;
	return 0;
}

struct listen_group *listen_group_free(struct listen_group *group)
{
	if (!group)
		return NULL;
	assert(TAILQ_EMPTY(&group->listens) && TAILQ_EMPTY(&group->sendings));
	event_free(group->accepted_event);
	loop_timer_free(group->timer);
	free(group->accepted);
	free(group->clients);
	free(group);
	return NULL;
}

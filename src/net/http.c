/*
 * All hosts together: libcurl's global state, the events on its sockets, and the harvest.
 *
 * A descriptor belongs to one multi at a time, so the events stand in one table by descriptor; an
 * event is made once a number and then used again. libcurl's callbacks only arm events here; what
 * it did in a turn is looked at in http_harvest(), all at once.
 */
#include "net/http_private.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "util/mem.h"

static void http_on_socket_event(evutil_socket_t fd, short what, void *arg)
{
	struct http *http = arg;
	struct http_host *host = http->sockets[fd].host;
	int events = 0;

	assert(host);
	if (what & EV_READ)
		events |= CURL_CSELECT_IN;
	if (what & EV_WRITE)
		events |= CURL_CSELECT_OUT;
	http_host_act(host, fd, events);
}

static struct http_socket *http_socket_at(struct http *http, curl_socket_t fd)
{
	size_t i = (size_t)fd;

	if (i >= http->n_sockets) {
		size_t n = i < 64 ? 128 : i * 2;

		http->sockets = mem_resize(http->sockets, n, sizeof(*http->sockets));
		memset(http->sockets + http->n_sockets, 0,
		        (n - http->n_sockets) * sizeof(*http->sockets));
		http->n_sockets = n;
	}
	return &http->sockets[i];
}

static void http_socket_forget(struct http_socket *entry)
{
	if (!entry->host)
		return;
	event_del(entry->event);
	entry->host = NULL;
}

int http_on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	struct http_host *host = arg;
	struct http_socket *entry = http_socket_at(host->http, fd);
	struct event_base *base = loop_event_base(host->http->loop);
	short events = EV_PERSIST;

	(void)easy;
	(void)unused;
	http_socket_forget(entry);
	if (what == CURL_POLL_REMOVE)
		return 0;
	if (what & CURL_POLL_IN)
		events |= EV_READ;
	if (what & CURL_POLL_OUT)
		events |= EV_WRITE;
	if (!entry->event)
		entry->event =
		        mem_must(event_new(base, fd, events, http_on_socket_event, host->http));
	else
		event_assign(entry->event, base, fd, events, http_on_socket_event, host->http);
	entry->host = host;
	loop_event_add(entry->event, NULL);
	return 0;
}

void http_forget_sockets(struct http *http, const struct http_host *host)
{
	for (size_t i = 0; i < http->n_sockets; i++) {
		if (http->sockets[i].host == host)
			http_socket_forget(&http->sockets[i]);
	}
}

static void *http_memory_take(size_t size)
{
	return mem_must(malloc(size ? size : 1));
}

static void *http_memory_resize(void *old, size_t size)
{
	return mem_resize(old, 1, size);
}

/* libcurl's memory is had or ends the process, as ours: want of it leads onto paths that nobody
 * walks. libcurl 7.88.1 frees the name of a TLS session twice there (Curl_ssl_addsessionid()). */
static int http_global_init(void)
{
	CURLcode code = curl_global_init_mem(CURL_GLOBAL_DEFAULT, http_memory_take, free,
	        http_memory_resize, mem_strdup, mem_new);

	return code == CURLE_OK ? 0 : -ENOMEM;
}

int http_new(struct loop *loop, struct http **out)
{
	struct http *http;

	if (http_global_init() < 0)
		return -ENOMEM;
	http = MEM_NEW(struct http);
	http->loop = loop;
	TAILQ_INIT(&http->hosts);
	TAILQ_INIT(&http->touched);
	TAILQ_INIT(&http->ready);
	TAILQ_INIT(&http->spare);
	*out = http;
	return 0;
}

struct http *http_free(struct http *http)
{
	struct http_transfer *transfer;

	if (!http)
		return NULL;
	assert(TAILQ_EMPTY(&http->hosts));
	assert(TAILQ_EMPTY(&http->ready));
	for (size_t i = 0; i < http->n_sockets; i++) {
		if (http->sockets[i].event)
			event_free(http->sockets[i].event);
	}
	while ((transfer = TAILQ_FIRST(&http->spare))) {
		TAILQ_REMOVE(&http->spare, transfer, link);
		http_transfer_free(transfer);
	}
	free(http->sockets);
	free(http);
	curl_global_cleanup();
	return NULL;
}

/*
 * As many as are ready now, within the bound; one that a callback makes ready (a request that could
 * not be begun) may take the place of one that a callback cancelled, and the rest come in the next
 * turn.
 */
static size_t http_deliver(struct http *http)
{
	struct http_transfer *transfer;
	size_t n_ready = 0;
	size_t n = 0;

	TAILQ_FOREACH(transfer, &http->ready, link)
	n_ready++;
	while (n < n_ready && n < HTTP_HARVEST_MAX && (transfer = TAILQ_FIRST(&http->ready))) {
		TAILQ_REMOVE(&http->ready, transfer, link);
		transfer->host->n_ready--;
		http_transfer_deliver(transfer);
		http_transfer_give(http, transfer);
		n++;
	}
	if (n_ready > HTTP_HARVEST_MAX)
		loop_wake(http->loop);
	return n;
}

size_t http_harvest(struct http *http)
{
	struct http_host *host;

	while ((host = TAILQ_FIRST(&http->touched))) {
		TAILQ_REMOVE(&http->touched, host, touched_link);
		host->is_touched = false;
		http_host_drain(host);
	}
	return http_deliver(http);
}

void http_flush(struct http *http)
{
	struct http_host *host;

	TAILQ_FOREACH(host, &http->hosts, link)
	{
		if (host->has_launched)
			http_host_begin(host);
	}
}

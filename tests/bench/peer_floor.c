/*
 * The floor: what the mandated library costs by itself. libcurl's multi_socket interface over
 * libevent with the handles of net/http, to the option, and one request after another on each; the
 * body is dropped, nothing is decided, nothing is kept.
 *
 * Usage: peer_floor URL_PREFIX FIRST_ID N_IDS IN_FLIGHT WARM_MS MEASURED_MS [CA_FILE]
 *
 * Prints one line: requests, CPU microseconds and wall microseconds of the measured time.
 */
#include <event2/event.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "net/http_private.h"
#include "util/clock.h"
#include "util/mem.h"

struct floor_socket {
	struct event *event;
	bool is_watched;
};

struct floor {
	struct event_base *base;
	struct event *timer, *clock;
	CURLM *multi;
	struct floor_socket *sockets;
	size_t n_sockets;
	char **urls; /* all of them, made before the clock starts */
	size_t n_urls, next;
	size_t n_in_flight;
	uint64_t n_requests;
	bool is_acting, is_measuring;
	int64_t measured_ms;
	int64_t began_cpu_us, began_wall_us;
};

static int64_t cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000000) +
	       usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void add_next(struct floor *floor, CURL *easy)
{
	http_must(curl_easy_setopt(easy, CURLOPT_URL, floor->urls[floor->next]));
	floor->next = (floor->next + 1) % floor->n_urls;
	if (curl_multi_add_handle(floor->multi, easy) != CURLM_OK)
		abort();
}

static void act(struct floor *floor, curl_socket_t fd, int events)
{
	int n_running;

	floor->is_acting = true;
	curl_multi_socket_action(floor->multi, fd, events, &n_running);
	floor->is_acting = false;
}

/* All messages first, since removing a handle in between would walk libcurl's list again. */
static size_t harvest(struct floor *floor)
{
	CURL *done[HTTP_HOST_MAX_CONNECTIONS];
	CURLMsg *message;
	size_t n = 0;
	int n_left;

	while (n < floor->n_in_flight && (message = curl_multi_info_read(floor->multi, &n_left))) {
		if (message->data.result != CURLE_OK) {
			fprintf(stderr, "peer_floor: %s\n",
			        curl_easy_strerror(message->data.result));
			exit(1);
		}
		done[n++] = message->easy_handle;
	}
	for (size_t i = 0; i < n; i++) {
		long status = 0;

		curl_easy_getinfo(done[i], CURLINFO_RESPONSE_CODE, &status);
		if (status != 200) {
			fprintf(stderr, "peer_floor: HTTP %ld\n", status);
			exit(1);
		}
		curl_multi_remove_handle(floor->multi, done[i]);
		add_next(floor, done[i]);
	}
	floor->n_requests += n;
	/* At once, as net/http does: a connection that is taken again in one turn stays watched. */
	if (n > 0)
		act(floor, CURL_SOCKET_TIMEOUT, 0);
	return n;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	act(arg, fd,
	        (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static struct floor_socket *socket_at(struct floor *floor, curl_socket_t fd)
{
	while ((size_t)fd >= floor->n_sockets) {
		floor->sockets =
		        mem_resize(floor->sockets, floor->n_sockets + 1, sizeof(*floor->sockets));
		floor->sockets[floor->n_sockets++] = (struct floor_socket){0};
	}
	return &floor->sockets[fd];
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	struct floor *floor = arg;
	struct floor_socket *entry = socket_at(floor, fd);
	short events = EV_PERSIST;

	(void)easy;
	(void)unused;
	if (entry->is_watched)
		event_del(entry->event);
	entry->is_watched = what != CURL_POLL_REMOVE;
	if (!entry->is_watched)
		return 0;
	if (what & CURL_POLL_IN)
		events |= EV_READ;
	if (what & CURL_POLL_OUT)
		events |= EV_WRITE;
	if (!entry->event)
		entry->event = event_new(floor->base, fd, events, on_event, floor);
	else
		event_assign(entry->event, floor->base, fd, events, on_event, floor);
	event_add(entry->event, NULL);
	return 0;
}

static int on_set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct floor *floor = arg;
	struct timeval wait = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};

	(void)multi;
	if (timeout_ms < 0)
		event_del(floor->timer);
	else if (timeout_ms > 0 || floor->is_acting)
		event_add(floor->timer, &wait);
	return 0; /* 0 outside of libcurl's own work: harvest() goes on at once */
}

static size_t drop(char *bytes, size_t size, size_t n, void *arg)
{
	(void)bytes;
	(void)arg;
	return size * n;
}

/* The clock rings twice: the measured time begins, and ends. */
static void on_clock(evutil_socket_t fd, short what, void *arg)
{
	struct floor *floor = arg;
	struct timeval wait = {
	        .tv_sec = floor->measured_ms / 1000, .tv_usec = floor->measured_ms % 1000 * 1000};

	(void)fd;
	(void)what;
	if (!floor->is_measuring) {
		floor->is_measuring = true;
		floor->n_requests = 0;
		floor->began_cpu_us = cpu_us();
		floor->began_wall_us = clock_stopwatch_us();
		event_add(floor->clock, &wait);
		return;
	}
	printf("%" PRIu64 " %" PRId64 " %" PRId64 "\n", floor->n_requests,
	        cpu_us() - floor->began_cpu_us, clock_stopwatch_us() - floor->began_wall_us);
	exit(0);
}

/* The handle of net/http, without that one's callbacks. */
static CURL *new_easy(struct curl_slist *headers, const char *ca_file)
{
	CURL *easy = http_handle_new_bare(ca_file, NULL);

	http_must(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop));
	http_must(curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers));
	http_must(curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 30000L));
	http_must(curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 10000L));
	return easy;
}

static void set_up(struct floor *floor)
{
	struct event_config *config = event_config_new();

	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	floor->base = event_base_new_with_config(config);
	event_config_free(config);
	floor->timer = evtimer_new(floor->base, on_timeout, floor);
	floor->clock = evtimer_new(floor->base, on_clock, floor);
	floor->multi = curl_multi_init();
	curl_multi_setopt(floor->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(floor->multi, CURLMOPT_SOCKETDATA, floor);
	curl_multi_setopt(floor->multi, CURLMOPT_TIMERFUNCTION, on_set_timer);
	curl_multi_setopt(floor->multi, CURLMOPT_TIMERDATA, floor);
	curl_multi_setopt(floor->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	curl_multi_setopt(floor->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_HOST_MAX_CONNECTIONS);
	curl_multi_setopt(
	        floor->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HTTP_HOST_MAX_CONNECTIONS);
	curl_multi_setopt(
	        floor->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)HTTP_HOST_MAX_CONNECTIONS);
}

int main(int argc, char **argv)
{
	struct floor floor = {0};
	struct curl_slist *headers = NULL;

	if (argc < 7) {
		fprintf(stderr, "usage: peer_floor URL_PREFIX FIRST_ID N_IDS IN_FLIGHT WARM_MS "
		                "MEASURED_MS [CA_FILE]\n");
		return 2;
	}
	int64_t first = strtoll(argv[2], NULL, 10), warm_ms = strtoll(argv[5], NULL, 10);

	floor.n_urls = strtoul(argv[3], NULL, 10);
	floor.n_in_flight = strtoul(argv[4], NULL, 10);
	floor.measured_ms = strtoll(argv[6], NULL, 10);
	floor.urls = mem_new(floor.n_urls, sizeof(*floor.urls));
	for (size_t i = 0; i < floor.n_urls; i++)
		floor.urls[i] = mem_printf("%s%" PRId64, argv[1], first + (int64_t)i);
	headers = curl_slist_append(headers,
	        "Authorization: Zoho-oauthtoken 1000.0123456789abcdef0123456789abcdef."
	        "fedcba9876543210fedcba9876543210");
	headers = curl_slist_append(headers, "Accept: application/json");
	mallopt(M_TRIM_THRESHOLD, 8 * 1024 * 1024); /* as bulkwatchd does */
	curl_global_init(CURL_GLOBAL_DEFAULT);
	set_up(&floor);
	for (size_t i = 0; i < floor.n_in_flight; i++)
		add_next(&floor, new_easy(headers, argc > 7 ? argv[7] : NULL));
	act(&floor, CURL_SOCKET_TIMEOUT, 0);
	struct timeval wait = {.tv_sec = warm_ms / 1000, .tv_usec = warm_ms % 1000 * 1000};

	event_add(floor.clock, &wait);
	for (;;) {
		event_base_loop(floor.base, EVLOOP_ONCE);
		while (harvest(&floor) > 0)
			continue; /* some may have ended in the very call that began them */
	}
}

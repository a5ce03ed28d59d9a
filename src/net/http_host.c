/*
 * One API host: a libcurl multi of its own, so that no other host's connections, DNS or dead peers
 * are in its way; a queue of what is beyond the cap in flight; a pool of easy handles, as many as
 * ever flew at once.
 *
 * libcurl's own pending list stays empty: the cap here is also the multi's cap on connections.
 * Handles are taken from the multi only in http_host_drain() and http_cancel(), both outside every
 * callback of libcurl's.
 */
#include "net/http_private.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "util/mem.h"

/* ---- slots whose resolver may still be at work ---- */

static void http_host_linger(struct http_host *host)
{
	size_t last = (host->lingering_first + host->n_lingering) % host->max_in_flight;

	assert(host->n_lingering < host->max_in_flight);
	host->lingering_until_mono_ms[last] =
	        loop_now(host->http->loop).mono_ms + HTTP_RESOLVER_LINGERS_MS;
	host->n_lingering++;
}

static void http_host_expire_lingering(struct http_host *host)
{
	if (host->n_lingering == 0)
		return;
	while (host->n_lingering > 0 && host->lingering_until_mono_ms[host->lingering_first] <=
	                                        loop_now(host->http->loop).mono_ms) {
		host->lingering_first = (host->lingering_first + 1) % host->max_in_flight;
		host->n_lingering--;
	}
}

/* ---- sending ---- */

static void http_host_touch(struct http_host *host)
{
	if (host->is_touched)
		return;
	host->is_touched = true;
	TAILQ_INSERT_TAIL(&host->http->touched, host, touched_link);
}

/* From flying to ready. */
static void http_host_land(struct http_host *host, struct http_transfer *transfer, CURLcode result)
{
	http_transfer_finish(transfer, result);
	if (transfer->is_resolving && result != CURLE_COULDNT_RESOLVE_HOST)
		http_host_linger(host);
	http_transfer_release(transfer);
	TAILQ_REMOVE(&host->flying, transfer, link);
	host->n_flying--;
	TAILQ_INSERT_TAIL(&host->http->ready, transfer, link);
	transfer->is_ready = true;
	host->n_ready++;
}

/* The transfer is in the flying list. */
static void http_host_launch(struct http_host *host, struct http_transfer *transfer)
{
	http_transfer_prepare(transfer);
	if (curl_multi_add_handle(host->multi, transfer->easy) != CURLM_OK) {
		http_host_land(host, transfer, CURLE_FAILED_INIT);
		loop_wake(host->http->loop);
		return;
	}
	host->has_launched = true;
}

static void http_host_send_queued(struct http_host *host)
{
	struct http_transfer *transfer;

	http_host_expire_lingering(host);
	while (host->n_flying + host->n_lingering < host->max_in_flight &&
	        (transfer = TAILQ_FIRST(&host->queue))) {
		TAILQ_REMOVE(&host->queue, transfer, link);
		host->n_queued--;
		TAILQ_INSERT_TAIL(&host->flying, transfer, link);
		host->n_flying++;
		http_host_launch(host, transfer);
	}
	if (host->n_queued > 0 && host->n_lingering > 0)
		loop_timer_set(host->lingering_timer,
		        host->lingering_until_mono_ms[host->lingering_first]);
}

static void http_host_on_lingering(void *arg)
{
	http_host_send_queued(arg);
}

/* ---- libcurl at work ---- */

/* How many have not ended. */
static size_t http_host_run(struct http_host *host, curl_socket_t fd, int events)
{
	int n_running = 0;

	host->is_acting = true;
	if (curl_multi_socket_action(host->multi, fd, events, &n_running) == CURLM_OUT_OF_MEMORY)
		mem_exhausted();
	host->is_acting = false;
	http_host_touch(host);
	return (size_t)n_running;
}

void http_host_act(struct http_host *host, curl_socket_t fd, int events)
{
	http_host_run(host, fd, events);
}

void http_host_begin(struct http_host *host)
{
	host->has_launched = false;
	/* One that ended at once is harvested in the next turn, which must not wait then. */
	if (http_host_run(host, CURL_SOCKET_TIMEOUT, 0) < host->n_flying)
		loop_wake(host->http->loop);
}

static void http_host_on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct http_host *host = arg;

	(void)fd;
	(void)what;
	host->is_timer_active = false;
	http_host_act(host, CURL_SOCKET_TIMEOUT, 0);
}

/*
 * libcurl's timer callback: arms, nothing else. 0 means at once; within libcurl's own work it means
 * the next turn, lest libcurl and the loop play ball in this one for ever.
 */
static int http_host_on_set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct http_host *host = arg;
	struct timeval wait = {
	        .tv_sec = timeout_ms / 1000,
	        .tv_usec = timeout_ms % 1000 * 1000,
	};

	(void)multi;
	if (timeout_ms == 0 && !host->is_acting) {
		host->is_timer_active = true;
		event_active(host->timer, EV_TIMEOUT, 0);
		return 0;
	}
	/* An event that is active would run at once in spite of its new time. */
	if (timeout_ms < 0 || host->is_timer_active)
		event_del(host->timer);
	host->is_timer_active = false;
	if (timeout_ms >= 0)
		loop_event_add(host->timer, &wait);
	return 0;
}

struct http_done {
	struct http_transfer *transfer;
	CURLcode result;
};

/* All messages first, since removing a handle in between would walk libcurl's list again. */
static size_t http_host_take_messages(struct http_host *host, struct http_done *done)
{
	CURLMsg *message;
	int n_left;
	size_t n = 0;

	while (n < host->max_in_flight && (message = curl_multi_info_read(host->multi, &n_left))) {
		char *transfer = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
		done[n++] = (struct http_done){
		        .transfer = (struct http_transfer *)(void *)transfer,
		        .result = message->data.result,
		};
	}
	return n;
}

void http_host_drain(struct http_host *host)
{
	struct http_done done[HTTP_HOST_MAX_CONNECTIONS];
	size_t n = http_host_take_messages(host, done);

	for (size_t i = 0; i < n; i++) {
		struct http_transfer *transfer = done[i].transfer;

		curl_multi_remove_handle(host->multi, transfer->easy);
		if (http_transfer_retry(transfer, done[i].result)) {
			http_transfer_release(transfer);
			http_host_launch(host, transfer);
		} else {
			http_host_land(host, transfer, done[i].result);
		}
	}
	http_host_send_queued(host);
}

void http_host_count_sent(struct http_host *host)
{
	host->n_sent++;
}

/* ---- making and ending ---- */

/* Options that every libcurl knows: only memory can be missing. */
static void http_must_multi(CURLMcode result)
{
	if (result != CURLM_OK)
		mem_exhausted();
}

static void http_host_set_up_share(struct http_host *host)
{
	host->share = mem_must(curl_share_init());
	if (curl_share_setopt(host->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) !=
	        CURLSHE_OK)
		mem_exhausted();
}

static void http_host_set_up_multi(struct http_host *host)
{
	long n = (long)host->max_in_flight;

	host->multi = mem_must(curl_multi_init());
	http_must_multi(curl_multi_setopt(host->multi, CURLMOPT_SOCKETFUNCTION, http_on_socket));
	http_must_multi(curl_multi_setopt(host->multi, CURLMOPT_SOCKETDATA, host));
	http_must_multi(
	        curl_multi_setopt(host->multi, CURLMOPT_TIMERFUNCTION, http_host_on_set_timer));
	http_must_multi(curl_multi_setopt(host->multi, CURLMOPT_TIMERDATA, host));
	http_must_multi(curl_multi_setopt(host->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING));
	http_must_multi(curl_multi_setopt(host->multi, CURLMOPT_MAXCONNECTS, n));
	http_must_multi(curl_multi_setopt(host->multi, CURLMOPT_MAX_HOST_CONNECTIONS, n));
	http_must_multi(curl_multi_setopt(host->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, n));
}

int http_host_new(struct http *http, const char *base_url, const struct http_host_options *options,
        struct http_host **out)
{
	struct http_origin origin;
	struct http_host *host;
	int error;

	if (options->max_in_flight < 1 || options->max_in_flight > HTTP_HOST_MAX_CONNECTIONS)
		return -EINVAL;
	error = http_origin_init(&origin, base_url);
	if (error < 0)
		return error;
	host = MEM_NEW(struct http_host);
	host->http = http;
	host->origin = origin;
	host->ca_file = options->ca_file ? mem_strdup(options->ca_file) : NULL;
	host->max_in_flight = (size_t)options->max_in_flight;
	host->lingering_until_mono_ms = mem_new(host->max_in_flight, sizeof(int64_t));
	host->lingering_timer = loop_timer_new(http->loop, http_host_on_lingering, host);
	host->timer =
	        mem_must(evtimer_new(loop_event_base(http->loop), http_host_on_timeout, host));
	TAILQ_INIT(&host->queue);
	TAILQ_INIT(&host->flying);
	http_host_set_up_share(host);
	http_host_set_up_multi(host);
	TAILQ_INSERT_TAIL(&http->hosts, host, link);
	*out = host;
	return 0;
}

/* Takes the transfer out of whatever list it is in, and forgets it. */
static void http_host_drop(struct http_host *host, struct http_transfer *transfer)
{
	if (transfer->is_ready) {
		TAILQ_REMOVE(&host->http->ready, transfer, link);
		host->n_ready--;
	} else if (transfer->easy) {
		curl_multi_remove_handle(host->multi, transfer->easy);
		if (transfer->is_resolving)
			http_host_linger(host);
		http_transfer_release(transfer);
		TAILQ_REMOVE(&host->flying, transfer, link);
		host->n_flying--;
	} else {
		TAILQ_REMOVE(&host->queue, transfer, link);
		host->n_queued--;
	}
	http_transfer_give(host->http, transfer);
}

static void http_host_drop_all(struct http_host *host)
{
	struct http_transfer *transfer;
	struct http_transfer *next;

	while ((transfer = TAILQ_FIRST(&host->queue)))
		http_host_drop(host, transfer);
	while ((transfer = TAILQ_FIRST(&host->flying))) {
		transfer->is_resolving = false;
		http_host_drop(host, transfer);
	}
	for (transfer = TAILQ_FIRST(&host->http->ready); transfer; transfer = next) {
		next = TAILQ_NEXT(transfer, link);
		if (transfer->host == host)
			http_host_drop(host, transfer);
	}
}

struct http_host *http_host_free(struct http_host *host)
{
	struct http *http;

	if (!host)
		return NULL;
	http = host->http;
	assert(!host->is_acting);
	http_host_drop_all(host);
	/* It still calls back, to take its sockets out of the loop before it closes them. */
	curl_multi_cleanup(host->multi);
	curl_share_cleanup(host->share);
	http_forget_sockets(http, host);
	event_free(host->timer);
	loop_timer_free(host->lingering_timer);
	if (host->is_touched)
		TAILQ_REMOVE(&http->touched, host, touched_link);
	TAILQ_REMOVE(&http->hosts, host, link);
	http_origin_deinit(&host->origin);
	free(host->lingering_until_mono_ms);
	free(host->ca_file);
	free(host);
	return NULL;
}

/* ---- what callers ask for ---- */

int http_submit(struct http_host *host, const struct http_request *request, http_answer_fn *fn,
        void *arg, uint64_t owner)
{
	struct http_transfer *transfer;

	assert(request->timeout_ms > 0);
	if (!http_origin_has(&host->origin, request->url))
		return HTTP_E_BAD_REQUEST;
	if (host->n_queued >= HTTP_QUEUE_MAX)
		return -ENOBUFS;
	transfer = http_transfer_take(host->http, request);
	if (!transfer)
		return HTTP_E_BAD_REQUEST;
	transfer->host = host;
	transfer->fn = fn;
	transfer->arg = arg;
	transfer->owner = owner;
	TAILQ_INSERT_TAIL(&host->queue, transfer, link);
	host->n_queued++;
	http_host_send_queued(host);
	return 0;
}

static void http_cancel_in(
        struct http_host *host, struct http_transfers *list, const void *arg, uint64_t owner)
{
	struct http_transfer *next;

	for (struct http_transfer *transfer = TAILQ_FIRST(list); transfer; transfer = next) {
		next = TAILQ_NEXT(transfer, link);
		if (transfer->host == host && transfer->arg == arg && transfer->owner == owner)
			http_host_drop(host, transfer);
	}
}

void http_cancel(struct http_host *host, void *arg, uint64_t owner)
{
	http_cancel_in(host, &host->queue, arg, owner);
	http_cancel_in(host, &host->flying, arg, owner);
	http_cancel_in(host, &host->http->ready, arg, owner);
	http_host_send_queued(host);
}

size_t http_host_in_flight(const struct http_host *host)
{
	return host->n_flying + host->n_queued + host->n_ready;
}

uint64_t http_host_sent(const struct http_host *host)
{
	return host->n_sent;
}

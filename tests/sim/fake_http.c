/*
 * net/http.h against zoho.c, tokens.c and receivers.c: every request is judged when it goes out
 * (evidence.h) and answered after a while of virtual time.
 */
#include "net/http.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "evidence.h"
#include "fake.h"
#include "plant.h"
#include "receivers.h"
#include "tokens.h"
#include "util/mem.h"
#include "util/str.h"
#include "zoho.h"

TAILQ_HEAD(requests, request);

enum request_kind { REQUEST_POLL, REQUEST_ASK, REQUEST_CALL };

struct request {
	TAILQ_ENTRY(request) link;
	struct alarm alarm;
	struct http_host *host;
	http_answer_fn *fn;
	void *arg;
	uint64_t owner;
	enum request_kind kind;
	struct ask ask;   /* for a token */
	struct poll poll; /* of a job */
	int delivery;     /* of a webhook: index of the evidence */
	int64_t sent_mono_ms;
	struct zoho_saying saying;
};

struct http {
	struct loop *loop;
	struct requests ready;
	size_t n_hosts;
};

struct http_host {
	struct http *http;
	char *base_url;
	struct requests flying;
	size_t n_in_flight;
	uint64_t n_sent;
};

int http_new(struct loop *loop, struct http **out)
{
	struct http *http = MEM_NEW(struct http);

	http->loop = loop;
	TAILQ_INIT(&http->ready);
	*out = http;
	return 0;
}

struct http *http_free(struct http *http)
{
	assert(!http || (http->n_hosts == 0 && TAILQ_EMPTY(&http->ready)));
	free(http);
	return NULL;
}

int http_host_new(struct http *http, const char *base_url, const struct http_host_options *options,
        struct http_host **out)
{
	struct http_host *host = MEM_NEW(struct http_host);

	assert(options->max_in_flight >= 1 && options->max_in_flight <= HTTP_HOST_MAX_CONNECTIONS);
	host->http = http;
	host->base_url = mem_strdup(base_url);
	TAILQ_INIT(&host->flying);
	http->n_hosts++;
	*out = host;
	return 0;
}

static void request_free(struct request *request)
{
	fake_alarm_clear(request->host->http->loop, &request->alarm);
	request->host->n_in_flight--;
	zoho_saying_deinit(&request->saying);
	free(request);
}

/* Those that match, flying or ready. owner NULL = any. */
static void drop(struct http_host *host, const void *arg, const uint64_t *owner)
{
	struct requests *lists[] = {&host->flying, &host->http->ready};
	struct request *next;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		for (struct request *request = TAILQ_FIRST(lists[i]); request; request = next) {
			next = TAILQ_NEXT(request, link);
			if (request->host != host ||
			        (owner && (request->arg != arg || request->owner != *owner)))
				continue;
			TAILQ_REMOVE(lists[i], request, link);
			if (request->kind == REQUEST_ASK)
				tokens_cancel(&request->ask);
			request_free(request);
		}
	}
}

struct http_host *http_host_free(struct http_host *host)
{
	if (!host)
		return NULL;
	drop(host, NULL, NULL);
	host->http->n_hosts--;
	free(host->base_url);
	free(host);
	return NULL;
}

void http_cancel(struct http_host *host, void *arg, uint64_t owner)
{
	drop(host, arg, &owner);
}

size_t http_host_in_flight(const struct http_host *host)
{
	return host->n_in_flight;
}

uint64_t http_host_sent(const struct http_host *host)
{
	return host->n_sent;
}

static void on_time(void *arg)
{
	struct request *request = arg;

	TAILQ_REMOVE(&request->host->flying, request, link);
	TAILQ_INSERT_TAIL(&request->host->http->ready, request, link);
}

static bool is_fit(const struct http_host *host, const struct http_request *http_request)
{
	size_t len = strlen(host->base_url);

	for (size_t i = 0; i < HTTP_HEADERS_MAX && http_request->headers[i]; i++) {
		if (str_has_control(http_request->headers[i], strlen(http_request->headers[i])))
			return false;
	}
	return !str_has_control(http_request->url, strlen(http_request->url)) &&
	       strncmp(http_request->url, host->base_url, len) == 0 &&
	       http_request->url[len] == '/';
}

static enum request_kind kind_of(const struct http_request *http_request)
{
	if (receivers_is_call(http_request))
		return REQUEST_CALL;
	return tokens_is_ask(http_request) ? REQUEST_ASK : REQUEST_POLL;
}

/* Judges it, and decides what will be answered, and when. */
static void send(struct request *request, const struct http_request *http_request)
{
	struct zoho_saying *saying = &request->saying;
	int64_t timeout_ms = http_request->timeout_ms;

	request->kind = kind_of(http_request);
	switch (request->kind) {
	case REQUEST_CALL:
		request->delivery = evidence_call(http_request);
		receivers_say(world->deliveries[request->delivery].hook, timeout_ms, saying);
		break;
	case REQUEST_ASK:
		request->ask = tokens_ask(http_request);
		tokens_say(&request->ask, timeout_ms, saying);
		break;
	case REQUEST_POLL:
		request->poll = evidence_poll(http_request);
		zoho_say(&request->poll, timeout_ms, saying);
		evidence_sent(&request->poll, saying);
	}
	/* As a resolver or a connect that blocks. */
	if (plant_is(PLANT_BLOCKING) && saying->kind == OBSERVED_UNREACHABLE)
		world_advance_to(world->mono_ms + 10 * 1000);
	if (saying->after_ms > timeout_ms) {
		saying->after_ms = timeout_ms;
		saying->error = HTTP_E_TIMEOUT;
		saying->status = 0;
		saying->kind = OBSERVED_UNREACHABLE;
	}
}

int http_submit(struct http_host *host, const struct http_request *http_request, http_answer_fn *fn,
        void *arg, uint64_t owner)
{
	struct request *request;

	world_step("before a request");
	if (!is_fit(host, http_request))
		return HTTP_E_BAD_REQUEST;
	request = MEM_NEW(struct request);
	request->host = host;
	request->fn = fn;
	request->arg = arg;
	request->owner = owner;
	request->alarm.fn = on_time;
	request->alarm.arg = request;
	request->sent_mono_ms = world->mono_ms;
	send(request, http_request);
	TAILQ_INSERT_TAIL(&host->flying, request, link);
	host->n_in_flight++;
	host->n_sent++;
	fake_alarm_set(
	        host->http->loop, &request->alarm, world->mono_ms + request->saying.after_ms);
	world_step("after a request");
	return 0;
}

static void note_answer(const struct request *request)
{
	switch (request->kind) {
	case REQUEST_CALL:
		evidence_called(request->delivery, &request->saying);
		break;
	case REQUEST_ASK:
		tokens_answer(&request->ask, &request->saying);
		break;
	case REQUEST_POLL:
		evidence_answer(&request->poll, &request->saying);
	}
}

static void deliver(struct request *request)
{
	const struct zoho_saying *saying = &request->saying;
	/* What came of a body that is too large is given with the error. */
	bool has_body = !saying->error || saying->error == HTTP_E_TOO_LARGE;
	struct http_answer answer = {
	        .error = saying->error,
	        .message = saying->error ? "nobody answers" : "",
	        .status = saying->status,
	        .body = has_body ? buf_str(&saying->body) : "",
	        .len = has_body ? saying->body.len : 0,
	        .content_type = saying->error ? "" : saying->content_type,
	        .retry_after_s = has_body ? saying->retry_after_s : -1,
	        .credits_remaining = -1,
	        .date_wall_ms = -1,
	        .duration_ms = world->mono_ms - request->sent_mono_ms,
	        .headers = "",
	        .n_sent =
	                saying->error == HTTP_E_CONNECT || saying->error == HTTP_E_RESOLVE ? 0 : 1,
	};

	world_step("before an answer");
	note_answer(request);
	request->fn(request->arg, request->owner, &answer);
	world_step("after an answer");
}

void http_flush(struct http *http)
{
	(void)http; /* what was submitted has begun */
}

size_t http_harvest(struct http *http)
{
	struct requests batch = TAILQ_HEAD_INITIALIZER(batch);
	struct request *request;
	size_t n = 0;

	TAILQ_CONCAT(&batch, &http->ready, link);
	while ((request = TAILQ_FIRST(&batch))) {
		TAILQ_REMOVE(&batch, request, link);
		deliver(request);
		request_free(request);
		world_was_busy();
		n++;
	}
	return n;
}

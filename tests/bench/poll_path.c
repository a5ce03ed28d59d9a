/*
 * The daemon without a network, for counting the instructions of a poll: the whole of it but
 * net/http, in whose place this file answers every request in the turn in which it is made, and the
 * clock, which goes on by more than any wait with every turn: in each of them all jobs are due,
 * however busy the machine is. The same is asked and said in the same order at every run. Linked
 * with --wrap=clock_now.
 *
 * Usage: poll_path CONFIG KIND N: ends after N answers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "net/http.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/mem.h"

enum { ASKED_MAX = HTTP_HOST_MAX_CONNECTIONS, TURN_MS = 100 };

struct asked {
	http_answer_fn *fn;
	void *arg;
	uint64_t owner;
	char id[24];
};

struct http_host {
	size_t n_asked;
};

struct http {
	struct loop *loop;
};

static struct asked asked[ASKED_MAX];
static size_t n_asked;
static unsigned long n_answers, n_wanted, n_rounds;
static const char *kind;
static int64_t ahead_ms;

struct now __real_clock_now(void);
struct now __wrap_clock_now(void);

struct now __wrap_clock_now(void)
{
	struct now now = __real_clock_now();

	now.mono_ms += ahead_ms;
	now.wall_ms += ahead_ms;
	return now;
}

int http_new(struct loop *loop, struct http **out)
{
	*out = MEM_NEW(struct http);
	(*out)->loop = loop;
	return 0;
}

struct http *http_free(struct http *http)
{
	free(http);
	return NULL;
}

int http_host_new(struct http *http, const char *base_url, const struct http_host_options *options,
        struct http_host **out)
{
	(void)http;
	(void)base_url;
	(void)options;
	*out = MEM_NEW(struct http_host);
	return 0;
}

struct http_host *http_host_free(struct http_host *host)
{
	free(host);
	return NULL;
}

int http_submit(struct http_host *host, const struct http_request *request, http_answer_fn *fn,
        void *arg, uint64_t owner)
{
	struct asked *one = &asked[n_asked++];

	host->n_asked++;
	*one = (struct asked){.fn = fn, .arg = arg, .owner = owner};
	snprintf(one->id, sizeof(one->id), "%s", strrchr(request->url, '/') + 1);
	return 0;
}

void http_cancel(struct http_host *host, void *arg, uint64_t owner)
{
	(void)host;
	(void)arg;
	(void)owner;
}

size_t http_host_in_flight(const struct http_host *host)
{
	(void)host;
	return 0;
}

uint64_t http_host_sent(const struct http_host *host)
{
	return host->n_asked;
}

/* A reply of 1 KB: always the same; or with other white space each time; or of another state. */
static void say(const struct asked *one, struct buf *body)
{
	bool is_moving = strcmp(kind, "transition") == 0;

	buf_clear(body);
	buf_addf(body,
	        "{\"data\":[{\"id\":\"%s\",\"operation\":\"read\",\"state\":\"%s\",\"query\":{"
	        "\"module\":\"Contacts\",\"fields\":[\"Id\"",
	        one->id, is_moving && n_rounds % 2 ? "QUEUED" : "IN PROGRESS");
	for (int i = 0; i < 32; i++)
		buf_addf(body, ",\"Field_Number_%02d\"", i);
	buf_adds(body, "],\"page\":1},\"created_by\":{\"id\":\"3652397000000186017\",\"name\":"
	               "\"Patricia Boyle\"},\"created_time\":\"2019-04-01T14:22:04+05:30\"}]");
	if (strcmp(kind, "reworded") == 0)
		buf_addf(body, "%*s", 10 + (int)(n_rounds % 2), "");
	buf_addc(body, '}');
}

size_t http_harvest(struct http *http)
{
	static struct buf body;
	struct asked now[ASKED_MAX];
	size_t n = n_asked;

	(void)http;
	ahead_ms += TURN_MS;
	memcpy(now, asked, n * sizeof(*asked));
	n_asked = 0;
	n_rounds += n > 0;
	for (size_t i = 0; i < n; i++) {
		say(&now[i], &body);
		struct http_answer answer = {
		        .message = "",
		        .status = 200,
		        .body = buf_str(&body),
		        .len = body.len,
		        .content_type = "application/json;charset=UTF-8",
		        .retry_after_s = -1,
		        .credits_remaining = -1,
		        .duration_ms = 12,
		        .headers = "",
		        .was_reused = true,
		        .n_sent = 1,
		};

		now[i].fn(now[i].arg, now[i].owner, &answer);
		if (++n_answers == n_wanted)
			_exit(0);
	}
	return n;
}

void http_flush(struct http *http)
{
	if (n_asked > 0)
		loop_wake(http->loop);
}

int main(int argc, char **argv)
{
	struct daemon *daemon;

	if (argc != 4)
		return 2;
	kind = argv[2];
	n_wanted = strtoul(argv[3], NULL, 10);
	int code = daemon_new(argv[1], &daemon);

	return code ? code : daemon_run(daemon);
}

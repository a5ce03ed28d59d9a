/*
 * A loop with net/http on it, a server that misbehaves (rawserver.h) and one host that is it; the
 * answers are kept in the order in which they came.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/http.h"
#include "netkit.h"
#include "rawserver.h"

enum { HTTPKIT_ANSWERS_MAX = 64 };

struct httpkit_got {
	uint64_t owner;
	struct http_answer answer; /* with copies of its texts */
};

struct httpkit {
	struct netkit net;
	struct rawserver server;
	struct http_host *host; /* the server's; owned */
	char *base;             /* its URL; owned */
	size_t n;
	size_t until; /* of httpkit_has_answers() */
	struct httpkit_got got[HTTPKIT_ANSWERS_MAX];
	/* What a callback is to do, once. */
	struct http_host *submit_to, *free_host;
	bool does_cancel;
};

void httpkit_init(struct httpkit *kit);
void httpkit_init_with(struct httpkit *kit, int max_in_flight);
void httpkit_deinit(struct httpkit *kit);
/* Another host; the caller's. */
struct http_host *httpkit_host_new(struct httpkit *kit, const char *base, int max_in_flight);

/* The callback of every request of the kit; arg is the kit. */
void httpkit_on_answer(void *arg, uint64_t owner, const struct http_answer *answer);
/* Whether kit->until of them came; for netkit_run(). */
bool httpkit_has_answers(void *arg);

/* What http_submit() says. */
int httpkit_submit_to(struct httpkit *kit, struct http_host *host, const char *url,
        const char *header, int64_t timeout_ms, uint64_t owner);
/* A good request to the kit's own host. */
void httpkit_submit(struct httpkit *kit, const char *path, uint64_t owner);
/* One such request and its answer. */
const struct http_answer *httpkit_ask(struct httpkit *kit, const char *path);

/* What Zoho's servers say, by hand, sent once; body is borrowed. */
struct http_answer httpkit_json(int status, const char *body);

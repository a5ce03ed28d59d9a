/*
 * Webhooks: the event of a delivery as a POST over net/http, signed as "Standard Webhooks" wants
 * it, and what its answer means. One struct http_host an origin (scheme, host, port), shared by the
 * hooks that call it. For the files of daemon/hooks.
 *
 * A webhook's address may hold a secret in its path or query (that of a chat often does), so no
 * more than its origin is ever logged.
 */
#pragma once

#include "daemon/hooks_private.h"

/* Opens the hosts of all configured webhooks; closes those that nobody calls any more and that have
 * nothing in flight. Part of hooks_apply. */
void webhooks_apply(struct hooks *hooks);
/* What is in flight is dropped without telling. */
void webhooks_deinit(struct hooks *hooks);

struct webhook_message {
	const char *event_id;
	const char *body; /* borrowed: one CloudEvents object */
	size_t body_len;
	bool is_test;
};

enum { WEBHOOK_HEADERS_MAX = 5 };

/* What was sent beside the body: "Name: value", owned, in order. */
struct webhook_headers {
	char *lines[WEBHOOK_HEADERS_MAX + 1]; /* ended by NULL */
	size_t n;
};
void webhook_headers_deinit(struct webhook_headers *headers);

/*
 * Sends it. 0: fn is called once, from http_harvest(), unless hooks are freed before. -1: it was
 * not sent, and words tells why (a secret that cannot be read, a queue that is full). headers is
 * filled in any case; the caller ends it.
 */
int webhook_send(struct hooks *hooks, struct hook *hook, const struct webhook_message *message,
        http_answer_fn *fn, void *arg, uint64_t owner, struct webhook_headers *headers,
        struct buf *words);

/* What an answer comes to; the output is borrowed from it. */
struct webhook_result {
	enum attempt_end end;
	int code; /* HTTP status; 0 = none came */
	bool is_delivered;
	bool is_permanent;      /* 410: never again */
	bool is_hold;           /* it wants no other request before retry_after_ms either */
	int64_t retry_after_ms; /* 0 = not said */
	const char *output;     /* the first 64 KiB of the body, or the words of a failure */
	size_t output_len;
};
struct webhook_result webhook_result_of(const struct http_answer *answer);

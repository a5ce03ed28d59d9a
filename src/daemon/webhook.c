#include "daemon/webhook.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "util/err.h"
#include "util/log.h"
#include "util/mem.h"
#include "wire/sign.h"

enum { HTTP_GONE = 410, HTTP_TOO_MANY_REQUESTS = 429, HTTP_UNAVAILABLE = 503 };

/* ---- origins ---- */

static size_t origin_len(const char *url)
{
	const char *authority = strstr(url, "://") + 3;

	return (size_t)(authority - url) + strcspn(authority, "/?");
}

static struct webhook_origin *find_or_open(struct hooks *hooks, const char *url)
{
	cleanup(mem_free_p) char *base = mem_strndup(url, origin_len(url));
	struct http_host_options options = {.max_in_flight = HOOK_RUNNING_MAX};
	struct http_host *host = NULL;

	for (size_t i = 0; i < hooks->n_origins; i++) {
		if (strcmp(hooks->origins[i]->base, base) == 0)
			return hooks->origins[i];
	}
	int r = http_host_new(hooks->http, base, &options, &host);

	/* The configuration lets nothing else through. */
	if (r < 0)
		log_error("webhooks to %s cannot be called: %s", base, err_text(r));
	struct webhook_origin *origin = MEM_NEW(struct webhook_origin);

	origin->base = mem_strdup(base);
	origin->host = host;
	hooks->origins = mem_resize(hooks->origins, hooks->n_origins + 1, sizeof(*hooks->origins));
	hooks->origins[hooks->n_origins++] = origin;
	return origin;
}

static void origin_free(struct webhook_origin *origin)
{
	http_host_free(origin->host);
	free(origin->base);
	free(origin);
}

static void close_unused(struct hooks *hooks)
{
	size_t n = 0;

	for (size_t i = 0; i < hooks->n_origins; i++) {
		struct webhook_origin *origin = hooks->origins[i];

		if (origin->n_hooks > 0 || (origin->host && http_host_in_flight(origin->host) > 0))
			hooks->origins[n++] = origin;
		else
			origin_free(origin);
	}
	hooks->n_origins = n;
}

void webhooks_apply(struct hooks *hooks)
{
	for (size_t i = 0; i < hooks->n_origins; i++)
		hooks->origins[i]->n_hooks = 0;
	for (size_t i = 0; i < hooks->n_hooks; i++) {
		struct hook *hook = hooks->hooks[i];

		hook->origin = NULL;
		if (!hook->is_configured || !hook->config.url)
			continue;
		hook->origin = find_or_open(hooks, hook->config.url);
		hook->origin->n_hooks++;
	}
	close_unused(hooks);
}

void webhooks_deinit(struct hooks *hooks)
{
	for (size_t i = 0; i < hooks->n_origins; i++)
		origin_free(hooks->origins[i]);
	free(hooks->origins);
	hooks->origins = NULL;
	hooks->n_origins = 0;
}

/* ---- sending ---- */

static void add_header(struct webhook_headers *headers, const char *name, const char *value)
{
	headers->lines[headers->n++] = mem_printf("%s: %s", name, value);
}

void webhook_headers_deinit(struct webhook_headers *headers)
{
	for (size_t i = 0; i < headers->n; i++)
		free(headers->lines[i]);
	*headers = (struct webhook_headers){0};
}

/* Empty if the hook has no secret; -1 if it has one that cannot be used. */
static int sign(struct hook *hook, const struct webhook_message *message, const char *timestamp,
        struct buf *signature, struct buf *words)
{
	if (!hook->secret.path)
		return 0;
	cleanup(mem_free_p) char *whose = mem_printf("hook %s", hook->name);

	secret_refresh(&hook->secret, whose);
	if (!hook->secret.text) {
		buf_addf(words, "the secret cannot be read: %s", hook->secret.problem);
		return -1;
	}
	enum credential_error error = sign_webhook(hook->secret.text, message->event_id, timestamp,
	        message->body, message->body_len, signature);

	if (error != CREDENTIAL_OK)
		buf_addf(words, "the secret cannot be used: %s %s", hook->secret.path,
		        credential_error_words(error));
	return error == CREDENTIAL_OK ? 0 : -1;
}

static int submit(struct hooks *hooks, const struct hook *hook,
        const struct webhook_message *message, const struct webhook_headers *headers,
        http_answer_fn *fn, void *arg, uint64_t owner)
{
	struct http_request request = {
	        .url = hook->config.url,
	        .post_body = message->body,
	        .post_len = message->body_len,
	        .timeout_ms = hook->config.timeout_ms < HOOK_WEBHOOK_TIMEOUT_MS
	                              ? hook->config.timeout_ms
	                              : HOOK_WEBHOOK_TIMEOUT_MS,
	};

	for (size_t i = 0; i < headers->n; i++)
		request.headers[i] = headers->lines[i];
	if (!hook->origin || !hook->origin->host)
		return -1;
	int r = http_submit(hook->origin->host, &request, fn, arg, owner);

	if (r == 0)
		loop_wake(hooks->loop);
	return r ? -1 : 0;
}

int webhook_send(struct hooks *hooks, struct hook *hook, const struct webhook_message *message,
        http_answer_fn *fn, void *arg, uint64_t owner, struct webhook_headers *headers,
        struct buf *words)
{
	cleanup(mem_free_p) char *timestamp =
	        mem_printf("%" PRId64, loop_now(hooks->loop).wall_ms / 1000);
	cleanup(buf_deinit) struct buf signature = {0};

	*headers = (struct webhook_headers){0};
	add_header(headers, "content-type", "application/cloudevents+json");
	add_header(headers, "webhook-id", message->event_id);
	add_header(headers, "webhook-timestamp", timestamp);
	if (sign(hook, message, timestamp, &signature, words) < 0)
		return -1;
	if (signature.len > 0)
		add_header(headers, "webhook-signature", buf_str(&signature));
	if (message->is_test)
		add_header(headers, "bulkwatch-test", "1");
	if (submit(hooks, hook, message, headers, fn, arg, owner) < 0) {
		buf_adds(words, "the request cannot be sent");
		return -1;
	}
	return 0;
}

/* ---- what comes back ---- */

/* Whatever a server says of its own accord is taken in bounds (RFC 9110, 10.2.3). */
static int64_t retry_after_ms(const struct http_answer *answer)
{
	int64_t s = answer->retry_after_s;

	if (s < 0)
		return 0;
	return s > HOOK_RETRY_AFTER_MAX_MS / 1000 ? HOOK_RETRY_AFTER_MAX_MS : s * 1000;
}

struct webhook_result webhook_result_of(const struct http_answer *answer)
{
	/* More than we want to read is an answer all the same: its status stands. */
	bool is_answered =
	        answer->error == HTTP_OK || (answer->error == HTTP_E_TOO_LARGE && answer->len > 0);
	int status = is_answered ? answer->status : 0;
	struct webhook_result result = {
	        .end = answer->error == HTTP_E_TIMEOUT ? ATTEMPT_TIMED_OUT : ATTEMPT_HTTP,
	        .code = status,
	        .is_delivered = status >= 200 && status <= 299,
	        .is_permanent = status == HTTP_GONE,
	        .output = is_answered ? answer->body : answer->message,
	};

	result.output_len = is_answered ? answer->len : strlen(answer->message);
	if (result.output_len > CHILD_OUTPUT_MAX_BYTES)
		result.output_len = CHILD_OUTPUT_MAX_BYTES;
	if (is_answered && !result.is_delivered)
		result.retry_after_ms = retry_after_ms(answer);
	result.is_hold = result.retry_after_ms > 0 &&
	                 (status == HTTP_TOO_MANY_REQUESTS || status == HTTP_UNAVAILABLE);
	return result;
}

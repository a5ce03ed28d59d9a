/* Webhooks: is this call allowed, now, and is it what its receiver can trust? */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "evidence.h"
#include "receivers.h"
#include "util/mem.h"
#include "util/str.h"

enum { TIMESTAMP_SLACK_S = 2 };

/* A call as its receiver reads it; borrowed. */
struct call {
	const struct http_request *request;
	const char *content_type, *id, *timestamp, *signature; /* NULL = not there */
};

static void read_header(struct call *call, const char *line)
{
	const struct {
		const char *name, **value;
	} known[] = {
	        {"content-type: ", &call->content_type},
	        {"webhook-id: ", &call->id},
	        {"webhook-timestamp: ", &call->timestamp},
	        {"webhook-signature: ", &call->signature},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (!str_has_prefix(line, known[i].name) || *known[i].value)
			continue;
		*known[i].value = line + strlen(known[i].name);
		evidence_no_secret("a header of a call", line, strlen(line));
		return;
	}
	world_fail("a receiver is called with the header \"%s\"", line);
}

static struct call read_call(const struct http_request *request)
{
	struct call call = {.request = request};

	for (size_t i = 0; i < HTTP_HEADERS_MAX && request->headers[i]; i++)
		read_header(&call, request->headers[i]);
	if (!call.content_type || strcmp(call.content_type, "application/cloudevents+json") != 0 ||
	        !call.id || !call.timestamp || !request->post_body)
		world_fail("a receiver is called without body, id, time or type");
	return call;
}

static void judge_address(const struct http_request *request, int number)
{
	cleanup(mem_free_p) char *url = receivers_url(number, world->variant);
	const struct world_hook *hook = &world->hooks[number];
	int64_t timeout_ms = hook->timeout_ms < HOOK_WEBHOOK_TIMEOUT_MS ? hook->timeout_ms
	                                                                : HOOK_WEBHOOK_TIMEOUT_MS;

	if (!hook->is_webhook)
		world_fail("hook %s is a program, yet it calls", hook->name);
	if (strcmp(request->url, url) != 0)
		world_fail("hook %s calls another address than its own", hook->name);
	if (request->timeout_ms != timeout_ms)
		world_fail("hook %s gives its receiver %" PRId64 " ms", hook->name,
		        request->timeout_ms);
}

static void judge_time(const struct call *call, int hook)
{
	int64_t timestamp;

	if (str_to_int(call->timestamp, 1, INT64_MAX, &timestamp) != 0 ||
	        llabs(world->wall_ms / 1000 - timestamp) > TIMESTAMP_SLACK_S)
		world_fail("hook %s calls at %" PRId64 ", and says that it is %s",
		        world->hooks[hook].name, world->wall_ms / 1000, call->timestamp);
}

static void judge_signature(const struct call *call, int number)
{
	const struct world_hook *hook = &world->hooks[number];
	cleanup(buf_deinit) struct buf expected = {0};

	if (!hook->is_signed) {
		if (call->signature)
			world_fail("hook %s has no key, yet signs", hook->name);
		return;
	}
	if (!call->signature)
		world_fail("a call of hook %s goes out unsigned", hook->name);
	if (hook->is_key_spoilt)
		world_fail("hook %s signs with a key that is of no use", hook->name);
	receivers_sign(number, call->id, call->timestamp, call->request->post_body,
	        call->request->post_len, &expected);
	if (strcmp(buf_str(&expected), call->signature) != 0)
		world_fail("a call of hook %s is not signed as it should be", hook->name);
}

/* "0123456789abcdef-17", of this database. */
static int64_t read_seq(const char *id)
{
	size_t len = strlen(world->instance);
	int64_t seq;

	if (strncmp(id, world->instance, len) != 0 || id[len] != '-' ||
	        str_to_int(id + len + 1, 1, INT64_MAX, &seq) != 0)
		world_fail("a receiver is called with the id %s", id);
	return seq;
}

/* A program is told in its environment; here all is in the body. */
static void judge_body(const struct call *call, const struct seen_delivery *delivery)
{
	const struct seen_event *event = &world->events[delivery->seq];
	const char *type = event_type_name((enum event_type)event->type);
	const char *account = event->account < 0 ? "" : world->accounts[event->account].name;
	cleanup(mem_free_p) char *type_text = mem_printf("\"type\":\"bulkwatch.%s\"", type);
	cleanup(mem_free_p) char *subject =
	        event->job < 0
	                ? mem_printf("\"subject\":\"%s\"", account)
	                : mem_printf("\"subject\":\"%s/%s\"", account, world->jobs[event->job].id);

	if (!strstr(call->request->post_body, type_text))
		world_fail("event %d reaches a receiver without %s", delivery->seq, type_text);
	if (!strstr(call->request->post_body, subject))
		world_fail("event %d reaches a receiver without %s", delivery->seq, subject);
}

/* Those who said Retry-After are left alone for so long, but for what was on its way already. */
static void judge_patience(const struct seen_delivery *delivery)
{
	const struct world_hook *hook = &world->hooks[delivery->hook];
	int64_t until = delivery->not_before_mono_ms;

	if (hook->held_turn != world->turn && hook->held_until_mono_ms > until)
		until = hook->held_until_mono_ms;
	if (world->mono_ms < until - TURN_MAX_MS)
		world_fail("hook %s was told to wait, yet calls %" PRId64 " s too soon", hook->name,
		        (until - world->mono_ms) / 1000);
}

/* The id in the header is not looked up before the one in the body is known to be the same. */
static void judge_id(const struct call *call)
{
	cleanup(mem_free_p) char *quoted = mem_printf("\"id\":\"%s\"", call->id);

	if (!strstr(call->request->post_body, quoted))
		world_fail("an event reaches a receiver under the id %s, and its body under "
		           "another",
		        call->id);
}

int evidence_call(const struct http_request *request)
{
	struct call call = read_call(request);
	struct given given = {
	        .to = "receiver",
	        .hook = receivers_hook_of(request->url),
	        .seq = read_seq(call.id),
	        .id = call.id,
	        .input = request->post_body,
	        .input_len = request->post_len,
	};

	if (given.hook < 0)
		world_fail("a call for a hook that never was");
	judge_address(request, given.hook);
	judge_id(&call);
	judge_time(&call, given.hook);
	judge_signature(&call, given.hook);
	struct seen_delivery *delivery = evidence_give(&given);

	judge_body(&call, delivery);
	judge_patience(delivery);
	delivery->n_started++;
	world->n_runs++;
	world_was_busy();
	return (int)(delivery - world->deliveries);
}

/* How long the receiver wants to be left alone; 0 = not said. */
static int64_t wait_ms(const struct zoho_saying *saying)
{
	return saying->retry_after_s > 0 ? saying->retry_after_s * 1000 : 0;
}

void evidence_called(int index, const struct zoho_saying *saying)
{
	struct seen_delivery *delivery = &world->deliveries[index];
	struct world_hook *hook = &world->hooks[delivery->hook];
	bool is_answered = saying->error == HTTP_OK ||
	                   (saying->error == HTTP_E_TOO_LARGE && saying->body.len > 0);
	bool is_good = is_answered && saying->status >= 200 && saying->status <= 299;

	evidence_given(delivery, is_good, is_answered && saying->status == 410);
	delivery->not_before_mono_ms = 0;
	if (!is_answered || is_good || wait_ms(saying) == 0)
		return;
	delivery->not_before_mono_ms = world->mono_ms + wait_ms(saying);
	if (saying->status != 429 && saying->status != 503)
		return;
	hook->held_until_mono_ms = hook->quiet_until_mono_ms = delivery->not_before_mono_ms;
	hook->held_turn = world->turn;
}

void evidence_retry(struct seen_delivery *delivery)
{
	delivery->may_be_retried = true;
	delivery->not_before_mono_ms = 0;
	world->hooks[delivery->hook].held_until_mono_ms = 0;
}

/* What one receiver said does not count for another; a hook that is away may be forgotten. */
void evidence_reload_hooks(int from, int to)
{
	for (size_t i = 0; i < world->n_hooks; i++) {
		struct world_hook *hook = &world->hooks[i];

		if (((hook->moved_in >> from ^ hook->moved_in >> to) & 1) ||
		        (hook->absent_in >> to & 1))
			hook->held_until_mono_ms = 0;
		evidence_due_reload(hook, from, to);
	}
}

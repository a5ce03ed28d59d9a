/*
 * Any bytes as what a webhook's server answers: through libcurl, net/http and the judgement of
 * daemon/webhook. The first byte says how they come; the rest is up to three answers, to the
 * requests in the order in which they are sent. Nothing of an answer is followed, every request is
 * answered exactly once, and what is made of it keeps within its bounds.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/limits.h"
#include "daemon/webhook.h"
#include "fuzz.h"
#include "peers.h"
#include "util/mem.h"
#include "util/str.h"

/* Bits of the first byte, below '@'. */
enum {
	SMALL_PIECES = 1,  /* the answer comes in pieces of 7 bytes, a turn each */
	TWO_REQUESTS = 2,  /* the second once the first is answered */
	RESETS = 4,        /* the server leaves with the request unread */
	WANTS_HEADERS = 8, /* by net/http alone, with the raw headers */
	TINY_PIECES = 16,  /* as above, of one byte */
};

enum {
	INPUT_MAX_BYTES = 256 * 1024,
	PIECES_MAX = 200, /* what is left comes in one */
	QUIET_TURNS = 4,  /* then the server closes */
	TURNS_MAX = 5000,
	CONNECTIONS_MAX = 8,
};

static const char url[] = "http://127.0.0.1:9/hook?key=c4nary";
static const char canary[] = "c4nary";
static const char secret[] = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

struct world {
	struct loop *loop;
	struct hooks hooks;
	struct hook *hook;
	uint8_t flags;
	struct fuzz_piece rest;   /* answers that nobody asked for yet */
	struct fuzz_piece answer; /* what is still to be said now */
	size_t n_pieces;
	int connections[CONNECTIONS_MAX]; /* -1 = closed */
	bool has_asked[CONNECTIONS_MAX];
	size_t n_connections;
	int talks; /* the connection that is answered; -1 = none */
	unsigned n_sent, n_answered, n_wanted;
	unsigned n_turns, n_quiet;
};

/* ---- the server ---- */

static bool world_on_connect(void *arg, int fd)
{
	struct world *world = arg;

	must(world->n_connections < CONNECTIONS_MAX);
	world->connections[world->n_connections++] = fd;
	return true;
}

static void world_hang_up(struct world *world)
{
	for (size_t i = 0; i < world->n_connections; i++)
		mem_close_p(&world->connections[i]);
	world->talks = -1;
}

/* Whether anything came. A new request takes the next answer. */
static bool world_listen(struct world *world)
{
	char bytes[16 * 1024];
	bool has_come = false;

	for (size_t i = 0; i < world->n_connections; i++) {
		int fd = world->connections[i];
		bool peeks = world->flags & RESETS;
		ssize_t n = fd < 0 ? -1 : recv(fd, bytes, sizeof(bytes), peeks ? MSG_PEEK : 0);

		/* What is only looked at is there for ever. */
		if (n <= 0 || (peeks && world->has_asked[i]))
			continue;
		has_come = world->has_asked[i] = true;
		must(n < (ssize_t)sizeof(bytes));
		if (world->talks != fd || world->answer.len == 0) {
			world->talks = fd;
			world->answer = fuzz_piece_next(&world->rest);
			world->n_pieces = 0;
		}
	}
	return has_come;
}

static bool world_say(struct world *world)
{
	size_t len = world->flags & TINY_PIECES ? 1 : world->flags & SMALL_PIECES ? 7 : SIZE_MAX;

	if (world->talks < 0 || world->answer.len == 0)
		return false;
	if (len > world->answer.len || world->n_pieces++ >= PIECES_MAX)
		len = world->answer.len;
	ssize_t n = send(world->talks, world->answer.bytes, len, MSG_NOSIGNAL);

	if (n < 0 && errno == EAGAIN)
		return false; /* a body beyond every cap: libcurl has stopped reading, or will go on
		               */
	if (n < 0)
		n = (ssize_t)world->answer.len;
	world->answer.bytes += n;
	world->answer.len -= (size_t)n;
	return true;
}

/* ---- the client ---- */

static void check_answer(const struct http_answer *answer)
{
	must(answer->error <= HTTP_E_OTHER);
	must((answer->error == HTTP_OK) == (answer->message[0] == '\0'));
	must(!str_has_control(answer->message, strlen(answer->message)));
	must(!strstr(answer->message, canary));
	must(answer->len <= HTTP_BODY_MAX_BYTES && answer->body[answer->len] == '\0');
	must(answer->error != HTTP_OK || answer->status >= 100);
	must(answer->credits_remaining >= -1 && answer->date_wall_ms >= -1);
	/* A machine that is busy with other things may take longer than a time-out. */
	must((answer->n_sent >= 1 || answer->error == HTTP_E_TIMEOUT) && answer->n_sent <= 2);
}

static void check_result(const struct http_answer *answer)
{
	struct webhook_result result = webhook_result_of(answer);

	must(result.end == ATTEMPT_HTTP || result.end == ATTEMPT_TIMED_OUT);
	must(result.is_delivered == (result.code >= 200 && result.code <= 299));
	must(!result.is_delivered || result.code == answer->status);
	must(!result.is_permanent || result.code == 410);
	must(result.retry_after_ms >= 0 && result.retry_after_ms <= HOOK_RETRY_AFTER_MAX_MS);
	must(!result.is_delivered || result.retry_after_ms == 0);
	must(!result.is_hold || result.code == 429 || result.code == 503);
	must(result.output_len <= CHILD_OUTPUT_MAX_BYTES);
	/* All of it is there to be read. */
	cleanup(mem_free_p) char *copy = mem_strndup(result.output, result.output_len);

	must(strlen(copy) <= result.output_len);
}

static void world_on_answer(void *arg, uint64_t owner, const struct http_answer *answer)
{
	struct world *world = arg;

	must(owner == world->n_answered + 1u);
	world->n_answered++;
	check_answer(answer);
	check_result(answer);
}

static void world_ask(struct world *world)
{
	static const char body[] = "{\"specversion\":\"1.0\",\"type\":\"job.completed\"}";
	struct webhook_message message = {
	        .event_id = "0123456789abcdef-1", .body = body, .body_len = sizeof(body) - 1};
	struct webhook_headers headers = {0};
	struct http_request request = {.url = url, .timeout_ms = 30000, .wants_headers = true};
	cleanup(buf_deinit) struct buf words = {0};
	unsigned owner = ++world->n_sent;

	if (world->flags & WANTS_HEADERS)
		must(http_submit(world->hook->origin->host, &request, world_on_answer, world,
		             owner) == 0);
	else
		must(webhook_send(&world->hooks, world->hook, &message, world_on_answer, world,
		             owner, &headers, &words) == 0);
	webhook_headers_deinit(&headers);
}

static void world_on_turn_end(void *arg)
{
	struct world *world = arg;
	unsigned n_before = world->n_answered;

	must(world->n_turns++ < TURNS_MAX);
	http_harvest(world->hooks.http);
	if (world->n_answered == world->n_wanted) {
		loop_stop(world->loop);
		return;
	}
	if (world->n_answered == world->n_sent)
		world_ask(world);
	bool is_busy = world_listen(world);

	is_busy |= world_say(world);
	world->n_quiet = is_busy || world->n_answered != n_before ? 0 : world->n_quiet + 1;
	if (world->n_quiet > QUIET_TURNS)
		world_hang_up(world);
	loop_wake(world->loop);
}

/* ---- the whole ---- */

static struct hook *make_hook(void)
{
	struct hook *hook = MEM_NEW(struct hook);
	char path[] = "/tmp/bulkwatch-fuzz-XXXXXX";
	int fd = mkstemp(path);

	must(fd >= 0 && write(fd, secret, strlen(secret)) == (ssize_t)strlen(secret));
	close(fd);
	hook->is_configured = true;
	hook->config = (struct config_hook){.url = mem_strdup(url), .timeout_ms = 30000};
	secret_init(&hook->secret, path);
	hook->secret.is_list = true;
	must(secret_refresh(&hook->secret, "hook fuzzed"));
	unlink(path);
	/* What was read stays in use while the file is away. */
	return hook;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct hook *hook;

	if (size == 0 || size > INPUT_MAX_BYTES)
		return 0;
	if (!hook)
		hook = make_hook();
	struct world world = {
	        .hook = hook,
	        .hooks = {.hooks = &hook, .n_hooks = 1},
	        .flags = data[0],
	        .rest = {.bytes = (const char *)data + 1, .len = size - 1},
	        .talks = -1,
	        .n_wanted = data[0] & TWO_REQUESTS ? 2 : 1,
	};

	peers_set(world_on_connect, &world, false);
	must(loop_new(&world.loop) == 0 && http_new(world.loop, &world.hooks.http) == 0);
	world.hooks.loop = world.loop;
	webhooks_apply(&world.hooks);
	loop_set_turn_end(world.loop, world_on_turn_end, &world);
	loop_wake(world.loop);
	must(loop_run(world.loop) == 0);
	world_hang_up(&world);
	webhooks_deinit(&world.hooks);
	http_free(world.hooks.http);
	loop_free(world.loop);
	return 0;
}

#include "daemon/streams.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "daemon/control_private.h"
#include "daemon/lines.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/event.h"

enum {
	PORTION = 100,                /* events a stream and a turn */
	EVENTS_PER_TURN = 5000,       /* of all streams; the others go on in the next one */
	PUMP_US = 10000,              /* of a turn; looking for what few want takes long, too */
	PUMP_BELOW_BYTES = 64 * 1024, /* unsent: no more is read for it until some is gone */
	HEARTBEAT_MS = 15000,
	STALL_MS = 30000, /* a reader that takes nothing for so long is closed */
	LOOK_AGAIN_MS = 50,
};

struct stream {
	struct streams *streams;
	struct listen_request *request;
	TAILQ_ENTRY(stream) link;
	int64_t after;   /* sent up to here */
	int64_t left;    /* of `limit`; INT64_MAX = no limit */
	event_set types; /* 0 = all */
	char *account;   /* owned; NULL = all */
	int64_t heartbeat_mono_ms;
	int64_t moved_mono_ms; /* when it last took something */
	bool is_following, is_sse, is_stuck, is_over;
};

struct streams {
	struct control *control;
	TAILQ_HEAD(, stream) list; /* in the order in which they get their turns */
	size_t n;
	struct lines *lines;
	size_t n_sent; /* events, in this turn */
	int64_t next_mono_ms;
};

struct streams *streams_new(struct control *control)
{
	struct streams *streams = MEM_NEW(struct streams);

	streams->control = control;
	streams->lines = lines_new();
	streams->next_mono_ms = INT64_MAX;
	TAILQ_INIT(&streams->list);
	return streams;
}

struct streams *streams_free(struct streams *streams)
{
	if (!streams)
		return NULL;
	assert(TAILQ_EMPTY(&streams->list));
	lines_free(streams->lines);
	free(streams);
	return NULL;
}

size_t streams_count(const struct streams *streams)
{
	return streams->n;
}

static void stream_free(struct stream *stream)
{
	TAILQ_REMOVE(&stream->streams->list, stream, link);
	stream->streams->n--;
	free(stream->account);
	free(stream);
}

static void stream_on_gone(void *arg)
{
	stream_free(arg);
}

static void stream_end(struct stream *stream)
{
	listen_stream_end(stream->request);
	stream_free(stream);
}

/* ---- sending ---- */

static bool send_line(struct stream *stream, const struct buf *json, int64_t seq)
{
	cleanup(buf_deinit) struct buf line = {0};

	buf_reserve(&line, json->len + 48);
	if (stream->is_sse && seq)
		buf_addf(&line, "id: %" PRId64 "\ndata: ", seq);
	else if (stream->is_sse)
		buf_adds(&line, ": ");
	buf_add(&line, json->data, json->len);
	buf_adds(&line, stream->is_sse ? "\n\n" : "\n");
	return listen_stream_add(stream->request, line.data, line.len);
}

static bool has_room(const struct stream *stream)
{
	return listen_stream_unsent(stream->request) <= PUMP_BELOW_BYTES;
}

/* False: too slow a reader, which resumes by seq. */
static bool send_event(struct stream *stream, const struct buf *json, int64_t seq)
{
	if (!send_line(stream, json, seq)) {
		stream->is_over = true;
		return false;
	}
	stream->after = seq;
	stream->left--;
	stream->streams->n_sent++;
	return true;
}

static int send_stored(void *arg, const struct store_event *event)
{
	struct stream *stream = arg;
	cleanup(buf_deinit) struct buf json = {0};

	if (!has_room(stream))
		return 1; /* later */
	line_write(journal_store(stream->streams->control->context.tracker->journal), event, &json);
	return send_event(stream, &json, event->seq) ? 0 : 1;
}

static void send_from_store(struct stream *stream, struct store *store, size_t limit)
{
	struct store_event_filter filter = {.types = stream->types, .account = stream->account};
	int64_t last = stream->after;

	if (store_events_read(store, stream->after, limit, &filter, send_stored, stream, &last) < 0)
		stream->is_over = true;
	if (!stream->is_over && last > stream->after)
		stream->after = last;
}

static bool is_wanted(const struct stream *stream, const struct line *line)
{
	return (!stream->types || event_set_has(stream->types, line->type)) &&
	       (!stream->account || str_is_equal(stream->account, line->account));
}

static void send_from_lines(struct stream *stream, int64_t last_seq, size_t limit)
{
	const struct lines *lines = stream->streams->lines;

	while (stream->after < last_seq && limit > 0 && has_room(stream)) {
		const struct line *line = lines_get(lines, stream->after + 1);

		if (!line || !is_wanted(stream, line)) {
			stream->after++;
		} else if (send_event(stream, &line->json, line->seq)) {
			limit--;
		} else {
			return;
		}
	}
}

static void send_heartbeat(struct stream *stream, struct now now, int64_t last_seq)
{
	cleanup(buf_deinit) struct buf json = {0};

	buf_addf(&json, "{\"type\":\"heartbeat\",\"last_seq\":%" PRId64 "}", last_seq);
	if (!send_line(stream, &json, 0))
		stream->is_over = true;
	stream->heartbeat_mono_ms = now.mono_ms + HEARTBEAT_MS;
}

/* ---- the turn ---- */

/* True: there is more to be sent, in another turn. */
static bool pump_one(struct stream *stream, struct store *store, struct now now)
{
	size_t limit = stream->left < PORTION ? (size_t)stream->left : PORTION;
	int64_t last_seq = store_last_seq(store);

	stream->is_stuck = !has_room(stream);
	if (stream->is_stuck) {
		stream->is_over = now.mono_ms - stream->moved_mono_ms > STALL_MS;
		return false;
	}
	stream->moved_mono_ms = now.mono_ms;
	/* What it has not read yet was forgotten meanwhile: rather cut off than with a gap. It asks
	 * for it anew, and is told (410). */
	if (stream->after < store_pruned_through(store)) {
		stream->is_over = true;
		return false;
	}
	if (stream->after < last_seq && limit > 0) {
		if (lines_reach(stream->streams->lines, stream->after))
			send_from_lines(stream, last_seq, limit);
		else
			send_from_store(stream, store, limit);
		stream->heartbeat_mono_ms = now.mono_ms + HEARTBEAT_MS;
	}
	bool has_more = stream->after < last_seq && stream->left > 0;

	if (!has_more && (!stream->is_following || stream->left <= 0))
		stream->is_over = true;
	else if (!has_more && now.mono_ms >= stream->heartbeat_mono_ms)
		send_heartbeat(stream, now, last_seq);
	stream->is_stuck = has_more && !has_room(stream);
	return has_more && !stream->is_stuck;
}

/* When it wants to be looked at again, of its own accord. */
static int64_t wanted_mono(const struct stream *stream, struct now now)
{
	return stream->is_stuck ? now.mono_ms + LOOK_AGAIN_MS : stream->heartbeat_mono_ms;
}

/* The database cannot be read: rather cut off than with a gap. */
static void end_all(struct streams *streams)
{
	while (!TAILQ_EMPTY(&streams->list))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it left the list */
		stream_end(TAILQ_FIRST(&streams->list));
}

static void pump_next(struct streams *streams, struct store *store, struct now now)
{
	struct stream *stream = TAILQ_FIRST(&streams->list);

	TAILQ_REMOVE(&streams->list, stream, link);
	TAILQ_INSERT_TAIL(&streams->list, stream, link);
	if (pump_one(stream, store, now))
		loop_wake(streams->control->context.loop);
	if (stream->is_over)
		stream_end(stream);
	else if (wanted_mono(stream, now) < streams->next_mono_ms)
		streams->next_mono_ms = wanted_mono(stream, now);
}

void streams_pump(struct streams *streams)
{
	struct loop *loop = streams->control->context.loop;
	struct now now = loop_now(loop);
	struct store *store = journal_store(streams->control->context.tracker->journal);
	int64_t until_us = loop_turn_us(loop) + PUMP_US;
	size_t n = streams->n;

	if (n > 0 && lines_fill(streams->lines, store) < 0) {
		end_all(streams);
		return;
	}
	streams->n_sent = 0;
	streams->next_mono_ms = INT64_MAX;
	for (; n > 0 && streams->n_sent < EVENTS_PER_TURN && loop_turn_us(loop) < until_us; n--)
		pump_next(streams, store, now);
	if (n > 0)
		loop_wake(loop);
}

int64_t streams_next_mono(const struct streams *streams)
{
	return streams->next_mono_ms;
}

/* ---- GET /v1/events ---- */

static bool read_types(struct call *call, event_set *out)
{
	const char *text = listen_query(call->request, "type");

	*out = 0;
	while (text && *text) {
		size_t len = strcspn(text, ",");
		cleanup(mem_free_p) char *word = mem_strndup(text, len);
		event_set set = event_set_by_name(word);

		if (!set) {
			call_problem(call, 400, "type: unknown event type %.60s", word);
			return false;
		}
		*out |= set;
		text += len + (text[len] == ',');
	}
	return true;
}

/* Last-Event-ID, which a browser's EventSource sends by itself, wins over `after`. */
static bool read_after(struct call *call, int64_t *out)
{
	const char *header = listen_header(call->request, "Last-Event-ID");

	if (!header)
		return call_integer(call, "after", 0, out);
	if (str_to_int(header, 0, INT64_MAX, out) == 0)
		return true;
	call_problem(call, 400, "Last-Event-ID: a seq was expected");
	return false;
}

static void answer_pruned(struct call *call, int64_t pruned_through)
{
	cleanup(buf_deinit) struct buf body = {0};
	struct json_out w;

	json_out_init(&w, &body, false);
	json_open_object(&w, NULL);
	json_put_string(&w, "type", "about:blank");
	json_put_string(&w, "title", "Gone");
	json_put_integer(&w, "status", 410);
	json_put_string(
	        &w, "detail", "events up to pruned_through are no longer kept: read on after that");
	json_put_integer(&w, "pruned_through", pruned_through);
	json_close_object(&w);
	json_out_deinit(&w);
	listen_reply(call->request, 410, "application/problem+json", body.data, body.len, NULL);
}

/* One media range of an Accept (RFC 9110): that one, and not with the weight 0. */
static bool is_range_of_sse(const char *range, size_t len)
{
	static const char type[] = "text/event-stream";
	cleanup(mem_free_p) char *text = mem_strndup(range, len);
	size_t n = strcspn(text, "; \t");
	const char *weight = strcasestr(text + n, "q=");

	return n == sizeof(type) - 1 && strncasecmp(text, type, n) == 0 &&
	       (!weight || strtod(weight + 2, NULL) > 0);
}

static bool accepts_sse(const struct call *call)
{
	const char *accept = listen_header(call->request, "Accept");

	while (accept && *accept) {
		size_t len;

		accept += strspn(accept, " \t,");
		len = strcspn(accept, ",");
		if (is_range_of_sse(accept, len))
			return true;
		accept += len;
	}
	return false;
}

void control_get_events(struct call *call)
{
	bool is_sse = accepts_sse(call);
	struct streams *streams = call->control->streams;
	struct account *account;
	event_set types;
	int64_t after, limit;
	int follow;

	if (!read_after(call, &after) || !call_integer(call, "limit", INT64_MAX, &limit) ||
	        !call_boolean(call, "follow", &follow) || !read_types(call, &types) ||
	        !call_account(call, &account))
		return;
	if (after < store_pruned_through(call_store(call))) {
		answer_pruned(call, store_pruned_through(call_store(call)));
		return;
	}
	struct stream *stream = MEM_NEW(struct stream);

	*stream = (struct stream){
	        .streams = streams,
	        .request = call->request,
	        .after = after,
	        .left = limit,
	        .types = types,
	        .account = account ? mem_strdup(account->name) : NULL,
	        .heartbeat_mono_ms = call->now.mono_ms + HEARTBEAT_MS,
	        .moved_mono_ms = call->now.mono_ms,
	        .is_following = follow == 1,
	        .is_sse = is_sse,
	};
	TAILQ_INSERT_TAIL(&streams->list, stream, link);
	streams->n++;
	listen_stream_begin(call->request, 200,
	        is_sse ? "text/event-stream" : "application/x-ndjson", stream_on_gone, stream);
	loop_wake(call->control->context.loop); /* the turn's end pumps it */
}

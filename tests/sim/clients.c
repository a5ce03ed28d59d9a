/*
 * Clients of the sockets: readers of the stream of events, who come and go and must get every event
 * once. One who asks is in clients_ask.c, one who changes things in clients_change.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients_private.h"
#include "evidence.h"
#include "util/buf.h"
#include "util/hash.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/json.h"
#include "world.h"

enum { RETRY_MS = 2000, RUSH_MS = 2000, SLOW_QUEUE_BYTES = 4096 };

/* They come one by one, or many at once; and soon when all else is over. */
int64_t client_pause_ms(void)
{
	if (world_chance(DICE_CLIENTS, 0.3))
		return world_between(DICE_CLIENTS, 1, RUSH_MS);
	return world_between(DICE_CLIENTS, RUSH_MS,
	        world->mono_ms < world->trouble_until_mono_ms ? 3 * world->pace_ms : 120 * 1000);
}

/* ---- readers ---- */

struct reader {
	struct loop *loop;
	struct alarm alarm;
	struct listen_request *request; /* NULL = not connected */
	struct buf line;
	char last_event_id[24];
	int number;
};

static struct reader readers[WORLD_READERS];
static bool are_here; /* while the loop runs */

static bool is_sse(const struct reader *reader)
{
	return reader->number == 1;
}

static bool is_slow(const struct reader *reader)
{
	return reader->number == 2;
}

static void read_event(struct reader *reader, const struct json *json, const char *line)
{
	struct world_reader *known = &world->readers[reader->number];
	struct seen_event *event;
	uint64_t hash = hash_bytes(line, strlen(line)) | 1;
	int64_t seq = 0;
	const char *type = json_get_string(json, json_root(json), "type");

	if (!json_get_integer(json, json_root(json), "seq", &seq) || !type)
		world_fail("a reader got what is no event: %.200s", line);
	if (seq != known->seq + 1)
		world_fail("reader %d had event %" PRId64 " and got %" PRId64, reader->number,
		        known->seq, seq);
	if (seq > world->committed_seq)
		world_fail("reader %d got event %" PRId64 ", which is not committed",
		        reader->number, seq);
	event = &world->events[seq];
	if (event_type_by_name(type) != event->type)
		world_fail("reader %d got event %" PRId64 " as %s", reader->number, seq, type);
	if (event->line_hash && event->line_hash != hash)
		world_fail("event %" PRId64 " does not read the same each time", seq);
	event->line_hash = hash;
	known->seq = seq;
}

static void read_line(struct reader *reader, const char *line)
{
	cleanup(json_free_p) struct json *json = NULL;
	int64_t last_seq;

	if (!*line || str_has_prefix(line, "id: "))
		return;
	if (str_has_prefix(line, "data: "))
		line += strlen("data: ");
	else if (str_has_prefix(line, ": "))
		line += strlen(": ");
	if (json_parse(line, strlen(line), 1 << 20, &json) != JSON_OK)
		world_fail("a reader got what is no JSON: %.200s", line);
	if (!str_is_equal(json_get_string(json, json_root(json), "type"), "heartbeat"))
		read_event(reader, json, line);
	else if (!json_get_integer(json, json_root(json), "last_seq", &last_seq) ||
	         last_seq > world->committed_seq)
		world_fail(
		        "a heartbeat promises event %" PRId64 ", which is not committed", last_seq);
}

static void reader_on_chunk(void *arg, const char *bytes, size_t len)
{
	struct reader *reader = arg;
	char *end;

	buf_add(&reader->line, bytes, len);
	while (reader->line.len > 0 && (end = strchr(reader->line.data, '\n'))) {
		*end = '\0';
		read_line(reader, reader->line.data);
		buf_consume(&reader->line, (size_t)(end - reader->line.data) + 1);
	}
	if (!is_slow(reader))
		fake_request_read(reader->request, len);
}

/* Some come for what is forgotten by then. */
static int64_t absence_ms(void)
{
	int64_t left_ms = world->trouble_until_mono_ms - world->mono_ms, ms;

	if (world->retain_ms == 0 || left_ms <= 0 || !world_chance(DICE_CLIENTS, 0.1))
		return client_pause_ms();
	ms = world_between(DICE_CLIENTS, 0, 3 * world->retain_ms);
	return ms < left_ms ? ms : left_ms;
}

static void reader_come_back(struct reader *reader)
{
	reader->request = NULL;
	buf_clear(&reader->line);
	if (!are_here)
		return;
	if (reader->number == 0 && world_chance(DICE_CLIENTS, 0.05))
		world->readers[0].seq = 0; /* somebody new, who reads all */
	fake_alarm_set(reader->loop, &reader->alarm, world->mono_ms + absence_ms());
}

/* The daemon ended it: it stops, or the reader was too slow. */
static void reader_on_end(void *arg)
{
	if (are_here && !world->was_told_to_stop)
		world_happened(HAPPENED_READER_CUT_OFF);
	reader_come_back(arg);
}

/* What comes next is partly forgotten: it is told where to go on. */
static void reader_on_reply(void *arg, int status, const char *body, size_t len)
{
	cleanup(json_free_p) struct json *json = NULL;
	struct reader *reader = arg;
	struct world_reader *known = &world->readers[reader->number];
	int64_t pruned_through = 0;

	if (status == 410 && known->seq < world->pruned_through &&
	        json_parse(body, len, 1 << 20, &json) == JSON_OK &&
	        json_get_integer(json, json_root(json), "pruned_through", &pruned_through) &&
	        pruned_through == world->pruned_through) {
		world_happened(HAPPENED_READER_SENT_ON);
		known->seq = pruned_through;
		reader->request = NULL;
		return;
	}
	world_fail("a reader is refused with %d: %.*s", status, (int)len, body);
}

static void reader_connect(struct reader *reader)
{
	struct peer peer = {.on_reply = reader_on_reply,
	        .on_chunk = reader_on_chunk,
	        .on_end = reader_on_end,
	        .arg = reader,
	        .queue_max = is_slow(reader) ? SLOW_QUEUE_BYTES : 0};
	int64_t seq = world->readers[reader->number].seq;
	cleanup(mem_free_p) char *target =
	        mem_printf("/v1/events?follow=true&after=%" PRId64, is_sse(reader) ? 0 : seq);

	reader->request = fake_request_new(reader->loop, "query.sock", "GET", target, NULL, &peer);
	if (!reader->request)
		return;
	snprintf(reader->last_event_id, sizeof(reader->last_event_id), "%" PRId64, seq);
	fake_request_begin(reader->request, is_sse(reader) ? "text/event-stream" : NULL,
	        is_sse(reader) ? reader->last_event_id : NULL);
}

/* Most stay but a short while: a stream that is open all the time is mostly heartbeats. */
static int64_t stay_ms(const struct reader *reader)
{
	if (is_slow(reader))
		return world_between(DICE_CLIENTS, 1000, 10 * 1000);
	return world_between(DICE_CLIENTS, 1000,
	        world_chance(DICE_CLIENTS, 0.2) ? 4 * world->pace_ms : 60 * 1000);
}

/* Comes, reads a little, or leaves. */
static void reader_on_alarm(void *arg)
{
	struct reader *reader = arg;

	if (!reader->request) {
		reader_connect(reader);
	} else if (is_slow(reader) && !world_chance(DICE_CLIENTS, 0.05)) {
		fake_request_read(
		        reader->request, (size_t)world_between(DICE_CLIENTS, 0, 64 * 1024));
	} else if (world_chance(DICE_CLIENTS, 0.5) || is_slow(reader)) {
		fake_request_leave(reader->request);
		world_happened(HAPPENED_READER_LEFT);
		reader_come_back(reader);
		return;
	}
	fake_alarm_set(reader->loop, &reader->alarm, world->mono_ms + stay_ms(reader));
}

bool clients_are_done(void)
{
	for (size_t i = 0; world_has(KIND_CLIENTS) && i < WORLD_READERS; i++) {
		if (world->readers[i].seq != world->committed_seq)
			return false;
	}
	return true;
}

/* ---- a life of the daemon's ---- */

void client_begin(struct loop *loop, struct alarm *alarm, loop_fn *fn, void *arg)
{
	*alarm = (struct alarm){.fn = fn, .arg = arg};
	fake_alarm_set(loop, alarm, world->mono_ms + world_between(DICE_CLIENTS, 0, RETRY_MS));
}

void clients_begin(struct loop *loop)
{
	are_here = true;
	for (int i = 0; world_has(KIND_CLIENTS) && i < WORLD_READERS; i++) {
		readers[i] = (struct reader){.loop = loop, .number = i};
		client_begin(loop, &readers[i].alarm, reader_on_alarm, &readers[i]);
	}
	if (world_has(KIND_CLIENTS))
		asker_begin(loop);
	if (world_has(KIND_CHANGES))
		changer_begin(loop);
}

void clients_end(void)
{
	are_here = false;
	for (size_t i = 0; world_has(KIND_CLIENTS) && i < WORLD_READERS; i++) {
		fake_alarm_clear(readers[i].loop, &readers[i].alarm);
		buf_deinit(&readers[i].line);
	}
	if (world_has(KIND_CLIENTS))
		asker_end();
	if (world_has(KIND_CHANGES))
		changer_end();
}

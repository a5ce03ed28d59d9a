#include "ctl/events.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/answer.h"
#include "ctl/jobs.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"

/* One connection's worth. */
struct stream {
	struct events_reader *reader;
	struct buf rest; /* of a line that is not whole yet */
	size_t n_events;
	bool is_heard;      /* an answer began, be it without an event */
	bool is_stopped;    /* by on_event */
	const char *broken; /* what is wrong with what came, or NULL */
};

static bool stream_line(struct stream *stream, const char *line, size_t len)
{
	struct events_reader *reader = stream->reader;
	cleanup(json_free_p) struct json *json = NULL;
	enum json_error error;
	int64_t seq;

	if (len == 0)
		return true;
	error = json_parse(line, len, EVENT_LINE_MAX_BYTES, &json);
	if (error != JSON_OK) {
		stream->broken = json_error_words(error);
		return false;
	}
	if (reader->on_quiet && json_get_integer(json, json_root(json), "last_seq", &seq) &&
	        seq > reader->after) {
		reader->after = seq;
		reader->on_quiet(reader->arg, seq);
	}
	/* A heartbeat has no seq of its own. */
	if (!json_get_integer(json, json_root(json), "seq", &seq) || seq <= reader->after)
		return true;
	reader->after = seq;
	stream->n_events++;
	stream->is_stopped = !reader->on_event(reader->arg, json, line, len);
	return !stream->is_stopped;
}

static bool stream_on_bytes(void *arg, const char *bytes, size_t len)
{
	struct stream *stream = arg;
	size_t used = 0;
	bool goes_on = true;

	if (len > EVENT_LINE_MAX_BYTES - stream->rest.len && !memchr(bytes, '\n', len)) {
		stream->broken = "a line without end";
		return false;
	}
	buf_add(&stream->rest, bytes, len);
	while (goes_on) {
		const char *line = buf_str(&stream->rest) + used;
		const char *end = memchr(line, '\n', stream->rest.len - used);

		if (!end)
			break;
		goes_on = stream_line(stream, line, (size_t)(end - line));
		used += (size_t)(end - line) + 1;
	}
	buf_consume(&stream->rest, used);
	return goes_on;
}

static void stream_path(const struct events_reader *reader, struct buf *path)
{
	char after[24];

	snprintf(after, sizeof(after), "%" PRId64, reader->after);
	buf_adds(path, "/v1/events");
	query_add(path, "after", after);
	query_add(path, "type", reader->types);
	query_add(path, "account", reader->account);
	query_add(path, "follow", reader->is_following ? "true" : NULL);
}

static bool is_late(const struct events_reader *reader)
{
	return reader->deadline_mono_ms && clock_now().mono_ms >= reader->deadline_mono_ms;
}

/* 0 = no deadline. An hour at most, since libcurl's time-outs are ints: then it goes on anew. */
static int64_t time_left(const struct events_reader *reader)
{
	int64_t left = reader->deadline_mono_ms - clock_now().mono_ms;

	if (!reader->deadline_mono_ms)
		return 0;
	return left < 1 ? 1 : left > EVENTS_REQUEST_MAX_MS ? EVENTS_REQUEST_MAX_MS : left;
}

/* True: the reader was moved on to the first event that there is. */
static bool begin_later(struct events_reader *reader, const struct answer *answer)
{
	cleanup(json_free_p) struct json *json = NULL;
	int64_t through;

	if (!reader->may_begin_later || answer->status != 410 ||
	        json_parse(buf_str(&answer->body), answer->body.len, ANSWER_MAX_BYTES, &json) !=
	                JSON_OK ||
	        !json_get_integer(json, json_root(json), "pruned_through", &through) ||
	        through <= reader->after)
		return false;
	ctl_say("events up to %" PRId64 " are no longer kept: this begins after them", through);
	reader->after = through;
	return true;
}

/* That nobody reads any more ("| head") shows in writing alone, and there may be nothing to write
 * for hours. */
static void end_if_unread(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO};

	if (poll(&out, 1, 0) == 1 && (out.revents & POLLERR))
		raise(SIGPIPE);
}

static void stream_on_tick(void *arg)
{
	const struct events_reader *reader = arg;

	end_if_unread();
	if (reader->on_tick)
		reader->on_tick(reader->arg);
}

/* One request. CTL_UNREACHABLE: the connection failed or ended. */
static int stream_ask(struct stream *stream, bool is_quiet, struct answer *answer)
{
	struct events_reader *reader = stream->reader;
	struct buf path = {0};
	int code;

	buf_clear(&stream->rest);
	stream_path(reader, &path);
	code = client_ask(reader->client,
	        &(struct client_request){
	                .path = buf_str(&path),
	                .is_quiet = is_quiet,
	                .may_break_off = reader->is_following,
	                .timeout_ms = time_left(reader),
	                .sink = stream_on_bytes,
	                .sink_arg = stream,
	                .on_tick = stream_on_tick,
	                .tick_arg = reader,
	        },
	        answer);
	buf_deinit(&path);
	return code;
}

static int stream_once(struct stream *stream, bool is_quiet)
{
	struct events_reader *reader = stream->reader;
	struct answer answer = {0};
	int code = stream_ask(stream, is_quiet, &answer);

	while (code == CTL_OK && begin_later(reader, &answer)) {
		answer_deinit(&answer);
		code = stream_ask(stream, is_quiet, &answer);
	}
	stream->is_heard |= answer.status == 200;
	reader->may_begin_later &= !stream->is_heard;
	if (code == CTL_OK && stream->broken) {
		ctl_say("the daemon's stream of events is %s", stream->broken);
		code = CTL_OTHER;
	} else if (code == CTL_OK) {
		code = answer_check(&answer);
	}
	answer_deinit(&answer);
	return code;
}

/* To the end of the journal: an answer may be a part of it, one without events is past its end. */
static int events_read_all(struct events_reader *reader)
{
	struct stream stream = {.reader = reader};
	int code = CTL_OK;

	do {
		stream.n_events = 0;
		code = stream_once(&stream, false);
	} while (code == CTL_OK && stream.n_events > 0 && !stream.is_stopped);
	buf_deinit(&stream.rest);
	return code;
}

static void events_pause(const struct events_reader *reader, int64_t ms)
{
	int64_t left = time_left(reader);

	if (left && left < ms)
		ms = left;
	(void)poll(NULL, 0, (int)ms);
}

/* Nobody there from the beginning is no restart. */
static bool may_retry(const struct stream *stream, int code, bool is_first)
{
	if (code == CTL_UNREACHABLE)
		return !is_first || stream->is_heard;
	return code == CTL_OK || code == CTL_TIMED_OUT;
}

static int events_follow(struct events_reader *reader)
{
	struct stream stream = {.reader = reader};
	int64_t alive_mono_ms = clock_now().mono_ms, wait_ms = EVENTS_RETRY_FIRST_MS;
	bool is_first = true, is_last = false;
	int code = CTL_OK;

	for (;;) {
		stream.is_heard = false;
		code = stream_once(&stream, !is_first && !is_last);
		if (stream.is_stopped || is_late(reader) || (is_last && !stream.is_heard) ||
		        !may_retry(&stream, code, is_first))
			break;
		if (code == CTL_OK || stream.is_heard) {
			alive_mono_ms = clock_now().mono_ms;
			wait_ms = EVENTS_RETRY_FIRST_MS;
		}
		is_first = false;
		events_pause(reader, wait_ms);
		wait_ms = wait_ms * 2 > EVENTS_RETRY_MAX_MS ? EVENTS_RETRY_MAX_MS : wait_ms * 2;
		is_last = clock_now().mono_ms - alive_mono_ms > EVENTS_RETRY_FOR_MS;
	}
	buf_deinit(&stream.rest);
	if (stream.is_stopped)
		return CTL_OK;
	if (is_late(reader))
		return CTL_TIMED_OUT;
	return code == CTL_TIMED_OUT ? CTL_UNREACHABLE : code;
}

int events_read(struct events_reader *reader)
{
	return reader->is_following ? events_follow(reader) : events_read_all(reader);
}

static const char *or_dash(const char *text)
{
	return text && *text ? text : "-";
}

static void event_print_plain(const struct json *json, const struct json_node *event)
{
	static const char *const keys[] = {
	        "seq", "at", "type", "account", "job_id", "from_state", "to_state"};
	struct buf line = {0};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct json_node *member = json_get(json, event, keys[i]);

		if (i > 0)
			buf_addc(&line, '\t');
		text_add_safe(&line, or_dash(member ? member->text : NULL), true);
	}
	buf_addc(&line, '\n');
	fwrite(buf_str(&line), 1, line.len, stdout);
	buf_deinit(&line);
}

/* "2026-11-24 05:00:03" in the local time zone, or without the date; the text itself if it is no
 * time. */
static void add_local_time(struct buf *out, const char *at, bool has_date)
{
	int64_t wall_ms;
	char text[32];
	struct tm tm;
	time_t seconds;

	if (!text_parse_time(at, &wall_ms)) {
		buf_addf(out, "%-19s", or_dash(at));
		return;
	}
	seconds = (time_t)(wall_ms / 1000);
	localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), has_date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &tm);
	buf_adds(out, text);
}

static enum color color_of_event(const char *type)
{
	static const struct {
		const char *type;
		enum color color;
	} colors[] = {
	        {"job.completed", COLOR_GREEN},
	        {"job.failed", COLOR_RED},
	        {"job.lost", COLOR_RED},
	        {"job.overdue", COLOR_YELLOW},
	        {"job.unknown_state", COLOR_YELLOW},
	        {"account.paused", COLOR_RED},
	        {"account.resumed", COLOR_GREEN},
	        {"hook.dead", COLOR_RED},
	        {"job.in_progress", COLOR_CYAN},
	};

	for (size_t i = 0; i < ARRAY_LEN(colors); i++) {
		if (str_is_equal(colors[i].type, type))
			return colors[i].color;
	}
	return COLOR_NONE;
}

static void add_subject(
        struct buf *line, const struct json *json, const struct json_node *event, bool is_utf8)
{
	const char *account = json_get_string(json, event, "account");
	const char *id = json_get_string(json, event, "job_id");
	const char *name = json_get_string(json, json_get(json, event, "job"), "name");
	const char *from = json_get_string(json, event, "from_state");
	const char *to = json_get_string(json, event, "to_state");
	struct buf text = {0};

	buf_adds(&text, or_dash(account));
	if (id)
		buf_addf(&text, "/%s", id);
	if (name)
		buf_addf(&text, " %s", name);
	if (to)
		buf_addf(&text, "  %s%s%s", from ? from : "", from ? " -> " : "", to);
	text_add_safe(line, buf_str(&text), is_utf8);
	buf_deinit(&text);
}

static void add_event_line(const struct ctl *ctl, struct buf *out, const struct json *json,
        const struct json_node *event, bool has_date)
{
	const struct json_node *seq = json_get(json, event, "seq");
	const char *type = json_get_string(json, event, "type");
	struct buf head = {0}, rest = {0}, safe = {0};
	size_t used;

	add_local_time(&head, json_get_string(json, event, "at"), has_date);
	buf_addf(&head, "  #%-6s ", or_dash(seq ? seq->text : NULL));
	text_add_safe(&safe, buf_str(&head), ctl->term.is_utf8);
	term_add_colored(&ctl->term, out, COLOR_DIM, buf_str(&safe));
	used = text_width(buf_str(&safe));
	buf_clear(&safe);
	buf_clear(&head);
	buf_addf(&head, "%-17s", or_dash(type));
	text_add_safe(&safe, buf_str(&head), ctl->term.is_utf8);
	term_add_colored(&ctl->term, out, color_of_event(type), buf_str(&safe));
	used += text_width(buf_str(&safe));
	add_subject(&rest, json, event, ctl->term.is_utf8);
	buf_addc(out, ' ');
	text_add_cut(out, buf_str(&rest),
	        ctl->term.width > used + 1 ? ctl->term.width - used - 1 : 0, ctl->term.is_utf8);
	buf_addc(out, '\n');
	buf_deinit(&head);
	buf_deinit(&rest);
	buf_deinit(&safe);
}

void event_add_line(const struct ctl *ctl, struct buf *out, const struct json *json,
        const struct json_node *event)
{
	add_event_line(ctl, out, json, event, false);
}

static void event_print_terminal(
        const struct ctl *ctl, const struct json *json, const struct json_node *event)
{
	struct buf line = {0};

	add_event_line(ctl, &line, json, event, true);
	fwrite(buf_str(&line), 1, line.len, stdout);
	buf_deinit(&line);
}

void event_print(const struct ctl *ctl, const struct json *json, const struct json_node *event)
{
	if (ctl->is_json)
		answer_print_node(json, event);
	else if (ctl->term.is_terminal)
		event_print_terminal(ctl, json, event);
	else
		event_print_plain(json, event);
}

/*
 * bulkwatch watch on a terminal: all jobs, what stands in their way, and what just happened, drawn
 * anew every second. Elsewhere, or for certain jobs, events are printed (cmd_wait.c).
 *
 * What is asked each second is bounded by what fits the screen, however many jobs there are.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/live.h"
#include "ctl/screen.h"
#include "util/clock.h"
#include "util/mem.h"

enum { REFRESH_MS = 1000, ASK_MAX_MS = 5000 };

/* ---- asking ---- */

static int live_ask(struct live *live, const char *path, struct answer *answer)
{
	struct client_request request = {
	        .path = path,
	        .timeout_ms = ASK_MAX_MS,
	        .is_quiet = live->is_open,
	};

	return client_ask(live->client, &request, answer);
}

/* Into *part, which stays as it was unless CTL_OK. */
static int live_get(struct live *live, const char *path, struct live_part *part)
{
	struct live_part fresh = {0};
	int code = live_ask(live, path, &fresh.answer);

	if (code == CTL_OK && live->is_open && fresh.answer.status != 200)
		code = CTL_OTHER;
	if (code == CTL_OK && !live->is_open)
		code = answer_parse(&fresh.answer, &fresh.json);
	else if (code == CTL_OK && json_parse(buf_str(&fresh.answer.body), fresh.answer.body.len,
	                                   ANSWER_MAX_BYTES, &fresh.json) != JSON_OK)
		code = CTL_OTHER;
	if (code != CTL_OK) {
		live_part_deinit(&fresh);
		return code;
	}
	live_part_deinit(part);
	*part = fresh;
	return CTL_OK;
}

static int live_get_jobs(struct live *live)
{
	static const char *const filters[] = {
	        [LIVE_OPEN] = "false", [LIVE_ALL] = NULL, [LIVE_FINISHED] = "true"};
	struct buf path = {0};
	char limit[24];
	int code;

	snprintf(limit, sizeof(limit), "%zu", live->n_rows > 0 ? live->n_rows : 1);
	buf_adds(&path, "/v1/jobs");
	query_add(&path, "limit", limit);
	query_add(&path, "finished", filters[live->filter]);
	query_add(&path, "after", live->n_pages > 0 ? live->pages[live->n_pages - 1] : NULL);
	code = live_get(live, buf_str(&path), &live->jobs);
	buf_deinit(&path);
	return code;
}

static void keep_event(struct live *live, const char *line, size_t len)
{
	free(live->events[live->n_events % LIVE_EVENTS]);
	live->events[live->n_events++ % LIVE_EVENTS] = mem_strndup(line, len);
}

/* Events that are pruned, or too many to be shown, are passed over. */
static int live_get_events(struct live *live)
{
	struct answer answer = {0};
	char path[96];
	int64_t last_seq;
	int code;

	if (!json_get_integer(
	            live->status.json, json_root(live->status.json), "last_seq", &last_seq) ||
	        last_seq <= live->seq)
		return CTL_OK;
	int64_t after = last_seq - LIVE_EVENTS > live->seq ? last_seq - LIVE_EVENTS : live->seq;

	snprintf(path, sizeof(path), "/v1/events?after=%" PRId64 "&limit=%d", after, LIVE_EVENTS);
	code = live_ask(live, path, &answer);
	if (code == CTL_OK)
		live->seq = last_seq;
	if (code == CTL_OK && answer.status == 200) {
		for (const char *line = buf_str(&answer.body), *end; (end = strchr(line, '\n'));
		        line = end + 1)
			keep_event(live, line, (size_t)(end - line));
	}
	answer_deinit(&answer);
	return code;
}

static int live_refresh(struct live *live)
{
	int code = live_get(live, "/v1/status", &live->status);

	if (code == CTL_OK)
		code = live_get_events(live);
	if (code == CTL_OK) {
		live_lay_out(live);
		code = live_get_jobs(live);
	}
	live->is_lost = code != CTL_OK;
	return code;
}

/* ---- keys ---- */

static void forget_pages(struct live *live)
{
	while (live->n_pages > 0)
		free(live->pages[--live->n_pages]);
}

/* False: that was all. */
static bool live_take_key(struct live *live, enum screen_key key)
{
	const char *next = json_get_string(live->jobs.json, json_root(live->jobs.json), "next");

	switch (key) {
	case SCREEN_QUIT:
		return false;
	case SCREEN_NEXT:
		if (next && live->n_pages < LIVE_PAGES_MAX)
			live->pages[live->n_pages++] = mem_strdup(next);
		break;
	case SCREEN_BACK:
		if (live->n_pages > 0)
			free(live->pages[--live->n_pages]);
		break;
	case SCREEN_FILTER:
		live->filter = (live->filter + 1) % LIVE_FILTERS;
		live->is_filter_chosen = true;
		forget_pages(live);
		break;
	case SCREEN_NONE:
		break;
	}
	return true;
}

static void live_draw(struct live *live)
{
	struct buf frame = {0};

	live_lay_out(live);
	live_add_frame(live, &frame);
	screen_draw(&frame);
	buf_deinit(&frame);
}

static void live_run(struct live *live)
{
	int64_t next_mono_ms = 0;
	bool goes_on = true;

	while (goes_on) {
		int64_t now_mono_ms = clock_now().mono_ms;

		if (now_mono_ms >= next_mono_ms) {
			live_refresh(live);
			next_mono_ms = clock_now().mono_ms + REFRESH_MS;
		}
		live_draw(live);
		enum screen_key key = screen_wait(
		        (int)(next_mono_ms > now_mono_ms ? next_mono_ms - now_mono_ms : 0));

		goes_on = live_take_key(live, key);
		if (key != SCREEN_NONE)
			next_mono_ms = 0;
	}
}

static void live_deinit(struct live *live)
{
	forget_pages(live);
	for (size_t i = 0; i < LIVE_EVENTS; i++)
		free(live->events[i]);
	live_part_deinit(&live->status);
	live_part_deinit(&live->jobs);
}

int cmd_watch(struct ctl *ctl, const struct args *args)
{
	struct live live = {.ctl = ctl, .filter = LIVE_ALL};
	int code;

	if (args->n_operands > 0 || ctl->is_json || !ctl->term.is_terminal || !screen_is_possible())
		return cmd_watch_lines(ctl, args);
	live.client = client_new(ctl, SOCKET_QUERY);
	code = live.client ? live_refresh(&live) : CTL_CONFIG;
	if (code == CTL_OK) {
		screen_open();
		live.is_open = true;
		live_run(&live);
		screen_close();
	}
	live_deinit(&live);
	client_free(live.client);
	return code;
}

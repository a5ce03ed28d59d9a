#include "ctl/live.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/events.h"
#include "ctl/screen.h"
#include "ctl/table.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"

enum {
	TROUBLES_MAX = 3,
	BAR_MAX = 40,
	FIXED_LINES = 4, /* head, bar, titles of the table, keys */
};

static const struct table_column columns[] = {
        {.title = "JOB", .min = 16},
        {.title = "NAME", .min = 6, .drop = 4},
        {.title = "STATE", .min = 9},
        {.title = "AGE", .drop = 2},
        {.title = "NEXT POLL", .drop = 1},
        {.title = "DONE", .drop = 3},
        {.title = "NOTE", .min = 8, .drop = 5},
};

void live_part_deinit(struct live_part *part)
{
	part->json = json_free(part->json);
	answer_deinit(&part->answer);
}

static const struct json_node *status_of(const struct live *live)
{
	return json_root(live->status.json);
}

static int64_t number(const struct live *live, const struct json_node *node, const char *key)
{
	int64_t value = 0;

	return json_get_integer(live->status.json, node, key, &value) ? value : 0;
}

/* A safe line, cut to the width of the terminal, in a colour. */
static void add_line(const struct live *live, struct buf *frame, enum color color, const char *text)
{
	const struct term *term = &live->ctl->term;
	struct buf safe = {0}, cut = {0};

	text_add_safe(&safe, text, term->is_utf8);
	text_add_cut(&cut, buf_str(&safe), term->width, term->is_utf8);
	term_add_colored(term, frame, color, buf_str(&cut));
	buf_addc(frame, '\n');
	buf_deinit(&safe);
	buf_deinit(&cut);
}

/* ---- what stands in the way ---- */

struct trouble {
	enum color color;
	char *text; /* owned */
};

struct troubles {
	struct trouble list[TROUBLES_MAX];
	size_t n, n_more;
};

/* Takes text over. */
static void add_trouble(struct troubles *troubles, enum color color, char *text)
{
	if (troubles->n == TROUBLES_MAX) {
		troubles->n_more++;
		free(text);
	} else {
		troubles->list[troubles->n++] = (struct trouble){color, text};
	}
}

static void troubles_deinit(struct troubles *troubles)
{
	for (size_t i = 0; i < troubles->n; i++)
		free(troubles->list[i].text);
}

static const char *or_nothing(const char *text)
{
	return text ? text : "";
}

static void find_troubles(const struct live *live, struct troubles *out)
{
	const struct json *json = live->status.json;
	const struct json_node *status = status_of(live);
	const struct json_node *database = json_get(json, status, "database");

	*out = (struct troubles){0};
	if (live->is_lost)
		add_trouble(out, COLOR_RED,
		        mem_strdup("bulkwatchd does not answer; what is shown is old"));
	if (json_get_string(json, database, "detail"))
		add_trouble(out, COLOR_RED, mem_strdup(json_get_string(json, database, "detail")));
	for (const struct json_node *a = json_first(json, json_get(json, status, "accounts")); a;
	        a = json_next(json, a)) {
		const char *state = or_nothing(json_get_string(json, a, "state"));

		if (strcmp(state, "ok") != 0)
			add_trouble(out, color_of_state(state),
			        mem_printf("account %s is %s: %s",
			                or_nothing(json_get_string(json, a, "name")), state,
			                or_nothing(json_get_string(json, a, "detail"))));
	}
	for (const struct json_node *h = json_first(json, json_get(json, status, "hooks")); h;
	        h = json_next(json, h)) {
		int64_t dead = number(live, h, "dead");

		if (dead > 0)
			add_trouble(out, COLOR_RED,
			        mem_printf("hook %s: gave up on %" PRId64,
			                or_nothing(json_get_string(json, h, "name")), dead));
	}
}

static size_t troubles_lines(const struct troubles *troubles)
{
	return troubles->n + (troubles->n_more > 0);
}

static void add_troubles(const struct live *live, struct buf *frame)
{
	struct troubles troubles;

	find_troubles(live, &troubles);
	for (size_t i = 0; i < troubles.n; i++)
		add_line(live, frame, troubles.list[i].color, troubles.list[i].text);
	if (troubles.n_more > 0) {
		cleanup(mem_free_p) char *text =
		        mem_printf("and %zu more: bulkwatch doctor", troubles.n_more);

		add_line(live, frame, COLOR_YELLOW, text);
	}
	troubles_deinit(&troubles);
}

/* ---- the layout ---- */

void live_lay_out(struct live *live)
{
	struct screen_size size = screen_size();
	const struct json_node *counts = json_get(live->status.json, status_of(live), "jobs");
	int64_t watched = number(live, counts, "watched");
	struct troubles troubles;
	size_t used;

	live->ctl->term.width = size.width;
	live->height = size.height;
	find_troubles(live, &troubles);
	used = FIXED_LINES + troubles_lines(&troubles);
	troubles_deinit(&troubles);
	size_t rest = size.height > used ? size.height - used : 0;

	/* A quarter is for what just happened, and its title, where there is room for both. */
	live->n_event_rows = rest / 4 > LIVE_EVENTS ? LIVE_EVENTS : rest / 4;
	live->n_rows = rest - (live->n_event_rows > 0 ? live->n_event_rows + 1 : 0);
	if (live->n_rows > 1000)
		live->n_rows = 1000; /* a page of the API */
	if (!live->is_filter_chosen)
		live->filter = watched > (int64_t)live->n_rows ? LIVE_OPEN : LIVE_ALL;
}

/* ---- the head ---- */

static void add_head(const struct live *live, struct buf *frame)
{
	const struct json_node *counts = json_get(live->status.json, status_of(live), "jobs");
	int64_t watched = number(live, counts, "watched");
	int64_t finished = number(live, counts, "finished");
	time_t seconds = (time_t)(clock_now().wall_ms / 1000);
	char clock[16];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	cleanup(mem_free_p) char *left =
	        mem_printf("bulkwatch  %" PRId64 " job%s: %" PRId64 " open, %" PRId64 " finished",
	                watched, watched == 1 ? "" : "s", watched - finished, finished);
	size_t room =
	        live->ctl->term.width > strlen(left) + 2 ? live->ctl->term.width - strlen(left) : 2;
	cleanup(mem_free_p) char *line = mem_printf("%s%*s", left, (int)room, clock);

	add_line(live, frame, COLOR_BOLD, line);
}

/* "[####....]  40%  2 ADDED  3 COMPLETED" */
static void add_bar(const struct live *live, struct buf *frame)
{
	const struct json *json = live->status.json;
	const struct json_node *counts = json_get(json, status_of(live), "jobs");
	int64_t watched = number(live, counts, "watched");
	int64_t finished = number(live, counts, "finished");
	size_t width = live->ctl->term.width / 3 < BAR_MAX ? live->ctl->term.width / 3 : BAR_MAX;
	size_t full = watched > 0 ? (size_t)((int64_t)width * finished / watched) : 0;
	struct buf line = {0};

	buf_addc(&line, '[');
	for (size_t i = 0; i < width; i++)
		buf_addc(&line, i < full ? '#' : '.');
	buf_addf(&line, "] %3" PRId64 "%%", watched > 0 ? finished * 100 / watched : 0);
	for (const struct json_node *n = json_first(json, json_get(json, counts, "by_state")); n;
	        n = json_next(json, n))
		buf_addf(&line, "  %s %s", or_nothing(n->text), n->key);
	add_line(live, frame, COLOR_NONE, buf_str(&line));
	buf_deinit(&line);
}

/* ---- the jobs ---- */

/* Median and 95th percentile, in seconds, of jobs like it; false: not learned yet. */
static bool durations_of(const struct live *live, const char *account, const char *module,
        double *median, double *p95)
{
	const struct json *json = live->status.json;
	const struct json_node *a = json_first(json, json_get(json, status_of(live), "accounts"));
	bool is_found = false;

	while (a && !str_is_equal(json_get_string(json, a, "name"), account))
		a = json_next(json, a);
	for (const struct json_node *d = json_first(json, json_get(json, a, "durations")); d;
	        d = json_next(json, d)) {
		const char *of = json_get_string(json, d, "module");
		const struct json_node *m = json_get(json, d, "median"),
		                       *p = json_get(json, d, "p95");
		bool is_learned = false;

		/* That of all jobs will do until one of the module is known. */
		if (!json_get_bool(json, d, "learned", &is_learned) || !is_learned || !m || !p ||
		        m->type != JSON_NUMBER || p->type != JSON_NUMBER ||
		        (of ? !str_is_equal(of, module) : is_found))
			continue;
		*median = strtod(m->text, NULL);
		*p95 = strtod(p->text, NULL);
		is_found = true;
	}
	return is_found;
}

/* When it will be finished, as jobs like it were. */
static void add_expected(const struct live *live, struct table *table, const char *account,
        const char *module, int64_t age_ms)
{
	char span[TEXT_RELATIVE_SIZE], text[TEXT_RELATIVE_SIZE + 8];
	double median, p95;

	if (!durations_of(live, account, module, &median, &p95)) {
		table_add(table, NULL, COLOR_NONE);
		return;
	}
	int64_t left_ms = (int64_t)(median * 1000) - age_ms;

	if (left_ms >= 1000)
		snprintf(text, sizeof(text), "in ~%s", text_duration(left_ms / 1000 * 1000, span));
	table_add(table,
	        left_ms >= 1000                  ? text
	        : age_ms > (int64_t)(p95 * 1000) ? "late"
	                                         : "soon",
	        left_ms < 1000 && age_ms > (int64_t)(p95 * 1000) ? COLOR_YELLOW : COLOR_NONE);
}

static void add_job(const struct live *live, struct table *table, const struct json_node *job)
{
	const struct json *json = live->jobs.json;
	const struct json_node *error = json_get(json, job, "last_error");
	const char *state = json_get_string(json, job, "state");
	const char *account = or_nothing(json_get_string(json, job, "account"));
	cleanup(mem_free_p) char *path =
	        mem_printf("%s/%s", account, or_nothing(json_get_string(json, job, "id")));
	bool is_finished = false, is_paused = false;
	int64_t begin, end = table->now_wall_ms;
	char age[TEXT_RELATIVE_SIZE];

	json_get_bool(json, job, "finished", &is_finished);
	json_get_bool(json, job, "paused", &is_paused);
	if (is_finished)
		text_parse_time(json_get_string(json, job, "since"), &end);
	if (!text_parse_time(json_get_string(json, job, "watched_since"), &begin))
		begin = end;
	table_add(table, path, COLOR_NONE);
	table_add(table, json_get_string(json, job, "name"), COLOR_NONE);
	table_add(table, state, color_of_state(state));
	table_add(table, text_duration((end - begin) / 1000 * 1000, age), COLOR_NONE);
	table_add_time(table, json_get_string(json, job, "next_poll"));
	if (is_finished)
		table_add_time(table, json_get_string(json, job, "since"));
	else
		add_expected(
		        live, table, account, json_get_string(json, job, "module"), end - begin);
	table_add(table, is_paused ? "paused by hand" : json_get_string(json, error, "message"),
	        COLOR_YELLOW);
}

static const char *words_for_none(const struct live *live)
{
	const struct json_node *counts = json_get(live->status.json, status_of(live), "jobs");

	if (number(live, counts, "watched") == 0)
		return "No jobs are watched yet. To add one: bulkwatch add ACCOUNT ID";
	return live->filter == LIVE_OPEN ? "Every job is finished." : "No job is finished yet.";
}

/* How many lines. */
static size_t add_jobs(const struct live *live, struct buf *frame)
{
	const struct json *json = live->jobs.json;
	const struct json_node *job =
	        json ? json_first(json, json_get(json, json_root(json), "jobs")) : NULL;
	struct table table;
	size_t n = 0;

	if (!job) {
		add_line(live, frame, COLOR_DIM, words_for_none(live));
		return 1;
	}
	table_init(&table, &live->ctl->term, columns, ARRAY_LEN(columns));
	for (; job && n < live->n_rows; job = json_next(json, job), n++)
		add_job(live, &table, job);
	table_render(&table, frame);
	table_deinit(&table);
	return n + 1;
}

/* ---- what just happened ---- */

static void add_event(const struct live *live, struct buf *frame, const char *line)
{
	struct json *json = NULL;

	if (json_parse(line, strlen(line), EVENT_LINE_MAX_BYTES, &json) == JSON_OK)
		event_add_line(live->ctl, frame, json, json_root(json));
	json_free(json);
}

static void add_events(const struct live *live, struct buf *frame)
{
	size_t n = live->n_events < live->n_event_rows ? live->n_events : live->n_event_rows;

	if (live->n_event_rows == 0)
		return;
	add_line(live, frame, COLOR_DIM, "WHAT JUST HAPPENED");
	for (size_t i = live->n_events - n; i < live->n_events; i++)
		add_event(live, frame, live->events[i % LIVE_EVENTS]);
	for (; n < live->n_event_rows; n++)
		buf_addc(frame, '\n');
}

static void add_keys(const struct live *live, struct buf *frame)
{
	static const char *const shown[] = {
	        [LIVE_OPEN] = "open", [LIVE_ALL] = "all", [LIVE_FINISHED] = "finished"};
	bool has_next = live->jobs.json &&
	                json_get_string(live->jobs.json, json_root(live->jobs.json), "next");
	cleanup(mem_free_p) char *text =
	        mem_printf("q quit   a all/open/finished (now: %s jobs)%s%s", shown[live->filter],
	                has_next ? "   space next page" : "", live->n_pages ? "   b back" : "");

	add_line(live, frame, COLOR_DIM, text);
}

void live_add_frame(struct live *live, struct buf *frame)
{
	size_t n;

	add_head(live, frame);
	add_bar(live, frame);
	add_troubles(live, frame);
	n = add_jobs(live, frame);
	for (; n < live->n_rows + 1; n++)
		buf_addc(frame, '\n');
	add_events(live, frame);
	add_keys(live, frame);
}

/* bulkwatch list: all jobs that are watched, page by page, in the memory of one page. */
#include <inttypes.h>
#include <stdio.h>

#include "ctl/commands.h"
#include "ctl/jobs.h"
#include "ctl/table.h"
#include "util/mem.h"
#include "util/str.h"

static const struct table_column terminal_columns[] = {
        {.title = "JOB"},
        {.title = "NAME", .min = 8, .drop = 3},
        {.title = "STATE", .min = 9},
        {.title = "SINCE", .drop = 2},
        {.title = "NEXT POLL", .drop = 4},
        {.title = "NOTE", .min = 8, .drop = 5},
};

/* Scripts count on these, in this order; new ones are added after them (bulkwatch(1)). */
static const struct table_column plain_columns[] = {
        {.title = "account"},
        {.title = "id"},
        {.title = "name"},
        {.title = "state"},
        {.title = "finished"},
        {.title = "since"},
        {.title = "next_poll"},
        {.title = "polls"},
        {.title = "paused"},
        {.title = "last_error"},
};

static const char *text_of(const struct json *json, const struct json_node *job, const char *key)
{
	const struct json_node *member = json_get(json, job, key);

	return member ? member->text : NULL;
}

static bool is_true(const struct json *json, const struct json_node *job, const char *key)
{
	bool value = false;

	return json_get_bool(json, job, key, &value) && value;
}

static void add_terminal_row(
        struct table *table, const struct json *json, const struct json_node *job)
{
	const struct json_node *error = json_get(json, job, "last_error");
	const char *state = json_get_string(json, job, "state");
	const char *class = json_get_string(json, error, "class");
	const char *message = json_get_string(json, error, "message");
	const char *account = json_get_string(json, job, "account");
	const char *id = json_get_string(json, job, "id");
	cleanup(mem_free_p) char *path = mem_printf("%s/%s", account ? account : "", id ? id : "");
	cleanup(mem_free_p) char *note =
	        class ? mem_printf("%s: %s", class, message ? message : "") : mem_strdup("");
	bool is_paused = is_true(json, job, "paused");

	table_add(table, path, COLOR_NONE);
	table_add(table, json_get_string(json, job, "name"), COLOR_NONE);
	table_add(table, state, color_of_state(state));
	table_add_time(table, json_get_string(json, job, "since"));
	table_add_time(table, json_get_string(json, job, "next_poll"));
	table_add(table, is_paused ? "paused by hand" : note, COLOR_YELLOW);
}

static void add_plain_row(struct table *table, const struct json *json, const struct json_node *job)
{
	for (size_t i = 0; i < ARRAY_LEN(plain_columns); i++) {
		const char *key = plain_columns[i].title;
		const struct json_node *error = json_get(json, job, "last_error");

		if (str_is_equal(key, "last_error"))
			table_add(table, json_get_string(json, error, "class"), COLOR_NONE);
		else
			table_add(table, text_of(json, job, key), COLOR_NONE);
	}
}

struct listing {
	struct ctl *ctl;
	struct jobs_pager pager;
	struct table table;
	int64_t n, limit;
	bool is_filtered;
	char *last_seq; /* owned: of the first page */
};

static void listing_init(struct listing *listing, struct ctl *ctl, struct client *client)
{
	bool is_terminal = ctl->term.is_terminal;

	*listing = (struct listing){.ctl = ctl, .limit = INT64_MAX};
	jobs_pager_init(&listing->pager, client);
	table_init(&listing->table, &ctl->term, is_terminal ? terminal_columns : plain_columns,
	        is_terminal ? ARRAY_LEN(terminal_columns) : ARRAY_LEN(plain_columns));
}

static void listing_deinit(struct listing *listing)
{
	jobs_pager_deinit(&listing->pager);
	table_deinit(&listing->table);
	free(listing->last_seq);
}

static void listing_add(struct listing *listing, const struct json_node *job)
{
	const struct json *json = listing->pager.json;
	struct buf raw = {0}, safe = {0};

	listing->n++;
	if (!listing->ctl->is_json && listing->ctl->term.is_terminal) {
		add_terminal_row(&listing->table, json, job);
	} else if (!listing->ctl->is_json) {
		add_plain_row(&listing->table, json, job);
	} else {
		json_add_raw(json, job, &raw);
		text_add_safe_json(&safe, buf_str(&raw), raw.len);
		printf("%s\n%s", listing->n > 1 ? "," : "", buf_str(&safe));
	}
	buf_deinit(&raw);
	buf_deinit(&safe);
}

static int listing_page(struct listing *listing)
{
	struct jobs_pager *pager = &listing->pager;
	int code = jobs_pager_next(pager, listing->limit - listing->n);
	const struct json_node *root, *job;

	if (code != CTL_OK)
		return code;
	root = json_root(pager->json);
	if (!listing->last_seq) {
		const char *seq = text_of(pager->json, root, "last_seq");

		listing->last_seq = mem_strdup(seq ? seq : "null");
		if (listing->ctl->is_json)
			printf("{\"jobs\":[");
	}
	job = json_first(pager->json, json_get(pager->json, root, "jobs"));
	for (; job && listing->n < listing->limit; job = json_next(pager->json, job))
		listing_add(listing, job);
	if (!listing->ctl->is_json)
		table_flush(&listing->table);
	return CTL_OK;
}

/* Where the list was cut by --limit, `next` goes on from there; else it is null. */
static void listing_end_json(const struct listing *listing)
{
	const char *next = listing->pager.after;
	struct buf quoted = {0};
	struct json_out out;

	json_out_init(&out, &quoted, false);
	json_open_array(&out, NULL);
	json_put_string(&out, NULL, next);
	json_close_array(&out);
	json_out_deinit(&out);
	/* "[X]" without its brackets is the string or null. */
	printf("\n],\"next\":%.*s,\"last_seq\":%s}\n", (int)quoted.len - 2, buf_str(&quoted) + 1,
	        listing->last_seq);
	buf_deinit(&quoted);
}

static void listing_say_empty(const struct listing *listing)
{
	if (!listing->ctl->term.is_terminal)
		return;
	if (listing->is_filtered)
		printf("No job fits. \"bulkwatch list\" without options shows all that are "
		       "watched.\n");
	else
		printf("No jobs are watched yet. Name some in the configuration, or add one:\n"
		       "  bulkwatch add ACCOUNT ID\n");
}

static int listing_filter(struct listing *listing, const struct args *args)
{
	static const char *const names[] = {"account", "state", "name"};
	bool is_finished = args_option(args, "finished"), is_open = args_option(args, "unfinished");

	if (is_finished && is_open)
		return args_refuse(args, "--finished and --unfinished exclude each other");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		query_add(&listing->pager.filter, names[i], args_option(args, names[i]));
	if (is_finished || is_open)
		query_add(&listing->pager.filter, "finished", is_finished ? "true" : "false");
	listing->is_filtered = listing->pager.filter.len > sizeof("/v1/jobs") - 1;
	return args_integer(args, "limit", 1, INT64_MAX, &listing->limit);
}

int cmd_list(struct ctl *ctl, const struct args *args)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_QUERY);
	struct listing listing;
	int code;

	if (!client)
		return CTL_CONFIG;
	listing_init(&listing, ctl, client);
	code = listing_filter(&listing, args);
	while (code == CTL_OK && !listing.pager.is_last && listing.n < listing.limit)
		code = listing_page(&listing);
	if (code == CTL_OK && ctl->is_json)
		listing_end_json(&listing);
	else if (code == CTL_OK && listing.n == 0)
		listing_say_empty(&listing);
	listing_deinit(&listing);
	return code;
}

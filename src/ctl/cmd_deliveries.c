/* bulkwatch deliveries: what was sent to hooks, what came of it, another try, and the past anew. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/jobs.h"
#include "ctl/table.h"
#include "ctl/view.h"
#include "util/mem.h"
#include "util/str.h"

enum { DELIVERIES_PAGE = 200, REPLAY_MS = 3600 * 1000 };

/* Scripts count on these, in this order; new ones are added after them (bulkwatch(1)). */
static const struct table_column delivery_columns[] = {
        {.title = "ID"},
        {.title = "HOOK", .min = 6},
        {.title = "EVENT"},
        {.title = "ACCOUNT", .min = 8, .drop = 2},
        {.title = "JOB"},
        {.title = "STATE"},
        {.title = "ATTEMPTS", .drop = 1},
};

/* ---- pages ---- */

typedef int delivery_fn(void *arg, const struct json *json, const struct json_node *delivery);

struct pager {
	struct client *client;
	const char *state, *hook; /* NULL = any */
	int64_t left;             /* no more than so many are given */
	char *before;             /* owned: where the next page begins; NULL = at the newest */
	bool is_last;
};

static int pager_ask(struct pager *pager, struct answer *answer, struct json **json)
{
	cleanup(buf_deinit) struct buf path = {0};
	char limit[24];

	snprintf(limit, sizeof(limit), "%" PRId64,
	        pager->left < DELIVERIES_PAGE ? pager->left : DELIVERIES_PAGE);
	buf_adds(&path, "/v1/deliveries");
	query_add(&path, "state", pager->state);
	query_add(&path, "hook", pager->hook);
	query_add(&path, "limit", limit);
	query_add(&path, "before", pager->before);
	return answer_get(pager->client, buf_str(&path), answer, json);
}

/* One page to fn, row by row; what is not CTL_OK ends it and is returned. */
static int pager_next(struct pager *pager, delivery_fn *fn, void *arg)
{
	struct answer answer = {0};
	struct json *json = NULL;
	int code = pager_ask(pager, &answer, &json);

	if (code == CTL_OK) {
		const struct json_node *root = json_root(json);
		const struct json_node *row = json_first(json, json_get(json, root, "deliveries"));
		const char *next = json_get_string(json, root, "next");

		for (; row && code == CTL_OK && pager->left > 0; row = json_next(json, row)) {
			code = fn(arg, json, row);
			pager->left--;
		}
		free(pager->before);
		pager->before = next ? mem_strdup(next) : NULL;
		pager->is_last = !next;
	}
	json_free(json);
	answer_deinit(&answer);
	return code;
}

static void pager_deinit(struct pager *pager)
{
	free(pager->before);
}

/* ---- the list ---- */

struct listing {
	struct ctl *ctl;
	struct table table;
	size_t n;
};

static void add_attempts(struct table *table, const struct json *json, const struct json_node *row)
{
	const struct json_node *attempts = json_get(json, row, "attempts");
	char number[24];
	size_t n = 0;

	if (attempts && attempts->type == JSON_ARRAY) {
		for (const struct json_node *one = json_first(json, attempts); one;
		        one = json_next(json, one))
			n++;
		snprintf(number, sizeof(number), "%zu", n);
		table_add(table, number, COLOR_NONE);
	} else {
		table_add(table, attempts ? attempts->text : NULL, COLOR_NONE);
	}
}

static void print_raw(const struct json *json, const struct json_node *row, bool is_first)
{
	cleanup(buf_deinit) struct buf raw = {0}, safe = {0};

	json_add_raw(json, row, &raw);
	text_add_safe_json(&safe, buf_str(&raw), raw.len);
	printf("%s\n%s", is_first ? "{\"deliveries\":[" : ",", buf_str(&safe));
}

static int listing_add(void *arg, const struct json *json, const struct json_node *row)
{
	static const char *const keys[] = {"id", "hook", "event_seq", "account", "job_id", "state"};
	struct listing *listing = arg;

	if (listing->ctl->is_json) {
		print_raw(json, row, listing->n++ == 0);
		return CTL_OK;
	}
	listing->n++;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct json_node *member = json_get(json, row, keys[i]);

		table_add(&listing->table, member ? member->text : NULL,
		        str_is_equal(keys[i], "state") ? color_of_state(json_string(member))
		                                       : COLOR_NONE);
	}
	add_attempts(&listing->table, json, row);
	return CTL_OK;
}

static int list_all(struct listing *listing, struct pager *pager)
{
	int code;

	do {
		code = pager_next(pager, listing_add, listing);
		if (!listing->ctl->is_json)
			table_flush(&listing->table);
	} while (code == CTL_OK && !pager->is_last && pager->left > 0);
	return code;
}

static int deliveries_list(struct ctl *ctl, const struct args *args, const char *state)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_QUERY);
	struct listing listing = {.ctl = ctl};
	struct pager pager = {.client = client,
	        .state = state,
	        .hook = args_option(args, "hook"),
	        .left = INT64_MAX};
	int code = args_integer(args, "limit", 1, INT64_MAX, &pager.left);

	if (code != CTL_OK)
		return code;
	if (!client)
		return CTL_CONFIG;
	table_init(&listing.table, &ctl->term, delivery_columns, ARRAY_LEN(delivery_columns));
	code = list_all(&listing, &pager);
	if (ctl->is_json && code == CTL_OK)
		printf("%s\n],\"next\":%s%s%s}\n", listing.n ? "" : "{\"deliveries\":[",
		        pager.before ? "\"" : "", pager.before ? pager.before : "null",
		        pager.before ? "\"" : "");
	else if (code == CTL_OK && listing.n == 0 && ctl->term.is_terminal)
		printf("No deliveries%s.\n", state || pager.hook ? " that fit" : " yet");
	table_deinit(&listing.table);
	pager_deinit(&pager);
	return code;
}

/* ---- one ---- */

static const char *text_or_dash(const struct json_node *node)
{
	return node && node->text && node->type != JSON_NULL ? node->text : "-";
}

static void print_output(const struct ctl *ctl, const char *output)
{
	while (output && *output) {
		size_t len = strcspn(output, "\n");
		cleanup(mem_free_p) char *line = mem_strndup(output, len);
		cleanup(buf_deinit) struct buf safe = {0};

		text_add_safe(&safe, line, ctl->term.is_utf8);
		printf("    %s\n", buf_str(&safe));
		output += len + (output[len] == '\n');
	}
}

static void print_attempt(
        const struct ctl *ctl, const struct json *json, const struct json_node *attempt)
{
	cleanup(buf_deinit) struct buf head = {0}, safe = {0}, line = {0};
	const char *end = json_get_string(json, attempt, "end");

	buf_addf(&head, "Attempt %s at %s: %s %s, %s s",
	        text_or_dash(json_get(json, attempt, "attempt")),
	        text_or_dash(json_get(json, attempt, "started")), end ? end : "-",
	        text_or_dash(json_get(json, attempt, "exit")),
	        text_or_dash(json_get(json, attempt, "duration")));
	text_add_safe(&safe, buf_str(&head), ctl->term.is_utf8);
	term_add_colored(&ctl->term, &line, COLOR_BOLD, buf_str(&safe));
	printf("\n%s\n", buf_str(&line));
	print_output(ctl, json_get_string(json, attempt, "output"));
}

static void print_delivery(const struct ctl *ctl, const struct json *json)
{
	const struct json_node *root = json_root(json);

	for (const struct json_node *member = json_first(json, root); member;
	        member = json_next(json, member)) {
		cleanup(buf_deinit) struct buf value = {0};

		if (member->type == JSON_ARRAY || member->type == JSON_OBJECT)
			continue;
		view_add_scalar(ctl, &value, member);
		view_print_line(
		        ctl, member->key, buf_str(&value), color_of_state(json_string(member)));
	}
	for (const struct json_node *attempt = json_first(json, json_get(json, root, "history"));
	        attempt; attempt = json_next(json, attempt))
		print_attempt(ctl, json, attempt);
}

static int deliveries_show(struct ctl *ctl, const char *id)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_QUERY);
	cleanup(buf_deinit) struct buf path = {0};
	struct answer answer = {0};
	struct json *json = NULL;
	int code;

	if (!client)
		return CTL_CONFIG;
	buf_adds(&path, "/v1/deliveries/");
	client_add_encoded(&path, id);
	code = answer_get(client, buf_str(&path), &answer, &json);
	if (json && !ctl->is_json && ctl->term.is_terminal)
		print_delivery(ctl, json);
	else if (json)
		view_print_any(ctl, json, json_root(json));
	json_free(json);
	answer_deinit(&answer);
	return code;
}

/* ---- another try ---- */

static int post(struct ctl *ctl, struct client *client, const struct client_request *request)
{
	struct answer answer = {0};
	struct json *json = NULL;
	int code = client_ask(client, request, &answer);

	if (code == CTL_OK && answer.body.len > 0)
		code = answer_parse(&answer, &json);
	else if (code == CTL_OK)
		code = answer_check(&answer);
	if (json)
		view_print_any(ctl, json, json_root(json));
	json_free(json);
	answer_deinit(&answer);
	return code;
}

static int retry_one(struct ctl *ctl, struct client *client, const char *id)
{
	cleanup(buf_deinit) struct buf path = {0};

	buf_adds(&path, "/v1/deliveries/");
	client_add_encoded(&path, id);
	buf_adds(&path, "/retry");
	return post(
	        ctl, client, &(struct client_request){.method = "POST", .path = buf_str(&path)});
}

/* Dead ones by id: all of them are known before the first is tried, so none is met twice. */
struct ids {
	char **list; /* owned */
	size_t n, cap;
};

static int ids_add(void *arg, const struct json *json, const struct json_node *delivery)
{
	struct ids *ids = arg;
	const char *id = json_get_string(json, delivery, "id");

	if (!id)
		return CTL_OK;
	if (ids->n == ids->cap) {
		ids->cap = ids->cap ? ids->cap * 2 : 64;
		ids->list = mem_resize(ids->list, ids->cap, sizeof(*ids->list));
	}
	ids->list[ids->n++] = mem_strdup(id);
	return CTL_OK;
}

/* The oldest first, as they would have come; what cannot be tried does not stop the others. */
static int retry_dead(struct ctl *ctl, const char *hook)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_ADMIN);
	struct pager pager = {.client = client, .state = "dead", .hook = hook, .left = INT64_MAX};
	struct ids ids = {0};
	int code = client ? CTL_OK : CTL_CONFIG;

	while (code == CTL_OK && !pager.is_last)
		code = pager_next(&pager, ids_add, &ids);
	for (size_t i = ids.n; code == CTL_OK && i > 0; i--)
		code = retry_one(ctl, client, ids.list[i - 1]);
	if (code == CTL_OK && ids.n == 0 && ctl->term.is_terminal)
		printf("No delivery%s%s is dead.\n", hook ? " to " : "", hook ? hook : "");
	for (size_t i = 0; i < ids.n; i++)
		free(ids.list[i]);
	free(ids.list);
	pager_deinit(&pager);
	return code;
}

static int deliveries_retry(struct ctl *ctl, const struct args *args)
{
	const char *hook = args_option(args, "hook");
	bool is_all = args_option(args, "all-dead");
	size_t n_ways = (args->n_operands > 1) + (hook != NULL) + is_all;
	int code = CTL_OK;

	if (n_ways != 1)
		return args_refuse(args, "deliveries retry needs ids, or --hook HOOK for all dead "
		                         "ones of that hook, or --all-dead");
	if (args->n_operands == 1)
		return retry_dead(ctl, hook);
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_ADMIN);

	if (!client)
		return CTL_CONFIG;
	for (size_t i = 1; code == CTL_OK && i < args->n_operands; i++)
		code = retry_one(ctl, client, args->operands[i]);
	return code;
}

/* ---- the past anew ---- */

static int deliveries_replay(struct ctl *ctl, const struct args *args)
{
	const char *hook = args_option(args, "hook");
	int64_t since = -1;
	int code = args_integer(args, "since", 0, INT64_MAX, &since);

	if (code != CTL_OK)
		return code;
	if (!hook || since < 0 || args->n_operands > 1)
		return args_refuse(args, "deliveries replay needs --hook HOOK and --since SEQ, the "
		                         "first event's seq, and nothing else");
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_ADMIN);
	cleanup(buf_deinit) struct buf path = {0}, body = {0};

	if (!client)
		return CTL_CONFIG;
	buf_adds(&path, "/v1/hooks/");
	client_add_encoded(&path, hook);
	buf_adds(&path, "/replay");
	buf_addf(&body, "{\"since\":%" PRId64 "}", since);
	return post(ctl, client,
	        &(struct client_request){
	                .method = "POST",
	                .path = buf_str(&path),
	                .body = buf_str(&body),
	                .timeout_ms = REPLAY_MS,
	        });
}

/* ---- which of them ---- */

/* Each way of using the verb has its options; one that is given in vain was meant otherwise. */
static int check_options(const struct args *args, const char *what)
{
	static const struct {
		const char *option, *of;
	} places[] = {{"dead", "list"}, {"state", "list"}, {"limit", "list"}, {"all-dead", "retry"},
	        {"since", "replay"}};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (args_option(args, places[i].option) && strcmp(places[i].of, what) != 0)
			return args_refuse(args, "--%s is not for \"deliveries%s%s\"",
			        places[i].option, args->n_operands ? " " : "",
			        args->n_operands ? what : "");
	}
	if (args_option(args, "hook") && strcmp(what, "show") == 0)
		return args_refuse(args, "--hook is not for \"deliveries show\"");
	return CTL_OK;
}

int cmd_deliveries(struct ctl *ctl, const struct args *args)
{
	const char *what = args->n_operands > 0 ? args->operands[0] : "list";
	const char *state = args_option(args, "state");
	int code = check_options(args, what);

	if (code != CTL_OK)
		return code;
	if (strcmp(what, "retry") == 0)
		return deliveries_retry(ctl, args);
	if (strcmp(what, "replay") == 0)
		return deliveries_replay(ctl, args);
	if (strcmp(what, "show") == 0)
		return args->n_operands == 2
		               ? deliveries_show(ctl, args->operands[1])
		               : args_refuse(args, "deliveries show needs the id of a delivery");
	if (state && args_option(args, "dead"))
		return args_refuse(args, "--dead and --state exclude each other");
	return deliveries_list(ctl, args,
	        state                       ? state
	        : args_option(args, "dead") ? "dead"
	                                    : NULL);
}

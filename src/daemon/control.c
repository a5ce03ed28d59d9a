#include "daemon/control_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/backups.h"
#include "daemon/desk.h"
#include "daemon/streams.h"
#include "daemon/waiters.h"
#include "util/mem.h"
#include "util/str.h"

enum { SEGMENTS_MAX = 5, LIMIT_DEFAULT = 100, LIMIT_MAX = 1000 };

enum door { DOOR_BOTH, DOOR_ADMIN };

static const struct route {
	enum listen_method method;
	const char *path; /* {account} {id} {name} match any one segment */
	enum door door;
	call_fn *handler;
	const char *parameters; /* those it knows, each between spaces */
} routes[] = {
        {LISTEN_GET, "/v1/status", DOOR_BOTH, control_get_status, ""},
        {LISTEN_GET, "/v1/jobs", DOOR_BOTH, control_get_jobs,
                " account state finished name limit after "},
        {LISTEN_POST, "/v1/jobs", DOOR_ADMIN, control_post_job, ""},
        {LISTEN_GET, "/v1/jobs/{account}/{id}", DOOR_BOTH, control_get_job, ""},
        {LISTEN_DELETE, "/v1/jobs/{account}/{id}", DOOR_ADMIN, control_delete_job, ""},
        {LISTEN_GET, "/v1/jobs/{account}/{id}/history", DOOR_BOTH, control_get_history, ""},
        {LISTEN_GET, "/v1/jobs/{account}/{id}/wait", DOOR_BOTH, control_get_wait, " timeout "},
        {LISTEN_GET, "/v1/jobs/{account}/{id}/why", DOOR_BOTH, control_get_why, ""},
        {LISTEN_POST, "/v1/jobs/{account}/{id}/poll", DOOR_ADMIN, control_poll_job, ""},
        {LISTEN_POST, "/v1/jobs/{account}/{id}/pause", DOOR_ADMIN, control_pause_job, ""},
        {LISTEN_POST, "/v1/jobs/{account}/{id}/resume", DOOR_ADMIN, control_resume_job, ""},
        {LISTEN_GET, "/v1/events", DOOR_BOTH, control_get_events,
                " after follow type account limit "},
        {LISTEN_GET, "/v1/plan", DOOR_BOTH, control_get_plan, " account "},
        {LISTEN_GET, "/v1/accounts", DOOR_BOTH, control_get_accounts, ""},
        {LISTEN_GET, "/v1/hooks", DOOR_BOTH, control_get_hooks, ""},
        {LISTEN_POST, "/v1/hooks/{name}/test", DOOR_ADMIN, control_test_hook, ""},
        {LISTEN_POST, "/v1/hooks/{name}/replay", DOOR_ADMIN, control_replay_hook, ""},
        {LISTEN_GET, "/v1/deliveries", DOOR_BOTH, control_get_deliveries,
                " state hook limit before "},
        {LISTEN_GET, "/v1/deliveries/{id}", DOOR_BOTH, control_get_delivery, ""},
        {LISTEN_POST, "/v1/deliveries/{id}/retry", DOOR_ADMIN, control_retry_delivery, ""},
        {LISTEN_GET, "/v1/openapi.json", DOOR_BOTH, control_get_openapi, ""},
        {LISTEN_GET, "/metrics", DOOR_BOTH, control_get_metrics, ""},
        {LISTEN_GET, "/v1/config", DOOR_ADMIN, control_get_config, ""},
        {LISTEN_GET, "/v1/backup", DOOR_ADMIN, control_get_backup, ""},
        {LISTEN_POST, "/v1/reload", DOOR_ADMIN, control_post_reload, ""},
};

/* ---- answers ---- */

void call_reply(struct call *call, int status, const struct buf *json)
{
	listen_reply(call->request, status, "application/json", buf_str(json), json->len, NULL);
}

void call_no_content(struct call *call, int status)
{
	listen_reply(call->request, status, "application/json", status == 204 ? "" : "{}",
	        status == 204 ? 0 : 2, NULL);
}

static const char *title_of(int status)
{
	switch (status) {
	case 400:
		return "Bad request";
	case 404:
		return "Not found";
	case 405:
		return "Method not allowed";
	case 409:
		return "Conflict";
	case 410:
		return "Gone";
	case 422:
		return "Invalid configuration";
	case 503:
		return "Not now";
	case 507:
		return "The disk is full";
	default:
		return "Internal error";
	}
}

static void problem_with_headers(
        struct call *call, int status, const char *detail, const char *const *headers)
{
	cleanup(buf_deinit) struct buf body = {0};
	struct json_out w;

	json_out_init(&w, &body, false);
	json_open_object(&w, NULL);
	json_put_string(&w, "type", "about:blank");
	json_put_string(&w, "title", title_of(status));
	json_put_integer(&w, "status", status);
	json_put_string(&w, "detail", detail);
	json_close_object(&w);
	json_out_deinit(&w);
	listen_reply(
	        call->request, status, "application/problem+json", body.data, body.len, headers);
}

void call_problem(struct call *call, int status, const char *format, ...)
{
	char detail[512];
	va_list args;

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	problem_with_headers(call, status, detail, NULL);
}

/* ---- parameters ---- */

bool call_integer(struct call *call, const char *name, int64_t otherwise, int64_t *out)
{
	const char *text = listen_query(call->request, name);

	*out = otherwise;
	if (!text || str_to_int(text, 0, INT64_MAX, out) == 0)
		return true;
	call_problem(call, 400, "%s: a number was expected, from 0", name);
	return false;
}

bool call_limit(struct call *call, size_t *limit)
{
	const char *text = listen_query(call->request, "limit");
	int64_t value = LIMIT_DEFAULT;

	if (text && str_to_int(text, 1, LIMIT_MAX, &value) != 0) {
		call_problem(call, 400, "limit: a number from 1 to %d was expected", LIMIT_MAX);
		return false;
	}
	*limit = (size_t)value;
	return true;
}

bool call_boolean(struct call *call, const char *name, int *out)
{
	const char *text = listen_query(call->request, name);

	*out = -1;
	if (!text)
		return true;
	if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
		*out = text[0] == 't';
		return true;
	}
	call_problem(call, 400, "%s: true or false was expected", name);
	return false;
}

bool call_duration(
        struct call *call, const char *name, int64_t otherwise_ms, int64_t max_ms, int64_t *out_ms)
{
	const char *text = listen_query(call->request, name);
	char max[CLOCK_DURATION_SIZE];

	*out_ms = otherwise_ms;
	if (!text || (clock_parse_duration(text, out_ms) == 0 && *out_ms <= max_ms))
		return true;
	call_problem(call, 400, "%s: a duration like 30s or 5m was expected, at most %s", name,
	        clock_format_duration(max_ms, max));
	return false;
}

static struct account *known_account(const struct call *call, const char *name)
{
	struct account *account = accounts_find(call->control->context.tracker->accounts, name);

	return account && account->is_configured ? account : NULL;
}

bool call_account(struct call *call, struct account **out)
{
	const char *name = listen_query(call->request, "account");

	*out = name ? known_account(call, name) : NULL;
	if (!name || *out)
		return true;
	call_problem(call, 404, "there is no account %s in the configuration", name);
	return false;
}

struct tracked *call_job(const struct call *call)
{
	const struct tracker *tracker = call->control->context.tracker;
	const struct account *account = accounts_find(tracker->accounts, call->account);

	return account ? registry_find(tracker->registry, account->handle, call->id) : NULL;
}

struct store *call_store(const struct call *call)
{
	return journal_store(call->control->context.tracker->journal);
}

/* ---- routing ---- */

/* The i-th segment of a route's path, into text; false beyond the last. */
static bool route_segment(const char *path, size_t i, char *text, size_t size)
{
	const char *from = path + 1;

	for (; i > 0; i--) {
		from = strchr(from, '/');
		if (!from)
			return false;
		from++;
	}
	size_t len = strcspn(from, "/");

	snprintf(text, size, "%.*s", (int)len, from);
	return true;
}

static bool matches(struct call *call, const struct route *route)
{
	size_t n = listen_path_segments(call->request);
	char pattern[32];
	size_t i;

	for (i = 0; route_segment(route->path, i, pattern, sizeof(pattern)); i++) {
		const char *given = i < n ? listen_path_segment(call->request, i) : NULL;

		if (!given)
			return false;
		if (strcmp(pattern, "{account}") == 0)
			call->account = given;
		else if (strcmp(pattern, "{id}") == 0)
			call->id = given;
		else if (strcmp(pattern, "{name}") == 0)
			call->name = given;
		else if (strcmp(pattern, given) != 0)
			return false;
	}
	return i == n;
}

static bool has_known_parameters(struct call *call, const struct route *route)
{
	int n = listen_query_count(call->request);

	if (n < 0) {
		call_problem(
		        call, 400, "the query is malformed, too long, or names a parameter twice");
		return false;
	}
	for (int i = 0; i < n; i++) {
		const char *name = listen_query_name(call->request, (size_t)i);
		char word[64];

		snprintf(word, sizeof(word), " %.60s ", name);
		if (!strstr(route->parameters, word)) {
			call_problem(call, 400, "unknown query parameter %.60s; known here:%s",
			        name, route->parameters[0] ? route->parameters : " none");
			return false;
		}
	}
	return true;
}

/* On query.sock the methods that admin.sock knows are no allowed ones, but worth a word. */
static void refuse_method(struct call *call, const char *allowed, bool is_for_admin)
{
	cleanup(mem_free_p) char *allow = mem_printf("Allow: %s", allowed[0] ? allowed + 2 : "GET");
	const char *const headers[] = {allow, NULL};

	problem_with_headers(call, 405,
	        is_for_admin ? "this socket only answers: ask admin.sock for that"
	                     : "this path does not know that method",
	        headers);
}

static void dispatch(void *arg, struct listen_request *request, enum desk_queue queue)
{
	struct control *control = arg;
	enum listen_method method = listen_method(request);
	bool is_admin = queue == DESK_ADMIN;
	struct call call = {
	        .control = control,
	        .request = request,
	        .now = loop_now(control->context.loop),
	        .is_admin = is_admin,
	};
	char allowed[64] = "";
	bool is_for_admin = false;

	if (method == LISTEN_HEAD)
		method = LISTEN_GET;
	/* Changes of one turn share their commit; what is not committed is shown to nobody. */
	if (method == LISTEN_GET) {
		tracker_tell_accounts(control->context.tracker);
		journal_settle_all(control->context.tracker->journal);
	} else {
		journal_settle(control->context.tracker->journal);
	}
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		const struct route *route = &routes[i];
		static const char *const names[] = {[LISTEN_GET] = "GET, HEAD",
		        [LISTEN_POST] = "POST",
		        [LISTEN_DELETE] = "DELETE"};

		call.account = call.id = call.name = NULL;
		if (!matches(&call, route))
			continue;
		if (route->method == method && (is_admin || route->door == DOOR_BOTH)) {
			if (has_known_parameters(&call, route))
				route->handler(&call);
			return;
		}
		is_for_admin |= route->method == method;
		if (is_admin || route->door == DOOR_BOTH)
			snprintf(allowed + strlen(allowed), sizeof(allowed) - strlen(allowed),
			        ", %s", names[route->method]);
		else if (!allowed[0])
			snprintf(allowed, sizeof(allowed), ", ");
	}
	if (allowed[0])
		refuse_method(&call, allowed, is_for_admin);
	else
		call_problem(&call, 404, "there is no such path: see bulkwatch-api(7)");
}

/* ---- the whole ---- */

struct control *control_new(const struct control_context *context)
{
	struct control *control = MEM_NEW(struct control);

	control->context = *context;
	control->desk = desk_new(context->loop, context->group, dispatch, control);
	control->streams = streams_new(control);
	control->waiters = waiters_new(control);
	context->tracker->over = waiters_on_over;
	context->tracker->over_arg = control->waiters;
	control->backups = backups_new(control);
	return control;
}

struct control *control_free(struct control *control)
{
	if (!control)
		return NULL;
	control->context.tracker->over = NULL;
	desk_free(control->desk);
	streams_free(control->streams);
	waiters_free(control->waiters);
	backups_free(control->backups);
	free(control);
	return NULL;
}

/* Pages of lists: what one answer costs grows with what is asked for. */
static bool is_long(const struct listen_request *request)
{
	static const char *const lists[] = {"jobs", "deliveries", "accounts", "history"};
	size_t n = listen_path_segments(request);
	const char *last = n > 0 ? listen_path_segment(request, n - 1) : NULL;

	for (size_t i = 0; last && i < ARRAY_LEN(lists); i++) {
		if (strcmp(last, lists[i]) == 0)
			return true;
	}
	return false;
}

static void take(const struct control *control, struct listen_request *request, bool is_admin)
{
	loop_now(control->context.loop); /* from here on the turn is timed */
	desk_take(control->desk, request,
	        is_admin           ? DESK_ADMIN
	        : is_long(request) ? DESK_LONG
	                           : DESK_SHORT);
}

void control_on_query(void *arg, struct listen_request *request)
{
	take(arg, request, false);
}

void control_on_admin(void *arg, struct listen_request *request)
{
	take(arg, request, true);
}

void control_on_metrics(void *arg, struct listen_request *request)
{
	static const char words[] = "only GET /metrics is answered here\n";
	enum listen_method method = listen_method(request);
	bool is_known = strcmp(listen_path(request), "/metrics") == 0 &&
	                (method == LISTEN_GET || method == LISTEN_HEAD);

	if (is_known)
		take(arg, request, false);
	else
		listen_reply(
		        request, 404, "text/plain; charset=utf-8", words, sizeof(words) - 1, NULL);
}

void control_answer(struct control *control)
{
	desk_look(control->desk);
}

void control_publish(struct control *control)
{
	/* The first may commit what streams are to get. */
	waiters_look(control->waiters);
	streams_pump(control->streams);
	backups_pump(control->backups);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t control_next_mono(const struct control *control)
{
	int64_t next =
	        earlier(streams_next_mono(control->streams), waiters_next_mono(control->waiters));

	return earlier(next, backups_next_mono(control->backups));
}

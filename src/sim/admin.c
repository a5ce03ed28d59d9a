#include "sim/admin.h"

#include <string.h>

#include "sim/sim.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/json.h"

enum {
	ADMIN_JOBS_SHOWN = 1000,
	ADMIN_JOBS_MAX = 100000,
	ADMIN_REQUESTS_SHOWN = 1000,
};

struct admin {
	struct sim *sim;
	const struct http_request *request;
	struct reply reply;
};

typedef void admin_fn(struct admin *a);

static void admin_fail(struct admin *a, int status, const char *words)
{
	struct json_out w;

	a->reply.status = status;
	a->reply.content_type = "application/json";
	buf_clear(&a->reply.body);
	json_out_init(&w, &a->reply.body, false);
	json_open_object(&w, NULL);
	json_put_string(&w, "error", words);
	json_close_object(&w);
	json_out_deinit(&w);
}

/* A number of the query; false, and that is answered, if it is none. */
static bool admin_number(struct admin *a, const char *name, int64_t max, int64_t *value)
{
	cleanup(buf_deinit) struct buf text = {0};

	if (!http_form_get(a->request->query, strlen(a->request->query), name, &text))
		return true;
	if (str_to_int(buf_str(&text), 0, max, value) == 0)
		return true;
	admin_fail(a, 400, name);
	return false;
}

static void put_statuses(struct json_out *w, const struct datacenter *dc)
{
	json_open_object(w, "status");
	for (int status = 0; status < SIM_STATUS_MAX; status++) {
		char name[16];

		if (dc->n_status[status] == 0)
			continue;
		snprintf(name, sizeof(name), "%d", status);
		json_put_integer(w, name, (int64_t)dc->n_status[status]);
	}
	json_close_object(w);
}

static void put_datacenter(struct json_out *w, const struct datacenter *dc)
{
	const struct server_stats *stats = server_stats(dc->server);

	json_open_object(w, dc->name);
	json_put_string(w, "url", dc->url);
	json_put_integer(w, "requests", (int64_t)stats->n_requests);
	json_put_integer(w, "token_requests", (int64_t)dc->n_token_requests);
	json_put_integer(w, "unanswered", (int64_t)dc->n_unanswered);
	json_put_integer(w, "bad_requests", (int64_t)stats->n_bad);
	json_put_integer(w, "tls_failures", (int64_t)stats->n_tls_failures);
	put_statuses(w, dc);
	json_open_object(w, "connections");
	json_put_integer(w, "total", (int64_t)stats->n_connections);
	json_put_integer(w, "open", stats->n_open);
	json_put_integer(w, "open_max", stats->n_open_max);
	json_close_object(w);
	json_put_integer(w, "in_flight", stats->n_in_flight);
	json_put_integer(w, "in_flight_max", stats->n_in_flight_max);
	json_put_integer(w, "credits_used", org_credits_used(&dc->own));
	json_close_object(w);
}

static void put_orgs(struct json_out *w, const struct sim *sim)
{
	json_open_object(w, "organisations");
	for (size_t i = 0; i < sim->n_orgs; i++) {
		const struct org *org = &sim->orgs[i];

		json_open_object(w, org->name);
		json_put_integer(w, "requests", (int64_t)org->n_requests);
		json_put_integer(w, "refused", (int64_t)org->n_refused);
		json_put_integer(w, "credits_used", org_credits_used(org));
		json_put_integer(w, "in_flight", org->in_flight);
		json_close_object(w);
	}
	json_close_object(w);
}

static void put_jobs(struct json_out *w, const struct sim *sim, size_t n_shown)
{
	size_t n = lives_count(sim->lives);

	json_put_integer(w, "n_jobs", (int64_t)n);
	json_open_object(w, "jobs");
	for (size_t i = 0; i < n && i < n_shown; i++) {
		const struct life *life = lives_at(sim->lives, i);
		const struct script_step *step = &life->job->steps[life->step];
		cleanup(mem_free_p) char *name =
		        mem_printf("%s/%s", sim->datacenters[life->dc].name, life->id);

		json_open_object(w, name);
		json_put_integer(w, "requests", (int64_t)life->n_requests);
		json_put_string(w, "state", step->state);
		json_close_object(w);
	}
	json_close_object(w);
}

/* GET /stats?jobs=N */
static void admin_stats(struct admin *a)
{
	const struct sim *sim = a->sim;
	int64_t n_shown = ADMIN_JOBS_SHOWN, n_requests = 0;
	struct json_out w;

	if (!admin_number(a, "jobs", ADMIN_JOBS_MAX, &n_shown))
		return;
	for (size_t i = 0; i < sim->n_datacenters; i++)
		n_requests += (int64_t)server_stats(sim->datacenters[i].server)->n_requests;
	json_out_init(&w, &a->reply.body, true);
	json_open_object(&w, NULL);
	json_put_integer(&w, "uptime_ms", clock_now().mono_ms - sim->started_mono_ms);
	json_put_integer(&w, "requests", n_requests);
	json_put_integer(&w, "tokens_issued", (int64_t)tokens_issued(sim->tokens));
	json_put_integer(&w, "last_seq", (int64_t)request_log_last(sim->log));
	json_open_object(&w, "datacenters");
	for (size_t i = 0; i < sim->n_datacenters; i++)
		put_datacenter(&w, &sim->datacenters[i]);
	json_close_object(&w);
	put_orgs(&w, sim);
	put_jobs(&w, sim, (size_t)n_shown);
	json_close_object(&w);
	json_out_deinit(&w);
}

/* GET /requests?after=N&limit=N: lines as in the log */
static void admin_requests(struct admin *a)
{
	int64_t after = 0, limit = ADMIN_REQUESTS_SHOWN;

	if (!admin_number(a, "after", INT64_MAX - 1, &after) ||
	        !admin_number(a, "limit", REQUEST_LOG_KEPT, &limit))
		return;
	a->reply.content_type = "application/x-ndjson";
	request_log_read(a->sim->log, (uint64_t)after, (size_t)limit, &a->reply.body);
}

/* POST /faults, POST /jobs: a script of jobs and faults */
static void admin_add(struct admin *a)
{
	cleanup(buf_deinit) struct buf problems = {0};

	if (sim_add_script(a->sim, a->request->body, a->request->body_len, &problems) != 0) {
		admin_fail(a, 400, buf_str(&problems));
		return;
	}
	a->reply.status = 201;
	buf_adds(&a->reply.body, "{\"added\":true}");
}

/* POST /revoke?dc=&client_id=&refresh=true */
static void admin_revoke(struct admin *a)
{
	const char *query = a->request->query;
	size_t len = strlen(query);
	cleanup(buf_deinit) struct buf name = {0};
	cleanup(buf_deinit) struct buf client_id = {0};
	cleanup(buf_deinit) struct buf refresh = {0};
	bool has_dc = http_form_get(query, len, "dc", &name);
	bool has_client = http_form_get(query, len, "client_id", &client_id);
	struct datacenter *dc = has_dc ? sim_datacenter(a->sim, buf_str(&name)) : NULL;
	bool is_refresh = http_form_get(query, len, "refresh", &refresh) &&
	                  strcmp(buf_str(&refresh), "true") == 0;

	if (has_dc && !dc) {
		admin_fail(a, 404, "no such data center");
		return;
	}
	buf_addf(&a->reply.body, "{\"grants\":%zu}",
	        tokens_revoke(a->sim->tokens, dc ? dc->index : -1,
	                has_client ? buf_str(&client_id) : NULL, is_refresh));
}

static void admin_reset(struct admin *a)
{
	sim_reset(a->sim);
	buf_adds(&a->reply.body, "{\"reset\":true}");
}

static void admin_quit(struct admin *a)
{
	a->reply.is_last = true;
	buf_adds(&a->reply.body, "{\"quit\":true}");
}

static const struct {
	const char *method, *path;
	admin_fn *fn;
} admin_table[] = {
        {"GET", "/stats", admin_stats},
        {"GET", "/requests", admin_requests},
        {"POST", "/faults", admin_add},
        {"POST", "/jobs", admin_add},
        {"POST", "/revoke", admin_revoke},
        {"POST", "/reset", admin_reset},
        {"POST", "/quit", admin_quit},
};

void admin_on_request(void *arg, struct conn *conn, const struct http_request *request)
{
	struct admin a = {.sim = arg, .request = request};
	admin_fn *fn = NULL;
	bool is_known = false;

	a.reply.content_type = "application/json";
	for (size_t i = 0; i < ARRAY_LEN(admin_table); i++) {
		if (strcmp(admin_table[i].path, request->path) != 0)
			continue;
		is_known = true;
		if (strcmp(admin_table[i].method, request->method) == 0)
			fn = admin_table[i].fn;
	}
	if (fn)
		fn(&a);
	else
		admin_fail(&a, is_known ? 405 : 404, is_known ? "wrong method" : "no such path");
	conn_send(conn, &a.reply);
	if (fn == admin_quit)
		sim_stop(a.sim);
}

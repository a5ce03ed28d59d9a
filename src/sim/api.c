#include "sim/api.h"

#include <string.h>

#include "sim/exchange.h"
#include "util/log.h"
#include "util/str.h"

/* NULL unless the header is "Zoho-oauthtoken X". */
static const char *exchange_access_token(const struct exchange *x)
{
	static const char scheme[] = "Zoho-oauthtoken ";
	const char *value = x->request->authorization;

	if (!value || !str_has_prefix(value, scheme))
		return NULL;
	value += strlen(scheme);
	return value[0] && !strpbrk(value, " \t,") ? value : NULL;
}

/* Who asks, and may they? False if that is answered. */
static bool exchange_admit(struct exchange *x)
{
	const char *token = exchange_access_token(x), *organisation = NULL;
	int64_t remaining;

	if (!token || !tokens_check(x->sim->tokens, x->dc->index, x->dc->name, token,
	                      x->now.mono_ms, &organisation)) {
		fault_replace_plainly(FAULT_INVALID_TOKEN, x->route.id, &x->reply);
		return false;
	}
	x->org = sim_org(x->sim, x->dc, organisation);
	if (!org_take_credit(x->org, x->now.mono_ms)) {
		fault_replace_plainly(FAULT_429, x->route.id, &x->reply);
		return false;
	}
	x->org->in_flight++;
	x->reply.in_flight = &x->org->in_flight;
	remaining = org_credits_to_tell(x->org);
	if (remaining >= 0)
		buf_addf(&x->reply.headers, "X-API-CREDITS-REMAINING: %lld\r\n",
		        (long long)remaining);
	return true;
}

static void exchange_refuse_method(struct exchange *x)
{
	static const char body[] = "{\"code\":\"INVALID_REQUEST_METHOD\",\"details\":{},"
	                           "\"message\":\"The http request "
	                           "method type is not a valid one\",\"status\":\"error\"}";

	x->reply.status = 400;
	reply_set_body(&x->reply, REPLY_TYPE_JSON, body, strlen(body));
}

static void exchange_answer(struct exchange *x)
{
	const char *expected = x->route.path == FAULT_PATH_TOKEN ? "POST" : "GET";

	if (x->route.path == FAULT_PATH_ANY) {
		fault_replace_plainly(FAULT_INVALID_URL_PATTERN, "", &x->reply);
		return;
	}
	if (strcmp(x->request->method, expected) != 0) {
		exchange_refuse_method(x);
		return;
	}
	if (x->route.path == FAULT_PATH_TOKEN)
		exchange_answer_token(x);
	else if (!exchange_admit(x))
		return;
	else if (x->route.path == FAULT_PATH_API)
		exchange_answer_status(x);
	else
		exchange_answer_result(x);
}

static void exchange_record(struct exchange *x, struct conn *conn)
{
	int status = reply_status(&x->reply);
	struct request_record record = {
	        .at_wall_ms = x->now.wall_ms,
	        .dc = x->dc->name,
	        .connection = conn_number(conn),
	        .method = x->request->method,
	        .path = x->request->path,
	        .job = x->route.id[0] ? x->route.id : NULL,
	        .status = status,
	        .fault = x->fault ? fault_kind_name(x->fault->kind) : NULL,
	        .state = x->state,
	        .state_age_ms = x->state_age_ms,
	        .authorization = x->request->authorization,
	};

	if (status)
		x->dc->n_status[status]++;
	else
		x->dc->n_unanswered++;
	if (x->route.path == FAULT_PATH_TOKEN)
		x->dc->n_token_requests++;
	if (!request_log_add(x->sim->log, &record))
		log_error("the log of requests cannot be written: %m");
}

void api_on_request(void *arg, struct conn *conn, const struct http_request *request)
{
	struct datacenter *dc = arg;
	struct exchange x = {.sim = dc->sim, .dc = dc, .request = request, .now = clock_now()};
	struct fault_target target;

	route_parse(request->path, &x.route);
	target = (struct fault_target){
	        .dc = dc->name, .id = x.route.id, .path = x.route.path, .mono_ms = x.now.mono_ms};
	x.fault = sim_fault(x.sim, &target);
	if (x.fault && fault_kind_class(x.fault->kind) == FAULT_REPLACES)
		fault_replace(x.fault, x.route.id, &x.reply);
	else
		exchange_answer(&x);
	if (x.fault)
		fault_spoil(x.fault, &x.reply);
	x.reply.delay_ms += dist_draw(&dc->latency, &x.sim->rng);
	exchange_record(&x, conn);
	conn_send(conn, &x.reply);
	if (x.fault && x.fault->kind == FAULT_REFUSE)
		sim_refuse(dc, x.fault->for_ms);
}

/* The accounts server: POST /oauth/v2/token. Errors are answered with HTTP 200, as Zoho does. */
#include <string.h>

#include "sim/exchange.h"
#include "util/mem.h"
#include "wire/json.h"

static void exchange_write_grant(struct exchange *x, const struct token_grant *grant)
{
	enum fault_kind fault = x->fault ? x->fault->kind : FAULT_NONE;
	const char *api_domain =
	        fault == FAULT_FOREIGN_API_DOMAIN ? "https://www.zohoapis.invalid" : x->dc->url;
	bool is_legacy = fault == FAULT_LEGACY_MILLISECONDS;
	struct json_out w;

	json_out_init(&w, &x->reply.body, false);
	json_open_object(&w, NULL);
	json_put_string(&w, "access_token", grant->access_token);
	if (is_legacy)
		json_put_integer(&w, "expires_in_sec", grant->expires_in_s);
	else
		json_put_string(&w, "scope", "ZohoBigin.bulk.READ");
	json_put_string(&w, "api_domain", api_domain);
	json_put_string(&w, "token_type", "Bearer");
	json_put_integer(&w, "expires_in", grant->expires_in_s * (is_legacy ? 1000 : 1));
	json_close_object(&w);
	json_out_deinit(&w);
	x->reply.content_type = REPLY_TYPE_JSON;
}

/* In the body alone: a secret in the URL would stand in logs, so there it is not seen. */
static void form_get(const struct exchange *x, const char *name, struct buf *value)
{
	if (!http_form_get(x->request->body, x->request->body_len, name, value))
		buf_clear(value);
}

void exchange_answer_token(struct exchange *x)
{
	static const char wrong_grant[] = "{\"error\":\"unsupported_grant_type\"}";
	cleanup(buf_deinit) struct buf grant_type = {0};
	cleanup(buf_deinit) struct buf client_id = {0};
	cleanup(buf_deinit) struct buf client_secret = {0};
	cleanup(buf_deinit) struct buf refresh_token = {0};
	struct token_request request = {.dc = x->dc->index, .dc_name = x->dc->name};
	struct token_grant grant;
	enum fault_kind wrong;

	form_get(x, "grant_type", &grant_type);
	if (strcmp(buf_str(&grant_type), "refresh_token") != 0) {
		reply_set_body(&x->reply, REPLY_TYPE_JSON, wrong_grant, strlen(wrong_grant));
		return;
	}
	form_get(x, "client_id", &client_id);
	form_get(x, "client_secret", &client_secret);
	form_get(x, "refresh_token", &refresh_token);
	request.client_id = buf_str(&client_id);
	request.client_secret = buf_str(&client_secret);
	request.refresh_token = buf_str(&refresh_token);
	wrong = tokens_issue(x->sim->tokens, &request, x->now.mono_ms, &grant);
	if (wrong != FAULT_NONE)
		fault_replace_plainly(wrong, "", &x->reply);
	else
		exchange_write_grant(x, &grant);
}

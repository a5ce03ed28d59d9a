#include "daemon/account.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"

enum { TOKEN_LOOK_EVERY_MS = 1000 };

struct accounts {
	struct http *http;
	struct account **list; /* owned, by handle */
	size_t n;
	struct datacenter **datacenters; /* owned */
	size_t n_datacenters;
};

struct accounts *accounts_new(struct http *http)
{
	struct accounts *accounts = MEM_NEW(struct accounts);

	accounts->http = http;
	return accounts;
}

static void datacenter_free(struct datacenter *datacenter)
{
	http_host_free(datacenter->host);
	free(datacenter->name);
	free(datacenter->api_url);
	free(datacenter->ca_file);
	free(datacenter);
}

struct accounts *accounts_free(struct accounts *accounts)
{
	if (!accounts)
		return NULL;
	for (size_t i = 0; i < accounts->n; i++) {
		struct account *account = accounts->list[i];

		heap_deinit(&account->due);
		secret_deinit(&account->token);
		free(account->name);
		free(account);
	}
	for (size_t i = 0; i < accounts->n_datacenters; i++)
		datacenter_free(accounts->datacenters[i]);
	free(accounts->list);
	free(accounts->datacenters);
	free(accounts);
	return NULL;
}

size_t accounts_count(const struct accounts *accounts)
{
	return accounts->n;
}

struct account *accounts_get(const struct accounts *accounts, uint32_t handle)
{
	assert(handle < accounts->n);
	return accounts->list[handle];
}

struct account *accounts_find(const struct accounts *accounts, const char *name)
{
	for (size_t i = 0; i < accounts->n; i++) {
		if (strcmp(accounts->list[i]->name, name) == 0)
			return accounts->list[i];
	}
	return NULL;
}

/* ---- applying a configuration ---- */

static bool is_same_place(
        const struct datacenter *datacenter, const struct config_datacenter *config)
{
	return strcmp(datacenter->name, config->name) == 0 &&
	       strcmp(datacenter->api_url, config->api_url) == 0 &&
	       str_is_equal(datacenter->ca_file, config->ca_file);
}

/* One that moved (other URL or CA) is a new one: what is in flight to the old place ends there. */
static int find_or_add_datacenter(
        struct accounts *accounts, const struct config_datacenter *config, struct datacenter **out)
{
	struct http_host_options options = {
	        .ca_file = config->ca_file, .max_in_flight = HTTP_HOST_MAX_CONNECTIONS};

	for (size_t i = 0; i < accounts->n_datacenters; i++) {
		if (is_same_place(accounts->datacenters[i], config)) {
			*out = accounts->datacenters[i];
			(*out)->is_configured = true;
			return 0;
		}
	}
	struct datacenter *datacenter = MEM_NEW(struct datacenter);
	int r = http_host_new(accounts->http, config->api_url, &options, &datacenter->host);

	if (r < 0) {
		free(datacenter);
		return r;
	}
	datacenter->name = mem_strdup(config->name);
	datacenter->api_url = mem_strdup(config->api_url);
	datacenter->ca_file = config->ca_file ? mem_strdup(config->ca_file) : NULL;
	datacenter->waiting_tail = &datacenter->waiting;
	datacenter->is_configured = true;
	accounts->datacenters = mem_resize(
	        accounts->datacenters, accounts->n_datacenters + 1, sizeof(struct datacenter *));
	accounts->datacenters[accounts->n_datacenters++] = datacenter;
	*out = datacenter;
	return 0;
}

static struct account *find_or_add_account(struct accounts *accounts, const char *name)
{
	struct account *account = accounts_find(accounts, name);

	if (account)
		return account;
	account = MEM_NEW(struct account);
	account->name = mem_strdup(name);
	account->handle = (uint32_t)accounts->n;
	accounts->list = mem_resize(accounts->list, accounts->n + 1, sizeof(*accounts->list));
	accounts->list[accounts->n++] = account;
	return account;
}

struct account *accounts_add_gone(
        struct accounts *accounts, const char *name, const char *datacenter)
{
	struct account *account = find_or_add_account(accounts, name);
	struct datacenter *nowhere = MEM_NEW(struct datacenter);

	nowhere->name = mem_strdup(datacenter ? datacenter : "");
	nowhere->api_url = mem_strdup("");
	nowhere->waiting_tail = &nowhere->waiting;
	accounts->datacenters = mem_resize(
	        accounts->datacenters, accounts->n_datacenters + 1, sizeof(struct datacenter *));
	accounts->datacenters[accounts->n_datacenters++] = nowhere;
	account->datacenter = nowhere;
	return account;
}

static void apply_token(struct account *account, const char *path, bool has_moved)
{
	if (!str_is_equal(account->token.path, path)) {
		secret_deinit(&account->token);
		secret_init(&account->token, path);
		has_moved = true;
	}
	if (has_moved) {
		account->gate = (struct gate){0};
		account->problem[0] = '\0';
	}
	account->token_looked_at_mono_ms = INT64_MIN;
}

static int apply_account(struct accounts *accounts, const struct config *config,
        const struct config_account *from, struct hooks *hooks)
{
	struct datacenter *datacenter;
	int r = find_or_add_datacenter(
	        accounts, &config->datacenters[from->datacenter], &datacenter);

	if (r < 0)
		return r;
	struct account *account = find_or_add_account(accounts, from->name);
	bool has_moved = account->datacenter != datacenter;

	account->datacenter = datacenter;
	account->is_configured = true;
	account->service = from->service;
	account->policy = (struct poll_policy){
	        .min_interval_ms = from->poll.min_interval_ms,
	        .max_interval_ms = from->poll.max_interval_ms,
	        .polls_per_job = from->poll.polls_per_job,
	        .overdue_after_ms = from->poll.overdue_after_ms,
	        .lost_after_ms = from->poll.lost_after_ms,
	};
	account->timeout_ms = from->poll.timeout_ms;
	account->max_in_flight = from->max_in_flight;
	account->hooks = hooks_set_of(hooks, config, &from->hooks);
	apply_token(account, from->access_token_file, has_moved);
	return 0;
}

static void drop_unused_datacenters(struct accounts *accounts)
{
	size_t n = 0;

	for (size_t i = 0; i < accounts->n_datacenters; i++) {
		struct datacenter *datacenter = accounts->datacenters[i];
		bool is_used = datacenter->n_in_flight > 0;

		for (size_t k = 0; k < accounts->n && !is_used; k++)
			is_used = accounts->list[k]->datacenter == datacenter;
		if (is_used)
			accounts->datacenters[n++] = datacenter;
		else
			datacenter_free(datacenter);
	}
	accounts->n_datacenters = n;
}

int accounts_apply(struct accounts *accounts, const struct config *config, struct hooks *hooks,
        struct buf *words)
{
	for (size_t i = 0; i < accounts->n; i++)
		accounts->list[i]->is_configured = false;
	for (size_t i = 0; i < config->n_accounts; i++) {
		int r = apply_account(accounts, config, &config->accounts[i], hooks);

		if (r < 0) {
			buf_addf(words, "account %s: %s", config->accounts[i].name, err_text(r));
			return r;
		}
	}
	drop_unused_datacenters(accounts);
	return 0;
}

bool account_refresh_token(struct account *account, struct now now)
{
	if (account->token_looked_at_mono_ms != INT64_MIN &&
	        now.mono_ms - account->token_looked_at_mono_ms < TOKEN_LOOK_EVERY_MS)
		return false;
	account->token_looked_at_mono_ms = now.mono_ms;
	return secret_refresh(&account->token);
}

void account_write(
        struct json_out *w, const char *key, const struct account *account, struct now now)
{
	const struct gate *gate = &account->gate;
	int64_t wait = gate->state != GATE_OK && !gate->is_probing
	                       ? gate->until_mono_ms - now.mono_ms
	                       : -1;

	json_open_object(w, key);
	json_put_string(w, "name", account->name);
	json_put_string(w, "datacenter", account->datacenter->name);
	json_put_string(w, "service", config_service_name(account->service));
	json_put_string(w, "state", gate_state_name(gate->state));
	json_put_string(
	        w, "reason", gate->state == GATE_OK ? NULL : error_class_name(gate->reason));
	json_put_string(w, "detail", gate->state == GATE_OK ? NULL : account->problem);
	json_put_time(w, "since", gate->since_wall_ms);
	json_put_time(w, "next_probe", wait >= 0 ? now.wall_ms + wait : 0);
	json_put_integer(w, "jobs", (int64_t)account->n_jobs);
	json_put_integer(w, "in_flight", (int64_t)account->n_in_flight);
	json_put_integer(w, "polls", (int64_t)account->n_polls);
	json_open_object(w, "token");
	json_put_string(w, "state", account->token.text ? "ok" : "missing");
	json_put_string(w, "problem", account->token.problem[0] ? account->token.problem : NULL);
	json_close_object(w);
	json_open_object(w, "limits");
	json_put_integer(w, "max_in_flight", account->max_in_flight);
	json_close_object(w);
	json_close_object(w);
}

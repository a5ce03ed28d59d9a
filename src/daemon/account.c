#include "daemon/account.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/learned.h"
#include "daemon/ledger.h"
#include "util/err.h"
#include "util/hash.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/token.h"

enum { TOKEN_LOOK_EVERY_MS = 1000 };

struct accounts {
	struct http *http;
	struct grants *grants;
	struct ledgers *ledgers;
	struct account **list; /* owned, by handle */
	size_t n;
	struct hash by_name;
	struct datacenter **datacenters; /* owned */
	size_t n_datacenters;
};

struct accounts *accounts_new(
        struct loop *loop, struct http *http, struct rng *rng, const char *state_dir)
{
	struct accounts *accounts = MEM_NEW(struct accounts);

	accounts->http = http;
	accounts->grants = grants_new(loop, http, rng, state_dir);
	accounts->ledgers = ledgers_new(loop_now(loop));
	return accounts;
}

struct grants *accounts_grants(const struct accounts *accounts)
{
	return accounts->grants;
}

struct ledgers *accounts_ledgers(const struct accounts *accounts)
{
	return accounts->ledgers;
}

static void datacenter_free(struct datacenter *datacenter)
{
	http_host_free(datacenter->host);
	free(datacenter->name);
	free(datacenter->api_url);
	free(datacenter->accounts_url);
	free(datacenter->ca_file);
	free(datacenter);
}

static void drop_credentials(struct account *account)
{
	account->grant = grant_put(account->grant);
	secret_deinit(&account->token);
	secret_deinit(&account->client_secret);
	secret_deinit(&account->refresh_token);
	free(account->client_id);
	account->client_id = NULL;
	account->token_wait_until_mono_ms = 0;
	account->has_refused_token = false;
}

struct accounts *accounts_free(struct accounts *accounts)
{
	if (!accounts)
		return NULL;
	for (size_t i = 0; i < accounts->n; i++) {
		struct account *account = accounts->list[i];

		heap_deinit(&account->due);
		learned_free(account->learned);
		ledger_leave(account);
		drop_credentials(account);
		free(account->name);
		free(account);
	}
	ledgers_free(accounts->ledgers);
	grants_free(accounts->grants);
	for (size_t i = 0; i < accounts->n_datacenters; i++)
		datacenter_free(accounts->datacenters[i]);
	free(accounts->list);
	hash_deinit(&accounts->by_name);
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

static bool account_has_name(const void *ctx, const void *key, uint32_t handle)
{
	return strcmp(accounts_get(ctx, handle)->name, key) == 0;
}

struct account *accounts_find(const struct accounts *accounts, const char *name)
{
	uint32_t handle = hash_find(&accounts->by_name, hash_bytes(name, strlen(name)),
	        account_has_name, accounts, name);

	return handle == HASH_NONE ? NULL : accounts->list[handle];
}

/* ---- applying a configuration ---- */

static bool is_same_place(
        const struct datacenter *datacenter, const struct config_datacenter *config)
{
	return strcmp(datacenter->name, config->name) == 0 &&
	       strcmp(datacenter->api_url, config->api_url) == 0 &&
	       strcmp(datacenter->accounts_url, config->accounts_url) == 0 &&
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
	datacenter->accounts_url = mem_strdup(config->accounts_url);
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
	account->grants = accounts->grants;
	account->handle = (uint32_t)accounts->n;
	accounts->list = mem_resize(accounts->list, accounts->n + 1, sizeof(*accounts->list));
	accounts->list[accounts->n++] = account;
	hash_insert(&accounts->by_name, hash_bytes(name, strlen(name)), account->handle);
	return account;
}

struct account *accounts_add_gone(
        struct accounts *accounts, const char *name, const char *datacenter)
{
	struct account *account = find_or_add_account(accounts, name);
	struct datacenter *nowhere = MEM_NEW(struct datacenter);

	nowhere->name = mem_strdup(datacenter ? datacenter : "");
	nowhere->api_url = mem_strdup("");
	nowhere->accounts_url = mem_strdup("");
	nowhere->waiting_tail = &nowhere->waiting;
	accounts->datacenters = mem_resize(
	        accounts->datacenters, accounts->n_datacenters + 1, sizeof(struct datacenter *));
	accounts->datacenters[accounts->n_datacenters++] = nowhere;
	account->datacenter = nowhere;
	return account;
}

static bool has_same_credentials(const struct account *account, const struct config_account *config)
{
	return str_is_equal(account->token.path, config->access_token_file) &&
	       str_is_equal(account->client_id, config->client_id) &&
	       str_is_equal(account->client_secret.path, config->client_secret_file) &&
	       str_is_equal(account->refresh_token.path, config->refresh_token_file);
}

/* The grant of what the files say; none as long as one of them cannot be read. */
static void link_grant(struct account *account)
{
	struct grant_source source = {
	        .accounts_url = account->datacenter->accounts_url,
	        .ca_file = account->datacenter->ca_file,
	        .client_id = account->client_id,
	        .client_secret = account->client_secret.text,
	        .refresh_token = account->refresh_token.text,
	};
	struct grant *old = account->grant;

	if (!source.client_id || !source.client_secret || !source.refresh_token)
		return;
	account->grant = grants_get(account->grants, &source);
	if (account->grant != old)
		account->has_refused_token = false;
	grant_put(old); /* after it was got: the same one stays */
}

static void apply_credentials(
        struct account *account, const struct config_account *config, bool has_moved)
{
	if (!has_same_credentials(account, config)) {
		drop_credentials(account);
		if (config->access_token_file)
			secret_init(&account->token, config->access_token_file);
		if (config->client_id) {
			account->client_id = mem_strdup(config->client_id);
			secret_init(&account->client_secret, config->client_secret_file);
			secret_init(&account->refresh_token, config->refresh_token_file);
		}
		has_moved = true;
	}
	if (has_moved) {
		account->gate = (struct gate){0};
		account->problem[0] = '\0';
		link_grant(account);
	}
	if (account->grant)
		grant_forgive(account->grant);
	account->token_wait_until_mono_ms = 0;
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
	account->credits_per_day = from->credits_per_day;
	account->hooks = hooks_set_of(hooks, config, &from->hooks);
	apply_credentials(account, from, has_moved);
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
	for (size_t i = 0; i < accounts->n; i++) {
		if (!accounts->list[i]->is_configured)
			drop_credentials(accounts->list[i]);
	}
	drop_unused_datacenters(accounts);
	grants_drop_unused_hosts(accounts->grants);
	return 0;
}

/* ---- tokens ---- */

static bool look_at_file(const struct account *account, struct secret *secret)
{
	cleanup(mem_free_p) char *whose = mem_printf("account %s", account->name);

	return secret_refresh(secret, whose);
}

static bool look_at_files(struct account *account)
{
	if (account->token.path)
		return look_at_file(account, &account->token);
	if (!account->client_id)
		return false;
	bool is_new = look_at_file(account, &account->client_secret);

	is_new |= look_at_file(account, &account->refresh_token);
	if (is_new)
		link_grant(account);
	return is_new && account->grant;
}

bool account_look_at_secrets(struct account *account, struct now now)
{
	if (account->token_looked_at_mono_ms != INT64_MIN &&
	        now.mono_ms - account->token_looked_at_mono_ms < TOKEN_LOOK_EVERY_MS)
		return false;
	account->token_looked_at_mono_ms = now.mono_ms;
	bool is_new = look_at_files(account);

	if (is_new)
		account->token_wait_until_mono_ms = 0;
	return is_new;
}

/* Why there is nothing to send or to make tokens from, or soon will not be; "" = all files can be
 * read. */
static const char *secret_problem(const struct account *account)
{
	if (!account->client_id)
		return account->token.problem;
	const struct secret *first = &account->client_secret, *then = &account->refresh_token;

	/* One that was never read counts more than one that cannot be read again. */
	if (first->text && (!then->text || !first->problem[0]))
		return then->problem;
	return first->problem;
}

/* A token is sent to the API host that it was made for, or nowhere. */
static bool is_token_ours(const struct account *account)
{
	const char *domain = grant_domain(account->grant);
	char origin[TOKEN_DOMAIN_MAX_BYTES + 1];

	return !domain[0] ||
	       (token_origin(account->datacenter->api_url, origin) && strcmp(domain, origin) == 0);
}

/* ERROR_NONE: it is there, or it is waited for. */
static enum error_class want_granted(struct account *account, struct now now, char *words)
{
	struct grant *grant = account->grant;
	int64_t until = grant_want(grant, now);

	account->token_wait_until_mono_ms = 0;
	if (until > 0 && grant_is_refused(grant)) {
		str_copy(words, MESSAGE_MAX_BYTES, grant_problem(grant));
		return ERROR_GRANT;
	}
	if (until > 0) {
		account->token_wait_until_mono_ms = until;
		return ERROR_NONE;
	}
	if (is_token_ours(account))
		return ERROR_NONE;
	snprintf(words, MESSAGE_MAX_BYTES, "the access token is for %.100s, not for %.100s",
	        grant_domain(grant), account->datacenter->api_url);
	return ERROR_DOMAIN;
}

enum error_class account_want_token(struct account *account, struct now now, char *words)
{
	if (account->grant) {
		enum error_class error = want_granted(account, now, words);

		/* Asked about anew by the slow probe, unless it serves others well. */
		if (error == ERROR_DOMAIN && grant_is_doubtful(account->grant, now.mono_ms)) {
			grant_drop(account->grant);
			error = want_granted(account, now, words);
		}
		return error;
	}
	if (account->token.text)
		return ERROR_NONE;
	str_copy(words, MESSAGE_MAX_BYTES, secret_problem(account));
	return ERROR_SECRET;
}

const char *account_token(const struct account *account, int64_t mono_ms)
{
	return account->grant ? grant_token(account->grant, mono_ms) : account->token.text;
}

uint32_t account_token_generation(const struct account *account)
{
	return account->grant ? grant_generation(account->grant) : account->token.generation;
}

void account_token_accepted(struct account *account, uint32_t generation)
{
	if (!account->grant || generation != grant_generation(account->grant))
		return;
	account->has_refused_token = false;
	grant_accept(account->grant, generation);
}

bool account_token_refused(struct account *account, struct now now)
{
	if (!account->grant)
		return false;
	bool is_second = account->has_refused_token || grant_is_second_try(account->grant);

	if (is_second && !grant_is_doubtful(account->grant, now.mono_ms))
		return false;
	account->has_refused_token = true;
	grant_drop(account->grant);
	return true;
}

/* Its polls wait for the accounts server, and will for some time. */
static bool waits_long_for_token(const struct account *account, int64_t mono_ms)
{
	int64_t until = account->token_wait_until_mono_ms;

	return until > mono_ms && until < INT64_MAX && !account_token(account, mono_ms);
}

static void write_token(struct json_out *w, const struct account *account, struct now now)
{
	const char *problem = secret_problem(account);

	json_open_object(w, "token");
	if (account->grant) {
		grant_write(w, account->grant, problem, now);
	} else {
		json_put_string(w, "state", account->token.text ? "ok" : "missing");
		json_put_null(w, "expires");
		json_put_string(w, "problem", problem[0] ? problem : NULL);
	}
	json_close_object(w);
}

struct account_state account_state(const struct account *account, struct now now)
{
	const struct gate *gate = &account->gate;

	if (gate->state == GATE_OK && waits_long_for_token(account, now.mono_ms)) {
		const char *problem = grant_problem(account->grant);

		return (struct account_state){
		        .state = GATE_HELD,
		        .reason = error_class_name(ERROR_GRANT),
		        .detail = problem[0] ? problem : "too many access tokens were asked for",
		        .next_probe_wall_ms =
		                account->token_wait_until_mono_ms - now.mono_ms + now.wall_ms,
		};
	}
	if (gate->state == GATE_OK && account->ledger && ledger_is_spent(account->ledger, now))
		return (struct account_state){
		        .state = GATE_HELD,
		        .reason = "credits",
		        .detail = "its credits of 24 hours are spent",
		        .next_probe_wall_ms = ledger_next_credit_wall_ms(account->ledger, now),
		};
	if (gate->state == GATE_OK)
		return (struct account_state){.state = GATE_OK};
	int64_t wait = gate->is_probing ? -1 : gate->until_mono_ms - now.mono_ms;

	return (struct account_state){
	        .state = gate->state,
	        .reason = error_class_name(gate->reason),
	        .detail = account->problem,
	        .next_probe_wall_ms = wait >= 0 ? now.wall_ms + wait : 0,
	};
}

int64_t account_token_expires_wall_ms(const struct account *account, struct now now)
{
	return account->grant ? grant_expires_wall_ms(account->grant, now) : 0;
}

void account_write(
        struct json_out *w, const char *key, const struct account *account, struct now now)
{
	json_open_object(w, key);
	json_put_string(w, "name", account->name);
	json_put_string(w, "datacenter", account->datacenter->name);
	json_put_string(w, "service", config_service_name(account->service));
	struct account_state state = account_state(account, now);

	json_put_string(w, "state", gate_state_name(state.state));
	json_put_string(w, "reason", state.reason);
	json_put_string(w, "detail", state.detail);
	json_put_time(w, "since", account->gate.since_wall_ms);
	json_put_time(w, "next_probe", state.next_probe_wall_ms);
	json_put_integer(w, "jobs", (int64_t)account->n_jobs);
	json_put_integer(w, "in_flight", (int64_t)account->n_in_flight);
	json_put_integer(w, "polls", (int64_t)account->n_polls);
	write_token(w, account, now);
	json_open_object(w, "limits");
	json_put_integer(w, "max_in_flight", account->max_in_flight);
	json_put_integer(w, "credits_per_day", account->credits_per_day);
	json_close_object(w);
	if (account->ledger)
		ledger_write_json(w, "ledger", account->ledger, account, now);
	else
		json_put_null(w, "ledger");
	learned_write_durations(w, account->learned);
	json_close_object(w);
}

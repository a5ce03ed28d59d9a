/* GET /v1/status, /v1/accounts, /v1/hooks: how the daemon itself does. */
#include <string.h>

#include "daemon/control_private.h"
#include "util/mem.h"

/* ---- jobs by state ---- */

struct by_state {
	struct registry_state counts[REGISTRY_STATES_MAX];
	size_t n;
};

/* Beyond so many words all others are counted with the last. */
static void add_state(struct by_state *all, const struct registry_state *of)
{
	size_t i = 0;

	while (i < all->n && all->counts[i].word != of->word)
		i++;
	if (i == all->n && all->n < REGISTRY_STATES_MAX)
		all->counts[all->n++] = *of;
	else
		all->counts[i < all->n ? i : all->n - 1].n += of->n;
}

static void count_states(const struct tracker *tracker, struct by_state *all)
{
	*all = (struct by_state){0};
	for (size_t i = 0; i < accounts_count(tracker->accounts); i++) {
		struct registry_state counts[REGISTRY_STATES_MAX];
		size_t n = registry_states(tracker->registry, (uint32_t)i, counts);

		for (size_t k = 0; k < n; k++)
			add_state(all, &counts[k]);
	}
}

static void write_counts(struct json_out *w, const struct tracker *tracker)
{
	struct by_state all;
	int64_t finished = 0;

	count_states(tracker, &all);
	for (size_t i = 0; i < all.n; i++) {
		if (job_kind_is_finished(job_kind_of(all.counts[i].state)))
			finished += all.counts[i].n;
	}
	json_open_object(w, "jobs");
	json_put_integer(w, "watched", (int64_t)registry_count(tracker->registry));
	json_put_integer(w, "finished", finished);
	json_open_object(w, "by_state");
	for (size_t i = 0; i < all.n; i++)
		json_put_integer(w, all.counts[i].state, all.counts[i].n);
	json_close_object(w);
	json_close_object(w);
}

static void write_accounts(struct call *call, struct json_out *w)
{
	const struct accounts *accounts = call->control->context.tracker->accounts;

	json_open_array(w, "accounts");
	for (size_t i = 0; i < accounts_count(accounts); i++) {
		const struct account *account = accounts_get(accounts, (uint32_t)i);

		if (account->is_configured)
			account_write(w, NULL, account, call->now);
	}
	json_close_array(w);
}

static void write_datacenter(struct json_out *w, const struct datacenter *datacenter)
{
	bool is_open = datacenter->circuit.is_open;

	json_open_object(w, NULL);
	json_put_string(w, "name", datacenter->name);
	json_put_string(w, "api_url", datacenter->api_url);
	json_put_string(w, "state", is_open ? "down" : "ok");
	json_put_string(w, "problem", is_open ? datacenter->problem : NULL);
	if (datacenter->is_clock_known)
		json_put_number(w, "clock_ahead", (double)datacenter->clock_ahead_ms / 1000);
	else
		json_put_null(w, "clock_ahead");
	json_close_object(w);
}

/* Those that accounts are in, in the accounts' order. */
static void write_datacenters(struct call *call, struct json_out *w)
{
	const struct accounts *accounts = call->control->context.tracker->accounts;
	size_t n = accounts_count(accounts);

	json_open_array(w, "datacenters");
	for (size_t i = 0; i < n; i++) {
		const struct account *account = accounts_get(accounts, (uint32_t)i);
		bool is_first = account->is_configured;

		for (size_t j = 0; is_first && j < i; j++) {
			const struct account *other = accounts_get(accounts, (uint32_t)j);

			is_first =
			        !other->is_configured || other->datacenter != account->datacenter;
		}
		if (is_first)
			write_datacenter(w, account->datacenter);
	}
	json_close_array(w);
}

static void write_hook(struct call *call, struct json_out *w, const struct hook_info *info)
{
	uint64_t counts[4] = {0};

	store_delivery_counts(call_store(call), info->name, counts);
	json_open_object(w, NULL);
	json_put_string(w, "name", info->name);
	json_put_string(w, "state", info->config ? "ok" : "parked");
	json_open_array(w, "on");
	for (int type = EVENT_NONE + 1; info->config && type < EVENT_TYPES; type++) {
		if (event_set_has(info->config->on, (enum event_type)type))
			json_put_string(w, NULL, event_type_name((enum event_type)type));
	}
	json_close_array(w);
	json_open_array(w, "exec");
	for (size_t i = 0; info->config && info->config->exec && info->config->exec[i]; i++)
		json_put_string(w, NULL, info->config->exec[i]);
	json_close_array(w);
	json_put_string(w, "webhook", info->origin);
	json_put_integer(w, "running", (int64_t)info->n_running);
	json_put_integer(w, "pending", (int64_t)info->n_pending);
	json_put_integer(w, "delivered", (int64_t)counts[DELIVERY_DELIVERED]);
	json_put_integer(w, "dead", (int64_t)counts[DELIVERY_DEAD]);
	if (info->oldest_seq)
		json_put_integer(w, "oldest_pending_seq", info->oldest_seq);
	else
		json_put_null(w, "oldest_pending_seq");
	json_close_object(w);
}

static void write_hooks(struct call *call, struct json_out *w)
{
	struct hook_info info;

	json_open_array(w, "hooks");
	for (uint32_t i = 0; hooks_info(call->control->context.hooks, i, &info); i++) {
		if (info.config || info.n_pending)
			write_hook(call, w, &info);
	}
	json_close_array(w);
}

static void write_database(struct call *call, struct json_out *w)
{
	struct store *store = call_store(call);
	const char *state = "ok", *detail = NULL;

	if (!store_file_is_there(store)) {
		state = "removed";
		detail = "its file was removed or replaced, so that all that is known ends with "
		         "the daemon: save it with \"bulkwatch backup FILE\", stop the daemon, "
		         "remove "
		         "what is left of bulkwatch.db*, and put the copy in its place";
	} else if (journal_is_full(call->control->context.tracker->journal)) {
		state = "full";
		detail = "the disk is full: polls and hooks pause until there is room";
	}
	json_open_object(w, "database");
	json_put_string(w, "state", state);
	json_put_string(w, "detail", detail);
	json_put_string(w, "instance", store_instance(store));
	json_put_integer(w, "bytes", store_size(store));
	json_put_integer(w, "pruned_through", store_pruned_through(store));
	json_close_object(w);
}

void control_get_status(struct call *call)
{
	const struct control_context *context = &call->control->context;
	cleanup(buf_deinit) struct buf body = {0};
	struct json_out w;

	json_out_init(&w, &body, false);
	json_open_object(&w, NULL);
	json_put_string(&w, "version", BULKWATCH_VERSION);
	json_put_string(&w, "config_file", context->config_file);
	json_put_time(&w, "started", context->started_wall_ms);
	json_put_number(
	        &w, "uptime", (double)(call->now.mono_ms - context->started_mono_ms) / 1000);
	json_put_integer(&w, "last_seq", store_last_seq(call_store(call)));
	write_counts(&w, context->tracker);
	json_put_integer(&w, "in_flight", (int64_t)poller_in_flight(context->poller));
	write_datacenters(call, &w);
	write_accounts(call, &w);
	write_hooks(call, &w);
	write_database(call, &w);
	json_close_object(&w);
	json_out_deinit(&w);
	call_reply(call, 200, &body);
}

static void reply_list(struct call *call, void (*write)(struct call *call, struct json_out *w))
{
	cleanup(buf_deinit) struct buf body = {0};
	struct json_out w;

	json_out_init(&w, &body, false);
	json_open_object(&w, NULL);
	write(call, &w);
	json_close_object(&w);
	json_out_deinit(&w);
	call_reply(call, 200, &body);
}

void control_get_accounts(struct call *call)
{
	reply_list(call, write_accounts);
}

void control_get_hooks(struct call *call)
{
	reply_list(call, write_hooks);
}

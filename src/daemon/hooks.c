/* The tables of hooks and the queues of their deliveries; attempt.c runs one attempt. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/hookmatch.h"
#include "core/limits.h"
#include "daemon/hooks_private.h"
#include "daemon/webhook.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"

static char *inherit(const char *name)
{
	const char *value = getenv(name);

	return value ? mem_strdup(value) : NULL;
}

struct hooks *hooks_new(struct loop *loop, struct children *children, struct http *http,
        struct journal *journal, struct rng *rng)
{
	struct hooks *hooks = MEM_NEW(struct hooks);

	hooks->loop = loop;
	hooks->children = children;
	hooks->http = http;
	hooks->journal = journal;
	hooks->rng = rng;
	hooks->path = inherit("PATH");
	hooks->lang = inherit("LANG");
	hooks->home = inherit("HOME");
	hooks->tz = inherit("TZ");
	return hooks;
}

static void free_argv(char **argv)
{
	for (size_t i = 0; argv && argv[i]; i++)
		free(argv[i]);
	free(argv);
}

/* What the configuration says of it, but for its name. */
static void hook_forget_config(struct hook *hook)
{
	free_argv(hook->config.exec);
	free(hook->config.url);
	secret_deinit(&hook->secret);
	hook->config = (struct config_hook){.name = hook->name};
}

static void delivery_free(struct delivery *delivery)
{
	free(delivery->account);
	free(delivery->job_id);
	free(delivery);
}

struct hooks *hooks_free(struct hooks *hooks)
{
	if (!hooks)
		return NULL;
	for (uint32_t i = 0; i < hooks->n_chains; i++) {
		struct chain *chain = hooks->chains[i];

		while (chain && chain->first) {
			struct delivery *delivery = chain->first;

			chain->first = delivery->next;
			delivery_free(delivery);
		}
		free(chain);
	}
	hooks_forget_tests(hooks);
	hooks_forget_replays(hooks);
	webhooks_deinit(hooks);
	while (hooks->unsaved) {
		struct outcome *outcome = hooks->unsaved;

		hooks->unsaved = outcome->next;
		free(outcome->output);
		free(outcome);
	}
	for (size_t i = 0; i < hooks->n_hooks; i++) {
		heap_deinit(&hooks->hooks[i]->due);
		hook_forget_config(hooks->hooks[i]);
		free(hooks->hooks[i]->name);
		free(hooks->hooks[i]);
	}
	for (size_t i = 0; i < hooks->n_sets; i++)
		free(hooks->sets[i]);
	free(hooks->hooks);
	free(hooks->on);
	free(hooks->sets);
	free(hooks->chains);
	free(hooks->free_chains);
	hash_deinit(&hooks->by_order);
	free(hooks->path);
	free(hooks->lang);
	free(hooks->home);
	free(hooks->tz);
	free(hooks);
	return NULL;
}

/* ---- hooks and sets of them ---- */

uint32_t hooks_find(const struct hooks *hooks, const char *name)
{
	for (size_t i = 0; i < hooks->n_hooks; i++) {
		if (strcmp(hooks->hooks[i]->name, name) == 0)
			return (uint32_t)i;
	}
	return HOOKMATCH_NOBODY;
}

static uint32_t find_or_add(struct hooks *hooks, const char *name)
{
	uint32_t handle = hooks_find(hooks, name);

	if (handle != HOOKMATCH_NOBODY)
		return handle;
	handle = (uint32_t)hooks->n_hooks++;
	hooks->hooks = mem_resize(hooks->hooks, hooks->n_hooks, sizeof(*hooks->hooks));
	hooks->on = mem_resize(hooks->on, hooks->n_hooks, sizeof(*hooks->on));
	hooks->hooks[handle] = MEM_NEW(struct hook);
	hooks->hooks[handle]->name = mem_strdup(name);
	hooks->on[handle] = 0;
	return handle;
}

static char **copy_argv(char *const *argv)
{
	size_t n = 0;

	while (argv[n])
		n++;
	char **copy = mem_new(n + 1, sizeof(*copy));

	for (size_t i = 0; i < n; i++)
		copy[i] = mem_strdup(argv[i]);
	return copy;
}

/* A secret that was read stays where its file does, and a receiver's wish to be left alone where
 * the receiver does. */
static void hook_take_config(struct hook *hook, const struct config_hook *from)
{
	struct secret kept = {0};
	bool is_same_url =
	        from->url && hook->config.url && strcmp(from->url, hook->config.url) == 0;

	if (from->secret_file && hook->secret.path &&
	        strcmp(from->secret_file, hook->secret.path) == 0) {
		kept = hook->secret;
		hook->secret = (struct secret){0};
	}
	hook_forget_config(hook);
	hook->config = *from;
	hook->config.name = hook->name;
	hook->config.exec = from->exec ? copy_argv(from->exec) : NULL;
	hook->config.url = from->url ? mem_strdup(from->url) : NULL;
	hook->config.secret_file = NULL;
	hook->secret = kept;
	if (from->secret_file && !kept.path) {
		secret_init(&hook->secret, from->secret_file);
		hook->secret.is_list = true;
	}
	if (!is_same_url)
		hook->held_until_mono_ms = 0;
	hook->is_configured = true;
}

void hooks_apply(struct hooks *hooks, const struct config *config)
{
	for (size_t i = 0; i < hooks->n_hooks; i++) {
		hooks->hooks[i]->is_configured = false;
		hooks->on[i] = 0;
	}
	for (size_t i = 0; i < config->n_hooks; i++) {
		const struct config_hook *from = &config->hooks[i];
		uint32_t handle = find_or_add(hooks, from->name);

		hook_take_config(hooks->hooks[handle], from);
		hooks->on[handle] = from->on;
	}
	webhooks_apply(hooks);
}

static const struct hook_set *intern_set(struct hooks *hooks, const uint32_t *handles, size_t n)
{
	for (size_t i = 0; i < hooks->n_sets; i++) {
		struct hook_set *set = hooks->sets[i];

		if (set->n == n &&
		        (n == 0 || memcmp(set->hooks, handles, n * sizeof(*handles)) == 0))
			return set;
	}
	struct hook_set *set = mem_new(1, sizeof(*set) + n * sizeof(*handles));

	set->n = n;
	if (n > 0)
		memcpy(set->hooks, handles, n * sizeof(*handles));
	hooks->sets = mem_resize(hooks->sets, hooks->n_sets + 1, sizeof(*hooks->sets));
	hooks->sets[hooks->n_sets++] = set;
	return set;
}

const struct hook_set *hooks_set_of(
        struct hooks *hooks, const struct config *config, const struct config_hook_set *set)
{
	cleanup(mem_free_p) uint32_t *handles = mem_new(set->n + 1, sizeof(*handles));

	for (size_t i = 0; i < set->n; i++)
		handles[i] = hooks_find(hooks, config->hooks[set->hooks[i]].name);
	return intern_set(hooks, handles, set->n);
}

const struct hook_set *hooks_all(struct hooks *hooks)
{
	cleanup(mem_free_p) uint32_t *handles = mem_new(hooks->n_hooks + 1, sizeof(*handles));
	size_t n = 0;

	for (size_t i = 0; i < hooks->n_hooks; i++) {
		if (hooks->hooks[i]->is_configured)
			handles[n++] = (uint32_t)i;
	}
	return intern_set(hooks, handles, n);
}

bool hooks_info(const struct hooks *hooks, uint32_t handle, struct hook_info *info)
{
	if (handle >= hooks->n_hooks)
		return false;
	const struct hook *hook = hooks->hooks[handle];

	*info = (struct hook_info){
	        .name = hook->name,
	        .config = hook->is_configured ? &hook->config : NULL,
	        .origin = hook->origin ? hook->origin->base : NULL,
	        .n_running = hook->n_running,
	        .n_pending = hook->n_deliveries,
	        .metrics = &hook->metrics,
	};
	for (uint32_t i = 0; i < hooks->n_chains; i++) {
		const struct chain *chain = hooks->chains[i];

		if (!chain || chain->hook != handle || !chain->first ||
		        (info->oldest_seq && chain->first->event_seq >= info->oldest_seq))
			continue;
		info->oldest_seq = chain->first->event_seq;
		info->oldest_wall_ms = chain->first->created_wall_ms;
	}
	return true;
}

/* ---- chains ---- */

struct chain_name {
	uint32_t hook;
	int64_t order;
};

static uint64_t hash_chain(uint32_t hook, int64_t order)
{
	char bytes[sizeof(hook) + sizeof(order)];

	memcpy(bytes, &hook, sizeof(hook));
	memcpy(bytes + sizeof(hook), &order, sizeof(order));
	return hash_bytes(bytes, sizeof(bytes));
}

static bool chain_has_name(const void *ctx, const void *key, uint32_t handle)
{
	const struct hooks *hooks = ctx;
	const struct chain_name *name = key;

	return hooks->chains[handle]->hook == name->hook &&
	       hooks->chains[handle]->order == name->order;
}

static uint32_t chain_handle(struct hooks *hooks)
{
	if (hooks->n_free_chains > 0)
		return hooks->free_chains[--hooks->n_free_chains];
	if (hooks->n_chains == hooks->cap_chains) {
		hooks->cap_chains = hooks->cap_chains ? hooks->cap_chains * 2 : 64;
		hooks->chains =
		        mem_resize(hooks->chains, hooks->cap_chains, sizeof(*hooks->chains));
		hooks->free_chains = mem_resize(
		        hooks->free_chains, hooks->cap_chains, sizeof(*hooks->free_chains));
	}
	return hooks->n_chains++;
}

static struct chain *find_or_add_chain(struct hooks *hooks, uint32_t hook, int64_t order)
{
	struct chain_name name = {.hook = hook, .order = order};
	uint64_t hash = hash_chain(hook, order);
	uint32_t handle = hash_find(&hooks->by_order, hash, chain_has_name, hooks, &name);

	if (handle != HASH_NONE)
		return hooks->chains[handle];
	struct chain *chain = MEM_NEW(struct chain);

	chain->hook = hook;
	chain->order = order;
	chain->tail = &chain->first;
	chain->handle = chain_handle(hooks);
	hooks->chains[chain->handle] = chain;
	hash_insert(&hooks->by_order, hash, chain->handle);
	return chain;
}

static void chain_drop_if_empty(struct hooks *hooks, struct chain *chain)
{
	if (chain->first)
		return;
	heap_remove(&hooks->hooks[chain->hook]->due, &chain->due);
	hash_remove(&hooks->by_order, hash_chain(chain->hook, chain->order), chain->handle);
	hooks->chains[chain->handle] = NULL;
	hooks->free_chains[hooks->n_free_chains++] = chain->handle;
	free(chain);
}

void hooks_queue(struct hooks *hooks, struct chain *chain)
{
	struct heap *due = &hooks->hooks[chain->hook]->due;

	if (!chain->first || chain->first->is_claimed)
		heap_remove(due, &chain->due);
	else
		heap_set(due, &chain->due, chain->first->next_mono_ms);
}

static void chain_append(struct chain *chain, struct delivery *delivery)
{
	delivery->chain = chain;
	*chain->tail = delivery;
	chain->tail = &delivery->next;
}

/* Before the first of a later event, but never before one that runs. */
static void chain_insert(struct chain *chain, struct delivery *delivery)
{
	struct delivery **link = chain->tail;

	if (chain->first &&
	        container_of(chain->tail, struct delivery, next)->event_seq > delivery->event_seq) {
		link = &chain->first;
		while ((*link)->is_claimed || (*link)->event_seq < delivery->event_seq) {
			link = &(*link)->next;
			if (!*link)
				break;
		}
	}
	delivery->chain = chain;
	delivery->next = *link;
	*link = delivery;
	if (!delivery->next)
		chain->tail = &delivery->next;
}

void hooks_forget(struct hooks *hooks, struct delivery *delivery)
{
	struct chain *chain = delivery->chain;
	struct delivery **link = &chain->first;

	while (*link != delivery)
		link = &(*link)->next;
	*link = delivery->next;
	if (!*link)
		chain->tail = link;
	hooks->hooks[chain->hook]->n_deliveries--;
	delivery_free(delivery);
	hooks_queue(hooks, chain);
	chain_drop_if_empty(hooks, chain);
}

/* ---- places ---- */

bool hooks_take_place(struct hooks *hooks, struct delivery *delivery)
{
	struct hook *hook = hooks->hooks[delivery->chain->hook];

	if (hooks->is_draining || !hook->is_configured || hooks->n_running == HOOK_RUNNING_MAX ||
	        hook->n_running >= (size_t)hook->config.parallel ||
	        loop_now(hooks->loop).mono_ms < hook->held_until_mono_ms)
		return false;
	hooks->running[hooks->n_running++] = delivery;
	hook->n_running++;
	delivery->is_claimed = true;
	return true;
}

void hooks_give_place(struct hooks *hooks, struct delivery *delivery)
{
	for (size_t i = 0; i < hooks->n_running; i++) {
		if (hooks->running[i] != delivery)
			continue;
		hooks->running[i] = hooks->running[--hooks->n_running];
		hooks->hooks[delivery->chain->hook]->n_running--;
		delivery->is_claimed = false;
		loop_wake(hooks->loop); /* another may have it */
		return;
	}
	assert(false);
}

/* ---- offering ---- */

struct offer {
	struct journal_change change;
	struct hooks *hooks;
	struct delivery *delivery;
};

static void offer_on_done(struct journal_change *change, bool is_committed)
{
	struct offer *offer = container_of(change, struct offer, change);
	struct hooks *hooks = offer->hooks;
	struct delivery *delivery = offer->delivery;

	free(offer);
	if (is_committed) {
		if (delivery->is_claimed)
			attempt_start(hooks, delivery);
		hooks_queue(hooks, delivery->chain);
		return;
	}
	if (delivery->is_claimed)
		hooks_give_place(hooks, delivery);
	hooks_forget(hooks, delivery);
}

static int64_t order_of(int64_t job_key, const char *account)
{
	if (job_key)
		return job_key;
	return account ? -(int64_t)(hash_bytes(account, strlen(account)) >> 2) - 1 : 0;
}

static struct delivery *delivery_new(
        struct hooks *hooks, uint32_t hook, const struct store_delivery *row, bool is_in_order)
{
	struct chain *chain = find_or_add_chain(hooks, hook, order_of(row->job_key, row->account));
	struct delivery *delivery = MEM_NEW(struct delivery);

	*delivery = (struct delivery){
	        .id = row->id,
	        .event_seq = row->event_seq,
	        .account = row->account ? mem_strdup(row->account) : NULL,
	        .job_id = row->job_id ? mem_strdup(row->job_id) : NULL,
	        .job_key = row->job_key,
	        .attempts = row->attempts,
	        .attempts_base = row->attempts_base,
	        .next_wall_ms = row->next_wall_ms,
	        .created_wall_ms = row->created_wall_ms,
	};
	if (is_in_order)
		chain_insert(chain, delivery);
	else
		chain_append(chain, delivery);
	hooks->hooks[hook]->n_deliveries++;
	return delivery;
}

/* The first attempt is claimed with the event itself if it may run at once. */
static int offer_one(struct hooks *hooks, const struct store_event *event, uint32_t hook)
{
	struct now now = loop_now(hooks->loop);
	struct store_delivery row = {
	        .event_seq = event->seq,
	        .hook = hooks->hooks[hook]->name,
	        .account = event->account,
	        .job_key = event->job_key,
	        .job_id = event->job_id,
	        .next_wall_ms = now.wall_ms,
	        .created_wall_ms = now.wall_ms,
	};
	struct delivery *delivery = delivery_new(hooks, hook, &row, false);

	delivery->next_mono_ms = now.mono_ms;
	if (delivery->chain->first == delivery && hooks_take_place(hooks, delivery)) {
		delivery->attempts = row.attempts = 1;
		delivery->started_wall_ms = now.wall_ms;
		row.state = DELIVERY_RUNNING;
	}
	struct offer *offer = MEM_NEW(struct offer);

	*offer = (struct offer){
	        .change = {.done = offer_on_done, .can_wait = !delivery->is_claimed},
	        .hooks = hooks,
	        .delivery = delivery,
	};
	journal_add(hooks->journal, &offer->change);
	int r = store_delivery_add(journal_store(hooks->journal), &row);

	delivery->id = row.id;
	if (!r && delivery->is_claimed && !attempt_write_claim(hooks, delivery))
		return 0; /* the journal knows */
	return r;
}

int hooks_offer(void *arg, const struct store_event *event, const uint32_t *candidates, size_t n,
        uint32_t about)
{
	struct hooks *hooks = arg;
	cleanup(mem_free_p) uint32_t *matched = mem_new(n + 1, sizeof(*matched));

	n = hookmatch(event->type, candidates, n, hooks->on, about, matched);
	for (size_t i = 0; i < n; i++) {
		int r = offer_one(hooks, event, matched[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- opening and dispatching ---- */

struct delivery *hooks_open(struct hooks *hooks, const struct store_delivery *row)
{
	return delivery_new(hooks, find_or_add(hooks, row->hook), row, false);
}

struct delivery *hooks_open_in_order(struct hooks *hooks, const struct store_delivery *row)
{
	return delivery_new(hooks, find_or_add(hooks, row->hook), row, true);
}

struct claim {
	struct journal_change change;
	struct hooks *hooks;
	struct delivery *delivery;
};

static void claim_on_done(struct journal_change *change, bool is_committed)
{
	struct claim *claim = container_of(change, struct claim, change);
	struct hooks *hooks = claim->hooks;
	struct delivery *delivery = claim->delivery;

	free(claim);
	if (is_committed) {
		attempt_start(hooks, delivery);
		return;
	}
	delivery->attempts--;
	hooks_give_place(hooks, delivery);
	hooks_queue(hooks, delivery->chain);
}

static void claim_delivery(struct hooks *hooks, struct delivery *delivery)
{
	struct store_delivery row;
	struct claim *claim = MEM_NEW(struct claim);

	delivery->attempts++;
	delivery->started_wall_ms = loop_now(hooks->loop).wall_ms;
	*claim = (struct claim){.change.done = claim_on_done, .hooks = hooks, .delivery = delivery};
	journal_add(hooks->journal, &claim->change);
	row = attempt_row(hooks, delivery, DELIVERY_RUNNING);
	if (journal_wrote(hooks->journal, store_delivery_put(journal_store(hooks->journal), &row)))
		attempt_write_claim(hooks, delivery);
}

static void dispatch_hook(struct hooks *hooks, struct hook *hook, int64_t mono_ms)
{
	while (!journal_is_lost(hooks->journal) && heap_first_key(&hook->due) <= mono_ms) {
		struct chain *chain = container_of(heap_first(&hook->due), struct chain, due);
		struct delivery *delivery = chain->first;
		bool is_used_up = delivery->attempts - delivery->attempts_base >=
		                  (uint64_t)hook->config.attempts;

		if (!hooks_take_place(hooks, delivery))
			return;
		hooks_queue(hooks, chain);
		if (is_used_up)
			attempt_give_up(hooks, delivery);
		else
			claim_delivery(hooks, delivery);
	}
}

void hooks_dispatch(struct hooks *hooks)
{
	int64_t mono_ms = loop_now(hooks->loop).mono_ms;

	if (journal_is_full(hooks->journal))
		return;
	attempt_record_unsaved(hooks);
	for (size_t i = 0; i < hooks->n_hooks; i++) {
		if (hooks->hooks[i]->is_configured && !hooks->is_draining)
			dispatch_hook(hooks, hooks->hooks[i], mono_ms);
	}
	hooks_replay_turn(hooks);
}

int64_t hooks_next_mono(const struct hooks *hooks)
{
	int64_t next = INT64_MAX;

	if (journal_is_full(hooks->journal) || hooks->is_draining)
		return INT64_MAX;
	for (size_t i = 0; i < hooks->n_hooks; i++) {
		const struct hook *hook = hooks->hooks[i];
		bool has_place = hook->n_running < (size_t)hook->config.parallel &&
		                 hooks->n_running < HOOK_RUNNING_MAX;

		int64_t due = heap_first_key(&hook->due);

		if (due < hook->held_until_mono_ms)
			due = hook->held_until_mono_ms;
		if (hook->is_configured && has_place && due < next)
			next = due;
	}
	return next;
}

void hooks_drain(struct hooks *hooks)
{
	hooks->is_draining = true;
}

size_t hooks_running(const struct hooks *hooks)
{
	size_t n = hooks->n_running;

	for (const struct outcome *outcome = hooks->unsaved; outcome; outcome = outcome->next)
		n--;
	return n;
}

/*
 * The sections of all files: options of the top level, then data centers, hooks and accounts by
 * name, in this order, so that a name is known before it is used wherever it stands.
 */
#include "config/loader.h"

#include <stdio.h>
#include <string.h>

#include "core/limits.h"
#include "util/mem.h"

static bool section_equal(const void *ctx, const void *key, uint32_t handle)
{
	const struct section *section = ctx;

	return strcmp(section->list[handle].name, key) == 0;
}

uint32_t section_find(const struct section *section, const char *name)
{
	return hash_find(
	        &section->by_name, hash_bytes(name, strlen(name)), section_equal, section, name);
}

void section_deinit(struct section *section)
{
	free(section->list);
	hash_deinit(&section->by_name);
	*section = (struct section){0};
}

const char **section_names(const struct section *section)
{
	const char **names = mem_new(section->n, sizeof(*names));

	for (size_t i = 0; i < section->n; i++)
		names[i] = section->list[i].name;
	return names;
}

/* [a-z0-9][a-z0-9_-]{0,62} */
static bool name_is_right(const char *name)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
	size_t len = strlen(name);

	return len > 0 && len <= NAME_MAX_BYTES && strchr(first, name[0]) &&
	       strspn(name, rest) == len;
}

static void section_add(struct section *section, const struct tree_node *node)
{
	if (section->n == section->cap) {
		section->cap = section->cap ? section->cap * 2 : 8;
		section->list = mem_resize(section->list, section->cap, sizeof(*section->list));
	}
	section->list[section->n] = (struct entry){.name = node->key, .node = node};
	hash_insert(
	        &section->by_name, hash_bytes(node->key, strlen(node->key)), (uint32_t)section->n);
	section->n++;
}

static void section_gather_one(
        struct loader *l, struct section *section, const char *what, const struct tree_node *node)
{
	uint32_t known = section_find(section, node->key);
	char quoted[QUOTE_SIZE];

	if (known != HASH_NONE) {
		struct place at = section->list[known].node->key_at;

		/* Within one file the tree has told of it already. */
		if (at.file != node->at.file)
			problems_add(&l->problems, node->key_at, "%s %s stands at %s:%u already",
			        what, problems_quote(quoted, node->key),
			        problems_file_name(&l->problems, at), at.line);
		return;
	}
	if (!name_is_right(node->key))
		problems_add(&l->problems, node->key_at,
		        "%s is no name for %s %s: expected 1 to %d characters of a-z, 0-9, \"_\" "
		        "and \"-\", the first a letter or a digit",
		        problems_quote(quoted, node->key), strchr("aeiou", what[0]) ? "an" : "a",
		        what, NAME_MAX_BYTES);
	section_add(section, node);
}

void section_gather(struct loader *l, struct section *section, const char *what,
        const struct tree_node *map, size_t n_max)
{
	char expected[64];

	snprintf(expected, sizeof(expected), "a mapping of %ss by their names", what);
	if (!map || !value_is_kind(l, map->key, map, TREE_MAP, expected))
		return;
	for (const struct tree_node *child = map->first; child; child = child->next) {
		if (section->n == n_max) {
			problems_add(&l->problems, child->key_at, "more than %zu %ss", n_max, what);
			return;
		}
		section_gather_one(l, section, what, child);
	}
}

static void sections_gather(struct loader *l, const struct tree_node *root)
{
	section_gather(
	        l, &l->datacenters, "data center", tree_get(root, "datacenters"), DATACENTERS_MAX);
	section_gather(l, &l->hooks, "hook", tree_get(root, "hooks"), HOOKS_MAX);
	section_gather(l, &l->accounts, "account", tree_get(root, "accounts"), ACCOUNTS_MAX);
}

/* An included file: its keys are those that are gathered from all files. */
static void included_check(struct loader *l, const struct tree_node *root)
{
	static const char *const allowed[] = {"datacenters", "accounts", "hooks"};

	for (const struct tree_node *child = root->first; child; child = child->next) {
		char quoted[QUOTE_SIZE], nearest[NEAREST_SIZE];
		bool is_allowed = false;

		for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
			is_allowed |= strcmp(child->key, allowed[i]) == 0;
		if (is_allowed)
			continue;
		problems_quote(quoted, child->key);
		if (option_find(SCOPE_ROOT, child->key))
			problems_add(&l->problems, child->key_at,
			        "%s may stand in the main file only; an included file may hold "
			        "datacenters, accounts and hooks",
			        child->key);
		else
			problems_add(&l->problems, child->key_at,
			        "unknown key %s in an included file%s", quoted,
			        value_nearest(nearest, child->key, allowed, ARRAY_LEN(allowed)));
	}
}

/* The first of the directories that systemd names (systemd.exec(5), RuntimeDirectory=). */
static void directory_from_environment(struct loader *l, const char *variable, char **field)
{
	const char *list = getenv(variable);

	if (list && list[0] == '/')
		*field = config_strings_add(l->config->strings, list, strcspn(list, ":"));
}

static void poll_read(struct loader *l, const struct tree_node *node, struct config_poll *poll,
        struct found *found)
{
	if (!node || !value_is_kind(l, "poll", node, TREE_MAP, "a mapping of options"))
		return;
	scope_read(l, SCOPE_POLL, node, poll, found);
	check_poll(l, poll, found);
}

static void hook_read(struct loader *l, const struct entry *entry, struct config_hook *hook)
{
	struct found found;

	hook->name = config_strings_add(l->config->strings, entry->name, strlen(entry->name));
	scope_set_defaults(l, SCOPE_HOOK, hook);
	if (!value_is_kind(l, entry->name, entry->node, TREE_MAP, "a mapping with exec"))
		return;
	scope_read(l, SCOPE_HOOK, entry->node, hook, &found);
	if (found_node(&found, "url") && !found_node(&found, "timeout"))
		hook->timeout_ms = HOOK_WEBHOOK_TIMEOUT_MS;
	check_hook(l, hook, &found, entry);
}

static void account_read(
        struct loader *l, const struct entry *entry, struct config_account *account)
{
	const struct tree_node *datacenter, *hooks;
	struct found found, poll;

	account->name = config_strings_add(l->config->strings, entry->name, strlen(entry->name));
	account->poll = l->config->poll;
	account->hooks = l->all_hooks;
	scope_set_defaults(l, SCOPE_ACCOUNT, account);
	if (!value_is_kind(l, entry->name, entry->node, TREE_MAP, "a mapping with datacenter"))
		return;
	scope_read(l, SCOPE_ACCOUNT, entry->node, account, &found);
	check_account(l, &found, entry);
	poll_read(l, found_node(&found, "poll"), &account->poll, &poll);
	datacenter = found_node(&found, "datacenter");
	if (datacenter)
		datacenters_find(l, datacenter, &account->datacenter);
	hooks = found_node(&found, "hooks");
	if (hooks)
		value_read_hooks(l, option_find(SCOPE_ACCOUNT, "hooks"), hooks, &account->hooks);
	jobs_read(l, account, found_node(&found, "jobs"), found_node(&found, "jobs_file"));
}

static void hooks_read(struct loader *l)
{
	struct config *config = l->config;
	uint32_t *all = config_strings_alloc(config->strings, (l->hooks.n + 1) * sizeof(*all));

	config->hooks = mem_new(l->hooks.n, sizeof(*config->hooks));
	config->n_hooks = l->hooks.n;
	for (size_t i = 0; i < l->hooks.n; i++) {
		all[i] = (uint32_t)i;
		hook_read(l, &l->hooks.list[i], &config->hooks[i]);
	}
	l->all_hooks = (struct config_hook_set){.hooks = all, .n = l->hooks.n};
}

static void accounts_read(struct loader *l)
{
	struct config *config = l->config;

	config->accounts = mem_new(l->accounts.n, sizeof(*config->accounts));
	config->n_accounts = l->accounts.n;
	for (size_t i = 0; i < l->accounts.n; i++)
		account_read(l, &l->accounts.list[i], &config->accounts[i]);
}

void sections_read(struct loader *l)
{
	const struct tree_node *root = l->sources[0].root, *include;
	struct config *config = l->config;
	struct found found;

	scope_set_defaults(l, SCOPE_ROOT, config);
	scope_set_defaults(l, SCOPE_POLL, &config->poll);
	directory_from_environment(l, "STATE_DIRECTORY", &config->state_dir);
	directory_from_environment(l, "RUNTIME_DIRECTORY", &config->runtime_dir);
	if (!root)
		return;
	scope_read(l, SCOPE_ROOT, root, config, &found);
	poll_read(l, found_node(&found, "poll"), &config->poll, &l->poll);
	sections_gather(l, root);
	include = found_node(&found, "include");
	if (include)
		sources_include(l, include);
	for (size_t i = 1; i < l->n_sources; i++) {
		if (!l->sources[i].root)
			continue;
		included_check(l, l->sources[i].root);
		sections_gather(l, l->sources[i].root);
	}
	datacenters_read(l);
	hooks_read(l);
	accounts_read(l);
	check_root(l, &found);
}

/*
 * Values that are lists: events, hooks' names, a program with its arguments.
 */
#include "config/loader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/mem.h"
#include "util/str.h"

/* The kernel takes 128 KiB for one argument at most (execve(2)), and the environment needs room,
 * too. */
enum { ARGV_MAX = 1024, ARGV_MAX_BYTES = 64 * 1024 };

/* What hooks may name: every type, and a pattern for each kind. */
static size_t event_words(const char *words[static EVENT_TYPES + 4])
{
	size_t n = 0;

	for (int type = EVENT_NONE + 1; type < EVENT_TYPES; type++)
		words[n++] = event_type_name((enum event_type)type);
	words[n++] = "job.*";
	words[n++] = "account.*";
	words[n++] = "hook.*";
	return n;
}

bool value_read_events(
        struct loader *l, const struct option *option, const struct tree_node *node, event_set *set)
{
	static const char expected[] = "a list of events such as [job.completed, job.failed]";
	const char *words[EVENT_TYPES + 4];
	char found[QUOTE_SIZE], nearest[NEAREST_SIZE];
	event_set all = 0;
	bool is_right = true;

	if (!value_is_kind(l, option->name, node, TREE_LIST, expected))
		return false;
	if (node->n == 0) {
		problems_add(&l->problems, node->at, "%s: an empty list: the hook would never fire",
		        option->name);
		return false;
	}
	for (const struct tree_node *item = node->first; item; item = item->next) {
		event_set some;

		if (!value_is_kind(l, option->name, item, TREE_SCALAR, "an event")) {
			is_right = false;
			continue;
		}
		some = event_set_by_name(item->text);
		all |= some;
		if (some != 0)
			continue;
		is_right = false;
		problems_add(&l->problems, item->at, "%s: there is no event %s%s", option->name,
		        value_found(found, item),
		        value_nearest(nearest, item->text, words, event_words(words)));
	}
	if (is_right)
		*set = all;
	return is_right;
}

static bool argv_program_is_right(struct loader *l, const struct option *option,
        const struct tree_node *node, const char *path)
{
	int error = 0;
	const char *wrong =
	        l->flags & LOADER_TEXT_ALONE ? NULL : path_program_problem(path, &error);

	if (!wrong)
		return true;
	problems_note(&l->problems, error);
	if (error == -ENOENT)
		problems_warn(&l->problems, node->at, "%s: %s %s", option->name, path, wrong);
	else
		problems_add(&l->problems, node->at, "%s: %s %s", option->name, path, wrong);
	return error == -ENOENT;
}

/* The path of the program, absolute; NULL if it is none, which is told. */
static char *argv_program(
        struct loader *l, const struct option *option, const struct tree_node *node)
{
	char quoted[QUOTE_SIZE];

	if (!value_is_kind(l, option->name, node, TREE_SCALAR, "the path of a program"))
		return NULL;
	if (!strchr(node->text, '/')) {
		problems_add(&l->problems, node->at,
		        "%s: %s is no path; no $PATH is searched, so write it whole, such as "
		        "/usr/local/bin/load",
		        option->name, problems_quote(quoted, node->text));
		return NULL;
	}
	if (str_has_control(node->text, strlen(node->text))) {
		problems_add(&l->problems, node->at, "%s: the path holds a control character",
		        option->name);
		return NULL;
	}
	return path_resolve(l->sources[node->at.file].dir, node->text);
}

static bool argv_read_arguments(
        struct loader *l, const struct option *option, const struct tree_node *node, char **argv)
{
	size_t n = 1, n_bytes = strlen(node->first->text);
	bool is_right = true;

	for (const struct tree_node *item = node->first->next; item; item = item->next) {
		char words[QUOTE_SIZE];

		if (item->kind != TREE_SCALAR) {
			is_right = false;
			if (item->kind != TREE_BROKEN)
				problems_add(&l->problems, item->at,
				        "%s: expected an argument, found %s", option->name,
				        value_found(words, item));
			continue;
		}
		n_bytes += strlen(item->text) + 1;
		argv[n++] = config_strings_add(l->config->strings, item->text, strlen(item->text));
	}
	if (n_bytes > ARGV_MAX_BYTES) {
		problems_add(&l->problems, node->at, "%s: more than %d bytes", option->name,
		        ARGV_MAX_BYTES);
		return false;
	}
	return is_right;
}

bool value_read_argv(
        struct loader *l, const struct option *option, const struct tree_node *node, char ***field)
{
	static const char expected[] = "a list such as [/usr/local/bin/load, --verbose]";
	cleanup(mem_free_p) char *program = NULL;
	char **argv;

	if (!value_is_kind(l, option->name, node, TREE_LIST, expected))
		return false;
	if (node->n == 0 || node->n > ARGV_MAX) {
		problems_add(&l->problems, node->at,
		        "%s: expected a program and at most %d arguments, found %zu values",
		        option->name, ARGV_MAX - 1, node->n);
		return false;
	}
	program = argv_program(l, option, node->first);
	if (!program)
		return false;
	argv = config_strings_alloc(l->config->strings, (node->n + 1) * sizeof(*argv));
	argv[0] = config_strings_add(l->config->strings, program, strlen(program));
	if (!argv_read_arguments(l, option, node, argv) ||
	        !argv_program_is_right(l, option, node->first, program))
		return false;
	*field = argv;
	return true;
}

static int compare_u32(const void *va, const void *vb)
{
	uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;

	return (a > b) - (a < b);
}

/* Index of the hook that the item names, or HASH_NONE, which is told. */
static uint32_t hooks_read_one(
        struct loader *l, const struct option *option, const struct tree_node *item)
{
	cleanup(mem_free_p) const char **names = NULL;
	char found[QUOTE_SIZE], nearest[NEAREST_SIZE];
	uint32_t hook;

	if (!value_is_kind(l, option->name, item, TREE_SCALAR, "the name of a hook"))
		return HASH_NONE;
	hook = section_find(&l->hooks, item->text);
	if (hook != HASH_NONE || l->is_cut)
		return hook;
	names = section_names(&l->hooks);
	problems_add(&l->problems, item->at, "%s: there is no hook %s%s", option->name,
	        value_found(found, item), value_nearest(nearest, item->text, names, l->hooks.n));
	return HASH_NONE;
}

bool value_read_hooks(struct loader *l, const struct option *option, const struct tree_node *node,
        struct config_hook_set *set)
{
	uint32_t *hooks;
	size_t n = 0, n_different = 0;
	bool is_right = true;

	if (!value_is_kind(
	            l, option->name, node, TREE_LIST, "a list of hooks' names such as [load]"))
		return false;
	hooks = config_strings_alloc(l->config->strings, (node->n + 1) * sizeof(*hooks));
	for (const struct tree_node *item = node->first; item; item = item->next) {
		uint32_t hook = hooks_read_one(l, option, item);

		if (hook == HASH_NONE)
			is_right = false;
		else
			hooks[n++] = hook;
	}
	qsort(hooks, n, sizeof(*hooks), compare_u32);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || hooks[i] != hooks[i - 1])
			hooks[n_different++] = hooks[i];
	}
	if (n_different < n)
		problems_add(&l->problems, node->at, "%s: a hook is named twice", option->name);
	*set = (struct config_hook_set){.hooks = hooks, .n = n_different};
	return is_right && n_different == n;
}

/*
 * One map of the file against the options of its scope.
 */
#include "config/loader.h"

#include <assert.h>
#include <string.h>

#include "util/str.h"

/* Another scope that has an option of this name; SCOPES if there is none. */
static enum option_scope scope_of_name(const char *name)
{
	enum option_scope scope = SCOPE_ROOT;

	while (scope < SCOPES && !option_find(scope, name))
		scope++;
	return scope;
}

static void scope_refuse_unknown(
        struct loader *l, enum option_scope scope, const struct tree_node *child)
{
	const char *names[OPTIONS_PER_SCOPE_MAX];
	enum option_scope home = scope_of_name(child->key);
	char quoted[QUOTE_SIZE], nearest[NEAREST_SIZE] = "";
	size_t n_options_here, n = 0;
	const struct option *first = options_of_scope(scope, &n_options_here);

	for (size_t i = 0; i < n_options_here; i++) {
		if (value_is_supported(l, &first[i]))
			names[n++] = first[i].name;
	}
	problems_quote(quoted, child->key);
	if (home < SCOPES)
		problems_add(&l->problems, child->key_at, "unknown key %s in %s; it belongs in %s",
		        quoted, option_scope_words(scope), option_scope_words(home));
	else
		problems_add(&l->problems, child->key_at, "unknown key %s in %s%s", quoted,
		        option_scope_words(scope), value_nearest(nearest, child->key, names, n));
}

void scope_read(struct loader *l, enum option_scope scope, const struct tree_node *map, void *base,
        struct found *found)
{
	size_t n;

	*found = (struct found){.first = options_of_scope(scope, &n)};
	assert(map->kind == TREE_MAP && n <= OPTIONS_PER_SCOPE_MAX);
	for (const struct tree_node *child = map->first; child; child = child->next) {
		const struct option *option = option_find(scope, child->key);
		const struct tree_node **slot;

		if (!option) {
			scope_refuse_unknown(l, scope, child);
			continue;
		}
		slot = &found->nodes[option - found->first];
		if (*slot)
			continue; /* a duplicate, which is told of already */
		*slot = child;
		if (!value_is_supported(l, option))
			problems_add(&l->problems, child->key_at,
			        "%s is not yet supported in this version", option->name);
		else if (option->offset != OPTIONS_NO_FIELD)
			found->is_wrong[option - found->first] =
			        child->kind == TREE_BROKEN || !value_read(l, option, child, base);
	}
}

void scope_set_defaults(struct loader *l, enum option_scope scope, void *base)
{
	size_t n;
	const struct option *first = options_of_scope(scope, &n);

	for (size_t i = 0; i < n; i++) {
		if (first[i].default_text && first[i].offset != OPTIONS_NO_FIELD)
			value_set_default(l, &first[i], base);
	}
}

const struct tree_node *found_node(const struct found *found, const char *name)
{
	const struct option *option = option_find(found->first->scope, name);

	assert(option);
	return found->nodes[option - found->first];
}

bool found_is_wrong(const struct found *found, const char *name)
{
	const struct option *option = option_find(found->first->scope, name);

	assert(option);
	return found->is_wrong[option - found->first];
}

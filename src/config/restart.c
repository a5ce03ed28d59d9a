/*
 * What a reload cannot change: the options that the table says need a restart. They are all of
 * the top level (a test says so), so their fields are compared there.
 */
#include "config/config.h"
#include "config/options.h"

#include <assert.h>

#include "util/str.h"

static bool option_is_same(
        const struct option *option, const struct config *old, const struct config *new)
{
	const void *a = (const char *)old + option->offset, *b = (const char *)new + option->offset;

	switch (option->type) {
	case OPTION_STRING:
	case OPTION_PATH:
		return str_is_equal(*(char *const *)a, *(char *const *)b);
	case OPTION_DURATION:
	case OPTION_INTEGER:
		return *(const int64_t *)a == *(const int64_t *)b;
	default:
		assert(false && "an option that needs a restart has a type that can be compared");
		return false;
	}
}

void config_restart_keys(const struct config *old, const struct config *new, struct buf *out)
{
	size_t n, n_different = 0;
	const struct option *first = options_of_scope(SCOPE_ROOT, &n);

	for (size_t i = 0; i < n; i++) {
		if (first[i].needs_restart && !option_is_same(&first[i], old, new))
			buf_addf(out, "%s%s", n_different++ > 0 ? ", " : "", first[i].name);
	}
}

#include "sim/ids.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "core/limits.h"
#include "util/str.h"

/* As numbers: ids are beyond 64 bits. */
static int ids_compare(const char *a, const char *b)
{
	size_t len_a, len_b;

	a += strspn(a, "0");
	b += strspn(b, "0");
	len_a = strlen(a);
	len_b = strlen(b);
	if (len_a != len_b)
		return len_a < len_b ? -1 : 1;
	return strcmp(a, b);
}

int ids_parse(char *text, struct ids *out)
{
	char *dash = strchr(text, '-');

	*out = (struct ids){.kind = IDS_ONE, .first = text};
	if (strpbrk(text, "*?")) {
		out->kind = strcmp(text, "*") == 0 ? IDS_ALL : IDS_PATTERN;
		return strspn(text, "0123456789*?") == strlen(text) ? 0 : -EINVAL;
	}
	if (dash) {
		*dash = '\0';
		out->kind = IDS_RANGE;
		out->last = dash + 1;
		if (!str_is_digits(out->last, 1, JOB_ID_MAX))
			return -EINVAL;
	}
	if (!str_is_digits(text, 1, JOB_ID_MAX))
		return -EINVAL;
	return dash && ids_compare(out->first, out->last) > 0 ? -EINVAL : 0;
}

bool ids_has(const struct ids *ids, const char *id)
{
	switch (ids->kind) {
	case IDS_ONE:
		return strcmp(ids->first, id) == 0;
	case IDS_RANGE:
		return ids_compare(ids->first, id) <= 0 && ids_compare(id, ids->last) <= 0;
	case IDS_PATTERN:
		return fnmatch(ids->first, id, 0) == 0;
	case IDS_ALL:
		break;
	}
	return true;
}

#include "ctl/config_diff.h"

#include <stdlib.h>
#include <string.h>

#include "config/options.h"
#include "util/mem.h"
#include "util/str.h"

enum { DEPTH_MAX = 16, INDENT = 2 };

struct entry {
	const char *path, *value;
};

struct entries {
	struct entry *list; /* owned */
	size_t n, cap;
};

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	return order ? order : strcmp(x->value, y->value);
}

/* "  key: value": the key's length, 0 if the line is none; a key in quotes ends with them. */
static size_t key_length(const char *line)
{
	const char *end = line[0] == '"' ? strstr(line + 1, "\":") : strchr(line, ':');

	if (!end)
		return 0;
	return (size_t)(end - line) + (line[0] == '"');
}

/* Paths and values go into out, one after another, each ended by NUL. */
static void flatten(const char *yaml, struct buf *out, struct entries *entries)
{
	size_t lengths[DEPTH_MAX + 1] = {0}, *offsets = NULL, n_offsets = 0;
	struct buf path = {0};

	while (*yaml) {
		size_t len = strcspn(yaml, "\n"), indent = strspn(yaml, " ");
		cleanup(mem_free_p) char *line = mem_strndup(yaml + indent, len - indent);
		size_t depth = indent / INDENT, key = key_length(line);

		yaml += len + (yaml[len] == '\n');
		if (key == 0 || depth >= DEPTH_MAX || line[0] == '#')
			continue;
		path.len = lengths[depth];
		buf_addf(&path, "%s%.*s", path.len ? "." : "", (int)key, line);
		lengths[depth + 1] = path.len;
		const char *value = line + key + 1 + strspn(line + key + 1, " ");

		if (!*value)
			continue; /* what it holds follows */
		offsets = mem_resize(offsets, n_offsets + 2, sizeof(*offsets));
		offsets[n_offsets++] = out->len;
		buf_add(out, path.data, path.len + 1);
		offsets[n_offsets++] = out->len;
		buf_add(out, value, strlen(value) + 1);
	}
	entries->n = n_offsets / 2;
	entries->list = mem_new(entries->n + 1, sizeof(*entries->list));
	for (size_t i = 0; i < entries->n; i++)
		entries->list[i] =
		        (struct entry){out->data + offsets[2 * i], out->data + offsets[2 * i + 1]};
	qsort(entries->list, entries->n, sizeof(*entries->list), compare_entries);
	free(offsets);
	buf_deinit(&path);
}

static void add_change(struct config_diff *diff, const char *path, const char *old, const char *new)
{
	const struct option *option = option_find(SCOPE_ROOT, path);

	diff->list = mem_resize(diff->list, diff->n + 1, sizeof(*diff->list));
	diff->list[diff->n++] = (struct config_change){
	        .path = path,
	        .old = old,
	        .new = new,
	        .needs_restart = option && option->needs_restart,
	};
}

void config_diff_init(struct config_diff *diff, const char *old, const char *new)
{
	struct entries a = {0}, b = {0};
	size_t i = 0, k = 0;

	*diff = (struct config_diff){0};
	flatten(old, &diff->old, &a);
	flatten(new, &diff->new, &b);
	while (i < a.n || k < b.n) {
		int order = i == a.n ? 1 : k == b.n ? -1 : strcmp(a.list[i].path, b.list[k].path);

		if (order < 0)
			add_change(diff, a.list[i].path, a.list[i].value, NULL);
		else if (order > 0)
			add_change(diff, b.list[k].path, NULL, b.list[k].value);
		else if (strcmp(a.list[i].value, b.list[k].value) != 0)
			add_change(diff, a.list[i].path, a.list[i].value, b.list[k].value);
		i += order <= 0;
		k += order >= 0;
	}
	free(a.list);
	free(b.list);
}

void config_diff_deinit(struct config_diff *diff)
{
	free(diff->list);
	buf_deinit(&diff->old);
	buf_deinit(&diff->new);
}

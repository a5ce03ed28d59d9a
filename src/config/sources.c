/*
 * The files of a configuration: the main one, and those that it includes. Each becomes a tree
 * that is a map. Included files are sorted by name, read once, and include nothing themselves.
 */
#include "config/loader.h"

#include <assert.h>
#include <errno.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>

#include "util/err.h"
#include "util/mem.h"
#include "util/str.h"

static struct source *sources_add(struct loader *l, const char *shown)
{
	uint32_t number = problems_file(&l->problems, shown);
	struct source *source;

	assert(number == l->n_sources);
	(void)number;
	l->sources = mem_resize(l->sources, l->n_sources + 1, sizeof(*l->sources));
	source = &l->sources[l->n_sources++];
	*source = (struct source){.shown = mem_strdup(shown), .dir = path_dir_of(shown)};
	return source;
}

static void source_parse(struct loader *l, struct source *source, const char *text, size_t len)
{
	uint32_t number = (uint32_t)(source - l->sources);
	const struct tree_node *root = tree_parse_part(text, len, number, l->trees, &l->problems);

	if (root)
		l->is_cut |= root->is_cut;
	if (root && value_is_kind(l, NULL, root, TREE_MAP, "a mapping of options"))
		source->root = root;
}

void sources_add_text(struct loader *l, const char *shown, const char *text, size_t len)
{
	source_parse(l, sources_add(l, shown), text, len);
}

static const char *read_words(int error)
{
	if (error == -EFBIG)
		return "too large";
	if (error == -ENODEV)
		return "not a regular file";
	return err_text(error);
}

void sources_add_file(struct loader *l, const char *shown)
{
	bool is_main = l->n_sources == 0;
	struct source *source = sources_add(l, shown);
	struct place whole = {.file = (uint32_t)(source - l->sources)};
	cleanup(mem_free_p) char *text = NULL;
	size_t len;
	/* A check may read from a pipe; a daemon must never wait for one. */
	bool may_be_pipe = is_main && (l->flags & LOADER_CHECK);
	int r = path_read(shown, TREE_TEXT_MAX_BYTES, !may_be_pipe, &text, &len);

	problems_note(&l->problems, r);
	if (r < 0)
		problems_add(&l->problems, whole, "cannot be read: %s", read_words(r));
	else
		source_parse(l, source, text, len);
}

/* What glob(3) makes of the pattern, below the directory of the main file as it is shown. */
static char *pattern_whole(const char *main_file, const char *pattern)
{
	const char *slash = strrchr(main_file, '/');
	struct buf whole = {0};

	while (str_has_prefix(pattern, "./"))
		pattern += 2;
	if (pattern[0] != '/' && slash) {
		for (const char *p = main_file; p <= slash; p++) {
			if (strchr("*?[]\\", *p))
				buf_addc(&whole, '\\');
			buf_addc(&whole, *p);
		}
	}
	buf_adds(&whole, pattern);
	return buf_steal(&whole);
}

/* A directory that is there and cannot be read: what it holds must not go missing in silence. */
static int pattern_on_error(const char *path, int error)
{
	(void)path;
	errno = error;
	return error != ENOENT && error != ENOTDIR;
}

/* glob() takes a file that cannot be looked at for one that is not there: -ENOENT, or why. */
static int why_no_file(const struct loader *l, const char *name)
{
	cleanup(mem_free_p) char *path = path_beside(l->sources[0].shown, name);
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	return -EIO; /* now it is */
}

static void pattern_expand(struct loader *l, const struct tree_node *pattern, glob_t *found)
{
	cleanup(mem_free_p) char *whole = pattern_whole(l->sources[0].shown, pattern->text);
	char quoted[QUOTE_SIZE];
	int r = glob(whole, GLOB_APPEND, pattern_on_error, found);
	int error = r == GLOB_NOSPACE ? -ENOMEM : -errno;

	if (r != 0 && r != GLOB_NOMATCH) {
		problems_note(&l->problems, error);
		problems_add(&l->problems, pattern->at, "include: %s cannot be searched: %s",
		        problems_quote(quoted, pattern->text), err_text(error));
	} else if (r == GLOB_NOMATCH && !strpbrk(pattern->text, "*?[")) {
		problems_note(&l->problems, why_no_file(l, pattern->text));
		problems_add(&l->problems, pattern->at, "include: there is no file %s",
		        problems_quote(quoted, pattern->text));
	}
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void include_file(struct loader *l, const char *shown, const struct tree_node *patterns)
{
	char quoted[QUOTE_SIZE];

	if (strcmp(shown, l->sources[0].shown) == 0)
		problems_add(&l->problems, patterns->at, "include: %s includes itself",
		        problems_quote(quoted, shown));
	else
		sources_add_file(l, shown);
}

void sources_include(struct loader *l, const struct tree_node *patterns)
{
	cleanup(globfree) glob_t found = {0};

	if (!value_is_kind(l, "include", patterns, TREE_LIST, "a list such as [conf.d/*.yaml]"))
		return;
	for (const struct tree_node *pattern = patterns->first; pattern; pattern = pattern->next) {
		if (value_is_kind(l, "include", pattern, TREE_SCALAR, "a file or a pattern") &&
		        !(l->flags & LOADER_TEXT_ALONE))
			pattern_expand(l, pattern, &found);
	}
	if (found.gl_pathc > 0)
		qsort(found.gl_pathv, found.gl_pathc, sizeof(char *), compare_names);
	if (found.gl_pathc >= SOURCES_MAX) {
		problems_add(
		        &l->problems, patterns->at, "include: more than %d files", SOURCES_MAX);
		return;
	}
	for (size_t i = 0; i < found.gl_pathc; i++) {
		if (i == 0 || strcmp(found.gl_pathv[i], found.gl_pathv[i - 1]) != 0)
			include_file(l, found.gl_pathv[i], patterns);
	}
}

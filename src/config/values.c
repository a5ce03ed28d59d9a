/*
 * Values: the text of a node to the field of its option, by the option's type. A value that is
 * wrong is told with what was expected, and its field keeps what it had.
 */
#include "config/loader.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/limits.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"

enum { STRING_MAX_BYTES = 1024 };

const char *value_found(char words[static QUOTE_SIZE], const struct tree_node *node)
{
	if (node->kind == TREE_LIST)
		return "a list";
	if (node->kind == TREE_MAP)
		return "a mapping";
	if (node->text[0] == '\0')
		return node->is_plain ? "nothing" : "an empty text";
	return problems_quote(words, node->text);
}

const char *value_nearest(
        char words[static NEAREST_SIZE], const char *text, const char *const *candidates, size_t n)
{
	const char *nearest = str_nearest(text, candidates, n);
	char lower[NEAREST_SIZE];

	if (!nearest) {
		str_copy(lower, sizeof(lower), text);
		for (char *p = lower; *p; p++)
			*p = (char)tolower((unsigned char)*p);
		nearest = str_nearest(lower, candidates, n);
	}
	if (nearest)
		snprintf(words, NEAREST_SIZE, "; did you mean \"%s\"?", nearest);
	else
		words[0] = '\0';
	return words;
}

bool value_is_supported(const struct loader *l, const struct option *option)
{
	return option->is_supported || (l->flags & LOADER_TAKE_LATER);
}

/* Tells, and is false for `return`. */
static bool value_refuse(
        struct loader *l, const char *name, const struct tree_node *node, const char *expected)
{
	char words[QUOTE_SIZE];

	if (node->kind != TREE_BROKEN)
		problems_add(&l->problems, node->at, "%s%sexpected %s, found %s", name ? name : "",
		        name ? ": " : "", expected, value_found(words, node));
	return false;
}

bool value_is_kind(struct loader *l, const char *name, const struct tree_node *node,
        enum tree_kind kind, const char *expected)
{
	bool is_nothing = kind == TREE_SCALAR && node->kind == kind && node->text[0] == '\0';

	return (node->kind == kind && !is_nothing) || value_refuse(l, name, node, expected);
}

/* A text that is shown to people, put into headers and given to the kernel. */
static bool value_is_text(struct loader *l, const struct option *option,
        const struct tree_node *node, size_t max, const char *expected)
{
	if (!value_is_kind(l, option->name, node, TREE_SCALAR, expected))
		return false;
	if (str_has_control(node->text, strlen(node->text))) {
		problems_add(&l->problems, node->at, "%s: holds a control character", option->name);
		return false;
	}
	if (strlen(node->text) > max) {
		problems_add(
		        &l->problems, node->at, "%s: longer than %zu bytes", option->name, max);
		return false;
	}
	return true;
}

static char *value_keep(struct loader *l, const char *text)
{
	return config_strings_add(l->config->strings, text, strlen(text));
}

bool value_is_path(struct loader *l, const struct option *option, const struct tree_node *node)
{
	if (!value_is_text(l, option, node, PATH_MAX - 1, "a path"))
		return false;
	if (str_has_prefix(node->text, "%d/")) {
		problems_add(&l->problems, node->at,
		        "%s: %%d is known in the paths of secrets only", option->name);
		return false;
	}
	return true;
}

static bool value_read_path(
        struct loader *l, const struct option *option, const struct tree_node *node, char **field)
{
	cleanup(mem_free_p) char *path = NULL;

	if (!value_is_path(l, option, node))
		return false;
	path = path_resolve(l->sources[node->at.file].dir, node->text);
	*field = value_keep(l, path);
	return true;
}

static bool has_dot_dot(const char *path)
{
	for (const char *part = path; part; part = strchr(part, '/')) {
		part += *part == '/';
		if (str_has_prefix(part, "..") && (part[2] == '/' || part[2] == '\0'))
			return true;
	}
	return false;
}

/* The whole path of a secret; NULL if that cannot be known, which is told. */
static char *secret_path(
        struct loader *l, const struct option *option, const struct tree_node *node)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY"), *text = node->text;
	char quoted[QUOTE_SIZE];

	if (text[0] != '%')
		return path_resolve(l->sources[node->at.file].dir, text);
	if (!str_has_prefix(text, "%d/") || text[3] == '\0') {
		problems_add(&l->problems, node->at,
		        "%s: %s: only %%d/NAME is known, for the credentials directory; a path "
		        "that "
		        "begins with %% is written ./%%...",
		        option->name, problems_quote(quoted, text));
		return NULL;
	}
	if (has_dot_dot(text)) {
		problems_add(&l->problems, node->at,
		        "%s: %s: \"..\" would lead out of the credentials directory", option->name,
		        problems_quote(quoted, text));
		return NULL;
	}
	if (credentials && credentials[0] == '/')
		return path_resolve(credentials, text + strlen("%d/"));
	if (l->flags & LOADER_CHECK)
		problems_warn(&l->problems, node->at,
		        "%s: %%d is not known here ($CREDENTIALS_DIRECTORY is not set), so the "
		        "file "
		        "was not looked at",
		        option->name);
	else
		problems_add(&l->problems, node->at,
		        "%s: %%d is not known: $CREDENTIALS_DIRECTORY is not set (systemd sets it "
		        "for a unit with LoadCredential=)",
		        option->name);
	return NULL;
}

static bool value_read_secret(
        struct loader *l, const struct option *option, const struct tree_node *node, char **field)
{
	cleanup(mem_free_p) char *path = NULL;
	cleanup(buf_deinit) struct buf words = {0};
	bool is_keys = option->scope == SCOPE_HOOK, is_useless = false;
	const char *wrong = NULL;
	int error = 0;

	if (!value_is_text(l, option, node, PATH_MAX - 1, "a path"))
		return false;
	path = secret_path(l, option, node);
	*field = value_keep(l, path ? path : node->text);
	if (path && !(l->flags & LOADER_TEXT_ALONE))
		wrong = path_secret_problem(path, is_keys, &is_useless, &words, &error);
	problems_note(&l->problems, error);
	if (wrong && is_useless && !(l->flags & LOADER_CHECK))
		problems_warn(&l->problems, node->at, "%s: %s %s", option->name, path, wrong);
	else if (wrong)
		problems_add(&l->problems, node->at, "%s: %s %s", option->name, path, wrong);
	return !wrong || is_useless;
}

static bool value_read_url(
        struct loader *l, const struct option *option, const struct tree_node *node, char **field)
{
	cleanup(buf_deinit) struct buf normal = {0};
	bool may_have_path = option->scope == SCOPE_HOOK;
	char quoted[QUOTE_SIZE];
	const char *wrong;

	if (!value_is_kind(l, option->name, node, TREE_SCALAR,
	            may_have_path ? "an address such as https://hooks.example.com/x"
	                          : "an address such as https://www.zohoapis.eu"))
		return false;
	wrong = url_parse(node->text, may_have_path, &normal);
	if (wrong) {
		problems_add(&l->problems, node->at, "%s: %s %s", option->name,
		        problems_quote(quoted, node->text), wrong);
		return false;
	}
	*field = value_keep(l, buf_str(&normal));
	return true;
}

static bool value_read_duration(
        struct loader *l, const struct option *option, const struct tree_node *node, int64_t *field)
{
	static const char expected[] = "a duration such as 500ms, 15s, 5m, 6h, 30d or 1h30m";
	char min[CLOCK_DURATION_SIZE], max[CLOCK_DURATION_SIZE], range[160];
	int64_t ms;
	int r;

	if (!value_is_kind(l, option->name, node, TREE_SCALAR, expected))
		return false;
	r = clock_parse_duration(node->text, &ms);
	if (r == -EINVAL)
		return value_refuse(l, option->name, node, expected);
	if (r < 0 || ms < option->min || ms > option->max) {
		snprintf(range, sizeof(range), "a duration from %s to %s",
		        clock_format_duration(option->min, min),
		        clock_format_duration(option->max, max));
		return value_refuse(l, option->name, node, range);
	}
	*field = ms;
	return true;
}

static bool value_read_integer(
        struct loader *l, const struct option *option, const struct tree_node *node, int64_t *field)
{
	char range[96];

	snprintf(range, sizeof(range), "a whole number from %lld to %lld", (long long)option->min,
	        (long long)option->max);
	if (!value_is_kind(l, option->name, node, TREE_SCALAR, range))
		return false;
	return str_to_int(node->text, option->min, option->max, field) == 0 ||
	       value_refuse(l, option->name, node, range);
}

/* "one of a, b, c"; the number of them. */
static size_t words_expected(const struct option *option, struct buf *expected)
{
	size_t n = 0;

	buf_adds(expected, "one of ");
	for (; option->words[n]; n++)
		buf_addf(expected, "%s%s", n > 0 ? ", " : "", option->words[n]);
	return n;
}

static bool value_read_word(struct loader *l, const struct option *option,
        const struct tree_node *node, unsigned *field)
{
	cleanup(buf_deinit) struct buf expected = {0};
	char found[QUOTE_SIZE], nearest[NEAREST_SIZE];
	size_t n = words_expected(option, &expected);

	if (!value_is_kind(l, option->name, node, TREE_SCALAR, buf_str(&expected)))
		return false;
	for (unsigned i = 0; option->words[i]; i++) {
		if (strcmp(option->words[i], node->text) == 0) {
			*field = i;
			return true;
		}
	}
	problems_add(&l->problems, node->at, "%s: expected %s, found %s%s", option->name,
	        buf_str(&expected), value_found(found, node),
	        value_nearest(nearest, node->text, option->words, n));
	return false;
}

static bool value_read_job_name(struct loader *l, const struct option *option,
        const struct tree_node *node, const char **field)
{
	char quoted[QUOTE_SIZE];
	const char *wrong;

	if (!value_is_kind(l, option->name, node, TREE_SCALAR, "a job's name"))
		return false;
	wrong = config_job_name_problem(node->text);
	if (wrong) {
		problems_add(&l->problems, node->at, "%s: %s %s", option->name,
		        problems_quote(quoted, node->text), wrong);
		return false;
	}
	*field = value_keep(l, node->text);
	return true;
}

static bool value_read_id(struct loader *l, const struct option *option,
        const struct tree_node *node, const char **field)
{
	static const char expected[] = "a job's id of 1 to 20 digits";

	if (!value_is_kind(l, option->name, node, TREE_SCALAR, expected))
		return false;
	if (!str_is_digits(node->text, 1, JOB_ID_MAX))
		return value_refuse(l, option->name, node, expected);
	*field = value_keep(l, node->text);
	return true;
}

bool value_read(
        struct loader *l, const struct option *option, const struct tree_node *node, void *base)
{
	void *field = (char *)base + option->offset;

	assert(option->offset != OPTIONS_NO_FIELD);
	switch (option->type) {
	case OPTION_STRING:
		if (!value_is_text(l, option, node, STRING_MAX_BYTES, "a text"))
			return false;
		*(char **)field = value_keep(l, node->text);
		return true;
	case OPTION_PATH:
		return value_read_path(l, option, node, field);
	case OPTION_SECRET:
		return value_read_secret(l, option, node, field);
	case OPTION_URL:
		return value_read_url(l, option, node, field);
	case OPTION_DURATION:
		return value_read_duration(l, option, node, field);
	case OPTION_INTEGER:
		return value_read_integer(l, option, node, field);
	case OPTION_WORD:
		return value_read_word(l, option, node, field);
	case OPTION_EVENTS:
		return value_read_events(l, option, node, field);
	case OPTION_ARGV:
		return value_read_argv(l, option, node, field);
	case OPTION_ID:
		return value_read_id(l, option, node, field);
	case OPTION_JOB_NAME:
		return value_read_job_name(l, option, node, field);
	case OPTION_NAME:
	case OPTION_NAMES:
	case OPTION_FILES:
	case OPTION_SECTION:
		break;
	}
	assert(false && "an option with a field has a type of its own");
	return false;
}

void value_set_default(struct loader *l, const struct option *option, void *base)
{
	struct tree_node scalar = {.kind = TREE_SCALAR, .text = option->default_text};
	const struct tree_node *node = &scalar;
	bool is_right;

	if (option->type == OPTION_EVENTS)
		node = tree_parse(option->default_text, strlen(option->default_text), 0, l->trees,
		        &l->problems);
	is_right = node && value_read(l, option, node, base);
	assert(is_right);
	(void)is_right;
}

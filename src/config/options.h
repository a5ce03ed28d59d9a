/*
 * The one table of options: name, where it stands, type, range, default, whether a reload may
 * change it, and its sentence of help. The loader, bulkwatchd.yaml(5), the sample file and the JSON
 * Schema are all checked against it by tests.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_scope {
	SCOPE_ROOT,
	SCOPE_POLL,
	SCOPE_DATACENTER,
	SCOPE_ACCOUNT,
	SCOPE_JOB,
	SCOPE_HOOK,
	SCOPES,
};

enum option_type {
	OPTION_STRING,
	OPTION_PATH,     /* made absolute by the directory of the file that names it */
	OPTION_SECRET,   /* a path whose file must be ours alone; may begin with %d/ */
	OPTION_URL,      /* https, or http to loopback; origin only, or with a path for webhooks */
	OPTION_DURATION, /* ms, min and max in ms */
	OPTION_INTEGER,
	OPTION_WORD,   /* one of words */
	OPTION_NAME,   /* the name of a data center */
	OPTION_NAMES,  /* a list of hooks' names */
	OPTION_EVENTS, /* a list of event types and patterns */
	OPTION_ARGV,   /* a list of strings, the first a path with a slash in it */
	OPTION_ID,     /* a job's id */
	OPTION_JOB_NAME,
	OPTION_FILES,   /* a list of glob patterns */
	OPTION_SECTION, /* a mapping or list of its own */
};

struct option {
	enum option_scope scope;
	const char *name;
	enum option_type type;
	int64_t min, max;         /* of OPTION_DURATION (ms) and OPTION_INTEGER */
	const char *const *words; /* of OPTION_WORD, NULL-terminated; the index is the value */
	const char *default_text; /* as it would stand in the file; NULL = no default */
	bool is_required;
	bool needs_restart;
	bool is_supported; /* false: refused as not yet supported */
	size_t offset; /* of its field in the scope's struct; OPTIONS_NO_FIELD if handled by hand */
	const char *help;
};

#define OPTIONS_NO_FIELD SIZE_MAX

extern const struct option options[];
extern const size_t n_options;

/* NULL if the scope has no such option. */
const struct option *option_find(enum option_scope scope, const char *name);
/* The options of a scope stand together: the first of them, and their number. */
const struct option *options_of_scope(enum option_scope scope, size_t *n);
/* "poll", "an account": where an option of the scope stands, for "in ...". */
const char *option_scope_words(enum option_scope scope);

/* No scope has more options than this (a test says so). */
enum { OPTIONS_PER_SCOPE_MAX = 16 };

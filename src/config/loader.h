/*
 * What the parts of the loader share while a configuration is read; nobody outside of config/
 * includes this but the tests.
 *
 * The way of a configuration: files to trees (tree.c, sources.c), trees to sections by name
 * (sections.c), each section by the table of options to values (values.c), jobs (jobs.c), then what
 * only the whole can tell (check.c). Everybody adds to the problems and goes on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "config/options.h"
#include "config/problems.h"
#include "config/strings.h"
#include "config/tree.h"
#include "util/hash.h"

enum loader_flags {
	LOADER_CHECK = 1u << 0,      /* CONFIG_CHECK */
	LOADER_TEXT_ALONE = 1u << 1, /* no other file is read or looked at (fuzzing) */
	LOADER_TAKE_LATER = 1u << 2, /* as if all options were supported (tests) */
	LOADER_BY_ANYBODY = 1u << 3, /* CONFIG_LOOK */
};

enum {
	SOURCES_MAX = 10000, /* files of one configuration */
	ACCOUNTS_MAX = 10000,
	DATACENTERS_MAX = 1000,
	HOOKS_MAX = 1000,
	JOBS_MAX = 10000000, /* of all accounts */
	JOBS_FILE_MAX_BYTES = 256 * 1024 * 1024,
};

/* A file of YAML. */
struct source {
	char *shown;                  /* owned: its name as messages have it */
	char *dir;                    /* owned: absolute, where its relative paths begin */
	const struct tree_node *root; /* a map, or NULL if there is none to speak of */
};

/* Something with a name of its own: a data center, a hook, an account. */
struct entry {
	const char *name;
	const struct tree_node *node; /* maybe TREE_BROKEN */
};

struct section {
	struct entry *list; /* owned; in the order of the files */
	size_t n, cap;
	struct hash by_name;
};

/* What a map holds, by the place of the option among those of its scope. */
struct found {
	const struct option *first;
	const struct tree_node *nodes[OPTIONS_PER_SCOPE_MAX];
	bool is_wrong[OPTIONS_PER_SCOPE_MAX];
};

struct loader {
	struct config *config; /* owned until it is handed out */
	struct problems problems;
	struct config_strings *trees; /* the memory of the trees */
	unsigned flags;
	struct source *sources; /* owned; the first is the main file; by number in problems */
	size_t n_sources;
	struct section datacenters, hooks, accounts;
	size_t n_jobs;
	struct found poll; /* of the top level */
	struct config_hook_set all_hooks;
	bool is_cut; /* a part of a file could not be read: names that are missing may stand there
	              */
};

/* ---- load.c ---- */

/* config_load() of a text that is in memory already; relative paths begin at the file's directory.
 */
int loader_load_text(const char *file, const char *text, size_t len, unsigned flags,
        struct config **out, struct config_problems *problems);

/* ---- sources.c ---- */

/* Tells what is wrong itself; the source is there in any case, its root perhaps not. */
void sources_add_text(struct loader *l, const char *shown, const char *text, size_t len);
void sources_add_file(struct loader *l, const char *shown);
/* Reads what the main file includes. */
void sources_include(struct loader *l, const struct tree_node *patterns);

/* ---- paths.c ---- */

/* Absolute path of the file's, by the directory `dir`; the caller owns it. */
char *path_resolve(const char *dir, const char *path);
/* Absolute path of the directory that `file` is in; the caller owns it. */
char *path_dir_of(const char *file);
/* Where a relative path of the file's leads to, in the way the file itself was named; the caller
 * owns it. */
char *path_beside(const char *file, const char *path);
/*
 * All bytes of a file, followed by a NUL that does not count; the caller owns *text. 0, or -errno:
 * -EFBIG beyond max_bytes, -EISDIR, -ENODEV if it must be a regular file and is none.
 */
int path_read(const char *path, size_t max_bytes, bool must_be_regular, char **text, size_t *len);
/*
 * A secret's file: NULL if it may be used, else what is wrong (static or in words). *error is the
 * -errno behind it, or 0. *is_useless: only with what it holds.
 */
const char *path_secret_problem(
        const char *path, bool is_list, bool *is_useless, struct buf *words, int *error);
/* A hook's program: likewise; with -ENOENT it may come later. */
const char *path_program_problem(const char *path, int *error);
/* A file of certificates: likewise. */
const char *path_ca_problem(const char *path, int *error);
/* A directory that the daemon writes to: likewise, but for the error. */
const char *path_dir_problem(const char *path, struct buf *words);

/* ---- url.c ---- */

/*
 * NULL and the origin (and path with query, if it may have one) in its normal form, or what is
 * wrong. The form: scheme and host in lower case, no trailing dot, no default port, no trailing
 * slash.
 */
const char *url_parse(const char *text, bool may_have_path, struct buf *normal);

/* ---- values.c ---- */

/* "a list", "nothing", "\"text\"": what stands there, for "found ...". */
const char *value_found(char words[static QUOTE_SIZE], const struct tree_node *node);
/* "; did you mean \"x\"?" or "". */
enum { NEAREST_SIZE = 128 };
const char *value_nearest(
        char words[static NEAREST_SIZE], const char *text, const char *const *candidates, size_t n);
/* False, and told, if the node is something else. Silent about broken nodes. */
bool value_is_kind(struct loader *l, const char *name, const struct tree_node *node,
        enum tree_kind kind, const char *expected);
/* The node by the option's type into its field of the struct at base; false if that was told to be
 * wrong. */
bool value_read(
        struct loader *l, const struct option *option, const struct tree_node *node, void *base);
/* The node is a path that may be resolved; false if that was told to be wrong. */
bool value_is_path(struct loader *l, const struct option *option, const struct tree_node *node);
/* The text of the default, by the option's type, into its field. */
void value_set_default(struct loader *l, const struct option *option, void *base);
bool value_is_supported(const struct loader *l, const struct option *option);

/* ---- lists.c: values that are lists ---- */

bool value_read_events(struct loader *l, const struct option *option, const struct tree_node *node,
        event_set *set);
bool value_read_argv(
        struct loader *l, const struct option *option, const struct tree_node *node, char ***argv);
/* Hooks' names to their indices. */
bool value_read_hooks(struct loader *l, const struct option *option, const struct tree_node *node,
        struct config_hook_set *set);

/* ---- scope.c: one map, by the table of options ---- */

/*
 * Refuses keys that are unknown or not yet supported, notes all others in found, and reads the
 * values of those that have a field into the struct at base.
 */
void scope_read(struct loader *l, enum option_scope scope, const struct tree_node *map, void *base,
        struct found *found);
void scope_set_defaults(struct loader *l, enum option_scope scope, void *base);
/* NULL if it does not stand there. */
const struct tree_node *found_node(const struct found *found, const char *name);
/* It stands there, but its value was told to be wrong. */
bool found_is_wrong(const struct found *found, const char *name);

/* ---- sections.c: things by name, from all files ---- */

/* Enters all things of the map, whose names are checked. what: "account"; n_max: of them. */
void section_gather(struct loader *l, struct section *section, const char *what,
        const struct tree_node *map, size_t n_max);
void section_deinit(struct section *section);
/* Index of the entry of that name, or HASH_NONE. */
uint32_t section_find(const struct section *section, const char *name);
/* The names for value_nearest(); the caller frees the array, not the names. */
const char **section_names(const struct section *section);
/* Everything of all files into l->config. */
void sections_read(struct loader *l);

/* ---- datacenters.c ---- */

/* The built-in ones, then those of the files. */
void datacenters_read(struct loader *l);
/* Resolves the name; false if that was told to be wrong. */
bool datacenters_find(struct loader *l, const struct tree_node *node, size_t *datacenter);

/* ---- jobs.c ---- */

/* The jobs of the account: its list (or NULL), then its file (or NULL). */
void jobs_read(struct loader *l, struct config_account *account, const struct tree_node *list,
        const struct tree_node *file);
/* The same for a file's text, which must come from malloc(3) and is taken over. */
void jobs_read_text(struct loader *l, struct config_account *account, const char *shown, char *text,
        size_t len);

/* ---- check.c: what several values tell only together ---- */

void check_poll(struct loader *l, const struct config_poll *poll, const struct found *found);
void check_hook(struct loader *l, const struct config_hook *hook, const struct found *found,
        const struct entry *entry);
void check_datacenter(struct loader *l, const struct config_datacenter *datacenter,
        const struct found *found, const struct entry *entry);
void check_account(struct loader *l, const struct found *found, const struct entry *entry);
void check_root(struct loader *l, const struct found *found);

/*
 * YAML text to a small tree of nodes that know their place, by libyaml's event parser. A scalar
 * keeps its text as written: nothing is ever taken for a number, a date or a boolean.
 *
 * Strict: anchors, aliases, tags, merge keys, a second document, an empty text, duplicate keys,
 * invalid UTF-8, control characters and nesting deeper than 32 are problems. Those that leave the
 * rest readable do not end the reading, so that as many as possible are found at once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config/problems.h"
#include "config/strings.h"

enum {
	TREE_DEPTH_MAX = 32,
	TREE_NODES_MAX = 2000000,
	TREE_TEXT_MAX_BYTES = 64 * 1024 * 1024,
};

enum tree_kind {
	TREE_SCALAR,
	TREE_LIST,
	TREE_MAP,
	TREE_BROKEN, /* its problem is told; nothing more is to be said of it */
};

struct tree_node {
	enum tree_kind kind;
	bool is_plain; /* a scalar without quotes */
	struct place at;
	struct place key_at;     /* of the key, in a map */
	const char *key;         /* in a map, else NULL */
	const char *text;        /* of a scalar; no NUL within */
	struct tree_node *first; /* child of a list or map, in the order of the file */
	struct tree_node *next;  /* sibling */
	size_t n;                /* children */
	bool is_cut;             /* of a root: a part of its text could not be read */
};

/*
 * NULL if there is no tree to speak of, and then at least one error was added. Nodes and texts
 * live in the arena.
 */
struct tree_node *tree_parse(const char *text, size_t len, uint32_t file,
        struct config_strings *arena, struct problems *problems);
/*
 * The same, but of a text with an error of syntax what stood before it (is_cut), since its problems
 * are worth telling, too. What was read last is TREE_BROKEN: it may be half of what was meant.
 */
struct tree_node *tree_parse_part(const char *text, size_t len, uint32_t file,
        struct config_strings *arena, struct problems *problems);
/* The child of that key, or NULL. */
const struct tree_node *tree_get(const struct tree_node *map, const char *key);

/*
 * Typed reading of a script's values, by tables of keys. Every problem is told with its place, and
 * reading goes on. For the files of the script alone.
 */
#pragma once

#include "config/tree.h"
#include "sim/script.h"

struct script_reader {
	struct script *script;
	struct problems *problems;
	const struct script_context *context;
	const char *directory; /* of the file, for the files that it names */
	const struct tree_node *root;
	/* What the values at hand stand in, or NULL: its faults are for it alone. */
	const char *dc;
	const struct ids *ids;
	/* Capacities of the script's arrays. */
	size_t cap_datacenters, cap_organisations, cap_clients, cap_jobs, cap_faults;
};

struct script_key;

/* Reads the node into the field, or tells what is wrong with it. */
typedef void script_read_fn(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key);

struct script_key {
	const char *name;
	script_read_fn *read;
	size_t offset; /* of the field in the target */
	int64_t min, max;
};

/* Each child by its key's reader; unknown keys are problems. False if the node is no map. */
bool script_read_map(struct script_reader *r, const struct tree_node *node, const char *what,
        const struct script_key *keys, size_t n_keys, void *target);
/* NULL, and a problem, if it is no scalar. */
const char *script_scalar(struct script_reader *r, const struct tree_node *node, const char *what);
/* Each child by read(r, child, NULL, key). False if the node is no list. */
bool script_read_list(struct script_reader *r, const struct tree_node *node, const char *what,
        script_read_fn *read, void *target, const struct script_key *key);
/* The array with room for one more element, which is zeroed; n is counted up. */
void *script_grow(struct script_reader *r, void *array, size_t *n, size_t *cap, size_t size);

script_read_fn script_read_text;        /* const char *: printable, min to max bytes */
script_read_fn script_read_integer;     /* int64_t */
script_read_fn script_read_bool;        /* bool */
script_read_fn script_read_duration;    /* int64_t, milliseconds */
script_read_fn script_read_dist;        /* struct dist */
script_read_fn script_read_ids;         /* struct ids */
script_read_fn script_read_service;     /* int64_t */
script_read_fn script_read_name;        /* const char *: as in the configuration */
script_read_fn script_read_dc;          /* likewise, of a data center that there is */
script_read_fn script_read_json;        /* const char *: any value, as JSON */
script_read_fn script_read_json_object; /* likewise, a map */
script_read_fn script_read_json_texts;  /* likewise, plain scalars are strings */
script_read_fn script_read_faults;      /* a list; goes to the script, no field */
script_read_fn script_read_jobs;        /* likewise */

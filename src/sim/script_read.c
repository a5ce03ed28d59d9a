#include "sim/script_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/json.h"

enum { SCRIPT_KEYS_MAX = 32 };

void *script_grow(struct script_reader *r, void *array, size_t *n, size_t *cap, size_t size)
{
	if (*n == *cap) {
		size_t more = *cap ? *cap * 2 : 8;
		void *grown = config_strings_alloc(r->script->strings, more * size);

		if (*n > 0)
			memcpy(grown, array, *n * size);
		*cap = more;
		array = grown;
	}
	memset((char *)array + *n * size, 0, size);
	(*n)++;
	return array;
}

static void script_unknown_key(struct script_reader *r, const struct tree_node *node,
        const char *what, const struct script_key *keys, size_t n_keys)
{
	const char *names[SCRIPT_KEYS_MAX], *nearest;
	char quoted[QUOTE_SIZE];

	for (size_t i = 0; i < n_keys; i++)
		names[i] = keys[i].name;
	nearest = str_nearest(node->key, names, n_keys);
	if (nearest)
		problems_add(r->problems, node->key_at,
		        "unknown key %s in %s; did you mean \"%s\"?",
		        problems_quote(quoted, node->key), what, nearest);
	else
		problems_add(r->problems, node->key_at, "unknown key %s in %s",
		        problems_quote(quoted, node->key), what);
}

bool script_read_map(struct script_reader *r, const struct tree_node *node, const char *what,
        const struct script_key *keys, size_t n_keys, void *target)
{
	if (node->kind == TREE_BROKEN)
		return false;
	if (node->kind != TREE_MAP) {
		problems_add(r->problems, node->at, "%s must be a map", what);
		return false;
	}
	for (const struct tree_node *child = node->first; child; child = child->next) {
		const struct script_key *key = keys, *end = keys + n_keys;

		while (key < end && strcmp(key->name, child->key) != 0)
			key++;
		if (key == end)
			script_unknown_key(r, child, what, keys, n_keys);
		else if (child->kind != TREE_BROKEN)
			key->read(r, child, (char *)target + key->offset, key);
	}
	return true;
}

bool script_read_list(struct script_reader *r, const struct tree_node *node, const char *what,
        script_read_fn *read, void *target, const struct script_key *key)
{
	if (node->kind != TREE_LIST) {
		problems_add(r->problems, node->at, "%s must be a list", what);
		return false;
	}
	for (const struct tree_node *child = node->first; child; child = child->next) {
		if (child->kind != TREE_BROKEN)
			read(r, child, target, key);
	}
	return true;
}

const char *script_scalar(struct script_reader *r, const struct tree_node *node, const char *what)
{
	if (node->kind == TREE_SCALAR)
		return node->text;
	problems_add(r->problems, node->at, "%s must be a single value", what);
	return NULL;
}

void script_read_text(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const char *text = script_scalar(r, node, key->name);
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return;
	if ((int64_t)len < key->min || (int64_t)len > key->max || str_has_control(text, len))
		problems_add(r->problems, node->at,
		        "%s must be a text of %lld to %lld bytes without control characters",
		        key->name, (long long)key->min, (long long)key->max);
	else
		*(const char **)field = text;
}

void script_read_integer(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const char *text = script_scalar(r, node, key->name);

	if (text && str_to_int(text, key->min, key->max, field) < 0)
		problems_add(r->problems, node->at, "%s must be a number from %lld to %lld",
		        key->name, (long long)key->min, (long long)key->max);
}

void script_read_bool(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const char *text = script_scalar(r, node, key->name);

	if (!text)
		return;
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		problems_add(r->problems, node->at, "%s must be true or false", key->name);
	else
		*(bool *)field = text[0] == 't';
}

void script_read_duration(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const char *text = script_scalar(r, node, key->name);
	char least[CLOCK_DURATION_SIZE], most[CLOCK_DURATION_SIZE];
	int64_t ms;

	if (!text)
		return;
	if (clock_parse_duration(text, &ms) < 0 || ms < key->min || ms > key->max)
		problems_add(r->problems, node->at,
		        "%s must be a duration such as 500ms, 15s or 1h30m, from %s to %s",
		        key->name, clock_format_duration(key->min, least),
		        clock_format_duration(key->max, most));
	else
		*(int64_t *)field = ms;
}

void script_read_dist(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const char *text = script_scalar(r, node, key->name);

	if (text && dist_parse(text, field) < 0)
		problems_add(r->problems, node->at,
		        "%s must be a duration such as 15s, or uniform(10s, 20s), or "
		        "lognormal(median 300s, sigma 0.3)",
		        key->name);
}

void script_read_ids(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const char *text = script_scalar(r, node, key->name);
	char quoted[QUOTE_SIZE];

	if (!text)
		return;
	if (ids_parse(config_strings_add(r->script->strings, text, strlen(text)), field) < 0)
		problems_add(r->problems, node->at,
		        "%s is no id (1 to %d digits), no range such as 100-199, and no pattern of "
		        "digits, * and ?",
		        problems_quote(quoted, text), JOB_ID_MAX);
}

void script_read_service(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const char *text = script_scalar(r, node, key->name);

	if (!text)
		return;
	if (strcmp(text, "bigin") == 0)
		*(int64_t *)field = SERVICE_BIGIN;
	else if (strcmp(text, "crm") == 0)
		*(int64_t *)field = SERVICE_CRM;
	else
		problems_add(r->problems, node->at, "%s must be bigin or crm", key->name);
}

void script_read_name(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const char *text = script_scalar(r, node, key->name);
	char quoted[QUOTE_SIZE];

	if (!text)
		return;
	if (!script_name_is_valid(text))
		problems_add(r->problems, node->at,
		        "%s is no name: [a-z0-9][a-z0-9_-]*, at most %d",
		        problems_quote(quoted, text), NAME_MAX_BYTES);
	else
		*(const char **)field = text;
}

/* As JSON would have read a plain scalar. */
static bool json_scalar_is_bare(const char *text)
{
	const char *p = text;

	if (strcmp(text, "null") == 0 || strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
		return true;
	p += *p == '-';
	if (*p == '0')
		p++;
	else if (strspn(p, "0123456789") == 0)
		return false;
	else
		p += strspn(p, "0123456789");
	if (*p == '.') {
		if (strspn(p + 1, "0123456789") == 0)
			return false;
		p += 1 + strspn(p + 1, "0123456789");
	}
	return *p == '\0';
}

/* The nesting is capped by the tree's. */
static void json_put_node(
        struct json_out *w, const char *key, const struct tree_node *node, bool is_texts)
{
	if (node->kind == TREE_SCALAR) {
		if (node->is_plain && !is_texts && json_scalar_is_bare(node->text))
			json_put_raw(w, key, node->text);
		else
			json_put_string(w, key, node->text);
		return;
	}
	if (node->kind == TREE_MAP)
		json_open_object(w, key);
	else
		json_open_array(w, key);
	for (const struct tree_node *child = node->first; child; child = child->next) {
		if (child->kind != TREE_BROKEN)
			json_put_node(w, child->key, child, is_texts);
	}
	if (node->kind == TREE_MAP)
		json_close_object(w);
	else
		json_close_array(w);
}

static void script_node_to_json(
        struct script_reader *r, const struct tree_node *node, bool is_texts, const char **out)
{
	cleanup(buf_deinit) struct buf text = {0};
	struct json_out w;

	json_out_init(&w, &text, false);
	json_put_node(&w, NULL, node, is_texts);
	json_out_deinit(&w);
	*out = config_strings_add(r->script->strings, buf_str(&text), text.len);
}

void script_read_json(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	(void)key;
	script_node_to_json(r, node, false, field);
}

void script_read_json_object(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	if (node->kind != TREE_MAP)
		problems_add(r->problems, node->at, "%s must be a map", key->name);
	else
		script_node_to_json(r, node, false, field);
}

void script_read_json_texts(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	if (node->kind == TREE_SCALAR)
		problems_add(r->problems, node->at, "%s must be a map or a list", key->name);
	else
		script_node_to_json(r, node, true, field);
}

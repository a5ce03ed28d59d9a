/*
 * JSON in: one pass of yajl's streaming parser fills a flat array of nodes. yajl_tree is not used:
 * it recurses, and a megabyte of '[' overflows the stack when such a tree is freed. Here the depth
 * is counted in the callbacks, before anything is stored.
 *
 * Decoded strings lie in one arena: decoding never makes a string longer than its text with its
 * quotes, and a number is followed by a delimiter, so the input's length and a little bound it.
 */
#include "wire/json.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "util/mem.h"
#include "util/str.h"

enum { NODES_FIRST = 64, SORT_FROM = 16 };

struct json {
	const char *bytes; /* borrowed */
	size_t len;
	bool has_escape;         /* a backslash anywhere: else each string is its text */
	struct json_node *nodes; /* owned; [0] is the root */
	uint32_t n_nodes, cap_nodes;
	char *arena; /* owned */
	size_t arena_used;
	/* While parsing: */
	yajl_handle yajl;
	bool is_ending; /* inside yajl_complete_parse, whose offsets are of its own text */
	enum json_error error;
	const char *key;
	size_t end; /* of the last token that told us of itself */
	uint32_t depth;
	uint32_t open[JSON_DEPTH_MAX]; /* containers from the root down */
	uint32_t last[JSON_DEPTH_MAX]; /* the latest child of each; 0 = none yet */
};

const char *json_error_words(enum json_error error)
{
	static const char *const words[] = {
	        [JSON_OK] = "well formed",
	        [JSON_E_SYNTAX] = "not well-formed JSON",
	        [JSON_E_TOO_DEEP] = "JSON nested too deeply",
	        [JSON_E_TOO_BIG] = "JSON too large",
	        [JSON_E_DUPLICATE_KEY] = "JSON with a member given twice",
	        [JSON_E_NUL] = "JSON with a NUL character in a string",
	};

	return words[error];
}

static int fail(struct json *json, enum json_error error)
{
	json->error = error;
	return 0; /* cancels the parse */
}

static bool is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_between_values(char c)
{
	return is_white(c) || c == ',' || c == ':';
}

/* Where the token that was just lexed begins and ends in the input. */
static void mark_token(struct json *json, size_t *from, size_t *to)
{
	*to = json->is_ending ? json->len : yajl_get_bytes_consumed(json->yajl);
	*from = json->end;
	assert(*from < *to && !is_between_values(json->bytes[*to - 1])); /* a token is something */
	while (is_between_values(json->bytes[*from]))
		(*from)++;
	json->end = *to;
}

static struct json_node *add_node(struct json *json, enum json_type type)
{
	uint32_t at = json->n_nodes;

	if (at == JSON_NODES_MAX) {
		fail(json, JSON_E_TOO_BIG);
		return NULL;
	}
	if (at == json->cap_nodes) {
		json->cap_nodes = at ? at * 2 : NODES_FIRST;
		json->nodes = mem_resize(json->nodes, json->cap_nodes, sizeof(*json->nodes));
	}
	json->n_nodes++;
	if (json->depth > 0) {
		uint32_t parent = json->open[json->depth - 1];
		uint32_t before = json->last[json->depth - 1];

		if (before)
			json->nodes[before].next = at;
		else
			json->nodes[parent].first = at;
		json->last[json->depth - 1] = at;
	}
	struct json_node *node = &json->nodes[at];

	*node = (struct json_node){.type = type, .key = json->key};
	json->key = NULL;
	mark_token(json, &node->raw_from, &node->raw_to);
	return node;
}

/* What an escape alone can still make: a NUL, or what is not UTF-8, as "\udc00" does. */
static bool is_bad_text(struct json *json, const unsigned char *text, size_t len)
{
	if (memchr(text, '\0', len))
		fail(json, JSON_E_NUL);
	else if (!str_is_utf8((const char *)text, len, NULL))
		fail(json, JSON_E_SYNTAX);
	return json->error != JSON_OK;
}

/* NULL if it holds a NUL or is no UTF-8. */
static const char *add_text(struct json *json, const unsigned char *text, size_t len)
{
	char *copy = json->arena + json->arena_used;

	if (json->has_escape && is_bad_text(json, text, len))
		return NULL;
	assert(json->arena_used + len + 1 <= json->len + 2);
	memcpy(copy, text, len);
	copy[len] = '\0';
	json->arena_used += len + 1;
	return copy;
}

/* The code unit of an escape \\uXXXX at c; -1 if there is none. */
static long escaped_unit(const char *c, const char *end)
{
	char digits[5] = "";

	if (end - c < 6 || c[0] != '\\' || c[1] != 'u')
		return -1;
	memcpy(digits, c + 2, 4);
	return strtol(digits, NULL, 16);
}

/* Half a surrogate pair names no character; yajl makes a "?" of it. */
static bool has_half_pair(const struct json *json, size_t from, size_t to)
{
	const char *c = json->bytes + from, *end = json->bytes + to;

	if (!json->has_escape)
		return false;
	while ((c = memchr(c, '\\', (size_t)(end - c)))) {
		long unit = escaped_unit(c, end);
		bool is_first = unit >= 0xd800 && unit < 0xdc00;
		long next = is_first ? escaped_unit(c + 6, end) : -1;

		if (is_first ? next < 0xdc00 || next > 0xdfff : unit >= 0xdc00 && unit < 0xe000)
			return true;
		c += is_first ? 12 : unit >= 0 ? 6 : 2;
	}
	return false;
}

static int on_null(void *ctx)
{
	return add_node(ctx, JSON_NULL) != NULL;
}

static int on_boolean(void *ctx, int value)
{
	struct json_node *node = add_node(ctx, JSON_BOOL);

	if (!node)
		return 0;
	node->text = value ? "true" : "false";
	return 1;
}

static int on_text(struct json *json, enum json_type type, const unsigned char *text, size_t len)
{
	struct json_node *node = add_node(json, type);

	if (!node)
		return 0;
	node->text = add_text(json, text, len);
	return node->text != NULL;
}

static int on_number(void *ctx, const char *text, size_t len)
{
	return on_text(ctx, JSON_NUMBER, (const unsigned char *)text, len);
}

static int on_string(void *ctx, const unsigned char *text, size_t len)
{
	struct json *json = ctx;

	if (!on_text(json, JSON_STRING, text, len))
		return 0;
	const struct json_node *node = &json->nodes[json->n_nodes - 1];

	return has_half_pair(json, node->raw_from, node->raw_to) ? fail(json, JSON_E_SYNTAX) : 1;
}

static int on_key(void *ctx, const unsigned char *text, size_t len)
{
	struct json *json = ctx;
	size_t from, to;

	mark_token(json, &from, &to);
	if (has_half_pair(json, from, to))
		return fail(json, JSON_E_SYNTAX);
	json->key = add_text(json, text, len);
	return json->key != NULL;
}

static int on_open(struct json *json, enum json_type type)
{
	if (json->depth == JSON_DEPTH_MAX)
		return fail(json, JSON_E_TOO_DEEP);
	struct json_node *node = add_node(json, type);

	if (!node)
		return 0;
	json->open[json->depth] = (uint32_t)(node - json->nodes);
	json->last[json->depth] = 0;
	json->depth++;
	return 1;
}

static int on_open_object(void *ctx)
{
	return on_open(ctx, JSON_OBJECT);
}

static int on_open_array(void *ctx)
{
	return on_open(ctx, JSON_ARRAY);
}

static void on_close(struct json *json)
{
	size_t from, to;

	mark_token(json, &from, &to);
	json->depth--;
	json->nodes[json->open[json->depth]].raw_to = to;
}

static int on_close_array(void *ctx)
{
	on_close(ctx);
	return 1;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool has_duplicates_sorted(const struct json *json, const struct json_node *object, size_t n)
{
	cleanup(mem_free_p) const char **keys = mem_new(n, sizeof(*keys));
	size_t i = 0;

	for (const struct json_node *m = json_first(json, object); m; m = json_next(json, m))
		keys[i++] = m->key;
	qsort(keys, n, sizeof(*keys), compare_keys);
	for (i = 1; i < n; i++) {
		if (strcmp(keys[i - 1], keys[i]) == 0)
			return true;
	}
	return false;
}

/* Small objects by pairs; large ones, which only an enemy sends, by sorting. */
static bool has_duplicates(const struct json *json, const struct json_node *object)
{
	size_t n = 0;

	for (const struct json_node *m = json_first(json, object); m; m = json_next(json, m))
		n++;
	if (n > SORT_FROM)
		return has_duplicates_sorted(json, object, n);
	for (const struct json_node *m = json_first(json, object); m; m = json_next(json, m)) {
		for (const struct json_node *k = json_next(json, m); k; k = json_next(json, k)) {
			if (strcmp(k->key, m->key) == 0)
				return true;
		}
	}
	return false;
}

static int on_close_object(void *ctx)
{
	struct json *json = ctx;

	on_close(json);
	if (has_duplicates(json, &json->nodes[json->open[json->depth]]))
		return fail(json, JSON_E_DUPLICATE_KEY);
	return 1;
}

static const yajl_callbacks callbacks = {
        .yajl_null = on_null,
        .yajl_boolean = on_boolean,
        .yajl_number = on_number,
        .yajl_string = on_string,
        .yajl_start_map = on_open_object,
        .yajl_map_key = on_key,
        .yajl_end_map = on_close_object,
        .yajl_start_array = on_open_array,
        .yajl_end_array = on_close_array,
};

/* No string may hold them either, unless escaped. */
static bool has_foreign_space(const char *bytes, size_t len)
{
	return memchr(bytes, '\v', len) || memchr(bytes, '\f', len);
}

static void *memory_new(void *unused, size_t size)
{
	(void)unused;
	return mem_new(size, 1);
}

static void *memory_resize(void *unused, void *old, size_t size)
{
	(void)unused;
	return mem_resize(old, size, 1);
}

static void memory_free(void *unused, void *memory)
{
	(void)unused;
	free(memory);
}

/* yajl looks at no answer of its allocator: this one ends the process where there is no memory. */
static const yajl_alloc_funcs json_memory = {
        .malloc = memory_new, .realloc = memory_resize, .free = memory_free};

static enum json_error run_parser(struct json *json)
{
	yajl_alloc_funcs memory = json_memory; /* which yajl copies */

	json->yajl = yajl_alloc(&callbacks, &memory, json);
	yajl_status status = yajl_parse(json->yajl, (const unsigned char *)json->bytes, json->len);

	if (status == yajl_status_ok) {
		json->is_ending = true;
		status = yajl_complete_parse(json->yajl);
	}
	yajl_free(json->yajl);
	json->yajl = NULL;
	if (json->error)
		return json->error;
	assert(status != yajl_status_ok || json->n_nodes > 0);
	return status == yajl_status_ok ? JSON_OK : JSON_E_SYNTAX;
}

enum json_error json_parse(const char *bytes, size_t len, size_t max_bytes, struct json **out)
{
	*out = NULL;
	if (len > max_bytes)
		return JSON_E_TOO_BIG;
	/*
	 * yajl looks at lead and continuation bytes only, so that overlong forms and surrogates
	 * pass it; and to it vertical tab and form feed are white space, to RFC 8259 they are not.
	 */
	if (!str_is_utf8(bytes, len, NULL) || has_foreign_space(bytes, len))
		return JSON_E_SYNTAX;
	struct json *json = MEM_NEW(struct json);

	json->bytes = bytes;
	json->len = len;
	json->has_escape = memchr(bytes, '\\', len) != NULL;
	json->arena = mem_new(len + 2, 1);
	enum json_error error = run_parser(json);

	if (error) {
		json_free(json);
		return error;
	}
	*out = json;
	return JSON_OK;
}

struct json *json_free(struct json *json)
{
	if (json) {
		free(json->nodes);
		explicit_bzero(json->arena, json->len + 2); /* it may have held a token */
		free(json->arena);
		free(json);
	}
	return NULL;
}

void json_free_p(struct json **json)
{
	json_free(*json);
}

const struct json_node *json_root(const struct json *json)
{
	return &json->nodes[0];
}

const struct json_node *json_first(const struct json *json, const struct json_node *node)
{
	return node && node->first ? &json->nodes[node->first] : NULL;
}

const struct json_node *json_next(const struct json *json, const struct json_node *node)
{
	return node->next ? &json->nodes[node->next] : NULL;
}

const struct json_node *json_get(
        const struct json *json, const struct json_node *node, const char *key)
{
	if (!node || node->type != JSON_OBJECT)
		return NULL;
	for (const struct json_node *m = json_first(json, node); m; m = json_next(json, m)) {
		if (strcmp(m->key, key) == 0)
			return m;
	}
	return NULL;
}

const char *json_string(const struct json_node *node)
{
	return node && node->type == JSON_STRING ? node->text : NULL;
}

const char *json_get_string(const struct json *json, const struct json_node *node, const char *key)
{
	return json_string(json_get(json, node, key));
}

bool json_integer(const struct json_node *node, int64_t *out)
{
	if (!node || node->type != JSON_NUMBER)
		return false;
	char *end;

	errno = 0;
	int64_t value = strtoimax(node->text, &end, 10);

	if (errno || *end)
		return false;
	*out = value;
	return true;
}

bool json_get_integer(
        const struct json *json, const struct json_node *node, const char *key, int64_t *out)
{
	return json_integer(json_get(json, node, key), out);
}

bool json_get_bool(
        const struct json *json, const struct json_node *node, const char *key, bool *out)
{
	const struct json_node *member = json_get(json, node, key);

	if (!member || member->type != JSON_BOOL)
		return false;
	*out = member->text[0] == 't';
	return true;
}

bool json_has_text(const struct json *json, const char *text)
{
	/* Each decoded text ends with a NUL, which the text sought has not: no match spans two. */
	return memmem(json->arena, json->arena_used, text, strlen(text)) != NULL;
}

/* Where the string that begins at `from` has its closing quote. */
static size_t string_end(const struct json *json, size_t from)
{
	const char *bytes = json->bytes;
	size_t at = from + 1;

	if (!json->has_escape)
		return (size_t)((const char *)memchr(bytes + at, '"', json->len - at) - bytes);
	while (bytes[at] != '"')
		at += bytes[at] == '\\' ? 2 : 1;
	return at;
}

void json_add_raw(const struct json *json, const struct json_node *node, struct buf *out)
{
	const char *bytes = json->bytes;
	size_t run = node->raw_from; /* begin of what is not copied yet */

	buf_reserve(out, node->raw_to - node->raw_from);
	for (size_t i = node->raw_from; i < node->raw_to; i++) {
		if (bytes[i] == '"') {
			i = string_end(json, i);
		} else if (is_white(bytes[i])) {
			buf_add(out, bytes + run, i - run);
			run = i + 1;
		}
	}
	buf_add(out, bytes + run, node->raw_to - run);
}

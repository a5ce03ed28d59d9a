/*
 * JSON in and out. In: yajl's streaming parser builds a flat array of nodes, with caps on bytes,
 * depth and nodes, so that no input can exhaust the stack or the memory; duplicate keys, NUL in
 * strings, invalid UTF-8 and trailing garbage are refused. Out: into a struct buf.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_OBJECT, JSON_ARRAY };

enum {
	JSON_DEPTH_MAX = 32,
	JSON_NODES_MAX = 65536,
};

struct json; /* a parsed document; its nodes and strings live as long as it does */

struct json_node {
	enum json_type type;
	uint32_t next;    /* index of the next sibling; 0 = none */
	uint32_t first;   /* index of the first child; 0 = none */
	const char *key;  /* member's name (decoded), or NULL */
	const char *text; /* JSON_STRING: decoded; JSON_NUMBER: as written; JSON_BOOL: "true" or
	                     "false" */
	size_t raw_from, raw_to; /* the value's bytes in the input */
};

/* What is wrong with a text, or which limit it passed. */
enum json_error {
	JSON_OK = 0,
	JSON_E_SYNTAX = 1,
	JSON_E_TOO_DEEP,
	JSON_E_TOO_BIG,
	JSON_E_DUPLICATE_KEY,
	JSON_E_NUL
};
const char *json_error_words(enum json_error error);

/* bytes is borrowed until json_free. *out is NULL unless JSON_OK. */
enum json_error json_parse(const char *bytes, size_t len, size_t max_bytes, struct json **out);
struct json *json_free(struct json *json);
void json_free_p(struct json **json);

const struct json_node *json_root(const struct json *json);
/* The member of an object; NULL if there is none or node is NULL or no object. */
const struct json_node *json_get(
        const struct json *json, const struct json_node *node, const char *key);
/* Children in order: first(NULL-safe), then next. */
const struct json_node *json_first(const struct json *json, const struct json_node *node);
const struct json_node *json_next(const struct json *json, const struct json_node *node);
/* NULL unless the node is what is asked for. */
const char *json_string(const struct json_node *node);
const char *json_get_string(const struct json *json, const struct json_node *node, const char *key);
/* false unless it is an integer within int64. */
bool json_integer(const struct json_node *node, int64_t *out);
bool json_get_integer(
        const struct json *json, const struct json_node *node, const char *key, int64_t *out);
bool json_get_bool(
        const struct json *json, const struct json_node *node, const char *key, bool *out);
/* A string, a number or a member's name of the document holds the text (decoded). */
bool json_has_text(const struct json *json, const char *text);
/* Appends the value as written, without white space between tokens. */
void json_add_raw(const struct json *json, const struct json_node *node, struct buf *out);

/*
 * Writing: struct json_out w; json_out_init(&w, &buf); ... ; json_out_deinit(&w). Strings that are
 * not UTF-8 get U+FFFD for each bad byte and NUL. In an object give a key first: the j_* helpers
 * take key and value.
 */
struct json_out {
	struct buf *buf;   /* borrowed */
	uint64_t has_some; /* a bit a level: a value stands there, so that the next needs a comma */
	unsigned depth;    /* 63 at most */
	bool is_pretty;
};

void json_out_init(struct json_out *w, struct buf *buf, bool is_pretty);
void json_out_deinit(struct json_out *w);
void json_open_object(struct json_out *w, const char *key); /* key NULL in arrays and at the root */
void json_close_object(struct json_out *w);
void json_open_array(struct json_out *w, const char *key);
void json_close_array(struct json_out *w);
void json_put_string(
        struct json_out *w, const char *key, const char *value); /* NULL value = null */
void json_put_bytes(struct json_out *w, const char *key, const char *bytes, size_t len);
void json_put_integer(struct json_out *w, const char *key, int64_t value);
void json_put_number(
        struct json_out *w, const char *key, double value); /* NaN and infinities = null */
void json_put_bool(struct json_out *w, const char *key, bool value);
void json_put_null(struct json_out *w, const char *key);
/* A JSON text as it is; NULL = null. */
void json_put_raw(struct json_out *w, const char *key, const char *json_text);
/* RFC 3339 of a wall time; 0 = null. */
void json_put_time(struct json_out *w, const char *key, int64_t wall_ms);

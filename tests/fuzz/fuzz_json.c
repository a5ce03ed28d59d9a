/*
 * Any bytes as JSON. What is taken is UTF-8, and says the same when it is written again: as the raw
 * text, and node by node. Whatever the bytes, they can be written as a string.
 */
#include <string.h>

#include "fuzz.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/json.h"

enum { INPUT_MAX_BYTES = 256 * 1024 };

static void write_node(struct json_out *w, const struct json *json, const struct json_node *node)
{
	switch (node->type) {
	case JSON_NULL:
		json_put_null(w, node->key);
		break;
	case JSON_BOOL:
		json_put_bool(w, node->key, node->text[0] == 't');
		break;
	case JSON_NUMBER:
		json_put_raw(w, node->key, node->text);
		break;
	case JSON_STRING:
		json_put_string(w, node->key, node->text);
		break;
	case JSON_OBJECT:
	case JSON_ARRAY:
		if (node->type == JSON_OBJECT)
			json_open_object(w, node->key);
		else
			json_open_array(w, node->key);
		/* No deeper than JSON_DEPTH_MAX. */
		for (const struct json_node *n = json_first(json, node); n; n = json_next(json, n))
			write_node(w, json, n);
		if (node->type == JSON_OBJECT)
			json_close_object(w);
		else
			json_close_array(w);
		break;
	}
}

static void write_all(const struct json *json, struct buf *out)
{
	struct json_out w;

	buf_clear(out);
	json_out_init(&w, out, false);
	write_node(&w, json, json_root(json));
	json_out_deinit(&w);
}

/* Written and read again, it is written the same. */
static void check_again(const struct buf *text, const struct buf *written)
{
	cleanup(buf_deinit) struct buf again = {0};
	struct json *json;

	must(json_parse(buf_str(text), text->len, SIZE_MAX, &json) == JSON_OK);
	write_all(json, &again);
	must(strcmp(buf_str(&again), buf_str(written)) == 0);
	json_free(json);
}

static bool is_between_values(char c)
{
	return strchr(" \t\r\n\v\f,:", c) != NULL;
}

static void check_raw_ranges(
        const struct json *json, const struct json_node *node, const char *bytes, size_t size)
{
	int64_t number;

	must(node->raw_from < node->raw_to && node->raw_to <= size);
	must(!is_between_values(bytes[node->raw_from]));
	must(!is_between_values(bytes[node->raw_to - 1]));
	must(!node->key || str_is_utf8(node->key, strlen(node->key), NULL));
	if (node->type == JSON_STRING)
		must(str_is_utf8(node->text, strlen(node->text), NULL));
	json_integer(node, &number);
	for (const struct json_node *n = json_first(json, node); n; n = json_next(json, n)) {
		must(n->raw_from >= node->raw_from && n->raw_to <= node->raw_to);
		must((n->key != NULL) == (node->type == JSON_OBJECT));
		check_raw_ranges(json, n, bytes, size);
	}
}

static void check_taken(const struct json *json, const char *bytes, size_t size)
{
	cleanup(buf_deinit) struct buf raw = {0}, written = {0};

	must(str_is_utf8(bytes, size, NULL));
	check_raw_ranges(json, json_root(json), bytes, size);
	json_add_raw(json, json_root(json), &raw);
	must(raw.len <= size);
	write_all(json, &written);
	check_again(&raw, &written);
	check_again(&written, &written);
}

static void check_as_string(const char *bytes, size_t size)
{
	cleanup(buf_deinit) struct buf out = {0};
	struct json *json;
	struct json_out w;
	enum json_error error;

	json_out_init(&w, &out, false);
	json_put_bytes(&w, NULL, bytes, size);
	json_out_deinit(&w);
	error = json_parse(buf_str(&out), out.len, SIZE_MAX, &json);
	must(error == JSON_OK);
	if (str_is_utf8(bytes, size, NULL) && !memchr(bytes, '\0', size))
		must(strlen(json_root(json)->text) == size &&
		        memcmp(json_root(json)->text, bytes, size) == 0);
	json_free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data;
	struct json *json;

	if (size > INPUT_MAX_BYTES)
		return 0;
	must((json_parse(bytes, size, INPUT_MAX_BYTES, &json) == JSON_OK) == (json != NULL));
	if (json)
		check_taken(json, bytes, size);
	json_free(json);
	check_as_string(bytes, size);
	return 0;
}

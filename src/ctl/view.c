#include "ctl/view.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/answer.h"
#include "ctl/table.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"

enum { VIEW_LABEL_WIDTH = 14, VIEW_INLINE_MAX = 16 };

static bool node_is_scalar(const struct json_node *node)
{
	return node->type != JSON_OBJECT && node->type != JSON_ARRAY;
}

/* A name that leaves the path readable: the alphabet of accounts, hooks and data centers. */
static const char *node_path_name(const struct json *json, const struct json_node *node)
{
	const char *name = json_get_string(json, node, "name");
	size_t len = name ? strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") : 0;

	return len > 0 && !name[len] && !str_is_digits(name, 1, len) ? name : NULL;
}

static void print_flat_value(const struct json_node *node, const char *path)
{
	struct buf line = {0};

	text_add_safe(&line, path, true);
	buf_addc(&line, '\t');
	text_add_safe(&line, node->text && *node->text ? node->text : "-", true);
	buf_addc(&line, '\n');
	fwrite(buf_str(&line), 1, line.len, stdout);
	buf_deinit(&line);
}

void view_print_flat(const struct json *json, const struct json_node *node, const char *path)
{
	size_t i = 0;

	if (node_is_scalar(node)) {
		print_flat_value(node, path);
		return;
	}
	/* Bounded: the parser refuses documents deeper than JSON_DEPTH_MAX. */
	for (const struct json_node *child = json_first(json, node); child;
	        child = json_next(json, child), i++) {
		const char *name = child->key ? child->key : node_path_name(json, child);
		const char *dot = *path ? "." : "";
		cleanup(mem_free_p) char *below = name ? mem_printf("%s%s%s", path, dot, name)
		                                       : mem_printf("%s%s%zu", path, dot, i);

		view_print_flat(json, child, below);
	}
}

void view_add_scalar(const struct ctl *ctl, struct buf *out, const struct json_node *node)
{
	char text[TEXT_RELATIVE_SIZE];
	const char *key = node->key ? node->key : "";
	size_t len = strlen(key);
	int64_t value;

	if (text_parse_time(json_string(node), &value))
		buf_adds(out, text_relative(value, clock_now().wall_ms, text));
	else if (len > 3 && strcmp(key + len - 3, "_ms") == 0 && json_integer(node, &value))
		buf_adds(out, text_duration(value, text));
	else if (strcmp(key, "uptime") == 0 && node->type == JSON_NUMBER)
		/* Seconds, with a fraction. */
		buf_adds(out, text_duration(strtoll(node->text, NULL, 10) * 1000, text));
	else if (node->type == JSON_BOOL)
		buf_adds(out, strcmp(node->text, "true") == 0 ? "yes" : "no");
	else
		text_add_safe(out, node->text && *node->text ? node->text : "-", ctl->term.is_utf8);
}

/* "last_seq" -> "last seq", "uptime_ms" -> "uptime". */
static char *key_words(const char *key)
{
	size_t len = strlen(key);
	char *words = mem_strdup(key);

	if (len > 3 && strcmp(words + len - 3, "_ms") == 0)
		words[len - 3] = '\0';
	for (char *p = words; *p; p++) {
		if (*p == '_')
			*p = ' ';
	}
	return words;
}

static char *key_label(const char *key)
{
	char *label = key_words(key);

	label[0] = (char)toupper((unsigned char)label[0]);
	return label;
}

void view_print_line(const struct ctl *ctl, const char *label, const char *value, enum color color)
{
	struct buf line = {0}, safe = {0};

	buf_adds(&line, "  ");
	text_add_safe(&safe, label, ctl->term.is_utf8);
	term_add_colored(&ctl->term, &line, COLOR_DIM, buf_str(&safe));
	for (size_t i = text_width(buf_str(&safe)); i < VIEW_LABEL_WIDTH; i++)
		buf_addc(&line, ' ');
	buf_addc(&line, ' ');
	buf_clear(&safe);
	text_add_safe(&safe, value, ctl->term.is_utf8);
	term_add_colored(&ctl->term, &line, color, buf_str(&safe));
	buf_addc(&line, '\n');
	fwrite(buf_str(&line), 1, line.len, stdout);
	buf_deinit(&line);
	buf_deinit(&safe);
}

static void print_member(const struct ctl *ctl, const struct json_node *node)
{
	cleanup(mem_free_p) char *label = key_label(node->key ? node->key : "");
	struct buf value = {0};

	view_add_scalar(ctl, &value, node);
	view_print_line(ctl, label, buf_str(&value), color_of_state(json_string(node)));
	buf_deinit(&value);
}

/* All children are scalars. */
static bool node_is_flat(const struct json *json, const struct json_node *node)
{
	for (const struct json_node *child = json_first(json, node); child;
	        child = json_next(json, child)) {
		if (!node_is_scalar(child))
			return false;
	}
	return true;
}

/* "3 PENDING, 5 COMPLETED" for counts, "module Contacts, page 1" for the rest, "a, b" for arrays.
 */
static void print_inline(
        const struct ctl *ctl, const struct json *json, const struct json_node *node)
{
	cleanup(mem_free_p) char *label = key_label(node->key ? node->key : "");
	struct buf line = {0};
	size_t n = 0;

	for (const struct json_node *child = json_first(json, node); child;
	        child = json_next(json, child)) {
		cleanup(mem_free_p) char *name = child->key ? key_words(child->key) : NULL;

		if (n++ == VIEW_INLINE_MAX) {
			buf_adds(&line, ", ...");
			break;
		}
		if (n > 1)
			buf_adds(&line, ", ");
		if (name && child->type != JSON_NUMBER)
			buf_addf(&line, "%s ", name);
		view_add_scalar(ctl, &line, child);
		if (name && child->type == JSON_NUMBER)
			buf_addf(&line, " %s", name);
	}
	view_print_line(ctl, label, n > 0 ? buf_str(&line) : "none", COLOR_NONE);
	buf_deinit(&line);
}

struct view_columns {
	struct table_column columns[TABLE_COLUMNS_MAX];
	const char *keys[TABLE_COLUMNS_MAX]; /* borrowed from the document */
	char *titles[TABLE_COLUMNS_MAX];     /* owned */
	size_t n;
};

static void columns_add(struct view_columns *columns, const char *key)
{
	char *title;

	for (size_t i = 0; i < columns->n; i++) {
		if (strcmp(columns->keys[i], key) == 0)
			return;
	}
	if (columns->n == TABLE_COLUMNS_MAX)
		return;
	title = key_words(key);
	for (char *p = title; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	columns->columns[columns->n] = (struct table_column){
	        .title = title, .min = 8, .drop = columns->n < 2 ? 0 : (unsigned)columns->n};
	columns->titles[columns->n] = title;
	columns->keys[columns->n++] = key;
}

/* What is null in every row gets no column. */
static void columns_of(
        struct view_columns *columns, const struct json *json, const struct json_node *array)
{
	for (const struct json_node *row = json_first(json, array); row;
	        row = json_next(json, row)) {
		for (const struct json_node *member = json_first(json, row); member;
		        member = json_next(json, member)) {
			if (member->key && member->type != JSON_NULL &&
			        (node_is_scalar(member) || node_is_flat(json, member)))
				columns_add(columns, member->key);
		}
	}
}

/* Several values in one cell, with blanks between. */
static void add_cell_text(const struct ctl *ctl, const struct json *json,
        const struct json_node *member, struct buf *text)
{
	if (node_is_scalar(member)) {
		view_add_scalar(ctl, text, member);
		return;
	}
	for (const struct json_node *child = json_first(json, member); child;
	        child = json_next(json, child)) {
		if (text->len > 0)
			buf_addc(text, ' ');
		if (child->key)
			buf_addf(text, "%s=", child->key);
		view_add_scalar(ctl, text, child);
	}
}

static void print_table(
        const struct ctl *ctl, const struct json *json, const struct json_node *array)
{
	struct view_columns columns = {0};
	struct table table;

	columns_of(&columns, json, array);
	if (columns.n == 0)
		return;
	table_init(&table, &ctl->term, columns.columns, columns.n);
	for (const struct json_node *row = json_first(json, array); row;
	        row = json_next(json, row)) {
		for (size_t i = 0; i < columns.n; i++) {
			const struct json_node *member = json_get(json, row, columns.keys[i]);
			struct buf text = {0};

			if (member)
				add_cell_text(ctl, json, member, &text);
			table_add(&table, buf_str(&text), color_of_state(json_string(member)));
			buf_deinit(&text);
		}
	}
	table_flush(&table);
	table_deinit(&table);
	for (size_t i = 0; i < columns.n; i++)
		free(columns.titles[i]);
}

static bool is_table(const struct json *json, const struct json_node *node)
{
	const struct json_node *first = json_first(json, node);

	return node->type == JSON_ARRAY && first && first->type == JSON_OBJECT;
}

static void print_title(const struct ctl *ctl, const char *key)
{
	cleanup(mem_free_p) char *label = key_label(key);
	struct buf safe = {0}, line = {0};

	text_add_safe(&safe, label, ctl->term.is_utf8);
	term_add_colored(&ctl->term, &line, COLOR_BOLD, buf_str(&safe));
	printf("\n%s\n", buf_str(&line));
	buf_deinit(&safe);
	buf_deinit(&line);
}

/* What is shown on lines of their own first, then what needs a section. */
void view_print(const struct ctl *ctl, const struct json *json, const struct json_node *node)
{
	for (const struct json_node *child = json_first(json, node); child;
	        child = json_next(json, child)) {
		if (node_is_scalar(child))
			print_member(ctl, child);
		else if (!is_table(json, child) && node_is_flat(json, child))
			print_inline(ctl, json, child);
	}
	for (const struct json_node *child = json_first(json, node); child;
	        child = json_next(json, child)) {
		if (is_table(json, child)) {
			print_title(ctl, child->key ? child->key : "");
			print_table(ctl, json, child);
		} else if (!node_is_scalar(child) && !node_is_flat(json, child)) {
			print_title(ctl, child->key ? child->key : "");
			view_print(ctl, json, child);
		}
	}
}

void view_print_any(const struct ctl *ctl, const struct json *json, const struct json_node *node)
{
	if (ctl->is_json)
		answer_print_node(json, node);
	else if (ctl->term.is_terminal)
		view_print(ctl, json, node);
	else
		view_print_flat(json, node, "");
}

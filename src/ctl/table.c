#include "ctl/table.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "util/clock.h"
#include "util/mem.h"

enum { TABLE_GAP = 2 };

void table_init(struct table *table, const struct term *term, const struct table_column *columns,
        size_t n_columns)
{
	assert(n_columns > 0 && n_columns <= TABLE_COLUMNS_MAX);
	*table = (struct table){
	        .term = term,
	        .columns = columns,
	        .n_columns = n_columns,
	        .now_wall_ms = clock_now().wall_ms,
	};
}

static void table_clear(struct table *table)
{
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i].text);
	table->n_cells = 0;
}

void table_deinit(struct table *table)
{
	table_clear(table);
	free(table->cells);
	*table = (struct table){0};
}

void table_add(struct table *table, const char *text, enum color color)
{
	struct buf safe = {0};

	if (table->n_cells == table->cap) {
		table->cap = table->cap ? table->cap * 2 : 64;
		table->cells = mem_resize(table->cells, table->cap, sizeof(*table->cells));
	}
	text_add_safe(&safe, text && *text ? text : "-", table->term->is_utf8);
	table->cells[table->n_cells++] = (struct table_cell){buf_steal(&safe), color};
}

void table_add_time(struct table *table, const char *time)
{
	char relative[TEXT_RELATIVE_SIZE];
	int64_t wall_ms;

	if (table->term->is_terminal && text_parse_time(time, &wall_ms))
		time = text_relative(wall_ms, table->now_wall_ms, relative);
	table_add(table, time, COLOR_NONE);
}

static size_t table_total(const struct table *table)
{
	size_t total = 0;

	for (size_t i = 0; i < table->n_columns; i++)
		total += table->widths[i] ? table->widths[i] + TABLE_GAP : 0;
	return total ? total - TABLE_GAP : 0;
}

/* Takes columns from the widest that may be cut. False: none can give any more. */
static bool table_shrink(struct table *table)
{
	size_t widest = table->n_columns;

	for (size_t i = 0; i < table->n_columns; i++) {
		if (table->columns[i].min > 0 && table->widths[i] > table->columns[i].min &&
		        (widest == table->n_columns || table->widths[i] > table->widths[widest]))
			widest = i;
	}
	if (widest == table->n_columns)
		return false;
	table->widths[widest]--;
	return true;
}

static bool table_drop(struct table *table)
{
	size_t first = table->n_columns;

	for (size_t i = 0; i < table->n_columns; i++) {
		if (table->columns[i].drop > 0 && table->widths[i] > 0 &&
		        (first == table->n_columns ||
		                table->columns[i].drop > table->columns[first].drop))
			first = i;
	}
	if (first == table->n_columns)
		return false;
	table->widths[first] = 0;
	return true;
}

static void table_natural_widths(struct table *table)
{
	for (size_t i = 0; i < table->n_columns; i++) {
		if (table->widths[i] > 0 || !table->has_widths)
			table->widths[i] = text_width(table->columns[i].title);
	}
	for (size_t i = 0; i < table->n_cells; i++) {
		size_t column = i % table->n_columns, width = text_width(table->cells[i].text);

		if (table->widths[column] > 0 && width > table->widths[column])
			table->widths[column] = width;
	}
}

static void table_fit(struct table *table)
{
	table_natural_widths(table);
	table->has_widths = true;
	while (table_total(table) > table->term->width) {
		if (table_shrink(table))
			continue;
		if (!table_drop(table))
			break;
		table_natural_widths(table);
	}
}

static size_t table_last_column(const struct table *table)
{
	size_t last = 0;

	for (size_t i = 0; i < table->n_columns; i++) {
		if (table->widths[i] > 0)
			last = i;
	}
	return last;
}

static void table_add_field(const struct table *table, struct buf *line, size_t column,
        const char *text, enum color color)
{
	size_t room = table->widths[column];
	struct buf cut = {0};

	text_add_cut(&cut, text, room, table->term->is_utf8);
	term_add_colored(table->term, line, color, buf_str(&cut));
	if (column != table_last_column(table)) {
		for (size_t i = text_width(buf_str(&cut)); i < room + TABLE_GAP; i++)
			buf_addc(line, ' ');
	}
	buf_deinit(&cut);
}

static void table_add_header(const struct table *table, struct buf *out)
{
	for (size_t i = 0; i < table->n_columns; i++) {
		if (table->widths[i] > 0)
			table_add_field(table, out, i, table->columns[i].title, COLOR_DIM);
	}
	buf_addc(out, '\n');
}

static void table_add_plain(const struct table *table, struct buf *out)
{
	for (size_t i = 0; i < table->n_cells; i++) {
		buf_adds(out, table->cells[i].text);
		buf_addc(out, (i + 1) % table->n_columns == 0 ? '\n' : '\t');
	}
}

static void table_add_aligned(struct table *table, struct buf *out)
{
	if (!table->has_widths) {
		table_fit(table);
		table_add_header(table, out);
	}
	for (size_t i = 0; i < table->n_cells; i++) {
		size_t column = i % table->n_columns;

		if (table->widths[column] > 0)
			table_add_field(
			        table, out, column, table->cells[i].text, table->cells[i].color);
		if (column + 1 == table->n_columns)
			buf_addc(out, '\n');
	}
}

void table_render(struct table *table, struct buf *out)
{
	assert(table->n_cells % table->n_columns == 0);
	if (table->n_cells > 0 && table->term->is_terminal)
		table_add_aligned(table, out);
	else
		table_add_plain(table, out);
	table_clear(table);
}

void table_flush(struct table *table)
{
	struct buf out = {0};

	table_render(table, &out);
	fwrite(buf_str(&out), 1, out.len, stdout);
	buf_deinit(&out);
}

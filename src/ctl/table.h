/*
 * Tables: aligned and cut to the width of a terminal, one line of tab-separated fields a row
 * elsewhere (no header, an empty field is "-"). Both from the same cells, but for times, which are
 * relative on a terminal.
 *
 * Cells are added row by row, left to right. table_flush() prints the rows so far; widths are those
 * of the first flush from then on, so that a list of any length needs the memory of one page.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ctl/term.h"

struct table_column {
	const char *title;
	size_t min;    /* may be cut to so many columns where it is tight; 0 = never cut */
	unsigned drop; /* left out where it is still too tight, the highest first; 0 = never */
};

enum { TABLE_COLUMNS_MAX = 16 };

struct table_cell {
	char *text; /* owned; safe */
	enum color color;
};

struct table {
	const struct term *term;            /* borrowed */
	const struct table_column *columns; /* borrowed */
	size_t n_columns;
	struct table_cell *cells; /* owned */
	size_t n_cells, cap;
	size_t widths[TABLE_COLUMNS_MAX]; /* 0 = left out */
	bool has_widths;
	int64_t now_wall_ms;
};

void table_init(struct table *table, const struct term *term, const struct table_column *columns,
        size_t n_columns);
void table_deinit(struct table *table);
/* text is made safe and copied; NULL is an absent value. */
void table_add(struct table *table, const char *text, enum color color);
/* RFC 3339 or NULL. */
void table_add_time(struct table *table, const char *time);
void table_flush(struct table *table);
/* The same into out. */
void table_render(struct table *table, struct buf *out);

/*
 * The terminal, and text that is fit for it: widths in columns (wcwidth(3)), cutting, colours, and
 * strings from outside made harmless.
 *
 * Text from the daemon goes through text_add_safe() before it is printed anywhere: no byte of it
 * can move a cursor, end a line or turn the direction of writing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"

struct term {
	bool is_terminal;
	bool has_color; /* a terminal that is not dumb, and no $NO_COLOR (https://no-color.org) */
	bool is_utf8;   /* may be shown other characters than ASCII */
	size_t width;   /* columns; TERM_WIDTH_DEFAULT where unknown */
};

enum { TERM_WIDTH_DEFAULT = 80, TERM_WIDTH_MIN = 20 };

/* Call setlocale(LC_CTYPE, "") before. */
void term_init(struct term *term, int fd);

enum color { COLOR_NONE, COLOR_BOLD, COLOR_DIM, COLOR_RED, COLOR_GREEN, COLOR_YELLOW, COLOR_CYAN };

/* Of a job's, an account's or a delivery's state. */
enum color color_of_state(const char *state);
/* The text between the sequences of the colour; bare if the terminal has none. */
void term_add_colored(const struct term *term, struct buf *out, enum color color, const char *text);

/*
 * Control characters (C0, DEL, C1), the marks that turn the direction of writing, line and
 * paragraph separators and bytes that are no UTF-8 become '?'; so do all beyond ASCII unless
 * is_utf8.
 */
void text_add_safe(struct buf *out, const char *text, bool is_utf8);
/* The same for a JSON text that was parsed: such characters, which can only stand in strings,
 * become \uXXXX, and carriage returns, which can only stand between values, spaces. */
void text_add_safe_json(struct buf *out, const char *text, size_t len);
/* Columns of a safe text. */
size_t text_width(const char *text);
/* As much of a safe text as fits, with an ellipsis if it was cut. */
void text_add_cut(struct buf *out, const char *text, size_t width, bool is_utf8);

/* RFC 3339 to Unix time in ms. False if it is no such text. */
bool text_parse_time(const char *text, int64_t *wall_ms);
/* "3m ago", "in 2h", "now": two units at most. */
enum { TEXT_RELATIVE_SIZE = 48 };
char *text_relative(int64_t wall_ms, int64_t now_wall_ms, char text[static TEXT_RELATIVE_SIZE]);
/* "1d 4h", "12s": how long, for people. */
char *text_duration(int64_t ms, char text[static TEXT_RELATIVE_SIZE]);

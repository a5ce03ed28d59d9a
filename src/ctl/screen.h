/*
 * A terminal taken over whole: the alternate screen, keys as they are pressed, redrawn frames; and
 * given back as it was, whatever ends the program (the sequences of ECMA-48 and xterm(1)).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util/buf.h"

struct screen_size {
	size_t width, height;
};

/* stdout is a terminal, and no dumb one. */
bool screen_is_possible(void);
/* Once at a time. */
void screen_open(void);
void screen_close(void);
struct screen_size screen_size(void);

/* A frame of lines, each ended by '\n', not wider and not more than the screen. */
void screen_draw(const struct buf *frame);

enum screen_key {
	SCREEN_NONE,   /* the time is over, or the screen has to be drawn anew */
	SCREEN_QUIT,   /* q, or the end of the input */
	SCREEN_NEXT,   /* space, n, page down */
	SCREEN_BACK,   /* b, p, page up */
	SCREEN_FILTER, /* a */
};
/* Waits so long at most for a key. */
enum screen_key screen_wait(int ms);

/*
 * Events as they are read over a socket: a bounded portion a turn, resumable by seq. A reader that
 * is too slow is closed; it goes on from the last seq that it got.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct control;
struct streams;

struct streams *streams_new(struct control *control);
/* The listeners must be closed before: no stream may be left. */
struct streams *streams_free(struct streams *streams);
size_t streams_count(const struct streams *streams);
/* Sends what is committed and not sent yet. */
void streams_pump(struct streams *streams);
int64_t streams_next_mono(const struct streams *streams);

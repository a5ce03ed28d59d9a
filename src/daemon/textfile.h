/*
 * The metrics as a file for node_exporter's textfile collector: written beside it and renamed, so
 * that a reader never sees half of it; not brought to disk, since it is old after 15 seconds.
 */
#pragma once

#include "net/loop.h"
#include "util/buf.h"

struct textfile;

typedef void textfile_write_fn(void *arg, struct buf *out);

/* write is asked for the text; nothing is written before textfile_set(). */
struct textfile *textfile_new(struct loop *loop, textfile_write_fn *write, void *arg);
/* Takes the file away: what it says is true no more. Takes NULL, returns NULL. */
struct textfile *textfile_free(struct textfile *textfile);
/* NULL = none. Copied; one that was written under another path is taken away. */
void textfile_set(struct textfile *textfile, const char *path);

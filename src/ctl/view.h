/*
 * Showing JSON whose members the daemon may add to: for people as an outline with tables, in a pipe
 * as one line a value, "path<TAB>value", paths joined by dots.
 */
#pragma once

#include "ctl/ctl.h"
#include "wire/json.h"

/* Elements of arrays are numbered from 0, or go by their `name` where they have one fit for it. */
void view_print_flat(const struct json *json, const struct json_node *node, const char *path);
void view_print(const struct ctl *ctl, const struct json *json, const struct json_node *node);
/* As the terminal or the pipe wants it, or as JSON. */
void view_print_any(const struct ctl *ctl, const struct json *json, const struct json_node *node);

/* "  Label        value": a line of an outline; the value is made safe, and may not be NULL. */
void view_print_line(const struct ctl *ctl, const char *label, const char *value, enum color color);
/* A scalar as people read it: times relative, *_ms as durations, null as "-". */
void view_add_scalar(const struct ctl *ctl, struct buf *out, const struct json_node *node);

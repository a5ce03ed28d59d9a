/*
 * What the daemon answered: JSON, or a problem (RFC 9457), which is said in its own words with the
 * exit code that it means.
 */
#pragma once

#include "ctl/client.h"
#include "wire/json.h"

/* CTL_OK for a 2xx. Else says title, detail and errors[] and returns the exit code. */
int answer_check(const struct answer *answer);
/* As above, and parses. *json is to be freed before the answer; NULL unless CTL_OK. */
int answer_parse(const struct answer *answer, struct json **json);
/* GET path: asks, checks and parses. */
int answer_get(struct client *client, const char *path, struct answer *answer, struct json **json);
/* As answer_check(); and with --json a body, if there is one, is printed, provided that it is JSON.
 */
int answer_take(const struct ctl *ctl, const struct answer *answer);
/* The body, which was parsed, to stdout as it is, harmless to a terminal, ended by a newline. */
void answer_print_json(const struct answer *answer);
/* One JSON value of a document likewise, on a line of its own. */
void answer_print_node(const struct json *json, const struct json_node *node);

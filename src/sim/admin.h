/*
 * The extra port for tests: what was asked so far, and changes while it runs (docs:
 * bulkwatch-sim(1)).
 */
#pragma once

#include "sim/server.h"

/* arg: the struct sim. */
void admin_on_request(void *arg, struct conn *conn, const struct http_request *request);

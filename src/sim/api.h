/* The API and the accounts server of a data center: answers one request. */
#pragma once

#include "sim/server.h"

/* arg: the struct datacenter. */
void api_on_request(void *arg, struct conn *conn, const struct http_request *request);

/* What a request's path asks for. */
#pragma once

#include "config/config.h"
#include "core/limits.h"
#include "sim/fault.h"

enum { ROUTE_VERSION_SIZE = 8 };

struct route {
	enum fault_path path; /* FAULT_PATH_ANY: something that is not there */
	enum config_service service;
	char version[ROUTE_VERSION_SIZE]; /* "v2" */
	char id[JOB_ID_MAX + 1];          /* "" if it is about no job */
};

/* Undecoded path without its query. */
void route_parse(const char *path, struct route *out);

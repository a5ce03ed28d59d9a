/*
 * What the kernel knows of this process, for GET /metrics: read from /proc/self and getrusage(2) at
 * each question.
 */
#pragma once

#include <stdint.h>

/* -1: not to be found out. */
struct process_usage {
	double cpu_s;
	int64_t resident_bytes, virtual_bytes;
	int64_t n_descriptors, max_descriptors;
};

void process_look(struct process_usage *out);

/*
 * Prometheus' text format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/): families of samples, one a line.
 *
 * Whoever writes gives each family its samples all in one go, as the format asks for.
 */
#pragma once

#include <stddef.h>

#include "daemon/metrics.h"
#include "util/buf.h"

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum { EXPOSITION_LABELS_MAX = 4 };

struct exposition {
	struct buf *out;  /* borrowed */
	const char *name; /* of the family; borrowed */
};

/* Labels up to the first without a name; values are any UTF-8. */
struct exposition_label {
	const char *name, *value;
};

enum exposition_type { EXPOSITION_COUNTER, EXPOSITION_GAUGE, EXPOSITION_HISTOGRAM };

/* help: one line without a backslash. */
void exposition_family(
        struct exposition *e, const char *name, enum exposition_type type, const char *help);
/* One sample of the family begun last, or of a histogram's whole set of them. */
void exposition_put(struct exposition *e, const struct exposition_label *labels, double value);
void exposition_put_histogram(struct exposition *e, const struct exposition_label *labels,
        const struct metrics_bounds *bounds, const struct metrics_histogram *histogram);

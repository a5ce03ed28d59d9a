#include "daemon/exposition.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Beyond it a double skips whole numbers. */
static const double integer_max = 9007199254740992.0;

void exposition_family(
        struct exposition *e, const char *name, enum exposition_type type, const char *help)
{
	static const char *const types[] = {
	        [EXPOSITION_COUNTER] = "counter",
	        [EXPOSITION_GAUGE] = "gauge",
	        [EXPOSITION_HISTOGRAM] = "histogram",
	};

	assert(!strpbrk(help, "\\\n"));
	e->name = name;
	buf_addf(e->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[type]);
}

static void add_escaped(struct buf *out, const char *text)
{
	for (const char *p = text; *p; p++) {
		if (*p == '\n')
			buf_adds(out, "\\n");
		else if (*p == '"' || *p == '\\')
			buf_addf(out, "\\%c", *p);
		else
			buf_addc(out, *p);
	}
}

static void add_number(struct buf *out, double value)
{
	if (isnan(value) || isinf(value))
		buf_adds(out, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
	else if (value == floor(value) && fabs(value) < integer_max)
		buf_addf(out, "%" PRId64, (int64_t)value);
	else
		buf_addf(out, "%.10g", value);
}

/* le: one more label, of a bucket; NULL = none. */
static void add_sample(struct exposition *e, const char *suffix,
        const struct exposition_label *labels, const char *le, double value)
{
	const char *separator = "{";

	buf_addf(e->out, "%s%s", e->name, suffix);
	for (size_t i = 0; labels && i < EXPOSITION_LABELS_MAX && labels[i].name; i++) {
		buf_addf(e->out, "%s%s=\"", separator, labels[i].name);
		add_escaped(e->out, labels[i].value);
		buf_addc(e->out, '"');
		separator = ",";
	}
	if (le)
		buf_addf(e->out, "%sle=\"%s\"", separator, le);
	buf_adds(e->out, le || separator[0] == ',' ? "} " : " ");
	add_number(e->out, value);
	buf_addc(e->out, '\n');
}

void exposition_put(struct exposition *e, const struct exposition_label *labels, double value)
{
	add_sample(e, "", labels, NULL, value);
}

void exposition_put_histogram(struct exposition *e, const struct exposition_label *labels,
        const struct metrics_bounds *bounds, const struct metrics_histogram *histogram)
{
	uint64_t n = 0;
	char le[32];

	for (size_t i = 0; i < bounds->n; i++) {
		n += histogram->counts[i];
		snprintf(le, sizeof(le), "%.10g", bounds->s[i]);
		add_sample(e, "_bucket", labels, le, (double)n);
	}
	n += histogram->counts[bounds->n];
	add_sample(e, "_bucket", labels, "+Inf", (double)n);
	add_sample(e, "_sum", labels, NULL, histogram->sum_s);
	add_sample(e, "_count", labels, NULL, (double)n);
}

#include "sim/dist.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/str.h"

enum { DIST_ARGUMENT_SIZE = 32, DIST_SIGMA_MAX = 10 };

static const double dist_max_ms = 1000.0 * 86400 * 1000;

/* The next argument, with its name if it has one: "median 300s" or "10s", ended by , or ). */
static int dist_argument(const char **p, char end, const char *name, char text[DIST_ARGUMENT_SIZE])
{
	size_t len, name_len = strlen(name);

	*p += strspn(*p, " ");
	if (name_len > 0) {
		if (strncmp(*p, name, name_len) != 0 || (*p)[name_len] != ' ')
			return -EINVAL;
		*p += name_len;
		*p += strspn(*p, " ");
	}
	len = strcspn(*p, " ,()");
	if (len == 0 || len >= DIST_ARGUMENT_SIZE)
		return -EINVAL;
	memcpy(text, *p, len);
	text[len] = '\0';
	*p += len;
	*p += strspn(*p, " ");
	if (**p != end)
		return -EINVAL;
	(*p)++;
	return 0;
}

static int dist_parse_sigma(const char *text, double *sigma)
{
	char *end;

	if (strspn(text, "0123456789.") != strlen(text))
		return -EINVAL;
	*sigma = strtod(text, &end);
	if (*end != '\0' || end == text)
		return -EINVAL;
	return *sigma <= DIST_SIGMA_MAX ? 0 : -ERANGE;
}

static int dist_parse_two(const char *p, struct dist *out)
{
	bool is_lognormal = out->kind == DIST_LOGNORMAL;
	char first[DIST_ARGUMENT_SIZE], second[DIST_ARGUMENT_SIZE];
	int r = dist_argument(&p, ',', is_lognormal ? "median" : "", first);

	if (r == 0)
		r = dist_argument(&p, ')', is_lognormal ? "sigma" : "", second);
	if (r == 0 && *p != '\0')
		r = -EINVAL;
	if (r == 0)
		r = clock_parse_duration(first, &out->from_ms);
	if (r == 0)
		r = is_lognormal ? dist_parse_sigma(second, &out->sigma)
		                 : clock_parse_duration(second, &out->to_ms);
	if (r == 0 && !is_lognormal && out->to_ms < out->from_ms)
		r = -EINVAL;
	return r;
}

int dist_parse(const char *text, struct dist *out)
{
	*out = (struct dist){0};
	if (str_has_prefix(text, "uniform(")) {
		out->kind = DIST_UNIFORM;
		return dist_parse_two(text + strlen("uniform("), out);
	}
	if (str_has_prefix(text, "lognormal(")) {
		out->kind = DIST_LOGNORMAL;
		return dist_parse_two(text + strlen("lognormal("), out);
	}
	return clock_parse_duration(text, &out->from_ms);
}

/* Box and Muller (1958), "A note on the generation of random normal deviates". */
static double dist_normal(struct rng *rng)
{
	double u = 1 - rng_unit(rng), v = rng_unit(rng);

	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

int64_t dist_draw(const struct dist *dist, struct rng *rng)
{
	double ms = (double)dist->from_ms;

	if (dist->kind == DIST_UNIFORM)
		ms += rng_unit(rng) * (double)(dist->to_ms - dist->from_ms);
	else if (dist->kind == DIST_LOGNORMAL)
		ms *= exp(dist->sigma * dist_normal(rng));
	return (int64_t)(ms < dist_max_ms ? ms : dist_max_ms);
}

#include "sim/org.h"

#include <string.h>

#include "util/mem.h"

enum { MINUTE_MS = 60 * 1000, SLICE_MS = 15 * MINUTE_MS };

void org_init(struct org *org, const char *name, int64_t credits_per_day, int64_t concurrency)
{
	*org = (struct org){
	        .name = mem_strdup(name),
	        .credits_per_day = credits_per_day,
	        .concurrency = concurrency,
	};
}

void org_deinit(struct org *org)
{
	free(org->name);
	*org = (struct org){0};
}

void org_reset(struct org *org)
{
	*org = (struct org){
	        .name = org->name,
	        .credits_per_day = org->credits_per_day,
	        .concurrency = org->concurrency,
	        .in_flight = org->in_flight,
	};
}

static void org_roll(struct org *org, int64_t mono_ms)
{
	int64_t slice = mono_ms / SLICE_MS;

	if (slice - org->slice >= ORG_SLICES)
		memset(org->slices, 0, sizeof(org->slices));
	else
		while (org->slice < slice)
			org->slices[++org->slice % ORG_SLICES] = 0;
	org->slice = slice;
}

int64_t org_credits_used(const struct org *org)
{
	int64_t used = 0;

	for (int i = 0; i < ORG_SLICES; i++)
		used += org->slices[i];
	return used;
}

bool org_take_credit(struct org *org, int64_t mono_ms)
{
	org->n_requests++;
	org_roll(org, mono_ms);
	if ((org->concurrency > 0 && org->in_flight >= org->concurrency) ||
	        (org->credits_per_day > 0 && org_credits_used(org) >= org->credits_per_day)) {
		org->n_refused++;
		return false;
	}
	org->slices[org->slice % ORG_SLICES]++;
	return true;
}

int64_t org_credits_to_tell(const struct org *org)
{
	int64_t used = org_credits_used(org);

	if (org->credits_per_day == 0 || used * 2 < org->credits_per_day)
		return -1;
	return used < org->credits_per_day ? org->credits_per_day - used : 0;
}

bool org_take_download(struct org *org, int64_t mono_ms)
{
	int64_t *oldest = &org->downloads_mono_ms[org->n_downloads % ORG_DOWNLOADS];

	if (mono_ms < org->locked_until_mono_ms)
		return false;
	if (org->n_downloads >= ORG_DOWNLOADS && mono_ms - *oldest < MINUTE_MS) {
		org->locked_until_mono_ms = mono_ms + MINUTE_MS;
		return false;
	}
	*oldest = mono_ms;
	org->n_downloads++;
	return true;
}

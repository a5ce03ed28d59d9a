/*
 * An organisation, as the API counts its requests: credits in a rolling day, requests at once,
 * downloads a minute.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	ORG_SLICES = 96, /* of a day: a quarter of an hour each */
	ORG_DOWNLOADS = 10,
};

struct org {
	char *name;              /* owned */
	int64_t credits_per_day; /* 0 = no limit */
	int64_t concurrency;     /* 0 = no limit */
	uint64_t n_requests;
	uint64_t n_refused; /* for credits or concurrency */
	uint32_t in_flight;
	uint32_t slices[ORG_SLICES];
	int64_t slice; /* the number, since the clock's zero, of the newest */
	int64_t downloads_mono_ms[ORG_DOWNLOADS];
	uint32_t n_downloads;
	int64_t locked_until_mono_ms;
};

void org_init(struct org *org, const char *name, int64_t credits_per_day, int64_t concurrency);
void org_deinit(struct org *org);
/* Counts are forgotten, but for what is in flight. */
void org_reset(struct org *org);
/* Takes a credit; false if there is none left, or too many requests are in flight. */
bool org_take_credit(struct org *org, int64_t mono_ms);
int64_t org_credits_used(const struct org *org);
/* What X-API-CREDITS-REMAINING says: -1 (it is not sent) until half of the day's are used. */
int64_t org_credits_to_tell(const struct org *org);
/* False if it is one too many in a minute, which locks further ones out for a minute. */
bool org_take_download(struct org *org, int64_t mono_ms);

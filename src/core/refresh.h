/*
 * When to ask for an access token: the life of one refresh token's grant.
 *
 * A token is renewed REFRESH_BEFORE_MS before its end, with jitter, and used as long as it lives
 * whatever becomes of the renewal. One request at a time; at most REFRESH_ASKS_MAX of them in
 * REFRESH_WINDOW_MS, whatever happens (Zoho gives ten, and evicts live tokens beyond fifteen).
 *
 *   none --ask--> asking --granted--> alive --ask--> asking (and alive) ...
 *                        --throttled--> held 10 to 15 min, doubling to an hour
 *                        --failed-----> held 5 s, doubling to 5 min
 *                        --refused----> refused until somebody changes something
 *   alive --its time, or dropped--> none
 *
 * All times are mono. What must outlive a restart (token's end, asks, hold) is kept by
 * daemon/token_file, as wall times.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	REFRESH_ASKS_MAX = 5,
	REFRESH_WINDOW_MS = 10 * 60 * 1000,
	REFRESH_BEFORE_MS = 5 * 60 * 1000,
	REFRESH_JITTER_MS = 60 * 1000,
	REFRESH_THROTTLED_FIRST_MS = 10 * 60 * 1000, /* and up to half of it more, at random */
	REFRESH_THROTTLED_MAX_MS = 60 * 60 * 1000,
	REFRESH_FAILED_FIRST_MS = 5 * 1000,
	REFRESH_FAILED_MAX_MS = 5 * 60 * 1000,
};

/* Zero-initialised: no token, may ask. */
struct refresh {
	bool has_token;
	int64_t got_mono_ms;     /* the token's age counts from here */
	int64_t expires_mono_ms; /* of the token; its renewal is due at renew_mono_ms */
	int64_t renew_mono_ms;
	int64_t held_until_mono_ms;
	int64_t asked_mono_ms[REFRESH_ASKS_MAX]; /* the latest first */
	uint8_t n_asked;                         /* of them that are set */
	uint8_t throttled_level, failed_level;
	bool is_asking;
	bool is_throttled; /* why it is held */
	bool is_refused;
};

/* There is a token that lives. */
bool refresh_is_alive(const struct refresh *refresh, int64_t mono_ms);
/* A token should be asked for, if that may be done now. */
bool refresh_is_due(const struct refresh *refresh, int64_t mono_ms);
/* 0: may ask now. Else when to look again; INT64_MAX: not before something else happens. */
int64_t refresh_closed_until_mono(const struct refresh *refresh, int64_t mono_ms);

/* A request goes out. */
void refresh_ask(struct refresh *refresh, int64_t mono_ms);
/* Its answer. */
void refresh_granted(struct refresh *refresh, int64_t life_ms, int64_t mono_ms, uint64_t random);
void refresh_throttled(struct refresh *refresh, int64_t mono_ms, uint64_t random);
void refresh_refused(struct refresh *refresh);
/* No answer, or none that is of use. was_sent: it may have reached the server; else it does not
 * count. */
void refresh_failed(struct refresh *refresh, bool was_sent, int64_t mono_ms, uint64_t random);

/* The token is not accepted any more. */
void refresh_drop(struct refresh *refresh);
/* Secrets or configuration changed: what was refused or failed may be tried anew. Throttling and
 * the count of requests stay. */
void refresh_forgive(struct refresh *refresh);

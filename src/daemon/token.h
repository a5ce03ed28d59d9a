/*
 * Access tokens made from refresh tokens: one grant for each (accounts server, client id, refresh
 * token), shared by all accounts that name the same three.
 *
 * A grant asks for a token when somebody wants one (grant_want) and core/refresh allows it; until
 * the answer comes, those who wait are put aside by their own means and woken by the news. Nothing
 * here knows of accounts, pauses or polls. Tokens live in memory and in daemon/token_file, nowhere
 * else, and are sent by the poller alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/http.h"
#include "net/loop.h"
#include "util/rng.h"
#include "wire/json.h"

struct grants;
struct grant;

/* A token came, was refused, or it may be asked for again: whoever waits looks anew. */
typedef void grant_news_fn(void *arg, const struct grant *grant);

/* A token directory that cannot be used is said, and done without. */
struct grants *grants_new(
        struct loop *loop, struct http *http, struct rng *rng, const char *state_dir);
/* Every grant must have been put back. Takes NULL, returns NULL. */
struct grants *grants_free(struct grants *grants);
void grants_set_news(struct grants *grants, grant_news_fn *news, void *arg);
/* Requests on their way to accounts servers. */
size_t grants_in_flight(const struct grants *grants);
/* After a reload: lets go of connections to servers that no grant names any more. */
void grants_drop_unused_hosts(struct grants *grants);

/* What tokens are made from; borrowed. */
struct grant_source {
	const char *accounts_url, *ca_file; /* ca_file: NULL = the system's */
	const char *client_id, *client_secret, *refresh_token;
};

/* A counted reference; grant_put gives it back. A client secret or CA file that is new replaces
 * the grant's, and what was refused may be tried again. */
struct grant *grants_get(struct grants *grants, const struct grant_source *source);
/* Takes NULL, returns NULL. */
struct grant *grant_put(struct grant *grant);

/*
 * Sees to it that there is a token: asks for one if it is time and allowed. 0: there is one. Else
 * when to look again; INT64_MAX: not before the news.
 */
int64_t grant_want(struct grant *grant, struct now now);
/* NULL = none that lives. Valid until the loop's next turn. */
const char *grant_token(const struct grant *grant, int64_t mono_ms);
/* What it is known by on disk: says nothing of what it was made from. */
const char *grant_name(const struct grant *grant);
/* Tells tokens apart, over all grants; 0 = none. */
uint32_t grant_generation(const struct grant *grant);
/* The API's origin that the token is for, as token_origin() writes it; "" = not said. */
const char *grant_domain(const struct grant *grant);
/* No token will come until somebody acts: grant_problem says how. */
bool grant_is_refused(const struct grant *grant);
/* Why the last request brought no token; "" if it did. */
const char *grant_problem(const struct grant *grant);

/* The token was taken as good by the API. */
void grant_accept(struct grant *grant, uint32_t generation);
/* It was not: another one is wanted. */
void grant_drop(struct grant *grant);
/* The token came in the place of one that was dropped, and was not taken as good yet. */
bool grant_is_second_try(const struct grant *grant);
/* The token is not quite new, and was never taken as good by anybody. */
bool grant_is_doubtful(const struct grant *grant, int64_t mono_ms);
/* Somebody may have mended what was wrong. */
void grant_forgive(struct grant *grant);

/* 0 = none lives. */
int64_t grant_expires_wall_ms(const struct grant *grant, struct now now);
/* State, expiry and problem as JSON members of an open object; without a problem of its own that of
 * the secrets' files, "" = none. */
void grant_write(
        struct json_out *w, const struct grant *grant, const char *file_problem, struct now now);

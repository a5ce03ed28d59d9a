#include "tokens.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/refresh.h"
#include "scenario.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"

enum {
	LIFE_MS = 3600 * 1000,
	LIVE_MAX = 15, /* a further one evicts the oldest */
	MINUTE_MS = 60 * 1000,
	/* Until the daemon asks again: held an hour at most, and a slow probe on top. */
	THROTTLED_REST_MS = 80 * MINUTE_MS,
	FAILED_REST_MS = 40 * MINUTE_MS,
};

bool tokens_is_ask(const struct http_request *request)
{
	return request->post_body && strstr(request->url, "/oauth/v2/token");
}

static struct world_token *token_of(struct world_grant *grant, int n)
{
	return &grant->tokens[n % WORLD_GRANT_TOKENS_MAX];
}

bool tokens_is_given(int number, int n)
{
	struct world_grant *grant = &world->grants[number];

	return n < grant->n_made && n >= grant->n_made - WORLD_GRANT_TOKENS_MAX &&
	       token_of(grant, n)->is_given && !token_of(grant, n)->is_foreign;
}

bool tokens_is_good(int number, int n)
{
	struct world_grant *grant = &world->grants[number];
	const struct world_token *token = token_of(grant, n);

	if (n < grant->n_made - LIVE_MAX)
		return false;
	return token->secret == grant->secret && !grant->is_revoked &&
	       world->mono_ms < token->ends_mono_ms;
}

void tokens_revoke_secret(int grant)
{
	world->grants[grant].is_revoked = true;
}

void tokens_renew_secret(int number)
{
	struct world_grant *grant = &world->grants[number];

	grant->is_revoked = false;
	grant->secret++;
	/* Zoho counts by refresh token. */
	grant->n_asked = grant->held_until_mono_ms = 0;
	for (size_t i = 0; i < world->n_accounts; i++) {
		if (world->accounts[i].grant == number)
			world->accounts[i].well_from_mono_ms = world->mono_ms + FAILED_REST_MS;
	}
	scenario_write_secrets(number);
	world_happened(HAPPENED_SECRET_CHANGED);
}

static void excuse_until(int number, int64_t until)
{
	for (size_t i = 0; i < world->n_accounts; i++) {
		struct world_account *account = &world->accounts[i];

		if (account->grant == number && account->well_from_mono_ms < until)
			account->well_from_mono_ms = until;
	}
}

void tokens_new_life(void)
{
	for (size_t i = 0; i < world->n_grants; i++) {
		struct world_grant *grant = &world->grants[i];

		/* Where the clock was set back, a hold begins anew: an hour at most. */
		if (grant->held_until_mono_ms)
			excuse_until((int)i, world->mono_ms + THROTTLED_REST_MS);
		grant->is_asking = false;
		/* Only the wall clock tells a new life how long ago it asked. */
		if (world->has_leapt)
			grant->n_asked = grant->held_until_mono_ms = 0;
	}
}

/* ---- the question ---- */

static int understand(const struct http_request *request, int *secret)
{
	int number;
	const char *at = strstr(request->post_body, "refresh_token=1000.");

	if (!at || sscanf(at, "refresh_token=1000." WORLD_CANARY ".r%d.%d", &number, secret) != 2 ||
	        number < 0 || (size_t)number >= world->n_grants)
		world_fail("a request for a token with no refresh token of ours");
	const struct world_grant *grant = &world->grants[number];
	cleanup(mem_free_p) char *url =
	        mem_printf("%s/oauth/v2/token", world->datacenters[grant->datacenter].url);
	cleanup(mem_free_p) char *body = mem_printf(
	        "grant_type=refresh_token&client_id=client-%d&client_secret=" WORLD_CANARY
	        ".c%d&refresh_token=1000." WORLD_CANARY ".r%d.%d",
	        number, number, number, grant->secret);

	if (strcmp(url, request->url) != 0)
		world_fail("a token is asked for at %s, not at %s", request->url, url);
	/* The one before may still be in use: the file was written a moment ago. */
	if (request->post_len != strlen(body) ||
	        (strcmp(body, request->post_body) != 0 && grant->secret == 0))
		world_fail("a token is asked for with other secrets than there are");
	return number;
}

struct ask tokens_ask(const struct http_request *request)
{
	struct ask ask = {.sent_mono_ms = world->mono_ms};

	ask.grant = understand(request, &ask.secret);
	struct world_grant *grant = &world->grants[ask.grant];
	int64_t *slot = &grant->asked_mono_ms[grant->n_asked % REFRESH_ASKS_MAX];

	if (grant->is_asking)
		world_fail("grant %d: two tokens are asked for at once", ask.grant);
	if (grant->n_asked >= REFRESH_ASKS_MAX &&
	        world->mono_ms < *slot + REFRESH_WINDOW_MS - TURN_MAX_MS)
		world_fail("grant %d: more than %d tokens are asked for in ten minutes", ask.grant,
		        REFRESH_ASKS_MAX);
	if (world->mono_ms < grant->held_until_mono_ms - TURN_MAX_MS)
		world_fail("grant %d was told that these are too many requests, yet asks again "
		           "%" PRId64 " s too soon",
		        ask.grant, (grant->held_until_mono_ms - world->mono_ms) / 1000);
	log_debug("sim: grant %d asks at %" PRId64, ask.grant, world->mono_ms);
	grant->is_asking = true;
	world_was_busy();
	return ask;
}

/* ---- the answer ---- */

/* Some are taken back before their time; more often so while their data center is in trouble, which
 * then is well again before its accounts are. */
static void shorten(struct world_token *token, const struct world_datacenter *datacenter)
{
	if (!world_may(KIND_TOKENS))
		return;
	if (world_chance(DICE_ZOHO, 0.05))
		token->ends_mono_ms -= world_between(DICE_ZOHO, 0, LIFE_MS);
	for (size_t i = 0; i < datacenter->n_troubles; i++) {
		int64_t from = datacenter->troubles[i].from_mono_ms;

		if (from > world->mono_ms && from < token->ends_mono_ms &&
		        world_chance(DICE_ZOHO, 0.5))
			token->ends_mono_ms = from;
	}
}

static void make_token(int number, struct zoho_saying *saying)
{
	struct world_grant *grant = &world->grants[number];
	struct world_token *token = token_of(grant, grant->n_made);
	bool is_foreign = world_may(KIND_TOKENS) && world_chance(DICE_ZOHO, 0.02);
	bool is_in_ms = world_chance(DICE_ZOHO, 0.2);

	*token = (struct world_token){.secret = grant->secret,
	        .ends_mono_ms = world->mono_ms + LIFE_MS,
	        .is_foreign = is_foreign};
	shorten(token, &world->datacenters[grant->datacenter]);
	buf_addf(&saying->body,
	        "{\"access_token\":\"1000." WORLD_CANARY
	        ".g%d.%d\",\"api_domain\":\"%s\",\"token_type\":\"Bearer\",%s}",
	        number, grant->n_made,
	        is_foreign ? "https://www.zohoapis.example"
	                   : world->datacenters[grant->datacenter].url,
	        is_in_ms ? "\"expires_in_sec\":3600,\"expires_in\":3600000"
	                 : "\"expires_in\":3600");
	saying->token = ++grant->n_made; /* 1 + number */
	saying->kind = OBSERVED_STATUS;
	world_happened(HAPPENED_TOKEN_MADE);
	if (is_foreign)
		world_happened(HAPPENED_TOKEN_FOREIGN);
	if (is_in_ms)
		world_happened(HAPPENED_TOKEN_IN_MS);
}

static void say_refused(struct zoho_saying *saying)
{
	buf_adds(&saying->body, "{\"error\":\"invalid_code\"}");
	saying->kind = OBSERVED_REFUSED;
	world_happened(HAPPENED_TOKEN_REFUSED);
}

static void say_throttled(struct zoho_saying *saying)
{
	saying->status = world_chance(DICE_ZOHO, 0.5) ? 200 : 400;
	buf_adds(&saying->body, "{\"error\":\"Access Denied\",\"error_description\":"
	                        "\"Zu viele Anfragen\",\"status\":\"failure\"}");
	saying->kind = OBSERVED_THROTTLED;
	world_happened(HAPPENED_TOKEN_THROTTLED);
}

static void say_unreachable(struct zoho_saying *saying, int64_t timeout_ms)
{
	static const enum http_error errors[] = {
	        HTTP_E_CONNECT, HTTP_E_RESOLVE, HTTP_E_TLS, HTTP_E_TIMEOUT, HTTP_E_BROKEN};

	saying->error = errors[world_below(DICE_ZOHO, ARRAY_LEN(errors))];
	saying->status = 0;
	saying->kind = OBSERVED_UNREACHABLE;
	if (saying->error == HTTP_E_TIMEOUT)
		saying->after_ms = timeout_ms;
	world_happened(HAPPENED_TOKEN_UNREACHABLE);
}

static void say_garbled(struct zoho_saying *saying)
{
	static const char *const bodies[] = {"", "{}", "<html><body>Sorry</body></html>",
	        "{\"access_token\":", "{\"access_token\":17}", "{\"access_token\":\"\"}", "[]",
	        "{\"access_token\":\"with a space\"}", "null"};

	if (world_chance(DICE_ZOHO, 0.1))
		saying->error = HTTP_E_TOO_LARGE;
	if (world_chance(DICE_ZOHO, 0.3))
		saying->status = 502;
	buf_adds(&saying->body, bodies[world_below(DICE_ZOHO, ARRAY_LEN(bodies))]);
	saying->kind = OBSERVED_GARBLED;
	world_happened(HAPPENED_TOKEN_GARBLED);
}

static enum trouble_kind choose_mishap(void)
{
	if (!world_may(KIND_TOKENS) || !world_chance(DICE_ZOHO, 0.05))
		return TROUBLE_NONE;
	return (enum trouble_kind)world_between(
	        DICE_ZOHO, TROUBLE_TOKENS_THROTTLED, TROUBLE_TOKENS_GARBLED);
}

void tokens_say(const struct ask *ask, int64_t timeout_ms, struct zoho_saying *saying)
{
	const struct world_grant *grant = &world->grants[ask->grant];
	const struct trouble *trouble =
	        world_trouble(grant->troubles, grant->n_troubles, world->mono_ms);
	enum trouble_kind kind = trouble ? trouble->kind : choose_mishap();

	saying->status = 200;
	saying->content_type = "application/json;charset=UTF-8";
	saying->retry_after_s = -1;
	saying->after_ms = world_between(DICE_ZOHO, 20, 1500);
	if (kind == TROUBLE_TOKENS_THROTTLED)
		say_throttled(saying);
	else if (kind == TROUBLE_TOKENS_UNREACHABLE)
		say_unreachable(saying, timeout_ms);
	else if (kind == TROUBLE_TOKENS_GARBLED)
		say_garbled(saying);
	else if (grant->is_revoked)
		say_refused(saying);
	else
		make_token(ask->grant, saying);
}

/* How long nobody may complain of silence. */
static void excuse(int number, const struct zoho_saying *saying)
{
	bool is_long = saying->kind == OBSERVED_THROTTLED || saying->kind == OBSERVED_REFUSED;
	int64_t until = world->mono_ms + (is_long ? THROTTLED_REST_MS : FAILED_REST_MS);

	/* Until somebody puts another one into the file. */
	if (world->grants[number].is_revoked)
		until = INT64_MAX / 2;

	excuse_until(number, until);
	/* It is paused by now, or will be, and opened by a probe. */
	if (saying->kind != OBSERVED_STATUS && saying->kind != OBSERVED_REFUSED)
		return;
	for (size_t i = 0; i < world->n_accounts; i++) {
		if (world->accounts[i].grant == number)
			world->accounts[i].refused_since_mono_ms = world->mono_ms;
	}
}

void tokens_cancel(const struct ask *ask)
{
	world->grants[ask->grant].is_asking = false;
}

void tokens_answer(const struct ask *ask, const struct zoho_saying *saying)
{
	struct world_grant *grant = &world->grants[ask->grant];
	log_debug("sim: grant %d is answered %d, error %d", ask->grant, saying->status,
	        (int)saying->error);
	bool was_sent = saying->error != HTTP_E_CONNECT && saying->error != HTTP_E_RESOLVE;

	grant->is_asking = false;
	/* What was said of the refresh token before this one holds nobody back. */
	bool is_of_now = ask->secret == grant->secret;

	grant->held_until_mono_ms = 0;
	if (was_sent && is_of_now)
		grant->asked_mono_ms[grant->n_asked++ % REFRESH_ASKS_MAX] = ask->sent_mono_ms;
	if (saying->kind == OBSERVED_THROTTLED && is_of_now)
		grant->held_until_mono_ms = world->mono_ms + REFRESH_THROTTLED_FIRST_MS;
	if (saying->token > 0) {
		token_of(grant, saying->token - 1)->is_given = true;
		grant->given_mono_ms = world->mono_ms;
	}
	if (saying->kind != OBSERVED_STATUS || token_of(grant, saying->token - 1)->is_foreign)
		excuse(ask->grant, saying);
}

#include "sim/token.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/hash.h"
#include "util/mem.h"

enum { GRANT_SLOTS = 16 }; /* LIVE_TOKENS_MAX, rounded so that a handle divides */

_Static_assert((int)LIVE_TOKENS_MAX <= (int)GRANT_SLOTS, "a grant has room for its tokens");

struct live_token {
	char text[TOKEN_SIZE]; /* "" = none */
	int64_t expires_mono_ms;
	bool is_revoked; /* remembered, so that it is refused where any token is good */
};

/* Of one refresh token of one client in one data center. */
struct grant {
	uint32_t index; /* in tokens.grants */
	uint16_t dc;
	char *client_id;                    /* owned */
	char *refresh_token;                /* owned */
	const struct script_client *client; /* borrowed; NULL if anybody gets tokens */
	struct live_token live[GRANT_SLOTS];
	uint32_t n_issued;
	int64_t *window_mono_ms; /* owned: a ring of the last n_window issues */
	int64_t n_window;
	bool is_revoked;
};

struct tokens {
	const struct script *script;
	struct rng rng;
	bool is_strict;
	struct grant **grants; /* owned */
	size_t n_grants, cap_grants;
	struct hash by_owner; /* handle: of the grant */
	struct hash by_text;  /* handle: grant * GRANT_SLOTS + slot */
	uint64_t n_issued;
};

struct tokens *tokens_new(const struct script *script, uint64_t seed)
{
	struct tokens *tokens = MEM_NEW(struct tokens);

	tokens->script = script;
	rng_seed(&tokens->rng, seed ^ UINT64_C(0x746f6b656e));
	tokens->is_strict = script->n_clients > 0;
	for (size_t i = 0; i < script->n_datacenters; i++) {
		if (script->datacenters[i].n_tokens > 0)
			tokens->is_strict = true;
	}
	return tokens;
}

void tokens_clear(struct tokens *tokens)
{
	for (size_t i = 0; i < tokens->n_grants; i++) {
		free(tokens->grants[i]->client_id);
		free(tokens->grants[i]->refresh_token);
		free(tokens->grants[i]->window_mono_ms);
		free(tokens->grants[i]);
	}
	tokens->n_grants = 0;
	hash_deinit(&tokens->by_owner);
	hash_deinit(&tokens->by_text);
	tokens->n_issued = 0;
}

struct tokens *tokens_free(struct tokens *tokens)
{
	if (!tokens)
		return NULL;
	tokens_clear(tokens);
	free(tokens->grants);
	free(tokens);
	return NULL;
}

uint64_t tokens_issued(const struct tokens *tokens)
{
	return tokens->n_issued;
}

static uint64_t owner_hash(uint16_t dc, const char *client_id, const char *refresh_token)
{
	return hash_bytes(client_id, strlen(client_id)) ^
	       hash_bytes(refresh_token, strlen(refresh_token)) * 3 ^
	       dc * UINT64_C(0x9e3779b97f4a7c15);
}

static bool owner_is_equal(const void *ctx, const void *key, uint32_t handle)
{
	const struct grant *grant = ((const struct tokens *)ctx)->grants[handle];
	const struct token_request *request = key;

	return grant->dc == request->dc && strcmp(grant->client_id, request->client_id) == 0 &&
	       strcmp(grant->refresh_token, request->refresh_token) == 0;
}

static struct live_token *live_at(const struct tokens *tokens, uint32_t handle)
{
	return &tokens->grants[handle / GRANT_SLOTS]->live[handle % GRANT_SLOTS];
}

static uint64_t text_hash_of(const void *ctx, uint32_t handle)
{
	const char *text = live_at(ctx, handle)->text;

	return hash_bytes(text, strlen(text));
}

static bool text_is_equal(const void *ctx, const void *key, uint32_t handle)
{
	return strcmp(live_at(ctx, handle)->text, key) == 0;
}

/* The grant of that owner, made if it is the first time; NULL if there are too many. */
static struct grant *tokens_grant(struct tokens *tokens, const struct token_request *request,
        const struct script_client *client)
{
	uint64_t hash = owner_hash(request->dc, request->client_id, request->refresh_token);
	uint32_t handle = hash_find(&tokens->by_owner, hash, owner_is_equal, tokens, request);
	struct grant *grant;

	if (handle != HASH_NONE)
		return tokens->grants[handle];
	if (tokens->n_grants == TOKEN_GRANTS_MAX)
		return NULL;
	if (tokens->n_grants == tokens->cap_grants) {
		tokens->cap_grants = tokens->cap_grants ? tokens->cap_grants * 2 : 16;
		tokens->grants =
		        mem_resize(tokens->grants, tokens->cap_grants, sizeof(*tokens->grants));
	}
	grant = MEM_NEW(struct grant);
	grant->dc = request->dc;
	grant->client_id = mem_strdup(request->client_id);
	grant->refresh_token = mem_strdup(request->refresh_token);
	grant->client = client;
	grant->n_window = client ? client->tokens_per_window : TOKENS_PER_WINDOW;
	grant->window_mono_ms = mem_new((size_t)grant->n_window, sizeof(int64_t));
	grant->index = (uint32_t)tokens->n_grants++;
	tokens->grants[grant->index] = grant;
	hash_insert(&tokens->by_owner, hash, grant->index);
	return grant;
}

/* The client of the script's, or what is wrong with the request. */
static enum fault_kind tokens_client(const struct tokens *tokens,
        const struct token_request *request, const struct script_client **out)
{
	enum fault_kind wrong = FAULT_INVALID_CLIENT;

	*out = NULL;
	if (tokens->script->n_clients == 0)
		return request->client_id[0] && request->refresh_token[0] ? FAULT_NONE : wrong;
	for (size_t i = 0; i < tokens->script->n_clients; i++) {
		const struct script_client *client = &tokens->script->clients[i];

		if (strcmp(client->client_id, request->client_id) != 0 ||
		        (client->dc && strcmp(client->dc, request->dc_name) != 0))
			continue;
		if (strcmp(client->client_secret, request->client_secret) != 0) {
			wrong = FAULT_INVALID_CLIENT_SECRET;
			continue;
		}
		if (strcmp(client->refresh_token, request->refresh_token) == 0) {
			*out = client;
			return FAULT_NONE;
		}
		wrong = FAULT_INVALID_CODE;
	}
	return wrong;
}

/* Counts an issue; false if it is one too many in the last ten minutes. */
static bool grant_take(struct grant *grant, int64_t mono_ms)
{
	int64_t *oldest = &grant->window_mono_ms[grant->n_issued % grant->n_window];

	if (grant->n_issued >= grant->n_window && mono_ms - *oldest < TOKEN_WINDOW_MS)
		return false;
	*oldest = mono_ms;
	return true;
}

static void tokens_drop(struct tokens *tokens, uint32_t handle)
{
	struct live_token *live = live_at(tokens, handle);

	if (live->text[0])
		hash_remove(&tokens->by_text, text_hash_of(tokens, handle), handle);
	live->text[0] = '\0';
}

/* A new token in the place of the oldest, once there are as many as may live. */
static const struct live_token *tokens_add(
        struct tokens *tokens, struct grant *grant, int64_t expires_mono_ms)
{
	uint32_t n_live = (uint32_t)(grant->client ? grant->client->live_tokens : LIVE_TOKENS_MAX);
	uint32_t handle = grant->index * GRANT_SLOTS + grant->n_issued % n_live;
	struct live_token *live = live_at(tokens, handle);
	uint64_t random[4];

	tokens_drop(tokens, handle);
	for (size_t i = 0; i < ARRAY_LEN(random); i++)
		random[i] = rng_next(&tokens->rng);
	snprintf(live->text, sizeof(live->text),
	        "1000.%016" PRIx64 "%016" PRIx64 ".%016" PRIx64 "%016" PRIx64, random[0], random[1],
	        random[2], random[3]);
	live->expires_mono_ms = expires_mono_ms;
	live->is_revoked = false;
	hash_insert(&tokens->by_text, text_hash_of(tokens, handle), handle);
	grant->n_issued++;
	tokens->n_issued++;
	return live;
}

enum fault_kind tokens_issue(struct tokens *tokens, const struct token_request *request,
        int64_t mono_ms, struct token_grant *out)
{
	const struct script_client *client;
	enum fault_kind wrong = tokens_client(tokens, request, &client);
	const struct live_token *live;
	struct grant *grant;

	if (wrong != FAULT_NONE)
		return wrong;
	grant = tokens_grant(tokens, request, client);
	if (grant && grant->is_revoked)
		return FAULT_INVALID_CODE;
	if (!grant || !grant_take(grant, mono_ms))
		return FAULT_THROTTLED;
	out->expires_in_s = client ? client->expires_in_s : TOKEN_EXPIRES_S;
	live = tokens_add(tokens, grant, mono_ms + out->expires_in_s * 1000);
	memcpy(out->access_token, live->text, sizeof(out->access_token));
	return FAULT_NONE;
}

static bool tokens_is_ready(const struct script *script, const char *dc_name, const char *text)
{
	for (size_t i = 0; i < script->n_datacenters; i++) {
		const struct script_datacenter *dc = &script->datacenters[i];

		for (size_t k = 0; strcmp(dc->name, dc_name) == 0 && k < dc->n_tokens; k++) {
			if (strcmp(dc->tokens[k], text) == 0)
				return true;
		}
	}
	return false;
}

bool tokens_check(struct tokens *tokens, uint16_t dc, const char *dc_name, const char *access_token,
        int64_t mono_ms, const char **organisation)
{
	uint32_t handle =
	        hash_find(&tokens->by_text, hash_bytes(access_token, strlen(access_token)),
	                text_is_equal, tokens, access_token);
	const struct live_token *live;
	const struct grant *grant;

	*organisation = NULL;
	if (handle == HASH_NONE)
		return !tokens->is_strict || tokens_is_ready(tokens->script, dc_name, access_token);
	live = live_at(tokens, handle);
	grant = tokens->grants[handle / GRANT_SLOTS];
	if (live->is_revoked)
		return false;
	if (tokens->is_strict && (grant->dc != dc || mono_ms >= live->expires_mono_ms))
		return false;
	*organisation = grant->client ? grant->client->organisation : NULL;
	return true;
}

size_t tokens_revoke(struct tokens *tokens, int dc, const char *client_id, bool is_refresh)
{
	size_t n = 0;

	for (size_t i = 0; i < tokens->n_grants; i++) {
		struct grant *grant = tokens->grants[i];

		if ((dc >= 0 && grant->dc != dc) ||
		        (client_id && strcmp(grant->client_id, client_id) != 0))
			continue;
		for (int k = 0; k < GRANT_SLOTS; k++)
			grant->live[k].is_revoked = true;
		grant->is_revoked |= is_refresh;
		n++;
	}
	return n;
}

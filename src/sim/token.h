/*
 * The accounts servers' memory: who may have tokens, which were issued, which are good.
 *
 * Without clients and tokens in the script anybody gets tokens and any token is good, but for those
 * that were revoked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/script.h"
#include "util/rng.h"

enum {
	TOKEN_SIZE = 80,
	TOKEN_GRANTS_MAX = 65536, /* (data center, client, refresh token)s that were ever used */
	TOKEN_WINDOW_MS = 10 * 60 * 1000,
};

struct tokens;

/* What a client asks with; data center by index. */
struct token_request {
	uint16_t dc;
	const char *dc_name;
	const char *client_id, *client_secret, *refresh_token;
};

struct token_grant {
	char access_token[TOKEN_SIZE];
	int64_t expires_in_s;
};

/* script is borrowed. */
struct tokens *tokens_new(const struct script *script, uint64_t seed);
struct tokens *tokens_free(struct tokens *tokens);
void tokens_clear(struct tokens *tokens);

/* FAULT_NONE and *grant, or what is wrong: FAULT_INVALID_CLIENT, FAULT_THROTTLED and so on. */
enum fault_kind tokens_issue(struct tokens *tokens, const struct token_request *request,
        int64_t mono_ms, struct token_grant *out);
/*
 * True if the access token is good in that data center. *organisation is the name of whose it is,
 * or NULL.
 */
bool tokens_check(struct tokens *tokens, uint16_t dc, const char *dc_name, const char *access_token,
        int64_t mono_ms, const char **organisation);
/*
 * Access tokens that were issued are good no more, and with is_refresh neither are the refresh
 * tokens that they came from. dc -1 = of any, client_id NULL = of any. Returns how many grants.
 */
size_t tokens_revoke(struct tokens *tokens, int dc, const char *client_id, bool is_refresh);
uint64_t tokens_issued(const struct tokens *tokens);

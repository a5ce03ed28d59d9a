/*
 * Zoho's accounts servers: what they answer to a request for an access token, and whether that
 * request was allowed. The tokens of grant 1 are 1000.<canary>.g1.0, .1, .2 ...; its refresh tokens
 * 1000.<canary>.r1.0 and so on.
 */
#pragma once

#include "net/http.h"
#include "zoho.h"

/* A request for an access token, as it was understood. */
struct ask {
	int grant;
	int secret; /* the number of the refresh token that was sent */
	int64_t sent_mono_ms;
};

bool tokens_is_ask(const struct http_request *request);
/* Judges it. */
struct ask tokens_ask(const struct http_request *request);
void tokens_say(const struct ask *ask, int64_t timeout_ms, struct zoho_saying *saying);
void tokens_answer(const struct ask *ask, const struct zoho_saying *saying);
/* Nobody waits for the answer any more. */
void tokens_cancel(const struct ask *ask);
/* The n-th token of the grant is taken as good by the API now. */
bool tokens_is_good(int grant, int n);
/* It was given to the daemon, for this API. */
bool tokens_is_given(int grant, int n);
/* What is in the file is another one now, and good. */
void tokens_renew_secret(int grant);
void tokens_revoke_secret(int grant);
void tokens_new_life(void);

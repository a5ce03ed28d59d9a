/*
 * The servers that webhooks call: where they are, what they answer, and which keys they know. What
 * they are sent is judged in evidence_call.c.
 *
 * Webhook "load" calls https://receivers.example/load/<canary>, and in some variants of the
 * configuration https://other.example/load/<canary>. Its keys have numbers; the two newest ones
 * are in its file.
 */
#pragma once

#include "net/http.h"
#include "zoho.h"

bool receivers_is_call(const struct http_request *request);
/* Whose webhook's path that is; -1 = nobody's. */
int receivers_hook_of(const char *url);
/* The caller's, and so is the key. */
char *receivers_url(int hook, int variant);
/* As it stands in the file. */
char *receivers_key(int hook, int number);
/* What the header webhook-signature must be. The hook's keys are good. */
void receivers_sign(int hook, const char *id, const char *timestamp, const char *body, size_t len,
        struct buf *out);
void receivers_renew_key(int hook);
void receivers_spoil_key(int hook);

void receivers_say(int hook, int64_t timeout_ms, struct zoho_saying *saying);

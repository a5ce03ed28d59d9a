/*
 * Accounts and data centers as they run: who may ask, with which token, over which connections.
 *
 * Accounts are known by handle (stable while the daemon runs) and by name. An account that left the
 * configuration keeps its handle; when it comes back it is the same one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "core/gate.h"
#include "core/schedule.h"
#include "daemon/hooks.h"
#include "daemon/metrics.h"
#include "daemon/secret.h"
#include "daemon/token.h"
#include "net/http.h"
#include "util/heap.h"
#include "wire/json.h"

struct accounts;

struct datacenter {
	char *name, *api_url, *accounts_url, *ca_file;
	struct http_host *host; /* made with the first account */
	struct circuit circuit;
	size_t n_in_flight;
	bool is_configured;
	struct account *waiting, **waiting_tail; /* for one of the host's connections, in order */
	char problem[256];                       /* the last failure that counted for the circuit */
	bool is_clock_known;
	int64_t clock_ahead_ms; /* of ours, by its Date at the last answer; good to a second */
	struct metrics_datacenter metrics;
};

struct account {
	uint32_t handle;
	char *name;
	bool is_configured;
	struct datacenter *datacenter;
	enum config_service service;
	struct poll_policy policy;
	int64_t timeout_ms;
	int64_t max_in_flight;
	int64_t credits_per_day;
	const struct hook_set *hooks; /* of jobs that name none */
	/* A ready token in a file, or the three that tokens are made from (then token.path is
	 * NULL).
	 */
	struct secret token;
	char *client_id;
	struct secret client_secret, refresh_token;
	struct grants *grants;
	struct grant *grant;              /* NULL: of a ready token, or a secret cannot be read */
	int64_t token_looked_at_mono_ms;  /* at the secrets' files */
	int64_t token_wait_until_mono_ms; /* asked for: nothing is sent before; 0 = no wait */
	bool has_refused_token;           /* one was dropped, and none was taken as good since */
	struct gate gate;
	bool is_pause_told; /* what the journal says last: account.paused or not */
	enum error_class told_reason;
	char problem[MESSAGE_MAX_BYTES]; /* why it is held or paused, in words */
	struct heap due;                 /* struct tracked by the mono time of their next poll */
	struct heap_node node;           /* in the poller's queue, by when it may act */
	struct account *next_waiting;
	bool is_waiting;
	size_t n_in_flight;
	size_t n_jobs;    /* watched */
	size_t n_unknown; /* of these: Zoho's last answer was "no such job" */
	uint64_t n_polls, n_answers;
	struct learned *learned; /* of its jobs' durations; NULL until needed (daemon/thrift) */
	struct ledger *ledger;   /* of its credits, joined (daemon/sharing); NULL: no use yet */
	bool is_ledger_new;      /* which one it is, is to be written with that one */
	struct metrics_account metrics;
};

/* state_dir: where access tokens outlive a restart. */
struct accounts *accounts_new(
        struct loop *loop, struct http *http, struct rng *rng, const char *state_dir);
/* No request may be in flight. */
struct accounts *accounts_free(struct accounts *accounts);

/*
 * Takes over data centers and accounts of a checked configuration (hooks first: account->hooks are
 * resolved here). Accounts that are gone are no longer is_configured; their jobs are the caller's
 * matter. 0, or a negative error, with words.
 */
int accounts_apply(struct accounts *accounts, const struct config *config, struct hooks *hooks,
        struct buf *words);

size_t accounts_count(const struct accounts *accounts); /* handles are below this */
struct account *accounts_get(const struct accounts *accounts, uint32_t handle);
struct account *accounts_find(
        const struct accounts *accounts, const char *name); /* NULL = none; also one that is gone */

/* For jobs of the store whose account is no longer configured: it never asks. */
struct account *accounts_add_gone(
        struct accounts *accounts, const char *name, const char *datacenter);

struct grants *accounts_grants(const struct accounts *accounts);
struct ledgers *accounts_ledgers(const struct accounts *accounts);

/* Looks at the secrets' files, at most once a second. True: one of them is a new one. */
bool account_look_at_secrets(struct account *account, struct now now);

/*
 * Sees to it that there is a token to send. ERROR_NONE: there is one, or one was asked for and
 * token_wait_until_mono_ms says when to look again. Else why there is none until somebody acts, and
 * words, MESSAGE_MAX_BYTES at most, for people.
 */
enum error_class account_want_token(struct account *account, struct now now, char *words);
/* What to send now; NULL = none. */
const char *account_token(const struct account *account, int64_t mono_ms);
/* Tells the account's tokens apart; 0 = none. */
uint32_t account_token_generation(const struct account *account);
/* The API took the token of that generation as good. */
void account_token_accepted(struct account *account, uint32_t generation);
/* The API refused the present token. True: it was dropped, and the same question may be tried with
 * a new one; once, for a new one that is refused too is no matter of tokens. */
bool account_token_refused(struct account *account, struct now now);

/* What people are told of it. */
struct account_state {
	enum gate_state state;
	const char *reason;         /* a word; NULL if ok */
	const char *detail;         /* a sentence; NULL if ok */
	int64_t next_probe_wall_ms; /* when something goes out again; 0 = ok, or at any moment */
};
struct account_state account_state(const struct account *account, struct now now);
/* When its access token ends; 0 = there is none, or nobody knows. */
int64_t account_token_expires_wall_ms(const struct account *account, struct now now);
/* The account's state as JSON members (no braces): for the sockets and for events. */
void account_write(
        struct json_out *w, const char *key, const struct account *account, struct now now);

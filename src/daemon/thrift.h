/*
 * What polls cost and teach, between the tracker and each account's daemon/learned (read from the
 * store when first needed) and daemon/ledger (shared by some, daemon/sharing): both are written
 * with the commits of the turns.
 */
#pragma once

#include "core/machine.h"
#include "daemon/tracker.h"

/* NULL: the store failed, which the next commit returns. */
struct learned *thrift_learned(struct tracker *tracker, struct account *account);

/* How many polls a job of the account may cost. */
double thrift_polls(struct tracker *tracker, struct account *account);
/* What is known of jobs like this one, for its next interval. */
void thrift_shape(
        struct tracker *tracker, const struct tracked *tracked, struct poll_policy *policy);
/* Zoho said what is in the step: the job's module, if its document is new, and what its age says of
 * others. To be called before the step is taken over. */
void thrift_take_module(struct tracker *tracker, struct tracked *tracked, const char *query);
void thrift_teach(struct tracker *tracker, struct tracked *tracked, const struct step *step);
/* A job of the store was last seen unfinished then (0 = never). */
void thrift_remember(struct tracker *tracker, struct tracked *tracked, int64_t seen_wall_ms);
/* The first wait of one of n jobs of the store: the likelier it is finished, the sooner. */
int64_t thrift_first_ms(struct tracker *tracker, const struct tracked *tracked, size_t n);

/* There is a reserved credit for a request now. Else one is asked for, and the account is touched
 * when it is there. */
bool thrift_has_credit(struct tracker *tracker, struct account *account);
/* A request of the account went out: the ledger that it is charged to. */
uint64_t thrift_take_credit(struct tracker *tracker, struct account *account);
/* Its answer: how often it went out in all, and what Zoho said is left (-1 = nothing). The account
 * may use another ledger by now. */
void thrift_settle(struct tracker *tracker, struct account *account, uint64_t ledger_id,
        unsigned n_sent, int64_t credits_remaining);

/* Part of the turn's end, before the commit: ledgers that need it. */
void thrift_write_ledgers(struct tracker *tracker);
/* With the contact fields of jobs: of the n accounts from *cursor on (0 at first). True: they were
 * the last. */
bool thrift_write_learned(struct tracker *tracker, uint32_t *cursor, size_t n);
/* All of it, at the stop. */
void thrift_write_last(struct tracker *tracker);

/*
 * What was seen of the daemon, and the judgement of each step as it happens: requests, programs,
 * webhooks, commits. What only shows at the end, or on disk, is judge.c's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/machine.h"
#include "net/child.h"
#include "store/store.h"
#include "zoho.h"

/* What is due may be late by that: a turn, its commit and what shares it take far less. */
enum { LAG_MAX_MS = 5 * 1000 };

/* A life begins: what only memory knew is forgotten. */
void evidence_new_life(void);
/* The wall clock goes forward: who learns only now what was spent before takes it for older. */
void evidence_leap(void);
/* The configuration in force changes from one variant to another. */
void evidence_reload(int from, int to);
void evidence_reload_hooks(int from, int to);

/* ---- requests ---- */

struct poll evidence_poll(const struct http_request *request);
void evidence_sent(const struct poll *poll, const struct zoho_saying *saying);
void evidence_answer(const struct poll *poll, const struct zoho_saying *saying);
/* What the daemon made of the answer that it is given right now. */
void evidence_step(const struct step *step);
/* Whose job that is; -1 = nobody's. */
int evidence_answered_account(void);
/* Every now and then. */
void evidence_look_for_silence(void);
/* Each turn, and every now and then. */
void evidence_look_at_stop(void);
void evidence_look_at_memory(void);
/* Bytes that leave the daemon, or stay on disk. */
void evidence_no_secret(const char *where, const char *bytes, size_t len);

/* ---- hooks ---- */

/* What an attempt of a delivery is given; borrowed. */
struct given {
	const char *to; /* "program" or "receiver" */
	int hook;
	int64_t seq;
	const char *id, *input;
	size_t input_len;
};
/* An attempt begins: is it allowed, now, and is it given what it should be? */
struct seen_delivery *evidence_give(const struct given *given);
/* It ended, and the daemon is told so right now. */
void evidence_given(struct seen_delivery *delivery, bool has_gone_well, bool has_failed_for_good);
/* Somebody asks for another try, by hand. */
void evidence_retry(struct seen_delivery *delivery);

/* Somebody asks for a replay, and is told that all up to `through` of it has deliveries now;
 * variant was in force when he asked. A delivery is committed after its event (evidence_replay.c).
 */
void evidence_replay(int hook, int64_t since);
void evidence_replayed(int hook, int64_t since, int64_t through, int variant);
void evidence_late_delivery(int64_t seq, int hook);

/* When it must be given, and that it is (evidence_due.c). */
void evidence_due_new_life(void);
/* The last event of its line (hook and job, or account): seq; 0 = none. */
int32_t evidence_last_event(const struct seen_delivery *delivery);
void evidence_due_reload(struct world_hook *hook, int from, int to);
/* It was committed, or found on disk, as it is now; before, its state was another. */
void evidence_due_added(struct seen_delivery *delivery);
void evidence_due_moved(struct seen_delivery *delivery, enum delivery_state before);
/* An attempt begins. */
void evidence_due_given(const struct seen_delivery *delivery);
/* Every now and then. */
void evidence_look_for_due(void);

/* These two give the index of the delivery. is_started: the program will really run. */
int evidence_start(const struct child_spec *spec, bool is_started);
int evidence_call(const struct http_request *request);
void evidence_end(int delivery, const struct child_result *result);
void evidence_called(int delivery, const struct zoho_saying *saying);

/* ---- what is forgotten (evidence_retention.c) ---- */

/* The daemon looks for what is older than that. */
void evidence_looked_for_old(int64_t before_wall_ms);
/* That is committed: n jobs and events of accounts. */
void evidence_forget(int64_t before_wall_ms, size_t n);
/* Also if a life forgot it in its last instant. */
bool evidence_is_forgotten(int64_t seq);
/* Every now and then. */
void evidence_look_at_retention(void);

/* ---- what is written, and committed ---- */

void evidence_event(const struct store_event *event);
void evidence_delivery_add(const struct store_delivery *delivery);
void evidence_delivery_put(const struct store_delivery *delivery);
/* n of those that are older were removed. */
void evidence_prune(int64_t before_wall_ms, size_t n);
void evidence_commit(void);
void evidence_rollback(void);

/* Also for judge.c: takes over what a life committed in its last instant. */
void evidence_take_event(const struct store_event *event);
void evidence_take_delivery(const struct store_delivery *delivery);
/* It needs nothing more. */
bool evidence_is_done(const struct world_job *job);
/* NULL if there is none. */
struct seen_delivery *evidence_find_delivery(int64_t seq, int hook);
uint64_t evidence_hash(const struct store_event *event);

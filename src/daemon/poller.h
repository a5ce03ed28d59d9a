/*
 * Asking Zoho: takes what is due off the queue, sends one GET a job, and hands each answer on as an
 * observation. Step 2 to 6 of the journey of a poll (docs/design.md).
 */
#pragma once

#include "daemon/tracker.h"
#include "wire/reply.h"

struct poller;

struct poller *poller_new(struct loop *loop, struct tracker *tracker);
/* Nothing may be in flight that would still answer: http hosts are freed before or after, no
 * matter. */
struct poller *poller_free(struct poller *poller);

/* Part of the turn's end, after the commit: sends what is due and allowed. */
void poller_dispatch(struct poller *poller);
/* When poller_dispatch should be called next (mono). */
int64_t poller_next_mono(const struct poller *poller);
/* Sends nothing more. */
void poller_stop(struct poller *poller);
/* Polls, and requests for access tokens. */
size_t poller_in_flight(const struct poller *poller);

/* Somebody wants the job polled now: passes its wait and the circuit, and revives a LOST one. */
void poller_poll_now(struct poller *poller, struct tracked *tracked);

/*
 * What is due when: a heap of accounts by when each may act, and in each account a heap of its jobs
 * by the time of their next poll. An account that is held, paused, full or without jobs is one
 * entry or none, however many jobs it has.
 */
#pragma once

#include <stdint.h>

#include "daemon/account.h"
#include "daemon/registry.h"

struct queue {
	struct heap accounts;
};

void queue_deinit(struct queue *queue);
/* Places the job, or moves it, and its account with it. */
void queue_set(struct queue *queue, struct account *account, struct tracked *tracked,
        int64_t at_mono_ms, int64_t mono_ms);
void queue_remove(
        struct queue *queue, struct account *account, struct tracked *tracked, int64_t mono_ms);
/* Something that decides when the account may act has changed. */
void queue_touch(struct queue *queue, struct account *account, int64_t mono_ms);
/* The account that may act now, or NULL. It stays in place: send or touch it. */
struct account *queue_first_due(const struct queue *queue, int64_t mono_ms);
int64_t queue_next_mono(const struct queue *queue);
/* The next job of the account that may be sent now; NULL if none is due or the account may not
 * send. */
struct tracked *queue_due_job(const struct account *account, int64_t mono_ms);

/*
 * Requests that wait for a job's finish: answered when it is committed, or at their time-out.
 *
 * They are found by their job, so that whatever else is committed costs those who wait nothing; and
 * all who wait for one job get the same text, made once.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct call;
struct control;
struct waiters;

struct waiters *waiters_new(struct control *control);
/* The listeners must be closed before: nobody may wait. */
struct waiters *waiters_free(struct waiters *waiters);
/* Holds the request of the call, whose job is watched and not finished. */
void waiters_add(struct waiters *waiters, const struct call *call, uint64_t ticket,
        int64_t deadline_mono_ms);
size_t waiters_count(const struct waiters *waiters);
/* A tracker_over_fn; arg is the struct waiters. */
void waiters_on_over(void *arg, uint64_t ticket);
/* Answers those whose job is finished or gone, and those whose time is up; so many a turn. */
void waiters_look(struct waiters *waiters);
int64_t waiters_next_mono(const struct waiters *waiters);

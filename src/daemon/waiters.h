/* Requests that wait for a job's finish: answered when it is committed, or at their time-out. */
#pragma once

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
/* Answers those whose job is finished or gone, and those whose time is up. */
void waiters_look(struct waiters *waiters);
int64_t waiters_next_mono(const struct waiters *waiters);

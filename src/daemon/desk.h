/*
 * Whose turn it is to be answered. A turn of the loop answers requests for some milliseconds; those
 * that come after wait at the desk for the next turns, in their order, and an administrator's
 * before all others. So a thousand who ask at once hold nobody's poll up for longer than one answer
 * takes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "net/listen.h"

struct loop;
struct desk;

typedef void desk_answer_fn(void *arg, struct listen_request *request, bool is_admin);

struct desk *desk_new(struct loop *loop, desk_answer_fn *fn, void *arg);
/* The listeners must be closed before. Takes NULL, returns NULL. */
struct desk *desk_free(struct desk *desk);
/* Answers it, now or later. */
void desk_take(struct desk *desk, struct listen_request *request, bool is_admin);
/* In each turn, before its commit: answers those who wait. */
void desk_look(struct desk *desk);
/* How many wait. */
size_t desk_count(const struct desk *desk);

/*
 * Whose turn it is to be answered. A turn of the loop answers requests for some milliseconds; those
 * that come after wait at the desk for the next turns: administrators first, then those who ask for
 * little, then those who ask for pages of lists, each in the order of their coming. So a thousand
 * who ask at once hold nobody's poll up for longer than one answer takes, and hold up nobody who
 * asks for less.
 */
#pragma once

#include <stddef.h>

#include "net/listen.h"

struct loop;
struct desk;

enum desk_queue { DESK_ADMIN, DESK_SHORT, DESK_LONG, DESK_QUEUES };

typedef void desk_answer_fn(void *arg, struct listen_request *request, enum desk_queue queue);

/* The group's clients get no more pages while they have not taken those that they have. */
struct desk *desk_new(
        struct loop *loop, const struct listen_group *group, desk_answer_fn *fn, void *arg);
/* The listeners must be closed before. Takes NULL, returns NULL. */
struct desk *desk_free(struct desk *desk);
/* Answers it, now or later. */
void desk_take(struct desk *desk, struct listen_request *request, enum desk_queue queue);
/* In each turn, before its commit: answers those who wait. */
void desk_look(struct desk *desk);

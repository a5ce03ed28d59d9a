#include "daemon/desk.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "net/loop.h"
#include "util/mem.h"

enum {
	AT_ONCE_UNTIL_US = 5000,             /* of the turn */
	LATER_US = 5000,                     /* of a turn, for those who wait */
	UNSENT_MAX_BYTES = 16 * 1024 * 1024, /* of pages that nobody takes */
};

struct visitor {
	struct desk *desk;
	struct listen_request *request;
	TAILQ_ENTRY(visitor) link;
	enum desk_queue queue;
};

TAILQ_HEAD(visitors, visitor);

struct desk {
	struct loop *loop;                /* borrowed */
	const struct listen_group *group; /* borrowed */
	desk_answer_fn *fn;
	void *arg;
	struct visitors queues[DESK_QUEUES];
};

struct desk *desk_new(
        struct loop *loop, const struct listen_group *group, desk_answer_fn *fn, void *arg)
{
	struct desk *desk = MEM_NEW(struct desk);

	*desk = (struct desk){.loop = loop, .group = group, .fn = fn, .arg = arg};
	for (int i = 0; i < DESK_QUEUES; i++)
		TAILQ_INIT(&desk->queues[i]);
	return desk;
}

struct desk *desk_free(struct desk *desk)
{
	for (int i = 0; desk && i < DESK_QUEUES; i++)
		assert(TAILQ_EMPTY(&desk->queues[i]));
	free(desk);
	return NULL;
}

static void visitor_free(struct visitor *visitor)
{
	TAILQ_REMOVE(&visitor->desk->queues[visitor->queue], visitor, link);
	free(visitor);
}

static void visitor_on_gone(void *arg)
{
	visitor_free(arg);
}

/* Whether anybody may be answered who waits there. */
static bool is_open(const struct desk *desk, enum desk_queue queue)
{
	return queue != DESK_LONG || listen_group_unsent(desk->group) < UNSENT_MAX_BYTES;
}

void desk_take(struct desk *desk, struct listen_request *request, enum desk_queue queue)
{
	if (TAILQ_EMPTY(&desk->queues[queue]) && is_open(desk, queue) &&
	        loop_turn_us(desk->loop) < AT_ONCE_UNTIL_US) {
		desk->fn(desk->arg, request, queue);
		return;
	}
	struct visitor *visitor = MEM_NEW(struct visitor);

	*visitor = (struct visitor){.desk = desk, .request = request, .queue = queue};
	TAILQ_INSERT_TAIL(&desk->queues[queue], visitor, link);
	listen_defer(request, visitor_on_gone, visitor);
	loop_wake(desk->loop);
}

/* False: nobody is left who may be answered. */
static bool answer_first(struct desk *desk, enum desk_queue queue)
{
	struct visitor *visitor = TAILQ_FIRST(&desk->queues[queue]);

	if (!visitor || !is_open(desk, queue))
		return false;
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it left the list */
	struct listen_request *request = visitor->request;

	visitor_free(visitor);
	desk->fn(desk->arg, request, queue);
	return true;
}

/* One of each queue at least: what else the turn does may take all of its time, again and again. */
void desk_look(struct desk *desk)
{
	int64_t until_us = loop_turn_us(desk->loop) + LATER_US;

	for (enum desk_queue queue = 0; queue < DESK_QUEUES; queue++) {
		while (answer_first(desk, queue) && loop_turn_us(desk->loop) < until_us)
			;
		if (TAILQ_FIRST(&desk->queues[queue]) && is_open(desk, queue))
			loop_wake(desk->loop);
	}
}

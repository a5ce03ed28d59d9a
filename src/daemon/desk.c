#include "daemon/desk.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "net/loop.h"
#include "util/mem.h"

enum {
	AT_ONCE_UNTIL_US = 5000, /* of the turn */
	LATER_US = 5000,         /* of a turn, for those who wait */
};

struct visitor {
	struct desk *desk;
	struct listen_request *request;
	TAILQ_ENTRY(visitor) link;
	bool is_admin;
};

TAILQ_HEAD(visitors, visitor);

struct desk {
	struct loop *loop; /* borrowed */
	desk_answer_fn *fn;
	void *arg;
	struct visitors queues[2]; /* by is_admin */
	size_t n;
};

struct desk *desk_new(struct loop *loop, desk_answer_fn *fn, void *arg)
{
	struct desk *desk = MEM_NEW(struct desk);

	*desk = (struct desk){.loop = loop, .fn = fn, .arg = arg};
	TAILQ_INIT(&desk->queues[false]);
	TAILQ_INIT(&desk->queues[true]);
	return desk;
}

struct desk *desk_free(struct desk *desk)
{
	assert(!desk || desk->n == 0);
	free(desk);
	return NULL;
}

size_t desk_count(const struct desk *desk)
{
	return desk->n;
}

static void visitor_free(struct visitor *visitor)
{
	TAILQ_REMOVE(&visitor->desk->queues[visitor->is_admin], visitor, link);
	visitor->desk->n--;
	free(visitor);
}

static void visitor_on_gone(void *arg)
{
	visitor_free(arg);
}

void desk_take(struct desk *desk, struct listen_request *request, bool is_admin)
{
	if (TAILQ_EMPTY(&desk->queues[is_admin]) && loop_turn_us(desk->loop) < AT_ONCE_UNTIL_US) {
		desk->fn(desk->arg, request, is_admin);
		return;
	}
	struct visitor *visitor = MEM_NEW(struct visitor);

	*visitor = (struct visitor){.desk = desk, .request = request, .is_admin = is_admin};
	TAILQ_INSERT_TAIL(&desk->queues[is_admin], visitor, link);
	desk->n++;
	listen_defer(request, visitor_on_gone, visitor);
	loop_wake(desk->loop);
}

static struct visitor *first(const struct desk *desk)
{
	struct visitor *visitor = TAILQ_FIRST(&desk->queues[true]);

	return visitor ? visitor : TAILQ_FIRST(&desk->queues[false]);
}

void desk_look(struct desk *desk)
{
	int64_t began_us = loop_turn_us(desk->loop);
	struct visitor *visitor;

	while ((visitor = first(desk))) {
		struct listen_request *request = visitor->request;
		bool is_admin = visitor->is_admin;

		visitor_free(visitor);
		desk->fn(desk->arg, request, is_admin);
		if (loop_turn_us(desk->loop) - began_us >= LATER_US)
			break;
	}
	if (desk->n > 0)
		loop_wake(desk->loop);
}

#include "daemon/waiters.h"

#include <assert.h>
#include <stdlib.h>

#include "daemon/control_private.h"
#include "util/mem.h"

struct waiter {
	struct waiters *waiters;
	struct listen_request *request;
	char *account, *id; /* owned: the job may be gone when the answer is due */
	uint64_t ticket;
	struct heap_node deadline;
	struct waiter *next;
};

struct waiters {
	struct control *control;
	struct waiter *first;
	struct heap deadlines;
	int64_t looked_at_seq;
};

struct waiters *waiters_new(struct control *control)
{
	struct waiters *waiters = MEM_NEW(struct waiters);

	waiters->control = control;
	return waiters;
}

struct waiters *waiters_free(struct waiters *waiters)
{
	if (!waiters)
		return NULL;
	assert(!waiters->first);
	heap_deinit(&waiters->deadlines);
	free(waiters);
	return NULL;
}

static void waiter_free(struct waiter *waiter)
{
	struct waiter **link = &waiter->waiters->first;

	while (*link != waiter)
		link = &(*link)->next;
	*link = waiter->next;
	heap_remove(&waiter->waiters->deadlines, &waiter->deadline);
	free(waiter->account);
	free(waiter->id);
	free(waiter);
}

static void waiter_on_gone(void *arg)
{
	waiter_free(arg);
}

void waiters_add(
        struct waiters *waiters, const struct call *call, uint64_t ticket, int64_t deadline_mono_ms)
{
	struct waiter *waiter = MEM_NEW(struct waiter);

	*waiter = (struct waiter){
	        .waiters = waiters,
	        .request = call->request,
	        .account = mem_strdup(call->account),
	        .id = mem_strdup(call->id),
	        .ticket = ticket,
	        .next = waiters->first,
	};
	waiters->first = waiter;
	heap_set(&waiters->deadlines, &waiter->deadline, deadline_mono_ms);
	listen_hold(call->request, waiter_on_gone, waiter);
}

static void answer(struct waiter *waiter, struct now now)
{
	struct call call = {
	        .control = waiter->waiters->control,
	        .request = waiter->request,
	        .account = waiter->account,
	        .id = waiter->id,
	        .now = now,
	};

	control_get_job(&call);
	waiter_free(waiter);
}

void waiters_look(struct waiters *waiters)
{
	const struct control_context *context = &waiters->control->context;
	struct now now = loop_now(context->loop);
	int64_t last_seq = store_last_seq(journal_store(context->tracker->journal));
	struct waiter *next;

	for (struct waiter *waiter = waiters->first; waiter && last_seq != waiters->looked_at_seq;
	        waiter = next) {
		const struct tracked *tracked =
		        registry_by_ticket(context->tracker->registry, waiter->ticket);

		next = waiter->next;
		if (!tracked || job_kind_is_finished((enum job_kind)tracked->job.kind))
			answer(waiter, now);
	}
	waiters->looked_at_seq = last_seq;
	while (heap_first_key(&waiters->deadlines) <= now.mono_ms)
		answer(container_of(heap_first(&waiters->deadlines), struct waiter, deadline), now);
}

int64_t waiters_next_mono(const struct waiters *waiters)
{
	return heap_first_key(&waiters->deadlines);
}

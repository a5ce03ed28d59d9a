#include "daemon/waiters.h"

#include <assert.h>
#include <stdlib.h>

#include "daemon/control_private.h"
#include "util/hash.h"
#include "util/mem.h"

enum { ANSWERS_PER_TURN = 256 };

struct waiter {
	struct group *group;
	struct listen_request *request;
	struct heap_node deadline;
	struct waiter *next, **link; /* in the group */
};

/* All who wait for one job. */
struct group {
	struct waiters *waiters;
	uint32_t handle;
	uint64_t ticket;
	char *account, *id; /* owned: the job may be gone when the answer is due */
	struct waiter *first;
	bool is_over;
	struct group *next_over;
};

struct waiters {
	struct control *control;
	struct hash by_ticket;
	struct group **groups; /* owned, by handle; NULL = free */
	uint32_t *free_handles;
	uint32_t n_handles, cap_handles, n_free;
	struct group *over, **over_tail; /* to be answered, in order */
	struct heap deadlines;
};

struct waiters *waiters_new(struct control *control)
{
	struct waiters *waiters = MEM_NEW(struct waiters);

	waiters->control = control;
	waiters->over_tail = &waiters->over;
	return waiters;
}

size_t waiters_count(const struct waiters *waiters)
{
	return waiters->deadlines.n;
}

/* ---- groups ---- */

static uint64_t hash_of_ticket(uint64_t ticket)
{
	return hash_bytes(&ticket, sizeof(ticket));
}

static bool group_has_ticket(const void *ctx, const void *key, uint32_t handle)
{
	const struct waiters *waiters = ctx;

	return waiters->groups[handle]->ticket == *(const uint64_t *)key;
}

static struct group *group_find(const struct waiters *waiters, uint64_t ticket)
{
	uint32_t handle = hash_find(
	        &waiters->by_ticket, hash_of_ticket(ticket), group_has_ticket, waiters, &ticket);

	return handle == HASH_NONE ? NULL : waiters->groups[handle];
}

static uint32_t take_handle(struct waiters *waiters)
{
	if (waiters->n_free > 0)
		return waiters->free_handles[--waiters->n_free];
	if (waiters->n_handles == waiters->cap_handles) {
		waiters->cap_handles = waiters->cap_handles ? waiters->cap_handles * 2 : 16;
		waiters->groups =
		        mem_resize(waiters->groups, waiters->cap_handles, sizeof(*waiters->groups));
		waiters->free_handles = mem_resize(waiters->free_handles, waiters->cap_handles,
		        sizeof(*waiters->free_handles));
	}
	return waiters->n_handles++;
}

static struct group *group_new(struct waiters *waiters, const struct call *call, uint64_t ticket)
{
	struct group *group = MEM_NEW(struct group);

	*group = (struct group){
	        .waiters = waiters,
	        .handle = take_handle(waiters),
	        .ticket = ticket,
	        .account = mem_strdup(call->account),
	        .id = mem_strdup(call->id),
	};
	waiters->groups[group->handle] = group;
	hash_insert(&waiters->by_ticket, hash_of_ticket(ticket), group->handle);
	return group;
}

/* One that is over is freed by waiters_look(), which has it in its list. */
static void group_free_if_empty(struct group *group)
{
	struct waiters *waiters = group->waiters;

	if (group->first || group->is_over)
		return;
	hash_remove(&waiters->by_ticket, hash_of_ticket(group->ticket), group->handle);
	waiters->groups[group->handle] = NULL;
	waiters->free_handles[waiters->n_free++] = group->handle;
	free(group->account);
	free(group->id);
	free(group);
}

/* ---- waiters ---- */

/* Its group may be freed with it. */
static void waiter_free(struct waiter *waiter)
{
	struct group *group = waiter->group;

	*waiter->link = waiter->next;
	if (waiter->next)
		waiter->next->link = waiter->link;
	heap_remove(&group->waiters->deadlines, &waiter->deadline);
	free(waiter);
	group_free_if_empty(group);
}

static void waiter_on_gone(void *arg)
{
	waiter_free(arg);
}

void waiters_add(
        struct waiters *waiters, const struct call *call, uint64_t ticket, int64_t deadline_mono_ms)
{
	struct group *group = group_find(waiters, ticket);
	struct waiter *waiter = MEM_NEW(struct waiter);

	if (!group)
		group = group_new(waiters, call, ticket);
	*waiter = (struct waiter){
	        .group = group,
	        .request = call->request,
	        .next = group->first,
	        .link = &group->first,
	};
	if (waiter->next)
		waiter->next->link = &waiter->next;
	group->first = waiter;
	heap_set(&waiters->deadlines, &waiter->deadline, deadline_mono_ms);
	listen_hold(call->request, waiter_on_gone, waiter);
}

struct waiters *waiters_free(struct waiters *waiters)
{
	if (!waiters)
		return NULL;
	while (waiters->over) {
		struct group *group = waiters->over;

		waiters->over = group->next_over;
		group->is_over = false;
		group_free_if_empty(group);
	}
	assert(waiters->deadlines.n == 0 && waiters->by_ticket.n_live == 0);
	heap_deinit(&waiters->deadlines);
	hash_deinit(&waiters->by_ticket);
	free(waiters->groups);
	free(waiters->free_handles);
	free(waiters);
	return NULL;
}

/* ---- answers ---- */

void waiters_on_over(void *arg, uint64_t ticket)
{
	struct waiters *waiters = arg;
	struct group *group = group_find(waiters, ticket);

	if (!group || group->is_over)
		return;
	group->is_over = true;
	group->next_over = NULL;
	*waiters->over_tail = group;
	waiters->over_tail = &group->next_over;
}

static struct call call_of(const struct group *group)
{
	struct control *control = group->waiters->control;

	return (struct call){
	        .control = control,
	        .account = group->account,
	        .id = group->id,
	        .now = loop_now(control->context.loop),
	};
}

/* How many were answered. */
static size_t answer_group(struct group *group, size_t most)
{
	cleanup(buf_deinit) struct buf body = {0};
	struct call call = call_of(group);
	int r = control_write_job(&call, &body);
	size_t n = 0;

	for (; group->first && n < most; n++) {
		struct waiter *waiter = group->first;

		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it left the list */
		call.request = waiter->request;
		waiter_free(waiter); /* not the group, which is over */
		control_reply_job(&call, r, 200, &body);
	}
	return n;
}

static void answer_late(struct waiter *waiter)
{
	cleanup(buf_deinit) struct buf body = {0};
	struct call call = call_of(waiter->group);
	int r = control_write_job(&call, &body);

	call.request = waiter->request;
	control_reply_job(&call, r, 200, &body);
	waiter_free(waiter);
}

void waiters_look(struct waiters *waiters)
{
	struct loop *loop = waiters->control->context.loop;
	int64_t mono_ms = loop_now(loop).mono_ms;
	size_t n = 0;

	if (waiters->over || heap_first_key(&waiters->deadlines) <= mono_ms)
		journal_settle_all(waiters->control->context.tracker->journal);
	while (waiters->over && n < ANSWERS_PER_TURN) {
		struct group *group = waiters->over;

		n += answer_group(group, ANSWERS_PER_TURN - n);
		if (group->first)
			break;
		waiters->over = group->next_over;
		if (!waiters->over)
			waiters->over_tail = &waiters->over;
		group->is_over = false;
		group_free_if_empty(group);
	}
	for (; n < ANSWERS_PER_TURN && heap_first_key(&waiters->deadlines) <= mono_ms; n++)
		answer_late(container_of(heap_first(&waiters->deadlines), struct waiter, deadline));
	if (n == ANSWERS_PER_TURN)
		loop_wake(loop); /* the rest in the next turn */
}

int64_t waiters_next_mono(const struct waiters *waiters)
{
	return heap_first_key(&waiters->deadlines);
}

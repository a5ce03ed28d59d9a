#include "daemon/queue.h"

#include "daemon/ledger.h"
#include "util/mem.h"

void queue_deinit(struct queue *queue)
{
	heap_deinit(&queue->accounts);
}

static struct tracked *first_job(const struct account *account)
{
	struct heap_node *node = heap_first(&account->due);

	return node ? container_of(node, struct tracked, due) : NULL;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* When the account may send its next request; INT64_MAX: not before something else happens, which
 * touches it. */
static int64_t account_next_mono(const struct account *account, int64_t mono_ms)
{
	const struct tracked *job = first_job(account);

	if (!job || !account->is_configured || account->is_waiting ||
	        account->n_in_flight >= (size_t)account->max_in_flight)
		return INT64_MAX;
	int64_t next = later(
	        heap_first_key(&account->due), gate_closed_until_mono(&account->gate, mono_ms));

	if (account->token_wait_until_mono_ms > mono_ms)
		next = later(next, account->token_wait_until_mono_ms);
	if (account->ledger)
		next = later(next, ledger_closed_until_mono(account->ledger, mono_ms));
	/* A wish to poll passes the circuit: somebody wants to know whether it is well again. */
	if (!job->is_asked_for)
		next = later(next, circuit_open_until_mono(&account->datacenter->circuit, mono_ms));
	return next;
}

void queue_touch(struct queue *queue, struct account *account, int64_t mono_ms)
{
	int64_t next = account_next_mono(account, mono_ms);

	if (next == INT64_MAX)
		heap_remove(&queue->accounts, &account->node);
	else if (next != heap_key(&queue->accounts, &account->node))
		heap_set(&queue->accounts, &account->node, next);
}

void queue_set(struct queue *queue, struct account *account, struct tracked *tracked,
        int64_t at_mono_ms, int64_t mono_ms)
{
	heap_set(&account->due, &tracked->due, at_mono_ms);
	queue_touch(queue, account, mono_ms);
}

void queue_remove(
        struct queue *queue, struct account *account, struct tracked *tracked, int64_t mono_ms)
{
	heap_remove(&account->due, &tracked->due);
	queue_touch(queue, account, mono_ms);
}

struct account *queue_first_due(const struct queue *queue, int64_t mono_ms)
{
	if (heap_first_key(&queue->accounts) > mono_ms)
		return NULL;
	return container_of(heap_first(&queue->accounts), struct account, node);
}

int64_t queue_next_mono(const struct queue *queue)
{
	return heap_first_key(&queue->accounts);
}

struct tracked *queue_due_job(const struct account *account, int64_t mono_ms)
{
	return account_next_mono(account, mono_ms) <= mono_ms ? first_job(account) : NULL;
}

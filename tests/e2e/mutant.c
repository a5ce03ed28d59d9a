/*
 * Faults for bulkwatchd-mutant, which is the daemon as it ships with one promise broken: the
 * linker's --wrap puts these functions before its own. $BULKWATCH_MUTATION names the fault; without
 * it the program does as bulkwatchd does. A harness that cannot tell the two apart proves nothing.
 * It is built for the tests and never installed.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/hooks.h"
#include "store/private.h"
#include "util/err.h"
#include "util/str.h"

int __real_store_exec(struct store *store, const char *sql);
int __wrap_store_exec(struct store *store, const char *sql);
int __real_store_query_text(struct store *store, const char *sql, char *text, size_t size);
int __wrap_store_query_text(struct store *store, const char *sql, char *text, size_t size);
int __real_store_delivery_add(struct store *store, struct store_delivery *delivery);
int __wrap_store_delivery_add(struct store *store, struct store_delivery *delivery);
int __real_store_delivery_put(struct store *store, const struct store_delivery *delivery);
int __wrap_store_delivery_put(struct store *store, const struct store_delivery *delivery);
int __real_store_commit(struct store *store);
int __wrap_store_commit(struct store *store);
int __real_hooks_offer(void *arg, const struct store_event *event, const uint32_t *candidates,
        size_t n, uint32_t about);
int __wrap_hooks_offer(void *arg, const struct store_event *event, const uint32_t *candidates,
        size_t n, uint32_t about);

static bool is_planted(const char *fault)
{
	const char *mutation = getenv("BULKWATCH_MUTATION");

	return mutation && strcmp(mutation, fault) == 0;
}

static bool has_claim; /* a program is to be started once this batch is on disk */

/* ---- the outbox ---- */

/* "Mark done, then spawn": what is claimed stands as delivered before its program starts. */
static enum delivery_state state_on_disk(enum delivery_state state)
{
	return state == DELIVERY_RUNNING && is_planted("done-before-spawn") ? DELIVERY_DELIVERED
	                                                                    : state;
}

int __wrap_store_delivery_add(struct store *store, struct store_delivery *delivery)
{
	enum delivery_state state = delivery->state;

	has_claim |= state == DELIVERY_RUNNING;
	delivery->state = state_on_disk(state);
	int r = __real_store_delivery_add(store, delivery);

	delivery->state = state;
	return r;
}

int __wrap_store_delivery_put(struct store *store, const struct store_delivery *delivery)
{
	struct store_delivery row = *delivery;

	has_claim |= row.state == DELIVERY_RUNNING;
	row.state = state_on_disk(row.state);
	return __real_store_delivery_put(store, &row);
}

/* A finished job's event is committed without its deliveries; its hooks are never told. */
int __wrap_hooks_offer(void *arg, const struct store_event *event, const uint32_t *candidates,
        size_t n, uint32_t about)
{
	if (is_planted("no-outbox-row") && event->type == EVENT_JOB_COMPLETED)
		return 0;
	return __real_hooks_offer(arg, event, candidates, n, about);
}

/* ---- the commit ---- */

int __wrap_store_commit(struct store *store)
{
	bool starts_program = has_claim;

	has_claim = false;
	/* It is put off to the next one, and told at once all the same. */
	if (is_planted("tell-before-commit") && starts_program)
		return 0;
	int r = __real_store_commit(store);

	/* What the full disk had rolled back is told as if it were there. */
	return r == ERR_FULL && is_planted("full-is-success") ? 0 : r;
}

/* ---- the disk ---- */

int __wrap_store_exec(struct store *store, const char *sql)
{
	if (is_planted("synchronous-normal") && strcmp(sql, "PRAGMA synchronous = 2") == 0)
		sql = "PRAGMA synchronous = 1";
	return __real_store_exec(store, sql);
}

/* The daemon reads back what it set. */
int __wrap_store_query_text(struct store *store, const char *sql, char *text, size_t size)
{
	int r = __real_store_query_text(store, sql, text, size);

	if (is_planted("synchronous-normal") && strcmp(sql, "PRAGMA synchronous") == 0)
		str_copy(text, size, "2");
	return r;
}

/* SQLite calls this one: what the program defines comes before what the C library does. */
int fdatasync(int fd)
{
	if (is_planted("no-sync"))
		return 0;
	int r = (int)syscall(SYS_fdatasync, fd);

	return r < 0 && is_planted("failed-sync-is-success") ? 0 : r;
}

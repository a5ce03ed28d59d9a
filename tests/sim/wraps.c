/*
 * Between the daemon and its store (the linker's --wrap): evidence of what is written and
 * committed, places to die before and after a commit, and the faults that are planted there.
 */
#include <errno.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

#include "daemon/control.h"
#include "daemon/hooks.h"
#include "evidence.h"
#include "fake.h"
#include "plant.h"
#include "store/store.h"
#include "util/clock.h"
#include "util/err.h"
#include "util/mem.h"
#include "util/str.h"

int __real_store_open(const char *dir, struct store **out, struct buf *words);
int __wrap_store_open(const char *dir, struct store **out, struct buf *words);
int __real_store_event_append(struct store *store, struct store_event *event);
int __wrap_store_event_append(struct store *store, struct store_event *event);
int __real_store_delivery_add(struct store *store, struct store_delivery *delivery);
int __wrap_store_delivery_add(struct store *store, struct store_delivery *delivery);
int __real_store_delivery_put(struct store *store, const struct store_delivery *delivery);
int __wrap_store_delivery_put(struct store *store, const struct store_delivery *delivery);
int __real_store_deliveries_each_pending(struct store *store, store_delivery_fn *fn, void *arg);
int __wrap_store_deliveries_each_pending(struct store *store, store_delivery_fn *fn, void *arg);
int __real_store_commit(struct store *store);
int __wrap_store_commit(struct store *store);
void __real_store_rollback(struct store *store);
void __wrap_store_rollback(struct store *store);
int __real_hooks_offer(void *arg, const struct store_event *event, const uint32_t *candidates,
        size_t n, uint32_t about);
int __wrap_hooks_offer(void *arg, const struct store_event *event, const uint32_t *candidates,
        size_t n, uint32_t about);
int __wrap_posix_fallocate(int fd, off_t offset, off_t len);
void __real_control_publish(struct control *control);
void __wrap_control_publish(struct control *control);
int64_t __real_store_last_seq(const struct store *store);
int64_t __wrap_store_last_seq(const struct store *store);
int __real_store_outbox_recover(struct store *store);
int __wrap_store_outbox_recover(struct store *store);
int __real_store_prune(struct store *store, int64_t before_wall_ms, size_t limit, size_t *n);
int __wrap_store_prune(struct store *store, int64_t before_wall_ms, size_t limit, size_t *n);
int64_t __real_store_pruned_through(const struct store *store);
int64_t __wrap_store_pruned_through(const struct store *store);
ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags);
struct now __wrap_clock_now(void);

/* ---- the clock and chance ---- */

struct now __wrap_clock_now(void)
{
	return world_now();
}

ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags)
{
	unsigned char *to = bytes;

	/* The keys of hash tables (GRND_NONBLOCK) are one for all processes. */
	for (size_t i = 0; i < len; i++)
		to[i] = (unsigned char)(flags ? i * 37 : world_below(DICE_DAEMON, 256));
	return (ssize_t)len;
}

/* Its blocks are only said to be there. */
int __wrap_posix_fallocate(int fd, off_t offset, off_t len)
{
	if (world_disk_is_full())
		return ENOSPC;
	return ftruncate(fd, offset + len) == 0 ? 0 : errno;
}

/* ---- events ---- */

/* As if the number given out last had not been kept: it will be given out again. */
static void forget_last_event(const char *dir)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/bulkwatch.db", dir);
	sqlite3 *db = NULL;

	if (world->committed_seq == 0 || sqlite3_open(path, &db) != SQLITE_OK)
		return;
	sqlite3_exec(db,
	        "PRAGMA locking_mode = exclusive; BEGIN;"
	        "DELETE FROM attempt WHERE delivery IN (SELECT id FROM delivery WHERE "
	        "event_seq = (SELECT last_seq FROM meta));"
	        "DELETE FROM delivery WHERE event_seq = (SELECT last_seq FROM meta);"
	        "DELETE FROM event WHERE seq = (SELECT last_seq FROM meta);"
	        "UPDATE meta SET last_seq = last_seq - 1; COMMIT",
	        NULL, NULL, NULL);
	sqlite3_close(db);
}

int __wrap_store_open(const char *dir, struct store **out, struct buf *words)
{
	if (plant_is(PLANT_SEQ_REUSED))
		forget_last_event(dir);
	int r = __real_store_open(dir, out, words);

	if (r == 0 && world->instance[0] && strcmp(world->instance, store_instance(*out)) != 0)
		world_fail("the database is another one than before");
	if (r == 0)
		str_copy(world->instance, sizeof(world->instance), store_instance(*out));
	return r;
}

/* Events written since the last commit. */
static int64_t n_uncommitted;
static struct store *open_store;

int __wrap_store_event_append(struct store *store, struct store_event *event)
{
	open_store = store;
	int r = __real_store_event_append(store, event);

	n_uncommitted += r == 0;
	clients_come_soon();
	if (r == 0)
		evidence_event(event);
	if (r == 0 && plant_is(PLANT_DUPLICATE_EVENT) && event->type == EVENT_JOB_COMPLETED) {
		struct store_event again = *event;

		if (__real_store_event_append(store, &again) == 0)
			evidence_event(&again);
	}
	return r;
}

int __wrap_hooks_offer(void *arg, const struct store_event *event, const uint32_t *candidates,
        size_t n, uint32_t about)
{
	if (plant_is(PLANT_LOST_OUTBOX_ROW) && event->type == EVENT_JOB_COMPLETED)
		return 0;
	if (plant_is(PLANT_SPLIT_COMMIT))
		__wrap_store_commit(open_store);
	return __real_hooks_offer(arg, event, candidates, n, about);
}

/* ---- deliveries ---- */

int __wrap_store_delivery_add(struct store *store, struct store_delivery *delivery)
{
	if (plant_is(PLANT_NO_CLAIM) && delivery->state == DELIVERY_RUNNING) {
		delivery->state = DELIVERY_PENDING;
		delivery->attempts--;
	}
	if (plant_is(PLANT_REPLAY_GAP) && delivery->event_seq <= world->committed_seq &&
	        delivery->event_seq % 4 == 0)
		return -EEXIST;
	int r = __real_store_delivery_add(store, delivery);

	if (r == 0)
		evidence_delivery_add(delivery);
	return r;
}

int __wrap_store_delivery_put(struct store *store, const struct store_delivery *delivery)
{
	struct store_delivery row = *delivery;

	if (plant_is(PLANT_ACK_BEFORE_RUN) && row.state == DELIVERY_RUNNING)
		row.state = DELIVERY_DELIVERED;
	if ((plant_is(PLANT_NO_CLAIM) && row.state == DELIVERY_RUNNING) ||
	        (plant_is(PLANT_RECORD_DROPPED) && row.state == DELIVERY_DELIVERED))
		return 0;
	evidence_delivery_put(&row);
	if (plant_is(PLANT_FORGOTTEN_DELIVERY) && row.state == DELIVERY_DELIVERED)
		row.state = DELIVERY_PENDING;
	return __real_store_delivery_put(store, &row);
}

enum { REVERSED_MAX = 64 };

/* The last rows come first. */
struct reversal {
	store_delivery_fn *fn;
	void *arg;
	int64_t ids[REVERSED_MAX];
	size_t n;
};

static int reversal_note(void *arg, const struct store_delivery *delivery)
{
	struct reversal *reversal = arg;

	if (reversal->n < REVERSED_MAX)
		reversal->ids[reversal->n++] = delivery->id;
	return 0;
}

int __wrap_store_deliveries_each_pending(struct store *store, store_delivery_fn *fn, void *arg)
{
	struct reversal reversal = {.fn = fn, .arg = arg};
	int r;

	if (!plant_is(PLANT_OUT_OF_ORDER))
		return __real_store_deliveries_each_pending(store, fn, arg);
	r = __real_store_deliveries_each_pending(store, reversal_note, &reversal);
	while (r == 0 && reversal.n > 0)
		r = store_delivery_get(store, reversal.ids[--reversal.n], fn, arg);
	return r;
}

/* ---- the commit ---- */

static struct control *open_control;

void __wrap_control_publish(struct control *control)
{
	open_control = control;
	__real_control_publish(control);
}

/* What is not committed yet is told too, if that is planted. */
int64_t __wrap_store_last_seq(const struct store *store)
{
	return __real_store_last_seq(store) +
	       (plant_is(PLANT_PUBLISH_BEFORE_COMMIT) ? n_uncommitted : 0);
}

int __wrap_store_outbox_recover(struct store *store)
{
	return plant_is(PLANT_NO_RECOVERY) ? 0 : __real_store_outbox_recover(store);
}

static int commit(struct store *store)
{
	int r;

	world_step("before a commit");
	if (plant_is(PLANT_PUBLISH_BEFORE_COMMIT) && open_control && n_uncommitted > 0)
		__real_control_publish(open_control);
	n_uncommitted = 0;
	r = __real_store_commit(store);
	/* It takes its time: the disk's. */
	world_advance_to(world->mono_ms + world_between(DICE_CLOCK, 0, 3));
	if (r == 0)
		evidence_commit();
	else
		evidence_rollback();
	world_step("after a commit");
	return r == ERR_FULL && plant_is(PLANT_FULL_DISK_IGNORED) ? 0 : r;
}

int __wrap_store_commit(struct store *store)
{
	static bool is_put_off;

	/* Every other one is said to be done, and done with the next. */
	if (plant_is(PLANT_TELL_BEFORE_COMMIT)) {
		is_put_off = !is_put_off;
		if (is_put_off)
			return 0;
	}
	return commit(store);
}

void __wrap_store_rollback(struct store *store)
{
	n_uncommitted = 0;
	__real_store_rollback(store);
	evidence_rollback();
}

/* ---- what is forgotten ---- */

int __wrap_store_prune(struct store *store, int64_t before_wall_ms, size_t limit, size_t *n)
{
	int r = 0;

	*n = 0;
	if (plant_is(PLANT_FORGOTTEN_EARLY))
		before_wall_ms += 60 * 1000;
	evidence_looked_for_old(before_wall_ms);
	if (!plant_is(PLANT_NEVER_FORGOTTEN))
		r = __real_store_prune(store, before_wall_ms, limit, n);
	if (r == 0)
		evidence_prune(before_wall_ms, *n);
	return r;
}

int64_t __wrap_store_pruned_through(const struct store *store)
{
	return plant_is(PLANT_GAP_UNTOLD) ? 0 : __real_store_pruned_through(store);
}

/*
 * Between the daemon and its store (the linker's --wrap): evidence of what is written and
 * committed, places to die before and after a commit, and the planted faults.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

#include "core/machine.h"
#include "daemon/account.h"
#include "daemon/hooks.h"
#include "evidence.h"
#include "plant.h"
#include "store/store.h"
#include "util/clock.h"
#include "util/str.h"
#include "wire/event.h"
#include "wire/reply.h"

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
struct step __real_machine_step(const struct job *job, const struct observation *observation,
        const struct poll_policy *policy, bool is_account_lost, struct now now, uint64_t random);
struct step __wrap_machine_step(const struct job *job, const struct observation *observation,
        const struct poll_policy *policy, bool is_account_lost, struct now now, uint64_t random);
void __real_reply_observe(const struct reply *reply, const struct reply_question *question,
        struct reply_texts *texts, struct observation *out);
void __wrap_reply_observe(const struct reply *reply, const struct reply_question *question,
        struct reply_texts *texts, struct observation *out);
int __real_accounts_apply(struct accounts *accounts, const struct config *config,
        struct hooks *hooks, struct buf *words);
int __wrap_accounts_apply(struct accounts *accounts, const struct config *config,
        struct hooks *hooks, struct buf *words);
void __real_event_id(const char *instance, int64_t seq, char id[static EVENT_ID_SIZE]);
void __wrap_event_id(const char *instance, int64_t seq, char id[static EVENT_ID_SIZE]);
int __real_posix_fallocate(int fd, off_t offset, off_t len);
int __wrap_posix_fallocate(int fd, off_t offset, off_t len);
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
		to[i] = (unsigned char)(flags ? i * 37 : world_below(256));
	return (ssize_t)len;
}

int __wrap_posix_fallocate(int fd, off_t offset, off_t len)
{
	return world_disk_is_full() ? ENOSPC : __real_posix_fallocate(fd, offset, len);
}

/* ---- events ---- */

int __wrap_store_open(const char *dir, struct store **out, struct buf *words)
{
	int r = __real_store_open(dir, out, words);

	if (r == 0 && world->instance[0] && strcmp(world->instance, store_instance(*out)) != 0)
		world_fail("the database is another one than before");
	if (r == 0)
		str_copy(world->instance, sizeof(world->instance), store_instance(*out));
	return r;
}

int __wrap_store_event_append(struct store *store, struct store_event *event)
{
	int r = __real_store_event_append(store, event);

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
	return __real_hooks_offer(arg, event, candidates, n, about);
}

/* ---- deliveries ---- */

int __wrap_store_delivery_add(struct store *store, struct store_delivery *delivery)
{
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

static int commit(struct store *store)
{
	int r;

	world_step("before a commit");
	r = __real_store_commit(store);
	/* It takes its time: the disk's. */
	world_advance_to(world->mono_ms + world_between(0, 3));
	if (r == 0)
		evidence_commit();
	else
		evidence_rollback();
	world_step("after a commit");
	return r;
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
	__real_store_rollback(store);
	evidence_rollback();
}

/* ---- decisions, planted ones ---- */

struct step __wrap_machine_step(const struct job *job, const struct observation *observation,
        const struct poll_policy *policy, bool is_account_lost, struct now now, uint64_t random)
{
	struct step step =
	        __real_machine_step(job, observation, policy, is_account_lost, now, random);

	if (plant_is(PLANT_POLL_FINISHED) && step.job.kind == JOB_COMPLETED)
		step.wait_ms = policy->max_interval_ms;
	if (plant_is(PLANT_POLL_EARLY) && step.wait_ms > 0 && random % 8 == 0)
		step.wait_ms = policy->min_interval_ms / 2;
	if (plant_is(PLANT_LOST_WAKEUP) && step.wait_ms > 0 && random % 8 == 0)
		step.wait_ms = -1;
	return step;
}

void __wrap_reply_observe(const struct reply *reply, const struct reply_question *question,
        struct reply_texts *texts, struct observation *out)
{
	__real_reply_observe(reply, question, texts, out);
	if (plant_is(PLANT_INVENTED_STATE) && out->kind == OBSERVED_UNREACHABLE) {
		out->kind = OBSERVED_STATUS;
		out->error = ERROR_NONE;
		out->state = "FAILED";
	}
	if (plant_is(PLANT_NO_HOLD) && out->kind == OBSERVED_THROTTLED)
		out->kind = OBSERVED_GARBLED;
}

/* The second program for an event is given another id. */
void __wrap_event_id(const char *instance, int64_t seq, char id[static EVENT_ID_SIZE])
{
	static int n_asked;

	__real_event_id(
	        instance, plant_is(PLANT_OTHER_ID) && ++n_asked % 8 == 0 ? seq + 1 : seq, id);
}

int __wrap_accounts_apply(struct accounts *accounts, const struct config *config,
        struct hooks *hooks, struct buf *words)
{
	int r = __real_accounts_apply(accounts, config, hooks, words);

	for (size_t i = 0; plant_is(PLANT_TOO_MANY_IN_FLIGHT) && i < accounts_count(accounts); i++)
		accounts_get(accounts, (uint32_t)i)->max_in_flight++;
	return r;
}

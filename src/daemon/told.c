/* What the tracker tells of its own accord: overdue jobs, paused accounts, and when each job was
 * last heard of. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/hookmatch.h"
#include "core/machine.h"
#include "daemon/hooks.h"
#include "daemon/thrift.h"
#include "daemon/tracker.h"
#include "daemon/view.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/event.h"

enum {
	OVERDUE_LOOK_EVERY_MS = 1000,
	OVERDUE_LOOK_AT_LEAST_EVERY_MS =
	        60 * 1000, /* what was undone for want of room is told again */
	CONTACT_EVERY_MS = 60 * 1000,
	CONTACT_SLICE = 2000,  /* jobs a turn */
	OVERDUE_SLICE = 20000, /* looked at, a turn */
	OVERDUE_PER_TURN = 500,
	LEARNED_SLICE = 50, /* accounts a turn */
};

/* ---- overdue ---- */

static int64_t overdue_at_mono_ms(const struct tracker *tracker, const struct tracked *tracked)
{
	struct poll_policy policy = accounts_get(tracker->accounts, tracked->account)->policy;

	policy.overdue_after_ms = registry_terms(tracker->registry, tracked).overdue_after_ms;
	struct job job = registry_job(tracker->registry, tracked);

	return machine_overdue_at_mono_ms(&job, &policy);
}

/* True: an event was written. */
static bool look_at_overdue(struct tracker *tracker, struct tracked *tracked, int64_t mono_ms)
{
	int64_t at = overdue_at_mono_ms(tracker, tracked);

	if (at <= mono_ms && !tracked->is_changing) {
		struct job job = registry_job(tracker->registry, tracked);
		struct step step = machine_tell_overdue(&job);

		tracker_write_step(tracker, tracked, &step);
		return true;
	}
	if (at < tracker->overdue_soonest_mono_ms)
		tracker->overdue_soonest_mono_ms = at;
	return false;
}

static void end_overdue_look(struct tracker *tracker, int64_t mono_ms)
{
	int64_t wait = tracker->overdue_soonest_mono_ms - mono_ms;

	if (wait < OVERDUE_LOOK_EVERY_MS)
		wait = OVERDUE_LOOK_EVERY_MS;
	if (wait > OVERDUE_LOOK_AT_LEAST_EVERY_MS)
		wait = OVERDUE_LOOK_AT_LEAST_EVERY_MS;
	tracker->overdue_next_mono_ms = mono_ms + wait;
	tracker->overdue_soonest_mono_ms = INT64_MAX;
	tracker->overdue_cursor = 0;
}

/* A million jobs that were watched in the same hour are overdue in the same hour, too: in slices.
 */
void tracker_tell_overdue(struct tracker *tracker)
{
	struct now now = loop_now(tracker->loop);
	int n_told = 0;

	if (now.mono_ms < tracker->overdue_next_mono_ms || journal_is_full(tracker->journal))
		return;
	for (int i = 0; i < OVERDUE_SLICE && n_told < OVERDUE_PER_TURN; i++) {
		struct tracked *tracked =
		        registry_each(tracker->registry, &tracker->overdue_cursor);

		if (!tracked) {
			end_overdue_look(tracker, now.mono_ms);
			return;
		}
		n_told += look_at_overdue(tracker, tracked, now.mono_ms);
	}
	loop_wake(tracker->loop); /* the next slice in the next turn */
}

/* ---- accounts ---- */

struct account_change {
	struct journal_change change;
	struct tracker *tracker;
	struct account *account;
	bool is_paused;
	enum error_class reason;
};

static void account_change_on_done(struct journal_change *base, bool is_committed)
{
	struct account_change *change = container_of(base, struct account_change, change);

	if (is_committed) {
		metrics_count_events(&change->account->metrics,
		        1u << (change->is_paused ? EVENT_ACCOUNT_PAUSED : EVENT_ACCOUNT_RESUMED));
		change->account->is_pause_told = change->is_paused;
		change->account->told_reason = change->reason;
	} else {
		change->tracker->has_account_news = true;
	}
	free(change);
}

static char *value_name(const struct account *account)
{
	return mem_printf("account.%s.paused", account->name);
}

/* "REASON SINCE WORDS": what a start needs to show the pause as it was. */
static char *pause_text(const struct account *account)
{
	return mem_printf("%s %" PRId64 " %s", error_class_name(account->gate.reason),
	        account->gate.since_wall_ms, account->problem);
}

static void tell_account(struct tracker *tracker, struct account *account)
{
	struct now now = loop_now(tracker->loop);
	struct store *store = journal_store(tracker->journal);
	const struct hook_set *hooks = hooks_all(tracker->hooks);
	struct account_change *change = MEM_NEW(struct account_change);
	cleanup(mem_free_p) char *name = value_name(account);
	cleanup(buf_deinit) struct buf data = {0};
	struct json_out w;
	bool is_paused = account->gate.state == GATE_PAUSED;

	*change = (struct account_change){
	        .change.done = account_change_on_done,
	        .tracker = tracker,
	        .account = account,
	        .is_paused = is_paused,
	        .reason = account->gate.reason,
	};
	journal_add(tracker->journal, &change->change);
	json_out_init(&w, &data, false);
	account_write(&w, NULL, account, now);
	json_out_deinit(&w);
	struct store_event event = {
	        .type = is_paused ? EVENT_ACCOUNT_PAUSED : EVENT_ACCOUNT_RESUMED,
	        .at_wall_ms = now.wall_ms,
	        .account = account->name,
	        .data = buf_str(&data),
	};
	cleanup(mem_free_p) char *pause = is_paused ? pause_text(account) : NULL;

	if (journal_wrote(tracker->journal, store_value_put(store, name, pause)))
		journal_append(tracker->journal, &event, hooks->hooks, hooks->n, HOOKMATCH_NOBODY);
}

void tracker_tell_accounts(struct tracker *tracker)
{
	if (!tracker->has_account_news || journal_is_full(tracker->journal) ||
	        journal_is_lost(tracker->journal))
		return;
	tracker->has_account_news = false;
	for (size_t i = 0; i < accounts_count(tracker->accounts); i++) {
		struct account *account = accounts_get(tracker->accounts, (uint32_t)i);

		if (account->is_configured &&
		        (account->gate.state == GATE_PAUSED) != account->is_pause_told)
			tell_account(tracker, account);
	}
}

static int restore_account(void *arg, const char *pause)
{
	struct account *account = arg;
	enum error_class class = ERROR_CLASSES - 1;
	size_t len = pause ? strcspn(pause, " ") : 0;
	char *words;

	if (!pause)
		return 0;
	while (class > ERROR_NONE && (strlen(error_class_name(class)) != len ||
	                                     strncmp(error_class_name(class), pause, len) != 0))
		class --;
	account->is_pause_told = true;
	account->told_reason = class;
	account->gate.state = GATE_PAUSED;
	account->gate.reason = class;
	account->gate.since_wall_ms = strtoll(pause + len, &words, 10);
	str_copy(account->problem, sizeof(account->problem), words + (*words == ' '));
	return 0;
}

int tracker_load_accounts(struct tracker *tracker)
{
	for (size_t i = 0; i < accounts_count(tracker->accounts); i++) {
		struct account *account = accounts_get(tracker->accounts, (uint32_t)i);
		cleanup(mem_free_p) char *name = value_name(account);
		int r = store_value_get(
		        journal_store(tracker->journal), name, restore_account, account);

		if (r < 0)
			return r;
		gate_probe_now(&account->gate, loop_now(tracker->loop).mono_ms);
	}
	return 0;
}

/* ---- contact ---- */

static void write_contact(struct tracker *tracker, struct tracked *tracked)
{
	if (!tracked->is_contact_dirty || !tracked_key(tracked))
		return;
	struct job job = registry_job(tracker->registry, tracked);
	struct job_id id;
	struct store_job row = view_row(tracker, tracked, &job, &id);

	if (journal_wrote(
	            tracker->journal, store_job_contact_put(journal_store(tracker->journal), &row)))
		tracked->is_contact_dirty = false;
}

/* False: there is more. */
static bool write_contact_slice(struct tracker *tracker)
{
	for (int i = 0; i < CONTACT_SLICE && !journal_is_lost(tracker->journal); i++) {
		struct tracked *tracked =
		        registry_each(tracker->registry, &tracker->contact_cursor);

		if (!tracked)
			return true;
		write_contact(tracker, tracked);
	}
	return false;
}

void tracker_write_contact(struct tracker *tracker)
{
	struct now now = loop_now(tracker->loop);

	if (now.mono_ms < tracker->contact_next_mono_ms || journal_is_full(tracker->journal))
		return;
	if (!write_contact_slice(tracker) ||
	        !thrift_write_learned(tracker, &tracker->learned_cursor, LEARNED_SLICE)) {
		loop_wake(tracker->loop); /* the next slice in the next turn */
		return;
	}
	tracker->contact_cursor = tracker->learned_cursor = 0;
	tracker->contact_next_mono_ms = now.mono_ms + CONTACT_EVERY_MS;
}

void tracker_write_all_contact(struct tracker *tracker)
{
	struct tracked *tracked;
	uint32_t cursor = 0;

	if (journal_is_full(tracker->journal))
		return;
	while ((tracked = registry_each(tracker->registry, &cursor)) &&
	        !journal_is_lost(tracker->journal))
		write_contact(tracker, tracked);
	thrift_write_last(tracker);
}

int64_t tracker_next_mono(const struct tracker *tracker)
{
	if (journal_is_full(tracker->journal))
		return INT64_MAX;
	return tracker->overdue_next_mono_ms < tracker->contact_next_mono_ms
	               ? tracker->overdue_next_mono_ms
	               : tracker->contact_next_mono_ms;
}

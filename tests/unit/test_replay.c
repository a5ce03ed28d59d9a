/*
 * Replays of past events to a hook: which deliveries they make, and what who asked is told when a
 * replay ends early. Hooks, journal and store are those of the daemon, the disk is one that fails;
 * a turn is what the daemon's does for a replay, and no program is ever started.
 */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config_fixture.h"
#include "core/hookmatch.h"
#include "daemon/hooks_private.h"
#include "faultvfs.h"
#include "netkit.h"
#include "storekit.h"
#include "util/err.h"
#include "util/mem.h"

enum { SLICE = 500, TURNS_MAX = 20 };

static const char both_hooks[] =
        "hooks:\n"
        "  old: {exec: [/bin/true]}\n"
        "  new: {exec: [/bin/true], on: [job.added, job.completed, account.paused]}\n";
static const char old_hook[] = "hooks:\n"
                               "  old: {exec: [/bin/true]}\n";

static struct config_fixture fixture;
static char dir[STOREKIT_PATH_SIZE];
static struct rng rng;
static struct loop *loop;
static struct store *store;
static struct journal *journal;
static struct hooks *hooks;
static int64_t job_key;

/* What who asked was told. */
struct told {
	int times;
	enum replay_end end;
	int64_t n;
};

/* ---- a daemon of hooks alone ---- */

static void apply_hooks(const char *text)
{
	struct config *config = config_fixture_take(&fixture, text);

	hooks_apply(hooks, config);
	config_free(config);
}

static void add_events(int n)
{
	for (int i = 0; i < n; i++)
		storekit_event(store, EVENT_JOB_COMPLETED, job_key, "IN PROGRESS", "COMPLETED");
	ck_assert_int_eq(journal_commit(journal), 0);
}

static void start(void)
{
	store = storekit_open(dir);
	journal = journal_new(loop, store);
	hooks = hooks_new(loop, NULL, NULL, journal, &rng);
	apply_hooks(both_hooks);
	ck_assert_int_eq(hooks_load(hooks), 0);
}

static void stop(void)
{
	journal_abandon(journal);
	hooks = hooks_free(hooks);
	journal = journal_free(journal);
	store = store_close(store);
}

static void setup(void)
{
	config_fixture_init(&fixture);
	storekit_dir_make(dir);
	faultvfs_install();
	rng_seed(&rng, 1);
	ck_assert_int_eq(loop_new(&loop), 0);
	start();
	job_key = storekit_job_put(store, "acme", "1000");
}

static void teardown(void)
{
	faultvfs_heal();
	stop();
	loop_free(loop);
	faultvfs_remove();
	storekit_dir_remove(dir);
	config_fixture_deinit(&fixture);
}

static const struct hook_set *all_hooks(void *unused, const struct store_event *event)
{
	(void)unused;
	(void)event;
	return hooks_all(hooks);
}

static void on_end(void *arg, enum replay_end end, int64_t n)
{
	struct told *told = arg;

	told->times++;
	told->end = end;
	told->n = n;
}

static int ask(const char *hook, int64_t since, struct told *told)
{
	struct replay_wish wish = {
	        .hook = hooks_find(hooks, hook),
	        .since = since,
	        .set_of = all_hooks,
	        .fn = on_end,
	        .arg = told,
	};

	*told = (struct told){0};
	return hooks_replay(hooks, &wish);
}

/* What the commit came to. */
static int turn(void)
{
	int r;

	hooks_replay_turn(hooks);
	r = journal_commit(journal);
	if (r < 0)
		journal_abandon(journal); /* as the daemon does before it ends */
	return r;
}

static int run_until_told(const struct told *told)
{
	int n = 0;

	while (told->times == 0) {
		ck_assert_int_lt(n++, TURNS_MAX);
		ck_assert_int_eq(turn(), 0);
	}
	return n;
}

static void assert_told(const struct told *told, enum replay_end end, int64_t n)
{
	ck_assert_int_eq(told->times, 1);
	ck_assert_int_eq(told->end, end);
	ck_assert_int_eq(told->n, n);
}

/* The events of the deliveries to "new", as runs: "1-500 502". */
struct runs {
	struct buf words;
	int64_t first, last;
	size_t n;
};

static void end_run(struct runs *runs)
{
	if (runs->first == 0)
		return;
	buf_addf(&runs->words, "%s%" PRId64, runs->words.len ? " " : "", runs->first);
	if (runs->last > runs->first)
		buf_addf(&runs->words, "-%" PRId64, runs->last);
}

static int add_delivery(void *arg, const struct store_delivery *delivery)
{
	struct runs *runs = arg;

	if (strcmp(delivery->hook, "new") != 0)
		return 0;
	if (runs->first == 0 || delivery->event_seq != runs->last + 1) {
		end_run(runs);
		runs->first = delivery->event_seq;
	}
	runs->last = delivery->event_seq;
	runs->n++;
	return 0;
}

/* On disk, and as many in memory. */
static void assert_deliveries(const char *expected)
{
	struct runs runs = {0};
	struct hook_info info;

	ck_assert_int_eq(store_deliveries_each_pending(store, add_delivery, &runs), 0);
	end_run(&runs);
	ck_assert_str_eq(buf_str(&runs.words), expected);
	ck_assert(hooks_info(hooks, hooks_find(hooks, "new"), &info));
	ck_assert_uint_eq(info.n_pending, runs.n);
	buf_deinit(&runs.words);
}

/* ---- what it makes ---- */

START_TEST(test_each_event_once_a_slice_a_turn)
{
	struct told told;

	add_events(2 * SLICE + 1);
	ck_assert_int_eq(ask("new", 3, &told), 0);
	ck_assert_int_eq(run_until_told(&told), 2);
	assert_told(&told, REPLAY_DONE, 2 * SLICE - 1);
	assert_deliveries("3-1001");
	/* What it has got it does not get again. */
	ck_assert_int_eq(ask("new", 0, &told), 0);
	run_until_told(&told);
	assert_told(&told, REPLAY_DONE, 2);
	assert_deliveries("1-1001");
}
END_TEST

START_TEST(test_what_came_after_the_wish_is_not_of_it)
{
	struct told told;

	add_events(SLICE + 1);
	ck_assert_int_eq(ask("new", 0, &told), 0);
	ck_assert_int_eq(turn(), 0);
	add_events(2 * SLICE);
	run_until_told(&told);
	assert_told(&told, REPLAY_DONE, SLICE + 1);
	assert_deliveries("1-501");
}
END_TEST

START_TEST(test_what_the_hook_is_not_for_is_left_out)
{
	struct told told;

	storekit_event(store, EVENT_JOB_ADDED, job_key, NULL, "ADDED");
	storekit_event(store, EVENT_JOB_IN_PROGRESS, job_key, "ADDED", "IN PROGRESS");
	add_events(1);
	ck_assert_int_eq(ask("new", 0, &told), 0);
	run_until_told(&told);
	assert_told(&told, REPLAY_DONE, 2);
	assert_deliveries("1 3");
}
END_TEST

START_TEST(test_its_last_event_may_be_forgotten_meanwhile)
{
	struct told told;
	size_t n;

	add_events(1);
	storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	ck_assert_int_eq(journal_commit(journal), 0);
	ck_assert_int_eq(ask("new", 0, &told), 0);
	ck_assert_int_eq(store_prune(store, INT64_MAX, 10, &n), 0);
	ck_assert_uint_eq(n, 1);
	add_events(1);
	run_until_told(&told);
	assert_told(&told, REPLAY_DONE, 1);
	assert_deliveries("1");
}
END_TEST

/* ---- in which order ---- */

/* Three events of one job, the second of which waits for the hook since the life before. */
static struct chain *owe_second_of_three(void)
{
	uint32_t hook;

	add_events(3);
	storekit_delivery(store, 2, "new");
	ck_assert_int_eq(journal_commit(journal), 0);
	stop();
	start();
	hook = hooks_find(hooks, "new");
	for (uint32_t i = 0; i < hooks->n_chains; i++) {
		if (hooks->chains[i] && hooks->chains[i]->hook == hook)
			return hooks->chains[i];
	}
	ck_abort_msg("nothing waits");
}

static void assert_order(const struct chain *chain, const char *expected)
{
	cleanup(buf_deinit) struct buf found = {0};

	for (const struct delivery *d = chain->first; d; d = d->next)
		buf_addf(&found, "%s%" PRId64, found.len ? " " : "", d->event_seq);
	ck_assert_str_eq(buf_str(&found), expected);
}

START_TEST(test_before_what_waits_if_it_was_before_it)
{
	const struct chain *chain = owe_second_of_three();
	struct told told;

	ck_assert_int_eq(ask("new", 0, &told), 0);
	run_until_told(&told);
	assert_told(&told, REPLAY_DONE, 2);
	assert_order(chain, "1 2 3");
}
END_TEST

START_TEST(test_what_runs_stays_the_first)
{
	struct chain *chain = owe_second_of_three();
	struct told told;

	ck_assert(hooks_take_place(hooks, chain->first));
	ck_assert_int_eq(ask("new", 0, &told), 0);
	run_until_told(&told);
	assert_order(chain, "2 1 3");
	hooks_give_place(hooks, chain->first);
}
END_TEST

/* ---- how it ends early ---- */

/* The first slice is on disk, the second one meets the fault. */
static void fail_second_slice(enum faultvfs_kind kind, int error, struct told *told)
{
	add_events(2 * SLICE);
	ck_assert_int_eq(ask("new", 0, told), 0);
	ck_assert_int_eq(turn(), 0);
	ck_assert_int_eq(told->times, 0);
	faultvfs_fail(FAULTVFS_WRITE, 1, kind, true);
	ck_assert_int_eq(turn(), error);
	ck_assert(faultvfs_has_fired());
	faultvfs_heal();
}

START_TEST(test_a_full_disk_is_told_and_the_rest_is_made_on_the_next_wish)
{
	struct told told;

	fail_second_slice(FAULTVFS_ENOSPC, 0, &told);
	assert_told(&told, REPLAY_FULL, SLICE);
	assert_deliveries("1-500");
	ck_assert_int_eq(ask("new", 0, &told), 0);
	run_until_told(&told);
	assert_told(&told, REPLAY_DONE, SLICE);
	assert_deliveries("1-1000");
}
END_TEST

START_TEST(test_a_failed_database_is_told_and_the_next_life_makes_the_rest)
{
	struct told told;

	fail_second_slice(FAULTVFS_EIO, ERR_IO, &told);
	assert_told(&told, REPLAY_LOST, SLICE);
	stop();
	start();
	assert_deliveries("1-500");
	ck_assert_int_eq(ask("new", 0, &told), 0);
	run_until_told(&told);
	assert_told(&told, REPLAY_DONE, SLICE);
	assert_deliveries("1-1000");
}
END_TEST

START_TEST(test_a_hook_that_goes_meanwhile_is_told)
{
	struct told told;

	add_events(2 * SLICE);
	ck_assert_int_eq(ask("new", 0, &told), 0);
	ck_assert_int_eq(turn(), 0);
	apply_hooks(old_hook);
	ck_assert_int_eq(turn(), 0);
	assert_told(&told, REPLAY_PARKED, SLICE);
	ck_assert_int_eq(ask("new", 0, &told), HOOKS_E_BUSY);
	ck_assert_int_eq(told.times, 0);
}
END_TEST

START_TEST(test_one_at_a_time_for_a_hook_and_none_at_the_stop)
{
	struct told told, other;

	add_events(1);
	ck_assert_int_eq(ask("new", 0, &told), 0);
	ck_assert_int_eq(ask("new", 0, &other), HOOKS_E_BUSY);
	ck_assert_int_eq(ask("old", 0, &other), 0);
	hooks_drain(hooks);
	ck_assert_int_eq(turn(), 0);
	ck_assert_int_eq(told.times + other.times, 0);
	assert_deliveries("");
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, test_each_event_once_a_slice_a_turn);
	tcase_add_test(tests, test_what_came_after_the_wish_is_not_of_it);
	tcase_add_test(tests, test_what_the_hook_is_not_for_is_left_out);
	tcase_add_test(tests, test_its_last_event_may_be_forgotten_meanwhile);
	tcase_add_test(tests, test_before_what_waits_if_it_was_before_it);
	tcase_add_test(tests, test_what_runs_stays_the_first);
	tcase_add_test(tests, test_a_full_disk_is_told_and_the_rest_is_made_on_the_next_wish);
	tcase_add_test(tests, test_a_failed_database_is_told_and_the_next_life_makes_the_rest);
	tcase_add_test(tests, test_a_hook_that_goes_meanwhile_is_told);
	tcase_add_test(tests, test_one_at_a_time_for_a_hook_and_none_at_the_stop);
}

int main(void)
{
	return netkit_main("replay", add_tests);
}

/*
 * That an account was paused, or came back, is told although the disk was full when it was to be
 * written: it is undone with the whole batch, and written again once there is room, not again after
 * that. The tracker, its journal, its store and its loop are those of the daemon; a turn does what
 * the daemon's does in between.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "config_fixture.h"
#include "daemon/account.h"
#include "daemon/tracker.h"
#include "netkit.h"
#include "storekit.h"
#include "util/err.h"
#include "util/mem.h"

enum { WAIT_MAX_MS = 40 * 1000 };

static struct config_fixture fixture;
static char dir[STOREKIT_PATH_SIZE];
static struct rng rng;
static struct tracker tracker;
static struct http *http;
static struct store *store;
static struct account *account;
static struct loop_timer *watchdog;
static int n_full; /* commits that find the disk full from now on */
static int64_t awaited_seq;

/* ---- a daemon of one account ---- */

static int64_t mono_ms(void)
{
	return loop_now(tracker.loop).mono_ms;
}

static void on_turn_end(void *unused)
{
	(void)unused;
	tracker_tell_accounts(&tracker);
	if (store_is_dirty(store) && n_full > 0) {
		n_full--;
		store_rollback(store); /* as the store does, when it has told of the error */
		journal_wrote(tracker.journal, ERR_FULL);
	}
	ck_assert_int_eq(journal_end_turn(tracker.journal), 0);
	if (store_last_seq(store) >= awaited_seq && !tracker.has_account_news)
		loop_stop(tracker.loop);
}

static void on_watchdog(void *unused)
{
	(void)unused;
	ck_abort_msg("event %d is never told", (int)awaited_seq);
}

static void apply_config(void)
{
	static const char text[] = "accounts:\n"
	                           "  acme: {datacenter: eu, access_token_file: token}\n";
	cleanup(buf_deinit) struct buf words = {0};
	struct config *config = config_fixture_take(&fixture, text);

	hooks_apply(tracker.hooks, config);
	ck_assert_int_eq(accounts_apply(tracker.accounts, config, tracker.hooks, &words), 0);
	config_free(config);
}

static void setup(void)
{
	config_fixture_init(&fixture);
	storekit_dir_make(dir);
	store = storekit_open(dir);
	n_full = 0;
	rng_seed(&rng, 1);
	tracker = (struct tracker){.rng = &rng};
	ck_assert_int_eq(loop_new(&tracker.loop), 0);
	ck_assert_int_eq(http_new(tracker.loop, &http), 0);
	loop_set_turn_end(tracker.loop, on_turn_end, NULL);
	watchdog = loop_timer_new(tracker.loop, on_watchdog, NULL);
	tracker.journal = journal_new(tracker.loop, store);
	tracker.hooks = hooks_new(tracker.loop, NULL, http, tracker.journal, &rng);
	tracker.accounts = accounts_new(tracker.loop, http, &rng, dir);
	apply_config();
	account = accounts_find(tracker.accounts, "acme");
	ck_assert_ptr_nonnull(account);
}

static void teardown(void)
{
	journal_abandon(tracker.journal);
	accounts_free(tracker.accounts);
	hooks_free(tracker.hooks);
	journal_free(tracker.journal);
	loop_timer_free(watchdog);
	http_free(http);
	loop_free(tracker.loop);
	store_close(store);
	storekit_dir_remove(dir);
	config_fixture_deinit(&fixture);
}

/* Turns, until so many events are on disk and nothing is left to tell. */
static void run_until_told(int64_t seq)
{
	awaited_seq = seq;
	loop_timer_set(watchdog, mono_ms() + WAIT_MAX_MS);
	loop_wake(tracker.loop);
	ck_assert_int_eq(loop_run(tracker.loop), 0);
	loop_timer_clear(watchdog);
}

static void pause_account(void)
{
	gate_pause(&account->gate, ERROR_TOKEN, loop_now(tracker.loop), 0);
	tracker.has_account_news = true;
}

static void resume_account(void)
{
	account->gate = (struct gate){0};
	tracker.has_account_news = true;
}

static int add_event(void *arg, const struct store_event *event)
{
	buf_addf(arg, "%s of %s\n", event_type_name(event->type), event->account);
	return 0;
}

static void assert_events(const char *expected)
{
	cleanup(buf_deinit) struct buf found = {0};
	int64_t last;

	ck_assert_int_eq(store_events_read(store, 0, 100, NULL, add_event, &found, &last), 0);
	ck_assert_str_eq(buf_str(&found), expected);
}

/* ---- tests ---- */

START_TEST(test_a_pause_is_told_once_there_is_room)
{
	pause_account();
	n_full = 1;
	run_until_told(1);
	ck_assert_int_eq(n_full, 0);
	ck_assert(account->is_pause_told);
	ck_assert(!journal_is_full(tracker.journal));
	assert_events("account.paused of acme\n");
}
END_TEST

START_TEST(test_so_is_that_it_came_back)
{
	pause_account();
	run_until_told(1);
	resume_account();
	n_full = 1;
	run_until_told(2);
	ck_assert_int_eq(n_full, 0);
	ck_assert(!account->is_pause_told);
	assert_events("account.paused of acme\naccount.resumed of acme\n");
}
END_TEST

/* What was never told needs no taking back. */
START_TEST(test_nothing_is_told_of_what_passed_meanwhile)
{
	pause_account();
	n_full = 1;
	awaited_seq = INT64_MAX;
	on_turn_end(NULL);
	ck_assert(journal_is_full(tracker.journal));
	ck_assert(tracker.has_account_news);
	resume_account();
	run_until_told(0);
	assert_events("");
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_set_timeout(tests, 2 * WAIT_MAX_MS / 1000.0);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, test_a_pause_is_told_once_there_is_room);
	tcase_add_test(tests, test_so_is_that_it_came_back);
	tcase_add_test(tests, test_nothing_is_told_of_what_passed_meanwhile);
}

int main(void)
{
	return netkit_main("told", add_tests);
}

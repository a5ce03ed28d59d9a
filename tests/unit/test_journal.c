/*
 * When the journal commits: at once what somebody waits for, at most one commit in
 * JOURNAL_SPACING_MS of what can wait, and nothing is told or read before. The store is a real one,
 * time is not: the few calls of net/loop that the journal makes are here.
 */
#include <check.h>
#include <stdlib.h>

#include "daemon/journal.h"
#include "storekit.h"
#include "util/err.h"
#include "util/mem.h"

/* ---- the loop ---- */

struct loop {
	int64_t mono_ms;
};

struct loop_timer {
	loop_fn *fn;
	void *arg;
	int64_t at_mono_ms;
};

static int64_t latest_wish_ms; /* of all that were set */
static bool is_woken;

struct now loop_now(const struct loop *loop)
{
	return (struct now){.mono_ms = loop->mono_ms, .wall_ms = 1700000000000};
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *fn, void *arg)
{
	struct loop_timer *timer = MEM_NEW(struct loop_timer);

	(void)loop;
	*timer = (struct loop_timer){.fn = fn, .arg = arg};
	return timer;
}

void loop_timer_set(struct loop_timer *timer, int64_t at_mono_ms)
{
	timer->at_mono_ms = latest_wish_ms = at_mono_ms;
}

void loop_wake(struct loop *unused)
{
	(void)unused;
	is_woken = true;
}

struct loop_timer *loop_timer_free(struct loop_timer *timer)
{
	free(timer);
	return NULL;
}

/* ---- a daemon of one table ---- */

struct change {
	struct journal_change base;
	int *n_committed, *n_undone;
};

static struct loop loop;
static struct store *store;
static struct journal *journal;
static char dir[STOREKIT_PATH_SIZE];
static int n_committed, n_undone;

static void on_done(struct journal_change *base, bool is_committed)
{
	struct change *change = container_of(base, struct change, base);

	(*(is_committed ? change->n_committed : change->n_undone))++;
	free(change);
}

static void write_event(bool can_wait)
{
	struct change *change = MEM_NEW(struct change);
	struct store_event event = {
	        .type = EVENT_ACCOUNT_PAUSED, .at_wall_ms = 1, .account = "acme", .data = "{}"};

	*change = (struct change){
	        .base = {.done = on_done, .can_wait = can_wait},
	        .n_committed = &n_committed,
	        .n_undone = &n_undone,
	};
	journal_add(journal, &change->base);
	ck_assert(journal_append(journal, &event, NULL, 0, 0));
}

static void end_turn(void)
{
	ck_assert_int_eq(journal_end_turn(journal), 0);
}

static void assert_told(int committed, int events)
{
	struct storekit_count count = {.stop_at = INT64_MAX};
	int64_t last;

	ck_assert_int_eq(n_committed, committed);
	ck_assert_int_eq(store_last_seq(store), events);
	ck_assert_int_eq(
	        store_events_read(store, 0, 100, NULL, storekit_count_event, &count, &last), 0);
	ck_assert_int_eq(count.n, events);
}

static void setup(void)
{
	n_committed = n_undone = 0;
	loop.mono_ms = 1000;
	storekit_dir_make(dir);
	store = storekit_open(dir);
	journal = journal_new(&loop, store);
	/* The first is never too soon. */
	write_event(true);
	end_turn();
	assert_told(1, 1);
}

static void teardown(void)
{
	journal_free(journal);
	store_close(store);
	storekit_dir_remove(dir);
}

START_TEST(test_what_can_wait_shares_a_commit)
{
	for (int i = 0; i < 4; i++) {
		write_event(true);
		loop.mono_ms += i ? 1 : 0;
		end_turn();
		assert_told(1, 1);
	}
	/* A turn that brings nothing leaves it, too, and the loop is woken in time. */
	end_turn();
	ck_assert_int_eq(latest_wish_ms, 1000 + JOURNAL_SPACING_MS);
	loop.mono_ms = 1000 + JOURNAL_SPACING_MS - 1;
	end_turn();
	assert_told(1, 1);
	loop.mono_ms++;
	end_turn();
	assert_told(5, 5);
}
END_TEST

START_TEST(test_after_a_quiet_time_at_once)
{
	loop.mono_ms += JOURNAL_SPACING_MS;
	write_event(true);
	end_turn();
	assert_told(2, 2);
}
END_TEST

START_TEST(test_what_is_waited_for_takes_all_along)
{
	write_event(true);
	end_turn();
	assert_told(1, 1);
	write_event(false);
	end_turn();
	assert_told(3, 3);
	/* Only once: the next that can wait waits. */
	write_event(true);
	end_turn();
	assert_told(3, 3);
	ck_assert_int_eq(journal_commit(journal), 0);
	assert_told(4, 4);
}
END_TEST

START_TEST(test_nobody_reads_before)
{
	write_event(true);
	end_turn();
	assert_told(1, 1);
	journal_settle_all(journal);
	assert_told(2, 2);
	write_event(true);
	journal_settle_all(journal); /* of this turn */
	assert_told(3, 3);
	end_turn();
	assert_told(3, 3);
}
END_TEST

/* A change would find the job of that event in the middle of another. */
START_TEST(test_what_waits_holds_no_change_up)
{
	write_event(true);
	journal_settle(journal); /* of this turn: it has its end before it */
	assert_told(1, 1);
	end_turn();
	assert_told(1, 1);
	journal_settle(journal);
	assert_told(2, 2);
}
END_TEST

START_TEST(test_an_error_of_settling_is_not_forgotten)
{
	write_event(true);
	end_turn();
	store_rollback(store);
	ck_assert(!journal_wrote(journal, ERR_IO));
	journal_settle(journal);
	ck_assert_int_eq(n_committed, 1);
	ck_assert(is_woken);
	ck_assert_int_eq(journal_end_turn(journal), ERR_IO);
	journal_abandon(journal);
	ck_assert_int_eq(n_undone, 1);
}
END_TEST

START_TEST(test_an_error_ends_the_waiting)
{
	write_event(true);
	end_turn();
	store_rollback(store); /* as the store does, when it has told of the error */
	ck_assert(!journal_wrote(journal, ERR_FULL));
	end_turn();
	assert_told(1, 1);
	ck_assert_int_eq(n_undone, 1);
	ck_assert(journal_is_full(journal));
	/* While the disk is full nothing is left open: whether there is room is asked in between.
	 */
	write_event(true);
	end_turn();
	assert_told(2, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("journal");
	TCase *tcase = tcase_create("journal");
	SRunner *runner;
	int n_failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_what_can_wait_shares_a_commit);
	tcase_add_test(tcase, test_after_a_quiet_time_at_once);
	tcase_add_test(tcase, test_what_is_waited_for_takes_all_along);
	tcase_add_test(tcase, test_nobody_reads_before);
	tcase_add_test(tcase, test_what_waits_holds_no_change_up);
	tcase_add_test(tcase, test_an_error_of_settling_is_not_forgotten);
	tcase_add_test(tcase, test_an_error_ends_the_waiting);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

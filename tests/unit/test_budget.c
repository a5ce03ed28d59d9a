/*
 * core/budget: never more than the ceiling in any 24 hours, whatever the order of reserving, using
 * and crashing; when the next credit comes; Zoho's word; the ledger as text.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/budget.h"
#include "seed.h"

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

static const int64_t START_MS = INT64_C(1795500000000); /* a slot begins here */

static struct budget budget_of(int64_t ceiling)
{
	struct budget budget = {0};

	budget_set_ceiling(&budget, ceiling);
	return budget;
}

/* One credit as the daemon spends it; false if there is none. */
static bool spend(struct budget *budget, int64_t at_ms)
{
	if (budget_closed_until_ms(budget, at_ms) != 0)
		return false;
	if (!budget_has_reserved(budget, at_ms))
		ck_assert_int_gt(budget_reserve(budget, at_ms), 0);
	ck_assert(budget_has_reserved(budget, at_ms));
	ck_assert(budget_take(budget, at_ms));
	return true;
}

START_TEST(test_blocks)
{
	static const struct {
		int64_t ceiling, block;
	} rows[] = {{1, 1}, {999, 1}, {1000, 1}, {1999, 1}, {2000, 2}, {4000, 4}, {100000, 100}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct budget budget = budget_of(rows[i].ceiling);

		ck_assert_int_eq(budget_block(&budget), rows[i].block);
		ck_assert(!budget_take(&budget, START_MS));
		ck_assert_int_eq(budget_reserve(&budget, START_MS), rows[i].block);
		ck_assert_int_eq(budget_spent(&budget, START_MS), 0);
		ck_assert_int_eq(budget_left(&budget, START_MS), rows[i].ceiling);
		ck_assert(budget_take(&budget, START_MS));
		ck_assert_int_eq(budget_spent(&budget, START_MS), 1);
		ck_assert_int_eq(budget_left(&budget, START_MS), rows[i].ceiling - 1);
	}
}
END_TEST

START_TEST(test_nothing_may_be_spent_of_nothing)
{
	struct budget budget = {0};

	ck_assert_int_eq(budget_reserve(&budget, START_MS), 0);
	ck_assert(!budget_take(&budget, START_MS));
	ck_assert_int_gt(budget_closed_until_ms(&budget, START_MS), START_MS);
	ck_assert_int_eq(budget_mark(&budget, START_MS), BUDGET_SPENT);
}
END_TEST

START_TEST(test_marks_and_when_the_next_comes)
{
	struct budget budget = budget_of(10);
	int64_t at = START_MS + 3 * MINUTE_MS;

	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(budget_mark(&budget, at), i < 8 ? BUDGET_FINE : BUDGET_LOW);
		ck_assert(spend(&budget, at));
	}
	ck_assert_int_eq(budget_mark(&budget, at), BUDGET_SPENT);
	ck_assert_int_eq(budget_left(&budget, at), 0);
	ck_assert(!spend(&budget, at));
	int64_t until = budget_closed_until_ms(&budget, at);

	ck_assert_int_eq(until, START_MS + DAY_MS + BUDGET_SLOT_MS);
	ck_assert(!spend(&budget, until - 1));
	ck_assert_int_eq(budget_mark(&budget, until), BUDGET_FINE);
	for (int i = 0; i < 10; i++)
		ck_assert(spend(&budget, until));
	ck_assert(!spend(&budget, until));
}
END_TEST

START_TEST(test_the_oldest_come_back_first)
{
	struct budget budget = budget_of(3);

	ck_assert(spend(&budget, START_MS));
	ck_assert(spend(&budget, START_MS + HOUR_MS));
	ck_assert(spend(&budget, START_MS + 2 * HOUR_MS));
	int64_t now = START_MS + 3 * HOUR_MS;

	ck_assert_int_eq(budget_closed_until_ms(&budget, now), START_MS + DAY_MS + BUDGET_SLOT_MS);
	/* A lower ceiling: two must come back before one can go. */
	budget_set_ceiling(&budget, 2);
	ck_assert_int_eq(budget_left(&budget, now), 0);
	ck_assert_int_eq(
	        budget_closed_until_ms(&budget, now), START_MS + HOUR_MS + DAY_MS + BUDGET_SLOT_MS);
	budget_set_ceiling(&budget, 5);
	ck_assert_int_eq(budget_closed_until_ms(&budget, now), 0);
	ck_assert_int_eq(budget_left(&budget, now), 2);
}
END_TEST

START_TEST(test_a_lower_ceiling_takes_back_what_is_reserved)
{
	struct budget budget = budget_of(4000);

	ck_assert_int_eq(budget_reserve(&budget, START_MS), 4);
	ck_assert(budget_take(&budget, START_MS));
	budget_set_ceiling(&budget, 2);
	ck_assert(budget_take(&budget, START_MS));
	ck_assert(!budget_take(&budget, START_MS));
	ck_assert_int_eq(budget_spent(&budget, START_MS), 2);
}
END_TEST

START_TEST(test_what_is_left_of_a_block_ends_with_its_slot)
{
	struct budget budget = budget_of(4000);

	ck_assert_int_eq(budget_reserve(&budget, START_MS), 4);
	ck_assert(budget_take(&budget, START_MS));
	int64_t later = START_MS + BUDGET_SLOT_MS;

	ck_assert(!budget_has_reserved(&budget, later));
	ck_assert(!budget_take(&budget, later));
	ck_assert_int_eq(budget_spent(&budget, later), 1);
	ck_assert_int_eq(budget_left(&budget, later), 3999);
}
END_TEST

START_TEST(test_further_sendings_and_none)
{
	struct budget budget = budget_of(2000);

	ck_assert(spend(&budget, START_MS)); /* a block of 2 */
	budget_take_more(&budget, START_MS, 3);
	ck_assert_int_eq(budget_spent(&budget, START_MS), 4);
	ck_assert(!budget_has_reserved(&budget, START_MS));
	budget_give_back(&budget, START_MS);
	ck_assert_int_eq(budget_spent(&budget, START_MS), 3);
	ck_assert(budget_has_reserved(&budget, START_MS));
	/* Of another slot: it stays spent. */
	budget_give_back(&budget, START_MS + BUDGET_SLOT_MS);
	ck_assert_int_eq(budget_spent(&budget, START_MS + BUDGET_SLOT_MS), 3);
}
END_TEST

START_TEST(test_zoho_s_word_counts_while_it_is_fresh)
{
	struct budget budget = budget_of(4000);

	budget_tell(&budget, START_MS, 2);
	ck_assert_int_eq(budget_left(&budget, START_MS), 2);
	ck_assert(spend(&budget, START_MS));
	ck_assert(spend(&budget, START_MS));
	ck_assert(!spend(&budget, START_MS));
	ck_assert_int_eq(budget_mark(&budget, START_MS), BUDGET_SPENT);
	ck_assert_int_eq(budget_closed_until_ms(&budget, START_MS + 5), START_MS + BUDGET_TOLD_MS);
	ck_assert(spend(&budget, START_MS + BUDGET_TOLD_MS));
	budget_tell(&budget, START_MS + BUDGET_TOLD_MS, -7);
	ck_assert_int_eq(budget_left(&budget, START_MS + BUDGET_TOLD_MS), 0);
	budget_tell(&budget, START_MS + BUDGET_TOLD_MS, 100000);
	ck_assert_int_eq(budget_left(&budget, START_MS + BUDGET_TOLD_MS), 3997);
}
END_TEST

/* Whichever of ceiling and Zoho's word opens later counts. */
START_TEST(test_the_ceiling_and_zoho_s_word_together)
{
	struct budget budget = budget_of(1);
	int64_t by_ceiling = START_MS + DAY_MS + BUDGET_SLOT_MS;

	ck_assert(spend(&budget, START_MS));
	budget_tell(&budget, START_MS, 50);
	ck_assert_int_eq(budget_closed_until_ms(&budget, START_MS), by_ceiling);
	budget_tell(&budget, START_MS, 0);
	ck_assert_int_eq(budget_closed_until_ms(&budget, START_MS), by_ceiling);
	budget_tell(&budget, by_ceiling - 1, 0);
	ck_assert_int_eq(
	        budget_closed_until_ms(&budget, by_ceiling - 1), by_ceiling - 1 + BUDGET_TOLD_MS);
}
END_TEST

/* What is reserved can be used: only then it is all spent. */
START_TEST(test_reserved_is_not_spent)
{
	struct budget budget = budget_of(1);

	ck_assert_int_eq(budget_reserve(&budget, START_MS), 1);
	ck_assert_int_eq(budget_mark(&budget, START_MS), BUDGET_FINE);
	ck_assert(budget_take(&budget, START_MS));
	ck_assert_int_eq(budget_mark(&budget, START_MS), BUDGET_SPENT);
}
END_TEST

START_TEST(test_further_sendings_use_what_is_reserved)
{
	struct budget budget = budget_of(4000);

	ck_assert_int_eq(budget_reserve(&budget, START_MS), 4);
	ck_assert(budget_take(&budget, START_MS));
	budget_take_more(&budget, START_MS, 2);
	ck_assert_int_eq(budget_spent(&budget, START_MS), 3);
	ck_assert(budget_take(&budget, START_MS));
	ck_assert(!budget_has_reserved(&budget, START_MS));
	ck_assert_int_eq(budget_spent(&budget, START_MS), 4);
}
END_TEST

/* A machine without a clock of its own begins in 1970: there are no 24 hours before that. */
START_TEST(test_the_first_day_of_all)
{
	struct budget budget = budget_of(3), other = budget_of(3);
	int64_t now = 3 * BUDGET_SLOT_MS;

	ck_assert(spend(&budget, 0));
	ck_assert(spend(&other, now));
	budget_take_over(&budget, &other, now, true);
	ck_assert_int_eq(budget_spent(&budget, now), 2);
	ck_assert(spend(&budget, now));
	ck_assert_int_eq(budget_closed_until_ms(&budget, now), BUDGET_SLOTS * BUDGET_SLOT_MS);
}
END_TEST

START_TEST(test_a_word_of_the_future_is_taken_as_of_now)
{
	struct budget budget = budget_of(4000), back = budget_of(4000);
	char text[BUDGET_TEXT_MAX];

	budget_tell(&budget, START_MS, 7);
	budget_encode(&budget, text);
	ck_assert(budget_decode(&back, text, START_MS - DAY_MS));
	ck_assert_int_eq(budget_left(&back, START_MS - DAY_MS), 7);
	ck_assert_int_eq(budget_left(&back, START_MS - DAY_MS + BUDGET_TOLD_MS), 4000);
	/* More than any text holds is the most that it does. */
	budget_tell(&budget, START_MS, INT64_MAX);
	budget_encode(&budget, text);
	ck_assert(budget_decode(&back, text, START_MS));
	ck_assert_int_eq(budget_left(&back, START_MS), 4000);
}
END_TEST

START_TEST(test_text_and_back)
{
	struct budget budget = budget_of(4000), back = budget_of(4000);
	char text[BUDGET_TEXT_MAX], again[BUDGET_TEXT_MAX];

	for (int64_t i = 0; i < 500; i++)
		ck_assert(spend(&budget, START_MS + i * 3 * MINUTE_MS));
	int64_t now = START_MS + 500 * 3 * MINUTE_MS;

	budget_tell(&budget, now, 77);
	budget_encode(&budget, text);
	ck_assert(budget_decode(&back, text, now));
	/* The rest of the block is forfeited: never fewer than were spent. */
	int64_t forfeited = budget_spent(&back, now) - budget_spent(&budget, now);

	ck_assert_int_ge(forfeited, 0);
	ck_assert_int_lt(forfeited, budget_block(&budget));
	ck_assert_int_eq(back.told, 77);
	budget_encode(&back, again);
	struct budget third = budget_of(4000);

	ck_assert(budget_decode(&third, again, now));
	ck_assert_int_eq(budget_spent(&third, now), budget_spent(&back, now));
	/* A day later all of it is forgotten. */
	ck_assert(budget_decode(&back, text, now + DAY_MS + BUDGET_SLOT_MS));
	ck_assert_int_eq(budget_spent(&back, now + DAY_MS + BUDGET_SLOT_MS), 0);
}
END_TEST

START_TEST(test_full_slots_fit_the_text)
{
	struct budget budget = budget_of(INT64_C(100000000000000));
	char text[BUDGET_TEXT_MAX];

	for (int64_t i = 0; i < BUDGET_SLOTS; i++)
		budget_take_more(&budget, START_MS + i * BUDGET_SLOT_MS, INT64_C(2000000000000));
	budget_encode(&budget, text);
	ck_assert(budget_decode(&budget, text, START_MS + BUDGET_SLOTS * BUDGET_SLOT_MS));
}
END_TEST

START_TEST(test_a_clock_that_was_set_back_forgets_nothing)
{
	struct budget budget = budget_of(10), back = budget_of(10);
	char text[BUDGET_TEXT_MAX];

	for (int i = 0; i < 10; i++)
		ck_assert(spend(&budget, START_MS));
	ck_assert(!spend(&budget, START_MS - 30 * DAY_MS));
	budget_encode(&budget, text);
	ck_assert(budget_decode(&back, text, START_MS - 300 * DAY_MS));
	ck_assert(!spend(&back, START_MS - 300 * DAY_MS));
	ck_assert(spend(&back, START_MS - 300 * DAY_MS + DAY_MS + BUDGET_SLOT_MS));
}
END_TEST

START_TEST(test_other_texts_are_refused)
{
	static const char *const texts[] = {"", "2 1 0 0", "1", "1 1", "1 1 0", "1 1 0 0 ",
	        "1 1 0 0 3", "1 1 0 0 3:", "1 1 0 0 a:1", "1 : 0 0", "1 1 0 0 0:5a",
	        "1 1 0 0 145:1", "1 -1 0 0", "1 1 0 0 0:1x", "1 99999999999999999999 0 0",
	        "1 1 0 0 0:9999999999999999", "1  1 0 0"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct budget budget = budget_of(10);

		ck_assert(spend(&budget, START_MS));
		ck_assert_msg(!budget_decode(&budget, texts[i], START_MS), "%s", texts[i]);
		ck_assert_int_eq(budget_spent(&budget, START_MS), 1);
	}
	struct budget budget = budget_of(10);

	ck_assert(budget_decode(&budget, "1 0 0 0 5:7", START_MS));
	ck_assert_int_eq(budget_spent(&budget, START_MS), 0);
}
END_TEST

START_TEST(test_what_another_spent_counts_here_too)
{
	struct budget own = budget_of(100), other = budget_of(1000), copy;
	int64_t later = START_MS + 2 * HOUR_MS;

	for (int i = 0; i < 30; i++)
		ck_assert(spend(&own, START_MS));
	for (int i = 0; i < 20; i++)
		ck_assert(spend(&other, START_MS));
	for (int i = 0; i < 5; i++)
		ck_assert(spend(&other, later));
	ck_assert_int_gt(budget_reserve(&other, later), 0); /* reserved is not spent */

	/* Some of it may be here already: each slot has the larger number, however often. */
	copy = own;
	for (int i = 0; i < 3; i++)
		budget_take_over(&copy, &other, later, false);
	ck_assert_int_eq(budget_spent(&copy, later), 30 + 5);
	budget_take_over(&other, &copy, later, false);
	ck_assert_int_eq(budget_spent(&other, later), 30 + 5);

	/* None of it is. */
	copy = budget_of(0);
	budget_take_over(&copy, &own, later, true);
	budget_take_over(&copy, &other, later, true);
	ck_assert_int_eq(budget_spent(&copy, later), 30 + 30 + 5);
	/* It comes back when it would have there. */
	ck_assert_int_eq(budget_spent(&copy, START_MS + DAY_MS), 65);
	ck_assert_int_eq(budget_spent(&copy, START_MS + DAY_MS + 10 * MINUTE_MS), 5);
	ck_assert_int_eq(budget_spent(&copy, later + DAY_MS + 10 * MINUTE_MS), 0);
}
END_TEST

START_TEST(test_taking_over_gives_back_what_is_beyond_the_ceiling)
{
	struct budget budget = budget_of(10000), other = budget_of(10000);

	ck_assert_int_eq(budget_reserve(&budget, START_MS), 10);
	budget_take_more(&other, START_MS, 9995);
	budget_take_over(&budget, &other, START_MS, true);
	ck_assert_int_eq(budget_spent(&budget, START_MS), 9995);
	ck_assert_int_eq(budget_left(&budget, START_MS), 5);
	for (int i = 0; i < 5; i++)
		ck_assert(budget_take(&budget, START_MS));
	ck_assert(!budget_take(&budget, START_MS));
	ck_assert_int_eq(budget_reserve(&budget, START_MS), 0);
}
END_TEST

enum { SPENDINGS = 30000 };

/* Random steps of time, crashes, ceilings and sendings; every window of 24 hours is added up. */
START_TEST(test_no_window_holds_more_than_the_ceiling)
{
	static int64_t at[SPENDINGS];
	size_t n = 0, oldest = 0, most = 0;
	struct rng rng;
	int64_t ceiling = 3000, now = START_MS;

	seed_rng(&rng, "test_no_window_holds_more_than_the_ceiling");
	struct budget budget = budget_of(ceiling);
	char disk[BUDGET_TEXT_MAX];

	budget_encode(&budget, disk);
	while (n < SPENDINGS) {
		uint64_t dice = rng_below(&rng, 1000);

		now += (int64_t)rng_below(&rng, dice < 5 ? HOUR_MS : 20000);
		if (dice >= 995) { /* a crash: what was not written is lost */
			budget = budget_of(ceiling);
			ck_assert(budget_decode(&budget, disk, now));
		}
		if (budget_closed_until_ms(&budget, now) != 0) {
			now = budget_closed_until_ms(&budget, now);
			continue;
		}
		if (!budget_has_reserved(&budget, now)) {
			ck_assert_int_gt(budget_reserve(&budget, now), 0);
			budget_encode(&budget, disk);
		}
		ck_assert(budget_take(&budget, now));
		at[n++] = now;
		while (at[oldest] <= now - DAY_MS)
			oldest++;
		ck_assert_int_le((int64_t)(n - oldest), ceiling);
		if (n - oldest > most)
			most = n - oldest;
	}
	/* The ceiling was felt, and was used. */
	ck_assert_int_ge((int64_t)most, ceiling * 9 / 10);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("budget");
	TCase *tcase = tcase_create("budget");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_blocks);
	tcase_add_test(tcase, test_nothing_may_be_spent_of_nothing);
	tcase_add_test(tcase, test_marks_and_when_the_next_comes);
	tcase_add_test(tcase, test_the_oldest_come_back_first);
	tcase_add_test(tcase, test_a_lower_ceiling_takes_back_what_is_reserved);
	tcase_add_test(tcase, test_what_is_left_of_a_block_ends_with_its_slot);
	tcase_add_test(tcase, test_further_sendings_and_none);
	tcase_add_test(tcase, test_zoho_s_word_counts_while_it_is_fresh);
	tcase_add_test(tcase, test_the_ceiling_and_zoho_s_word_together);
	tcase_add_test(tcase, test_reserved_is_not_spent);
	tcase_add_test(tcase, test_further_sendings_use_what_is_reserved);
	tcase_add_test(tcase, test_the_first_day_of_all);
	tcase_add_test(tcase, test_a_word_of_the_future_is_taken_as_of_now);
	tcase_add_test(tcase, test_text_and_back);
	tcase_add_test(tcase, test_full_slots_fit_the_text);
	tcase_add_test(tcase, test_a_clock_that_was_set_back_forgets_nothing);
	tcase_add_test(tcase, test_other_texts_are_refused);
	tcase_add_test(tcase, test_what_another_spent_counts_here_too);
	tcase_add_test(tcase, test_taking_over_gives_back_what_is_beyond_the_ceiling);
	tcase_add_test(tcase, test_no_window_holds_more_than_the_ceiling);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	int n_failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return n_failed == 0 ? 0 : 1;
}

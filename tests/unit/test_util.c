/*
 * The small change of util/: buffers, the clock's texts, random numbers, the words of errors.
 * Strings are in test_str.c; heap, hash and string pool in test_collections.c.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "seed.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/err.h"
#include "util/mem.h"

/* ---- buf ---- */

START_TEST(test_buf_grows_and_is_a_string)
{
	cleanup(buf_deinit) struct buf b = {0};
	cleanup(mem_free_p) char *long_text = mem_new(5000, 1);

	ck_assert_str_eq(buf_str(&b), "");
	buf_add(&b, "", 0);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_str_eq(b.data, "");
	buf_adds(&b, "one");
	buf_addc(&b, ' ');
	buf_addf(&b, "%d %s", 2, "three");
	buf_add(&b, "\0x", 2);
	ck_assert_uint_eq(b.len, 13);
	ck_assert_mem_eq(b.data, "one 2 three\0x", 14);
	memset(long_text, 'y', 4999);
	buf_clear(&b);
	ck_assert_str_eq(buf_str(&b), "");
	buf_addf(&b, "<%s>", long_text);
	ck_assert_uint_eq(b.len, 5001);
	ck_assert_uint_gt(b.cap, 5001);
	ck_assert_int_eq(b.data[5000], '>');
	ck_assert_int_eq(b.data[5001], '\0');
}
END_TEST

START_TEST(test_buf_reserve_keeps_what_is_there)
{
	cleanup(buf_deinit) struct buf b = {0};

	buf_adds(&b, "kept");
	for (size_t n = 1; n < 100000; n *= 3) {
		buf_reserve(&b, n);
		ck_assert_uint_gt(b.cap, b.len + n);
		ck_assert_str_eq(b.data, "kept");
	}
}
END_TEST

START_TEST(test_buf_consume_and_steal)
{
	cleanup(buf_deinit) struct buf b = {0};
	cleanup(mem_free_p) char *stolen = NULL;
	cleanup(mem_free_p) char *nothing = NULL;

	buf_consume(&b, 3);
	ck_assert_uint_eq(b.len, 0);
	buf_adds(&b, "abcdef");
	buf_consume(&b, 0);
	ck_assert_str_eq(b.data, "abcdef");
	buf_consume(&b, 2);
	ck_assert_str_eq(b.data, "cdef");
	ck_assert_uint_eq(b.len, 4);
	stolen = buf_steal(&b);
	ck_assert_str_eq(stolen, "cdef");
	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(b.len + b.cap, 0);
	nothing = buf_steal(&b);
	ck_assert_str_eq(nothing, "");
	buf_adds(&b, "xyz");
	buf_consume(&b, 3);
	ck_assert_str_eq(buf_str(&b), "");
	buf_adds(&b, "xyz");
	buf_consume(&b, SIZE_MAX);
	ck_assert_str_eq(buf_str(&b), "");
	buf_deinit(&b);
	ck_assert_ptr_null(b.data);
}
END_TEST

/* ---- clock ---- */

/* The seconds are of `date -u -d ... +%s`. */
static const struct {
	int64_t wall_ms;
	const char *text;
} stamps[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {1554108604123, "2019-04-01T08:50:04.123Z"},
        {2147483648000, "2038-01-19T03:14:08.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {253402300800000, "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {-62167219200000, "0000-01-01T00:00:00.000Z"},
        {-62167219200001, "0000-01-01T00:00:00.000Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
};

START_TEST(test_clock_format)
{
	char text[CLOCK_TEXT_SIZE];

	ck_assert_ptr_eq(clock_format(stamps[_i].wall_ms, text), text);
	ck_assert_str_eq(text, stamps[_i].text);
}
END_TEST

START_TEST(test_clock_now_goes_on)
{
	struct now before = clock_now(), after = clock_now();

	ck_assert_int_ge(after.mono_ms, before.mono_ms);
	ck_assert_int_gt(before.mono_ms, 0);
	/* After this was written, and milliseconds, not seconds. */
	ck_assert_int_gt(before.wall_ms, INT64_C(1700000000000));
}
END_TEST

static const struct {
	const char *text;
	int error;
	int64_t ms;
} durations[] = {
        {"500ms", 0, 500}, {"15s", 0, 15000}, {"5m", 0, 300000}, {"6h", 0, 21600000},
        {"30d", 0, INT64_C(30) * 86400000}, {"1h30m", 0, 5400000}, {"1d2h3m4s5ms", 0, 93784005},
        {"0s", 0, 0}, {"007s", 0, 7000}, {"90s", 0, 90000},
        {"36500d", 0, INT64_C(36500) * 86400000}, {"36500d1ms", -ERANGE, 0}, {"36501d", -ERANGE, 0},
        {"9223372036854775808ms", -ERANGE, 0}, {"99999999999999999999999999s", -ERANGE, 0},
        {"", -EINVAL, 0}, {"5", -EINVAL, 0}, {"s", -EINVAL, 0}, {"-5s", -EINVAL, 0},
        {"+5s", -EINVAL, 0}, {" 5s", -EINVAL, 0}, {"5s ", -EINVAL, 0}, {"5 s", -EINVAL, 0},
        {"1.5s", -EINVAL, 0}, {"5S", -EINVAL, 0}, {"5w", -EINVAL, 0}, {"5sec", -EINVAL, 0},
        {"30m1h", -EINVAL, 0}, {"1h1h", -EINVAL, 0}, {"1h30", -EINVAL, 0}, {"1hm", -EINVAL, 0},
        {"0x5s", -EINVAL, 0}, {"\xd9\xa3s", -EINVAL, 0}, /* an Arabic three */
};

START_TEST(test_duration_parse)
{
	int64_t ms = -77;

	ck_assert_int_eq(clock_parse_duration(durations[_i].text, &ms), durations[_i].error);
	ck_assert_int_eq(ms, durations[_i].error ? -77 : durations[_i].ms);
}
END_TEST

START_TEST(test_duration_format)
{
	char text[CLOCK_DURATION_SIZE];

	ck_assert_str_eq(clock_format_duration(0, text), "0s");
	ck_assert_str_eq(clock_format_duration(-5, text), "0s");
	ck_assert_str_eq(clock_format_duration(90000, text), "1m30s");
	ck_assert_str_eq(clock_format_duration(86400000, text), "1d");
	ck_assert_str_eq(clock_format_duration(1500, text), "1s500ms");
	ck_assert_str_eq(clock_format_duration(93784005, text), "1d2h3m4s5ms");
	ck_assert_uint_lt(strlen(clock_format_duration(INT64_MAX, text)), CLOCK_DURATION_SIZE);
}
END_TEST

START_TEST(test_duration_round_trip)
{
	static const uint64_t longest_ms = UINT64_C(36500) * 86400000;
	char text[CLOCK_DURATION_SIZE];
	struct rng rng;

	seed_rng(&rng, "test_duration_round_trip");
	for (int i = 0; i < 20000; i++) {
		/* Of every order of magnitude alike. */
		uint64_t bound = (longest_ms >> rng_below(&rng, 42)) + 1;
		int64_t ms = (int64_t)rng_below(&rng, bound), again = -1;

		clock_format_duration(ms, text);
		ck_assert_msg(clock_parse_duration(text, &again) == 0, "%s", text);
		ck_assert_int_eq(again, ms);
	}
}
END_TEST

/* ---- rng, err ---- */

START_TEST(test_rng_known_numbers)
{
	/* xoshiro256** from the state {1, 2, 3, 4}: the first numbers of its authors' code. */
	struct rng rng = {.s = {1, 2, 3, 4}}, again, other;

	ck_assert_uint_eq(rng_next(&rng), 11520);
	ck_assert_uint_eq(rng_next(&rng), 0);
	ck_assert_uint_eq(rng_next(&rng), 1509978240);
	ck_assert_uint_eq(rng_next(&rng), UINT64_C(1215971899390074240));
	/* splitmix64 of the seed 0: 0xe220a8397b1dcdaf comes first. */
	rng_seed(&rng, 0);
	ck_assert_uint_eq(rng.s[0], UINT64_C(0xe220a8397b1dcdaf));
	rng_seed(&again, 0);
	rng_seed(&other, 1);
	for (int i = 0; i < 100; i++) {
		uint64_t value = rng_next(&rng);

		ck_assert_uint_eq(rng_next(&again), value);
		ck_assert_uint_ne(rng_next(&other), value);
	}
}
END_TEST

START_TEST(test_rng_is_within_bounds_and_even)
{
	enum { THROWS = 60000 };
	size_t n_of[6] = {0};
	struct rng rng;
	double sum = 0;

	rng_seed(&rng, 42);
	ck_assert_uint_eq(rng_below(&rng, 0), 0);
	ck_assert_uint_eq(rng_below(&rng, 1), 0);
	for (int i = 0; i < THROWS; i++) {
		uint64_t face = rng_below(&rng, 6);
		double unit = rng_unit(&rng);

		ck_assert_uint_lt(face, 6);
		n_of[face]++;
		ck_assert(unit >= 0.0 && unit < 1.0);
		sum += unit;
		ck_assert_uint_lt(rng_below(&rng, UINT64_MAX), UINT64_MAX);
		ck_assert_uint_le(rng_below(&rng, (UINT64_C(1) << 63) + 1), UINT64_C(1) << 63);
	}
	/* Six standard deviations of a fair die are 548. */
	for (size_t face = 0; face < 6; face++)
		ck_assert(n_of[face] > THROWS / 6 - 548 && n_of[face] < THROWS / 6 + 548);
	ck_assert(sum / THROWS > 0.49 && sum / THROWS < 0.51);
}
END_TEST

START_TEST(test_err_has_words_for_all)
{
	for (int error = ERR_FIRST; error >= ERR_LAST; error--)
		ck_assert_str_ne(err_text(error), "unknown error");
	ck_assert_str_eq(err_text(-ENOENT), "No such file or directory");
	ck_assert_str_eq(err_text(-99999), "unknown error");
	ck_assert(err_is_passing(-EMFILE) && err_is_passing(-ENOMEM) && err_is_passing(ERR_FULL));
	ck_assert(!err_is_passing(-ENOENT) && !err_is_passing(-EACCES) && !err_is_passing(0));
	ck_assert(!err_is_passing(ERR_CORRUPT) && !err_is_passing(ERR_LOCKED));
	ck_assert_str_eq(err_text(ERR_FULL), "the disk is full");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("util");
	TCase *tests = tcase_create("util");
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, test_buf_grows_and_is_a_string);
	tcase_add_test(tests, test_buf_reserve_keeps_what_is_there);
	tcase_add_test(tests, test_buf_consume_and_steal);
	tcase_add_loop_test(tests, test_clock_format, 0, ARRAY_LEN(stamps));
	tcase_add_test(tests, test_clock_now_goes_on);
	tcase_add_loop_test(tests, test_duration_parse, 0, ARRAY_LEN(durations));
	tcase_add_test(tests, test_duration_format);
	tcase_add_test(tests, test_duration_round_trip);
	tcase_add_test(tests, test_rng_known_numbers);
	tcase_add_test(tests, test_rng_is_within_bounds_and_even);
	tcase_add_test(tests, test_err_has_words_for_all);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/*
 * util/str: the small questions about strings, UTF-8 against the edges of its definition, numbers,
 * "did you mean".
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/mem.h"
#include "util/str.h"

START_TEST(test_str_questions)
{
	ck_assert(str_is_equal("a", "a"));
	ck_assert(!str_is_equal("a", "b"));
	ck_assert(!str_is_equal(NULL, ""));
	ck_assert(!str_is_equal("", NULL));
	ck_assert(str_is_equal(NULL, NULL));
	ck_assert(str_has_prefix("job.completed", "job."));
	ck_assert(str_has_prefix("job", ""));
	ck_assert(!str_has_prefix("job", "job."));
	ck_assert(str_is_digits("0", 1, 20));
	ck_assert(str_is_digits("12345678901234567890", 1, 20));
	ck_assert(!str_is_digits("123456789012345678901", 1, 20));
	ck_assert(!str_is_digits("", 1, 20));
	ck_assert(str_is_digits("", 0, 20));
	ck_assert(!str_is_digits("12a", 1, 20));
	ck_assert(!str_is_digits("-1", 1, 20));
	ck_assert(!str_is_digits("1\n", 1, 20));
	ck_assert(str_has_control("a\tb", 3));
	ck_assert(str_has_control("a\0b", 3));
	ck_assert(str_has_control("\x7f", 1));
	ck_assert(str_has_control("\x1f", 1));
	ck_assert(!str_has_control(" ~\xc3\xa9", 4));
	ck_assert(!str_has_control("a\tb", 1));
	ck_assert(!str_has_control("", 0));
}
END_TEST

/* Sound sequences have bad = -1. The rows are those of the Unicode standard's table 3-7, at their
 * edges. */
static const struct {
	const char *bytes;
	int len;
	int bad;
} utf8[] = {
        {"", 0, -1},
        {"plain", 5, -1},
        {"a\0b", 3, -1},
        {"\x7f", 1, -1},
        {"\xc2\x80", 2, -1},
        {"\xdf\xbf", 2, -1},
        {"\xe0\xa0\x80", 3, -1},
        {"\xec\xbf\xbf", 3, -1},
        {"\xed\x9f\xbf", 3, -1},
        {"\xee\x80\x80", 3, -1},
        {"\xef\xbf\xbf", 3, -1},
        {"\xf0\x90\x80\x80", 4, -1},
        {"\xf3\xbf\xbf\xbf", 4, -1},
        {"\xf4\x8f\xbf\xbf", 4, -1},
        {"x\x80", 2, 1},            /* a continuation alone */
        {"ab\xbf", 3, 2},           /* */
        {"\xc0\x80", 2, 0},         /* overlong NUL */
        {"\xc1\xbf", 2, 0},         /* overlong */
        {"\xe0\x9f\xbf", 3, 0},     /* overlong */
        {"\xf0\x8f\xbf\xbf", 4, 0}, /* overlong */
        {"\xed\xa0\x80", 3, 0},     /* U+D800 */
        {"\xed\xbf\xbf", 3, 0},     /* U+DFFF */
        {"\xf4\x90\x80\x80", 4, 0}, /* U+110000 */
        {"\xf5\x80\x80\x80", 4, 0}, /* */
        {"\xff", 1, 0},             /* */
        {"a\xc3", 2, 1},            /* cut off */
        {"\xe2\x82", 2, 0},         /* cut off */
        {"\xf0\x9f\x98", 3, 0},     /* cut off */
        {"\xc3\x28", 2, 0},         /* no continuation */
        {"\xe2\x28\xa1", 3, 0},     /* */
        {"\xe2\x82\x28", 3, 0},     /* */
        {"\xf0\x9f\x98\x28", 4, 0}, /* */
        {"\xc3\xa9\xc3\xa9\xc3", 5, 4},
};

START_TEST(test_str_utf8)
{
	/* A copy of the exact size, so that a look beyond it is noticed. */
	size_t len = (size_t)utf8[_i].len, bad = 99;
	cleanup(mem_free_p) char *bytes = malloc(len ? len : 1);

	ck_assert_ptr_nonnull(bytes);
	memcpy(bytes, utf8[_i].bytes, len);
	ck_assert_int_eq(str_is_utf8(bytes, len, &bad), utf8[_i].bad < 0);
	ck_assert_uint_eq(bad, utf8[_i].bad < 0 ? 99 : (size_t)utf8[_i].bad);
	ck_assert_int_eq(str_is_utf8(bytes, len, NULL), utf8[_i].bad < 0);
}
END_TEST

START_TEST(test_str_to_int)
{
	int64_t out = 7;

	ck_assert_int_eq(str_to_int("0", 0, 10, &out), 0);
	ck_assert_int_eq(out, 0);
	ck_assert_int_eq(str_to_int("-12", -12, 10, &out), 0);
	ck_assert_int_eq(out, -12);
	ck_assert_int_eq(str_to_int("0010", 0, 10, &out), 0);
	ck_assert_int_eq(out, 10);
	ck_assert_int_eq(str_to_int("9223372036854775807", INT64_MIN, INT64_MAX, &out), 0);
	ck_assert_int_eq(out, INT64_MAX);
	ck_assert_int_eq(str_to_int("-9223372036854775808", INT64_MIN, INT64_MAX, &out), 0);
	ck_assert_int_eq(out, INT64_MIN);
	out = 7;
	ck_assert_int_eq(str_to_int("9223372036854775808", INT64_MIN, INT64_MAX, &out), -ERANGE);
	ck_assert_int_eq(str_to_int("11", 0, 10, &out), -ERANGE);
	ck_assert_int_eq(str_to_int("-1", 0, 10, &out), -ERANGE);
	ck_assert_int_eq(str_to_int("", 0, 10, &out), -EINVAL);
	ck_assert_int_eq(str_to_int("-", 0, 10, &out), -EINVAL);
	ck_assert_int_eq(str_to_int("--1", 0, 10, &out), -EINVAL);
	ck_assert_int_eq(str_to_int("+1", 0, 10, &out), -EINVAL);
	ck_assert_int_eq(str_to_int(" 1", 0, 10, &out), -EINVAL);
	ck_assert_int_eq(str_to_int("1 ", 0, 10, &out), -EINVAL);
	ck_assert_int_eq(str_to_int("1e1", 0, 10, &out), -EINVAL);
	ck_assert_int_eq(str_to_int("0x1", 0, 10, &out), -EINVAL);
	ck_assert_int_eq(out, 7);
}
END_TEST

START_TEST(test_str_nearest)
{
	static const char *const words[] = {"min_interval", "max_interval", "timeout", "hooks"};
	char long_word[100];

	memset(long_word, 'x', sizeof(long_word) - 1);
	long_word[sizeof(long_word) - 1] = '\0';
	ck_assert_str_eq(str_nearest("min_interval", words, 4), "min_interval");
	ck_assert_str_eq(str_nearest("mni_interval", words, 4), "min_interval");
	ck_assert_str_eq(str_nearest("maxinterval", words, 4), "max_interval");
	ck_assert_str_eq(str_nearest("time-out", words, 4), "timeout");
	ck_assert_str_eq(str_nearest("hook", words, 4), "hooks");
	ck_assert_str_eq(str_nearest("ohoks", words, 4), "hooks");
	/* Two letters swapped are one slip, which is all that so short a word may have. */
	ck_assert_str_eq(str_nearest("no", (const char *const[]){"on"}, 1), "on");
	ck_assert_ptr_null(str_nearest("no", (const char *const[]){"in"}, 1));
	ck_assert_ptr_null(str_nearest("zebra", words, 4));
	ck_assert_ptr_null(str_nearest("", words, 4));
	ck_assert_ptr_null(str_nearest("hooks", words, 0));
	ck_assert_ptr_null(str_nearest(long_word, words, 4));
	ck_assert_str_eq(
	        str_nearest("hooks", (const char *const[]){long_word, "hocks"}, 2), "hocks");
	/* Of equally near ones the first. */
	ck_assert_str_eq(str_nearest("ab", (const char *const[]){"ac", "ad"}, 2), "ac");
}
END_TEST

START_TEST(test_str_copy)
{
	char to[8] = "before";

	str_copy(to, sizeof(to), "fits it");
	ck_assert_str_eq(to, "fits it");
	str_copy(to, sizeof(to), "too long by far");
	ck_assert_str_eq(to, "too lon");
	str_copy(to, sizeof(to), "12345\xc3\xa9");
	ck_assert_str_eq(to, "12345\xc3\xa9");
	str_copy(to, sizeof(to), "123456\xc3\xa9");
	ck_assert_str_eq(to, "123456");
	str_copy(to, sizeof(to), "1234\xf0\x9f\x98\x80");
	ck_assert_str_eq(to, "1234");
	str_copy(to, 1, "x");
	ck_assert_str_eq(to, "");
	to[0] = 'u';
	str_copy(to, 0, "x");
	ck_assert_int_eq(to[0], 'u');
	str_copy(to, sizeof(to), "abcdef");
	str_copy(to, sizeof(to), to + 2);
	ck_assert_str_eq(to, "cdef");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("str");
	TCase *tests = tcase_create("str");
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, test_str_questions);
	tcase_add_loop_test(tests, test_str_utf8, 0, ARRAY_LEN(utf8));
	tcase_add_test(tests, test_str_to_int);
	tcase_add_test(tests, test_str_nearest);
	tcase_add_test(tests, test_str_copy);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/*
 * The parts of bulkwatch(1) that need no daemon: text for terminals, tables' widths, the command
 * line, the table of verbs. What it asks and prints is tested by tests/e2e/test_ctl.py.
 */
#include <check.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/args.h"
#include "ctl/table.h"
#include "ctl/term.h"
#include "ctl/verbs.h"
#include "util/mem.h"

/* Text that is safe, wide or cut; freed by the next call. */
static const char *keep(struct buf *made)
{
	static struct buf kept;

	buf_deinit(&kept);
	kept = *made;
	*made = (struct buf){0};
	return buf_str(&kept);
}

static const char *safe(const char *text, bool is_utf8)
{
	struct buf out = {0};

	text_add_safe(&out, text, is_utf8);
	return keep(&out);
}

static const char *cut(const char *text, size_t width, bool is_utf8)
{
	struct buf out = {0};

	text_add_cut(&out, text, width, is_utf8);
	return keep(&out);
}

static const char *safe_json(const char *text)
{
	struct buf out = {0};

	text_add_safe_json(&out, text, strlen(text));
	return keep(&out);
}

START_TEST(test_safe)
{
	ck_assert_str_eq(safe("plain", true), "plain");
	ck_assert_str_eq(safe("", true), "");
	ck_assert_str_eq(safe("a\tb\nc\rd\033[31m\007\177", true), "a?b?c?d?[31m??");
	ck_assert_str_eq(safe("C1: \xc2\x9b"
	                      "31m",
	                         true),
	        "C1: ?31m");
	ck_assert_str_eq(safe("bidi \xe2\x80\xae \xe2\x81\xa6 \xe2\x80\xa8", true), "bidi ? ? ?");
	ck_assert_str_eq(safe("gr\xc3\xbc\xc3\x9f", true), "gr\xc3\xbc\xc3\x9f");
	ck_assert_str_eq(safe("gr\xc3\xbc\xc3\x9f", false), "gr??");
	/* Not UTF-8: cut short, overlong, a surrogate, a stray continuation, beyond U+10ffff. */
	ck_assert_str_eq(safe("x\xe2\x82", true), "x??");
	ck_assert_str_eq(safe("\xc0\xaf", true), "??");
	ck_assert_str_eq(safe("\xed\xa0\x80", true), "???");
	ck_assert_str_eq(safe("\x80y", true), "?y");
	ck_assert_str_eq(safe("\xff\xfe", true), "??");
	ck_assert_str_eq(safe("\xf4\x90\x80\x80", true), "????");
}
END_TEST

START_TEST(test_safe_json)
{
	ck_assert_str_eq(safe_json("{\"a\": \"\xc3\xbc\"}\n"), "{\"a\": \"\xc3\xbc\"}\n");
	ck_assert_str_eq(safe_json("{\r\n\t\"a\":\r1}"), "{ \n\t\"a\": 1}");
	ck_assert_str_eq(safe_json("\"\177\xc2\x9b\xe2\x80\xae\""), "\"\\u007f\\u009b\\u202e\"");
}
END_TEST

START_TEST(test_width_and_cut)
{
	ck_assert_uint_eq(text_width("abc"), 3);
	ck_assert_uint_eq(text_width("\xe6\x97\xa5\xe6\x9c\xac"), 4);
	ck_assert_uint_eq(text_width("e\xcc\x81"), 1);
	ck_assert_str_eq(cut("abc", 3, true), "abc");
	ck_assert_str_eq(cut("abcd", 3, true), "ab\xe2\x80\xa6");
	ck_assert_str_eq(cut("abcdef", 5, false), "ab...");
	ck_assert_str_eq(cut("abcdef", 2, false), "");
	ck_assert_str_eq(cut("abc", 0, true), "");
	/* A wide character that would stand half outside is left out. */
	ck_assert_str_eq(
	        cut("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 4, true), "\xe6\x97\xa5\xe2\x80\xa6");
}
END_TEST

START_TEST(test_times)
{
	static const struct {
		const char *text;
		int64_t wall_ms; /* -1: no time */
	} cases[] = {
	        {"1970-01-01T00:00:00.000Z", 0},
	        {"2026-11-24T05:00:00.123Z", INT64_C(1795496400123)},
	        {"2026-11-24T05:00:00Z", INT64_C(1795496400000)},
	        {"2026-11-24T05:00:00.1Z", INT64_C(1795496400100)},
	        {"2026-11-24T05:00:00.123456Z", INT64_C(1795496400123)},
	        {"2019-04-01T14:20:04+05:30", -1},
	        {"2026-11-24 05:00:00Z", -1},
	        {"2026-11-24T05:00:00", -1},
	        {"soon", -1},
	        {"", -1},
	        {NULL, -1},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t wall_ms = -1;

		ck_assert_int_eq(text_parse_time(cases[i].text, &wall_ms), cases[i].wall_ms >= 0);
		ck_assert_int_eq(wall_ms, cases[i].wall_ms);
	}
}
END_TEST

START_TEST(test_relative)
{
	char text[TEXT_RELATIVE_SIZE];
	const int64_t now = INT64_C(1795496400000), day = 86400000;

	ck_assert_str_eq(text_relative(now, now, text), "now");
	ck_assert_str_eq(text_relative(now - 999, now, text), "now");
	ck_assert_str_eq(text_relative(now - 1000, now, text), "1s ago");
	ck_assert_str_eq(text_relative(now + 90000, now, text), "in 1m 30s");
	ck_assert_str_eq(text_relative(now - day - 3600000 - 1, now, text), "1d 1h ago");
	ck_assert_str_eq(text_relative(now - 2 * day, now, text), "2d ago");
	ck_assert_str_eq(text_duration(250, text), "250ms");
	ck_assert_str_eq(text_duration(-5, text), "0ms");
	ck_assert_str_eq(text_duration(3600000 + 60000, text), "1h 1m");
}
END_TEST

START_TEST(test_colors)
{
	struct term term = {.has_color = true};
	struct buf out = {0};

	term_add_colored(&term, &out, COLOR_RED, "x");
	ck_assert_str_eq(buf_str(&out), "\033[31mx\033[0m");
	buf_clear(&out);
	term_add_colored(&term, &out, COLOR_NONE, "x");
	term.has_color = false;
	term_add_colored(&term, &out, COLOR_RED, "y");
	ck_assert_str_eq(buf_str(&out), "xy");
	ck_assert_int_eq(color_of_state("COMPLETED"), COLOR_GREEN);
	ck_assert_int_eq(color_of_state("LOST"), COLOR_RED);
	ck_assert_int_eq(color_of_state("a new word"), COLOR_NONE);
	ck_assert_int_eq(color_of_state(NULL), COLOR_NONE);
	buf_deinit(&out);
}
END_TEST

/* What table_flush() prints, through a file in place of stdout. Owned by the caller. */
static char *flushed(struct table *table)
{
	FILE *real = stdout, *file = tmpfile();
	char *text;
	long size;

	ck_assert_ptr_nonnull(file);
	stdout = file;
	table_flush(table);
	stdout = real;
	size = ftell(file);
	text = mem_new((size_t)size + 1, 1);
	rewind(file);
	ck_assert_uint_eq(fread(text, 1, (size_t)size, file), (size_t)size);
	fclose(file);
	return text;
}

START_TEST(test_table)
{
	static const struct table_column columns[] = {{.title = "ID"}, {.title = "NAME", .min = 4},
	        {.title = "NOTE", .min = 4, .drop = 1}};
	struct term term = {.is_terminal = true, .is_utf8 = true, .width = 40};
	struct table table;
	cleanup(mem_free_p) char *whole = NULL, *more = NULL, *tight = NULL, *plain = NULL;

	table_init(&table, &term, columns, 3);
	table_add(&table, "1", COLOR_NONE);
	table_add(&table, "one", COLOR_NONE);
	table_add(&table, NULL, COLOR_NONE);
	whole = flushed(&table);
	ck_assert_str_eq(whole, "ID  NAME  NOTE\n1   one   -\n");
	/* The widths of the first page stay, without a header again. */
	table_add(&table, "2", COLOR_NONE);
	table_add(&table, "too long", COLOR_NONE);
	table_add(&table, "x", COLOR_NONE);
	more = flushed(&table);
	ck_assert_str_eq(more, "2   too\xe2\x80\xa6  x\n");
	table_deinit(&table);

	term.width = 20;
	table_init(&table, &term, columns, 3);
	table_add(&table, "3652397000004", COLOR_NONE);
	table_add(&table, "contacts", COLOR_NONE);
	table_add(&table, "dropped", COLOR_NONE);
	tight = flushed(&table);
	ck_assert_str_eq(tight, "ID             NAME\n3652397000004  cont\xe2\x80\xa6\n");
	table_deinit(&table);

	term.is_terminal = false;
	table_init(&table, &term, columns, 3);
	table_add(&table, "1", COLOR_RED);
	table_add(&table, "a\tb\n", COLOR_NONE);
	table_add(&table, "", COLOR_NONE);
	plain = flushed(&table);
	ck_assert_str_eq(plain, "1\ta?b?\t-\n");
	table_deinit(&table);
}
END_TEST

/* stderr is told why a command line is refused: not in the tests' output. */
static int parse(struct args *args, const char *const *argv)
{
	int argc = 0, code;
	FILE *real = stderr;

	while (argv[argc])
		argc++;
	stderr = fopen("/dev/null", "w");
	code = args_parse(args, argc, argv);
	fclose(stderr);
	stderr = real;
	return code;
}

#define ARGV(...) ((const char *const[]){"bulkwatch", __VA_ARGS__, NULL})

START_TEST(test_args)
{
	struct args args;
	int64_t value = 7;

	ck_assert_int_eq(
	        parse(&args, ARGV("--json", "list", "--limit", "3", "-aacme", "--name=--x")), 0);
	ck_assert_str_eq(args.verb->name, "list");
	ck_assert_ptr_nonnull(args_global(&args, "json"));
	ck_assert_ptr_null(args_global(&args, "runtime-dir"));
	ck_assert_str_eq(args_option(&args, "account"), "acme");
	ck_assert_str_eq(args_option(&args, "name"), "--x");
	ck_assert_ptr_null(args_option(&args, "finished"));
	ck_assert_int_eq(args_integer(&args, "limit", 1, 9, &value), CTL_OK);
	ck_assert_int_eq(value, 3);
	args_deinit(&args);

	ck_assert_int_eq(parse(&args, ARGV("show", "--runtime-dir", "/x", "--", "--odd name")), 0);
	ck_assert_str_eq(args_global(&args, "runtime-dir"), "/x");
	ck_assert_uint_eq(args.n_operands, 1);
	ck_assert_str_eq(args.operands[0], "--odd name");
	args_deinit(&args);

	ck_assert_int_eq(parse(&args, ARGV("show", "--help")), 0);
	ck_assert_ptr_nonnull(args_global(&args, "help"));
	args_deinit(&args);
}
END_TEST

START_TEST(test_args_refused)
{
	const char *const *cases[] = {
	        ARGV("nothing-like-it"),
	        ARGV("list", "--limit"),
	        ARGV("list", "--finished=true"),
	        ARGV("list", "--lim", "3"),
	        ARGV("list", "operand"),
	        ARGV("list", "-x"),
	        ARGV("show"),
	        ARGV("show", "a", "b"),
	        ARGV("deliveries", "--state", "nearly"),
	        ARGV("deliveries", "--state="),
	        ARGV("completion", "csh"),
	        ARGV("completion", "bash", "--json"),
	        ARGV("--runtime-dir", "/a", "--runtime-dir", "/b", "list"),
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct args args;

		ck_assert_msg(parse(&args, cases[i]) == CTL_USAGE, "case %zu", i);
		args_deinit(&args);
	}
}
END_TEST

static size_t n_options(const struct option_spec *options)
{
	size_t n = 0;

	while (options && options[n].name)
		n++;
	return n;
}

START_TEST(test_verbs)
{
	size_t n_globals = n_options(global_options);

	ck_assert_uint_le(n_globals, ARGS_OPTIONS_MAX);
	for (size_t i = 0; i < n_verbs; i++) {
		const struct option_spec *options = verbs[i].options;

		ck_assert_ptr_eq(verb_find(verbs[i].name), &verbs[i]);
		ck_assert_ptr_nonnull(verbs[i].run);
		ck_assert_uint_le(verbs[i].min_operands, verbs[i].max_operands);
		ck_assert_int_eq(verbs[i].max_operands > 0, *verbs[i].operands != '\0');
		ck_assert_uint_le(n_options(options), ARGS_OPTIONS_MAX);
		for (size_t a = 0; a < n_options(options); a++) {
			for (size_t g = 0; g < n_globals; g++) {
				ck_assert_str_ne(options[a].name, global_options[g].name);
				ck_assert(!options[a].letter ||
				          options[a].letter != global_options[g].letter);
			}
			for (size_t b = 0; b < a; b++) {
				ck_assert_str_ne(options[a].name, options[b].name);
				ck_assert(!options[a].letter ||
				          options[a].letter != options[b].letter);
			}
		}
	}
	ck_assert_ptr_null(verb_find("lis"));
	ck_assert_str_eq(verb_nearest("lis"), "list");
	ck_assert_ptr_null(verb_nearest("quite something else"));
}
END_TEST

static Suite *ctl_suite(void)
{
	Suite *suite = suite_create("ctl");
	TCase *tcase = tcase_create("ctl");

	tcase_add_test(tcase, test_safe);
	tcase_add_test(tcase, test_safe_json);
	tcase_add_test(tcase, test_width_and_cut);
	tcase_add_test(tcase, test_times);
	tcase_add_test(tcase, test_relative);
	tcase_add_test(tcase, test_colors);
	tcase_add_test(tcase, test_table);
	tcase_add_test(tcase, test_args);
	tcase_add_test(tcase, test_args_refused);
	tcase_add_test(tcase, test_verbs);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner;
	int n_failed;

	if (!setlocale(LC_CTYPE, "C.UTF-8")) {
		fputs("the locale C.UTF-8 is missing\n", stderr);
		return EXIT_FAILURE;
	}
	runner = srunner_create(ctl_suite());
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

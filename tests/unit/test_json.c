/*
 * JSON in: what is taken, what is refused and why, the caps, what is kept as written. JSON out:
 * escapes, U+FFFD for what is no UTF-8, numbers, raw texts.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "seed.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/json.h"

enum { CAP = 1024 * 1024 };

/* Parses a copy of the exact size, so that a look beyond it is noticed; the raw text of the root,
 * which is "" if it is refused. */
static enum json_error parse_bytes(const char *bytes, size_t len, struct buf *raw)
{
	cleanup(mem_free_p) char *copy = malloc(len ? len : 1);
	cleanup(json_free_p) struct json *json = NULL;
	enum json_error error;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, len);
	error = json_parse(copy, len, CAP, &json);
	ck_assert_int_eq(error == JSON_OK, json != NULL);
	buf_clear(raw);
	if (json)
		json_add_raw(json, json_root(json), raw);
	return error;
}

static enum json_error parse_text(const char *text)
{
	cleanup(buf_deinit) struct buf raw = {0};

	return parse_bytes(text, strlen(text), &raw);
}

/* ---- in: what is taken and refused ---- */

static const struct {
	const char *text;
	int len; /* 0 = of the string */
	enum json_error error;
	const char *raw; /* NULL = the text itself */
} texts[] = {
        {"{}", 0, JSON_OK, NULL},
        {"[]", 0, JSON_OK, NULL},
        {" \t\r\n{ } \n", 0, JSON_OK, "{}"},
        {"null", 0, JSON_OK, NULL},
        {"true", 0, JSON_OK, NULL},
        {"false ", 0, JSON_OK, "false"},
        {"\"a b\"", 0, JSON_OK, NULL},
        {"\"\"", 0, JSON_OK, NULL},
        {"0", 0, JSON_OK, NULL},
        {" -0.5e+07 ", 0, JSON_OK, "-0.5e+07"},
        {"12", 0, JSON_OK, NULL},
        {"[1,2 , 3]", 0, JSON_OK, "[1,2,3]"},
        {"{\"a\" : [ 1 , {\"b\":\" \\\" \\\\ \"} ] , \"c\" : null}", 0, JSON_OK,
                "{\"a\":[1,{\"b\":\" \\\" \\\\ \"}],\"c\":null}"},
        /* As written: numbers that no C type holds, escapes, solidi. */
        {"[3652397000000646004,123456789012345678901234567890,1e999,-0,1.10]", 0, JSON_OK, NULL},
        {"\"\\u00e9\\/\\ud83d\\ude00\"", 0, JSON_OK, NULL},
        {"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", 0, JSON_OK, NULL},
        {"{\"\":1}", 0, JSON_OK, NULL},
        {"{\"a\":1,\"A\":1,\"a \":1}", 0, JSON_OK, NULL},
        {"[{\"a\":1},{\"a\":1}]", 0, JSON_OK, NULL},
        {"{\"\\ud83d\\ude00\":\"\\ue000\\ud7ff\"}", 0, JSON_OK, NULL},
        {"{\"a\":{\"a\":1}}", 0, JSON_OK, NULL},

        {"", 0, JSON_E_SYNTAX, ""},
        {"  \n", 0, JSON_E_SYNTAX, ""},
        {"{", 0, JSON_E_SYNTAX, ""},
        {"[1", 0, JSON_E_SYNTAX, ""},
        {"[1,]", 0, JSON_E_SYNTAX, ""},
        {"{\"a\"}", 0, JSON_E_SYNTAX, ""},
        {"{\"a\":1,}", 0, JSON_E_SYNTAX, ""},
        {"{a:1}", 0, JSON_E_SYNTAX, ""},
        {"{1:1}", 0, JSON_E_SYNTAX, ""},
        {"'a'", 0, JSON_E_SYNTAX, ""},
        {"\"a", 0, JSON_E_SYNTAX, ""},
        {"tru", 0, JSON_E_SYNTAX, ""},
        {"NaN", 0, JSON_E_SYNTAX, ""},
        {"01", 0, JSON_E_SYNTAX, ""},
        {"1.", 0, JSON_E_SYNTAX, ""},
        {"+1", 0, JSON_E_SYNTAX, ""},
        {"-", 0, JSON_E_SYNTAX, ""},
        {"/* c */ 1", 0, JSON_E_SYNTAX, ""},
        {"[1] x", 0, JSON_E_SYNTAX, ""},
        {"[1][2]", 0, JSON_E_SYNTAX, ""},
        {"{} {}", 0, JSON_E_SYNTAX, ""},
        {"1 2", 0, JSON_E_SYNTAX, ""},
        {"{}\0", 3, JSON_E_SYNTAX, ""},
        {"]", 0, JSON_E_SYNTAX, ""},
        {"[}", 0, JSON_E_SYNTAX, ""},
        {"[1,\v2]", 0, JSON_E_SYNTAX, ""},
        {"{\"a\"\f:1}", 0, JSON_E_SYNTAX, ""},
        {"\"\\x41\"", 0, JSON_E_SYNTAX, ""},
        {"\"\\u12g4\"", 0, JSON_E_SYNTAX, ""},
        {"\"a\nb\"", 0, JSON_E_SYNTAX, ""},
        {"\"a\0b\"", 5, JSON_E_SYNTAX, ""},
        {"<html></html>", 0, JSON_E_SYNTAX, ""},
        {"\xef\xbb\xbf{}", 0, JSON_E_SYNTAX, ""},

        /* Half a surrogate pair, in a value and in a name. */
        {"\"\\ud83dA\"", 0, JSON_E_SYNTAX, ""},
        {"\"\\ud83dabcdef\"", 0, JSON_E_SYNTAX, ""},
        {"\"\\ud83d\\ue000\"", 0, JSON_E_SYNTAX, ""},
        {"\"\\ud83d\\ud83d\"", 0, JSON_E_SYNTAX, ""},
        {"\"\\ude00\"", 0, JSON_E_SYNTAX, ""},
        {"{\"\\ude00\":1}", 0, JSON_E_SYNTAX, ""},
        {"{\"\\ud83d\":1}", 0, JSON_E_SYNTAX, ""},

        {"\"\\u0000\"", 0, JSON_E_NUL, ""},
        {"{\"a\\u0000b\":1}", 0, JSON_E_NUL, ""},
        {"[\"x\",\"\\u0000\"]", 0, JSON_E_NUL, ""},

        {"{\"a\":1,\"a\":2}", 0, JSON_E_DUPLICATE_KEY, ""},
        {"{\"a\":1,\"b\":2,\"\\u0061\":3}", 0, JSON_E_DUPLICATE_KEY, ""},
        {"{\"\":1,\"\":2}", 0, JSON_E_DUPLICATE_KEY, ""},
        {"[0,{\"x\":{\"a\":1,\"c\":[],\"a\":{}}}]", 0, JSON_E_DUPLICATE_KEY, ""},

        /* Not UTF-8: stray and missing continuations, overlong forms, surrogates, too large. */
        {"\"\x80\"", 0, JSON_E_SYNTAX, ""},
        {"\"\xff\"", 0, JSON_E_SYNTAX, ""},
        {"\"\xc3\"", 0, JSON_E_SYNTAX, ""},
        {"\"\xc3(\"", 0, JSON_E_SYNTAX, ""},
        {"\"\xe2\x82\"", 0, JSON_E_SYNTAX, ""},
        {"{\"\xfe\":1}", 0, JSON_E_SYNTAX, ""},
        {"\"\xc0\xaf\"", 0, JSON_E_SYNTAX, ""},
        {"\"\xc1\x81\"", 0, JSON_E_SYNTAX, ""},
        {"\"\xe0\x80\xaf\"", 0, JSON_E_SYNTAX, ""},
        {"\"\xed\xa0\x80\"", 0, JSON_E_SYNTAX, ""},
        {"\"\xf0\x80\x80\xaf\"", 0, JSON_E_SYNTAX, ""},
        {"\"\xf4\x90\x80\x80\"", 0, JSON_E_SYNTAX, ""},
        {"\"\xf5\x80\x80\x80\"", 0, JSON_E_SYNTAX, ""},
};

START_TEST(test_texts)
{
	cleanup(buf_deinit) struct buf raw = {0};
	size_t len = texts[_i].len ? (size_t)texts[_i].len : strlen(texts[_i].text);

	ck_assert_int_eq(parse_bytes(texts[_i].text, len, &raw), texts[_i].error);
	ck_assert_str_eq(buf_str(&raw), texts[_i].raw ? texts[_i].raw : texts[_i].text);
	ck_assert_str_ne(json_error_words(texts[_i].error), "");
}
END_TEST

START_TEST(test_cap_on_bytes)
{
	struct json *json;

	ck_assert_int_eq(json_parse("[1,2]", 5, 5, &json), JSON_OK);
	json_free(json);
	ck_assert_int_eq(json_parse("[1,2]", 5, 4, &json), JSON_E_TOO_BIG);
	ck_assert_ptr_null(json);
	ck_assert_ptr_null(json_free(NULL));
}
END_TEST

/* open n times, then a value, then close n times. */
static enum json_error parse_nested(size_t n, const char *open, const char *close)
{
	cleanup(buf_deinit) struct buf text = {0};

	for (size_t i = 0; i < n; i++)
		buf_adds(&text, open);
	buf_addc(&text, '1');
	for (size_t i = 0; i < n; i++)
		buf_adds(&text, close);
	return parse_text(buf_str(&text));
}

START_TEST(test_cap_on_depth)
{
	cleanup(buf_deinit) struct buf bomb = {0};

	ck_assert_int_eq(parse_nested(JSON_DEPTH_MAX, "[", "]"), JSON_OK);
	ck_assert_int_eq(parse_nested(JSON_DEPTH_MAX + 1, "[", "]"), JSON_E_TOO_DEEP);
	ck_assert_int_eq(parse_nested(JSON_DEPTH_MAX, "{\"a\":", "}"), JSON_OK);
	ck_assert_int_eq(parse_nested(JSON_DEPTH_MAX + 1, "{\"a\":", "}"), JSON_E_TOO_DEEP);
	ck_assert_int_eq(parse_nested(JSON_DEPTH_MAX / 2, "[{\"a\":", "}]"), JSON_OK);
	for (int i = 0; i < 200000; i++)
		buf_addc(&bomb, '[');
	ck_assert_int_eq(parse_text(buf_str(&bomb)), JSON_E_TOO_DEEP);
}
END_TEST

/* An array of n ones, but for the last. */
static enum json_error parse_ones(size_t n, const char *last)
{
	cleanup(buf_deinit) struct buf text = {0};

	buf_adds(&text, "[1");
	for (size_t i = 1; i + 1 < n; i++)
		buf_adds(&text, ",1");
	buf_addf(&text, ",%s]", last);
	return parse_text(buf_str(&text));
}

START_TEST(test_cap_on_nodes)
{
	static const char *const values[] = {"1", "\"a\"", "true", "null", "{}", "[]"};

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		ck_assert_int_eq(parse_ones(JSON_NODES_MAX - 1, values[i]), JSON_OK);
		ck_assert_int_eq(parse_ones(JSON_NODES_MAX, values[i]), JSON_E_TOO_BIG);
	}
}
END_TEST

/* An object of n members, the last of which bears the name of the twin-th (n = nobody's). */
static enum json_error parse_members(size_t n, size_t twin)
{
	cleanup(buf_deinit) struct buf text = {0};

	for (size_t i = 0; i < n; i++)
		buf_addf(&text, "%s\"k%zu\":%zu", i ? "," : "{",
		        i == n - 1 && twin < n ? twin : i * 7919 % 100003, i);
	buf_addc(&text, '}');
	return parse_text(buf_str(&text));
}

START_TEST(test_duplicates_in_small_and_large_objects)
{
	static const size_t sizes[] = {2, 3, 15, 16, 17, 18, 100, 5000};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		ck_assert_int_eq(parse_members(sizes[i], SIZE_MAX), JSON_OK);
		/* Member 0 is named k0. */
		ck_assert_int_eq(parse_members(sizes[i], 0), JSON_E_DUPLICATE_KEY);
	}
}
END_TEST

/* ---- in: what can be asked ---- */

static const char sample[] = "{ \"name\" : \"caf\\u00e9 \\\"x\\\"\" , \"n\" : 42, \"big\" : "
                             "9223372036854775808, \"least\":-9223372036854775808, \"real\" : 1.0,"
                             " \"yes\": true, \"no\":false , \"nil\" : null, \"list\" : [ 1, [ ] , "
                             "{ \"k\" : \" \" } ], \"empty\":{}}";

START_TEST(test_members)
{
	cleanup(json_free_p) struct json *json = NULL;
	const struct json_node *root, *list;
	int64_t n = 7;
	bool is = false;

	ck_assert_int_eq(json_parse(sample, strlen(sample), CAP, &json), JSON_OK);
	root = json_root(json);
	ck_assert_str_eq(json_get_string(json, root, "name"), "caf\xc3\xa9 \"x\"");
	ck_assert_ptr_null(json_get_string(json, root, "n"));
	ck_assert_ptr_null(json_get_string(json, root, "nowhere"));
	ck_assert_ptr_null(json_get(json, NULL, "name"));
	ck_assert(json_get_integer(json, root, "n", &n) && n == 42);
	ck_assert(json_get_integer(json, root, "least", &n) && n == INT64_MIN);
	n = 7;
	ck_assert(!json_get_integer(json, root, "big", &n));
	ck_assert(!json_get_integer(json, root, "real", &n));
	ck_assert(!json_get_integer(json, root, "name", &n));
	ck_assert(!json_get_integer(json, root, "nowhere", &n));
	ck_assert_int_eq(n, 7);
	ck_assert(json_get_bool(json, root, "yes", &is) && is);
	ck_assert(json_get_bool(json, root, "no", &is) && !is);
	ck_assert(!json_get_bool(json, root, "nil", &is));
	ck_assert(!json_get_bool(json, root, "nowhere", &is));
	ck_assert_int_eq(json_get(json, root, "nil")->type, JSON_NULL);
	ck_assert_str_eq(json_get(json, root, "big")->text, "9223372036854775808");
	ck_assert_str_eq(json_get(json, root, "real")->text, "1.0");
	list = json_get(json, root, "list");
	ck_assert_int_eq(list->type, JSON_ARRAY);
	ck_assert_ptr_null(json_get(json, list, "k"));
	ck_assert_ptr_null(json_first(json, json_get(json, root, "empty")));
	ck_assert_ptr_null(json_first(json, NULL));
	ck_assert_ptr_null(json_first(json, json_get(json, root, "n")));
}
END_TEST

START_TEST(test_raw_ranges_of_every_member)
{
	static const char *const raws[] = {"\"caf\\u00e9 \\\"x\\\"\"", "42", "9223372036854775808",
	        "-9223372036854775808", "1.0", "true", "false", "null", "[1,[],{\"k\":\" \"}]",
	        "{}"};
	static const char *const keys[] = {
	        "name", "n", "big", "least", "real", "yes", "no", "nil", "list", "empty"};
	cleanup(json_free_p) struct json *json = NULL;
	cleanup(buf_deinit) struct buf raw = {0};
	size_t i = 0;

	ck_assert_int_eq(json_parse(sample, strlen(sample), CAP, &json), JSON_OK);
	for (const struct json_node *m = json_first(json, json_root(json)); m;
	        m = json_next(json, m), i++) {
		ck_assert_uint_lt(i, ARRAY_LEN(raws));
		ck_assert_str_eq(m->key, keys[i]);
		buf_clear(&raw);
		json_add_raw(json, m, &raw);
		ck_assert_str_eq(buf_str(&raw), raws[i]);
	}
	ck_assert_uint_eq(i, ARRAY_LEN(raws));
}
END_TEST

START_TEST(test_every_cut_is_refused)
{
	cleanup(buf_deinit) struct buf raw = {0};

	for (size_t len = 0; len < strlen(sample); len++)
		ck_assert_int_eq(parse_bytes(sample, len, &raw), JSON_E_SYNTAX);
}
END_TEST

/* Halves of a surrogate pair alone are no character: refused, or decoded to something that is. */
START_TEST(test_decoded_text_is_utf8)
{
	static const char *const halves[] = {"\"\\ud800\"", "\"\\udc00\"", "\"a\\udfffb\"",
	        "\"\\ud800\\ud800\"", "\"\\udc00\\ud800\"", "\"\\ud83dA\"", "\"\\ud800\\n\""};

	for (size_t i = 0; i < ARRAY_LEN(halves); i++) {
		cleanup(json_free_p) struct json *json = NULL;
		const char *text;

		if (json_parse(halves[i], strlen(halves[i]), CAP, &json) != JSON_OK)
			continue;
		text = json_string(json_root(json));
		ck_assert_msg(str_is_utf8(text, strlen(text), NULL), "%s", halves[i]);
	}
}
END_TEST

/* What is taken is written as JSON that is taken again and is the same; bytes changed at random. */
START_TEST(test_random_damage)
{
	cleanup(buf_deinit) struct buf raw = {0}, again = {0};
	char text[sizeof(sample)];
	struct rng rng;

	seed_rng(&rng, "test_random_damage");
	for (int i = 0; i < 20000; i++) {
		memcpy(text, sample, sizeof(sample));
		for (uint64_t n = rng_below(&rng, 4) + 1; n > 0; n--)
			text[rng_below(&rng, sizeof(sample) - 1)] = (char)rng_next(&rng);
		if (parse_bytes(text, sizeof(sample) - 1, &raw) != JSON_OK)
			continue;
		ck_assert_int_eq(parse_bytes(buf_str(&raw), raw.len, &again), JSON_OK);
		ck_assert_str_eq(buf_str(&raw), buf_str(&again));
		ck_assert(str_is_utf8(buf_str(&raw), raw.len, NULL));
	}
}
END_TEST

/* ---- out ---- */

static const struct {
	const char *bytes;
	size_t len;
	const char *json;
} strings[] = {
        {"", 0, "\"\""},
        {"a/b", 3, "\"a/b\""},
        {"\"\\", 2, "\"\\\"\\\\\""},
        {"\n\r\t\b\f", 5, "\"\\n\\r\\t\\b\\f\""},
        {"\0x\x1f", 3, "\"\xef\xbf\xbdx\\u001F\""},
        {"\xc3\xa9", 2, "\"\xc3\xa9\""},
        {"\xff", 1, "\"\xef\xbf\xbd\""},
        {"\xff\0", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\0\xff", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"a\xff\xfe"
         "b",
                4,
                "\"a\xef\xbf\xbd\xef\xbf\xbd"
                "b\""},
        {"\xc3", 1, "\"\xef\xbf\xbd\""},
        {"\xe2\x82x", 3, "\"\xef\xbf\xbd\xef\xbf\xbdx\""},
        {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"x\xc0\xaf", 3, "\"x\xef\xbf\xbd\xef\xbf\xbd\""},
};

START_TEST(test_out_strings)
{
	cleanup(buf_deinit) struct buf out = {0};
	cleanup(mem_free_p) char *copy = malloc(strings[_i].len ? strings[_i].len : 1);
	struct json_out w;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, strings[_i].bytes, strings[_i].len);
	json_out_init(&w, &out, false);
	json_put_bytes(&w, NULL, copy, strings[_i].len);
	json_out_deinit(&w);
	ck_assert_str_eq(buf_str(&out), strings[_i].json);
}
END_TEST

/* With a look at all that follows each such byte this would take the better part of an hour. */
START_TEST(test_out_of_nothing_that_can_be_said)
{
	enum { N = 4 * 1024 * 1024 };
	static const char bad[] = {'\0', '\xff'};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cleanup(buf_deinit) struct buf out = {0};
		cleanup(mem_free_p) char *bytes = mem_new(N, 1);
		struct json_out w;

		memset(bytes, bad[i], N);
		json_out_init(&w, &out, false);
		json_put_bytes(&w, NULL, bytes, N);
		json_out_deinit(&w);
		ck_assert_uint_eq(out.len, 3 * (size_t)N + 2);
	}
}
END_TEST

START_TEST(test_out_members)
{
	cleanup(buf_deinit) struct buf out = {0};
	struct json_out w;

	json_out_init(&w, &out, false);
	json_open_object(&w, NULL);
	json_put_string(&w, "s\"", "x");
	json_put_string(&w, "none", NULL);
	json_put_raw(&w, "raw", "{\"a\":[1e999]}");
	json_put_raw(&w, "no_raw", NULL);
	json_put_integer(&w, "least", INT64_MIN);
	json_put_integer(&w, "most", INT64_MAX);
	json_put_bool(&w, "yes", true);
	json_put_null(&w, "nil");
	json_put_time(&w, "at", 1);
	json_put_time(&w, "never", 0);
	json_open_array(&w, "list");
	json_put_raw(&w, NULL, "[1]");
	json_put_integer(&w, NULL, 2);
	json_open_object(&w, NULL);
	json_close_object(&w);
	json_close_array(&w);
	json_close_object(&w);
	json_out_deinit(&w);
	ck_assert_str_eq(buf_str(&out),
	        "{\"s\\\"\":\"x\",\"none\":null,\"raw\":{\"a\":[1e999]},\"no_raw\":null,"
	        "\"least\":-9223372036854775808,\"most\":9223372036854775807,\"yes\":true,"
	        "\"nil\":null,\"at\":\"1970-01-01T00:00:00.001Z\",\"never\":null,"
	        "\"list\":[[1],2,{}]}");
	ck_assert_int_eq(parse_text(buf_str(&out)), JSON_OK);
}
END_TEST

START_TEST(test_out_numbers)
{
	static const double values[] = {0.1, 1.0 / 3, 1e300, -2.5e-9, 123456789.125, 5e-324};
	cleanup(buf_deinit) struct buf out = {0};
	struct json_out w;

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		buf_clear(&out);
		json_out_init(&w, &out, false);
		json_put_number(&w, NULL, values[i]);
		json_out_deinit(&w);
		ck_assert(strtod(buf_str(&out), NULL) == values[i]);
		ck_assert_int_eq(parse_text(buf_str(&out)), JSON_OK);
	}
	buf_clear(&out);
	json_out_init(&w, &out, false);
	json_open_array(&w, NULL);
	json_put_number(&w, NULL, 0.1);
	json_put_number(&w, NULL, NAN);
	json_put_number(&w, NULL, INFINITY);
	json_put_number(&w, NULL, -INFINITY);
	json_close_array(&w);
	json_out_deinit(&w);
	ck_assert_str_eq(buf_str(&out), "[0.1,null,null,null]");
}
END_TEST

START_TEST(test_out_pretty_is_the_same)
{
	cleanup(buf_deinit) struct buf out = {0}, raw = {0};
	struct json_out w;

	json_out_init(&w, &out, true);
	json_open_object(&w, NULL);
	json_put_string(&w, "a", "b c");
	json_open_array(&w, "l");
	json_put_integer(&w, NULL, 1);
	json_close_array(&w);
	json_open_object(&w, "none");
	json_close_object(&w);
	json_close_object(&w);
	json_out_deinit(&w);
	ck_assert_str_eq(buf_str(&out),
	        "{\n  \"a\": \"b c\",\n  \"l\": [\n    1\n  ],\n  \"none\": {}\n}\n");
	ck_assert_int_eq(parse_bytes(out.data, out.len, &raw), JSON_OK);
	ck_assert_str_eq(buf_str(&raw), "{\"a\":\"b c\",\"l\":[1],\"none\":{}}");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("json");
	TCase *tests = tcase_create("json");
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, test_texts, 0, ARRAY_LEN(texts));
	tcase_add_test(tests, test_cap_on_bytes);
	tcase_add_test(tests, test_cap_on_depth);
	tcase_add_test(tests, test_cap_on_nodes);
	tcase_add_test(tests, test_duplicates_in_small_and_large_objects);
	tcase_add_test(tests, test_members);
	tcase_add_test(tests, test_raw_ranges_of_every_member);
	tcase_add_test(tests, test_every_cut_is_refused);
	tcase_add_test(tests, test_decoded_text_is_utf8);
	tcase_add_test(tests, test_random_damage);
	tcase_add_loop_test(tests, test_out_strings, 0, ARRAY_LEN(strings));
	tcase_add_test(tests, test_out_of_nothing_that_can_be_said);
	tcase_add_test(tests, test_out_members);
	tcase_add_test(tests, test_out_numbers);
	tcase_add_test(tests, test_out_pretty_is_the_same);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/*
 * Signatures of webhooks: the vectors of the Standard Webhooks libraries, and what
 * may stand in a file of secrets.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "util/mem.h"
#include "wire/sign.h"

/* From the reference implementations' own tests. */
#define SPEC_SECRET    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SPEC_ID        "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define SPEC_TIMESTAMP "1614265330"
#define SPEC_BODY      "{\"test\": 2432232314}"
#define SPEC_SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
/* HMAC-SHA256 of the same text with the key "plain text", by Python's hmac. */
#define RAW_SIGNATURE "v1,jqwBeuO37ldYigaSHqcC7YjqBJtOOulPztOWrj1DjXA="

static void assert_signed(const char *secrets, const char *expected)
{
	cleanup(buf_deinit) struct buf out = {0};

	ck_assert_int_eq(
	        sign_webhook(secrets, SPEC_ID, SPEC_TIMESTAMP, SPEC_BODY, strlen(SPEC_BODY), &out),
	        0);
	ck_assert_str_eq(buf_str(&out), expected);
}

START_TEST(test_vector_of_the_specification)
{
	assert_signed(SPEC_SECRET, SPEC_SIGNATURE);
	assert_signed(SPEC_SECRET "\n", SPEC_SIGNATURE);
	assert_signed("\n\r\n" SPEC_SECRET "\r\n\n", SPEC_SIGNATURE);
}
END_TEST

START_TEST(test_other_text_is_signed_otherwise)
{
	static const char *const texts[][3] = {
	        {SPEC_ID "x", SPEC_TIMESTAMP, SPEC_BODY},
	        {SPEC_ID, "1614265331", SPEC_BODY},
	        {SPEC_ID, SPEC_TIMESTAMP, "{\"test\": 2432232315}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		cleanup(buf_deinit) struct buf out = {0};

		ck_assert_int_eq(sign_webhook(SPEC_SECRET, texts[i][0], texts[i][1], texts[i][2],
		                         strlen(texts[i][2]), &out),
		        0);
		ck_assert_uint_eq(out.len, strlen(SPEC_SIGNATURE));
		ck_assert_str_ne(buf_str(&out), SPEC_SIGNATURE);
	}
}
END_TEST

START_TEST(test_raw_bytes)
{
	assert_signed("plain text", RAW_SIGNATURE);
	assert_signed("plain text\n", RAW_SIGNATURE);
}
END_TEST

START_TEST(test_a_signature_for_each_secret)
{
	assert_signed(SPEC_SECRET "\nplain text\n", SPEC_SIGNATURE " " RAW_SIGNATURE);
	assert_signed("plain text\r\n\r\n" SPEC_SECRET, RAW_SIGNATURE " " SPEC_SIGNATURE);
}
END_TEST

/* The body is bytes, be there a NUL in it. */
START_TEST(test_body_is_taken_by_its_length)
{
	cleanup(buf_deinit) struct buf with = {0}, without = {0};

	ck_assert_int_eq(sign_webhook("k", "i", "t", "a\0b", 3, &with), 0);
	ck_assert_int_eq(sign_webhook("k", "i", "t", "a", 1, &without), 0);
	ck_assert_str_ne(buf_str(&with), buf_str(&without));
}
END_TEST

START_TEST(test_padding_may_be_left_out)
{
	cleanup(buf_deinit) struct buf padded = {0}, bare = {0}, raw = {0};

	ck_assert_int_eq(sign_webhook("whsec_a2V5cw==", "i", "t", "b", 1, &padded), 0);
	ck_assert_int_eq(sign_webhook("whsec_a2V5cw", "i", "t", "b", 1, &bare), 0);
	ck_assert_int_eq(sign_webhook("keys", "i", "t", "b", 1, &raw), 0);
	ck_assert_str_eq(buf_str(&padded), buf_str(&bare));
	ck_assert_str_eq(buf_str(&padded), buf_str(&raw));
}
END_TEST

START_TEST(test_what_is_no_secret)
{
	static const struct {
		const char *secrets;
		int error;
	} wrong[] = {
	        {"", CREDENTIAL_E_EMPTY},
	        {"\n\r\n\n", CREDENTIAL_E_EMPTY},
	        {"whsec_", CREDENTIAL_E_BASE64},
	        {"whsec_!!!!", CREDENTIAL_E_BASE64},
	        {"whsec_abcde", CREDENTIAL_E_BASE64},
	        {"whsec_ab==c", CREDENTIAL_E_BASE64},
	        {"whsec_abc==", CREDENTIAL_E_BASE64},
	        {"whsec_ab cd", CREDENTIAL_E_BASE64},
	        {"whsec_====", CREDENTIAL_E_BASE64},
	        {"good\nwhsec_?", CREDENTIAL_E_BASE64},
	        {"whsec_ab{d", CREDENTIAL_E_BASE64},
	        {"1\n2\n3\n4\n5\n6\n7\n8\n9\n", CREDENTIAL_E_TOO_MANY},
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		cleanup(buf_deinit) struct buf out = {0};
		int r = sign_webhook(wrong[i].secrets, "i", "t", "b", 1, &out);

		ck_assert_msg(r == wrong[i].error, "%s: %d", wrong[i].secrets, r);
		ck_assert_uint_eq(out.len, 0);
		ck_assert_str_ne(credential_error_words((enum credential_error)r), "");
	}
}
END_TEST

START_TEST(test_every_letter_of_base64)
{
	cleanup(buf_deinit) struct buf encoded = {0}, raw = {0};

	ck_assert_int_eq(sign_webhook("whsec_Pz8/fn5+", "i", "t", "b", 1, &encoded), 0);
	ck_assert_int_eq(sign_webhook("?\?\?~~~", "i", "t", "b", 1, &raw), 0);
	ck_assert_str_eq(buf_str(&encoded), buf_str(&raw));
	ck_assert_str_eq(credential_error_words(CREDENTIAL_OK), "");
}
END_TEST

START_TEST(test_what_may_stand_on_a_line)
{
	static const struct {
		const char *text;
		enum credential_error error;
	} rows[] = {{"1000.a~", CREDENTIAL_OK}, {"a\x7f", CREDENTIAL_E_UNPRINTABLE},
	        {"a b", CREDENTIAL_E_UNPRINTABLE}, {"a\nb", CREDENTIAL_E_LINES},
	        {" \n", CREDENTIAL_E_EMPTY}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n_used;

		ck_assert_int_eq(credential_line_look(rows[i].text, strlen(rows[i].text), &n_used),
		        rows[i].error);
	}
}
END_TEST

START_TEST(test_eight_secrets_are_few_enough)
{
	cleanup(buf_deinit) struct buf out = {0};

	ck_assert_int_eq(sign_webhook("1\n2\n3\n4\n5\n6\n7\n8\n", "i", "t", "b", 1, &out), 0);
	ck_assert_uint_eq(out.len, 8 * strlen(SPEC_SIGNATURE) + 7);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sign");
	TCase *tests = tcase_create("sign");
	SRunner *runner;
	int n_failed;

	tcase_add_test(tests, test_vector_of_the_specification);
	tcase_add_test(tests, test_other_text_is_signed_otherwise);
	tcase_add_test(tests, test_raw_bytes);
	tcase_add_test(tests, test_a_signature_for_each_secret);
	tcase_add_test(tests, test_body_is_taken_by_its_length);
	tcase_add_test(tests, test_padding_may_be_left_out);
	tcase_add_test(tests, test_what_is_no_secret);
	tcase_add_test(tests, test_every_letter_of_base64);
	tcase_add_test(tests, test_what_may_stand_on_a_line);
	tcase_add_test(tests, test_eight_secrets_are_few_enough);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

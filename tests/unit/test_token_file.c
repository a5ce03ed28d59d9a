/*
 * What of a grant outlives the daemon: it comes back as written, or not at all; and it is on disk
 * before a request is sent, so that no crash and no power cut forgets how often was asked.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/token_file.h"
#include "util/mem.h"

static const char name[] = "0123.token";
static const int64_t NOW_MS = INT64_C(1764018000000);
static char state_dir[] = "/tmp/bulkwatch-token-XXXXXX";
static int dir_fd;

/* What was done in turn: f, a file was synced; d, a directory; r, something got its name. */
static char steps[64];
static size_t n_steps;

static void note(char step)
{
	ck_assert_uint_lt(n_steps, sizeof(steps) - 1);
	steps[n_steps++] = step;
	steps[n_steps] = '\0';
}

int __real_fsync(int fd);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_fsync(int fd);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);

int __wrap_fsync(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	note(S_ISDIR(st.st_mode) ? 'd' : 'f');
	return __real_fsync(fd);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	note('r');
	return __real_renameat(from_fd, from, to_fd, to);
}

static void setup(void)
{
	strcpy(state_dir + strlen(state_dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(state_dir));
	dir_fd = token_dir_open(state_dir, NOW_MS);
	ck_assert_int_ge(dir_fd, 0);
	n_steps = 0;
}

static void teardown(void)
{
	cleanup(mem_free_p) char *tokens = mem_printf("%s/tokens", state_dir);

	unlinkat(dir_fd, name, 0);
	close(dir_fd);
	rmdir(tokens);
	rmdir(state_dir);
}

static struct token_record record_new(void)
{
	return (struct token_record){
	        .access_token = "1000.abc.def",
	        .api_domain = "https://www.zohoapis.eu",
	        .got_wall_ms = NOW_MS,
	        .expires_wall_ms = NOW_MS + 3600000,
	        .held_until_wall_ms = NOW_MS + 1000,
	        .asked_wall_ms = {NOW_MS, NOW_MS - 1, NOW_MS - 2},
	        .n_asked = 3,
	        .throttled_level = 2,
	};
}

START_TEST(test_it_comes_back_as_written)
{
	struct token_record record = record_new(), got;

	ck_assert_int_eq(token_file_read(dir_fd, name, &got), -ENOENT);
	ck_assert_int_eq(token_file_write(dir_fd, name, &record), 0);
	ck_assert_int_eq(token_file_read(dir_fd, name, &got), 0);
	ck_assert_str_eq(got.access_token, record.access_token);
	ck_assert_str_eq(got.api_domain, record.api_domain);
	ck_assert_int_eq(got.got_wall_ms, record.got_wall_ms);
	ck_assert_int_eq(got.expires_wall_ms, record.expires_wall_ms);
	ck_assert_int_eq(got.held_until_wall_ms, record.held_until_wall_ms);
	ck_assert_mem_eq(got.asked_wall_ms, record.asked_wall_ms, sizeof(got.asked_wall_ms));
	ck_assert_uint_eq(got.n_asked, record.n_asked);
	ck_assert_uint_eq(got.throttled_level, record.throttled_level);
}
END_TEST

START_TEST(test_it_is_on_disk_once_it_is_written)
{
	struct token_record record = record_new();

	ck_assert_int_eq(token_file_write(dir_fd, name, &record), 0);
	ck_assert_str_eq(steps, "frd");
}
END_TEST

/* Wherever it is cut. */
START_TEST(test_half_of_it_counts_as_none)
{
	struct token_record record = record_new(), got, none = {0};
	struct stat st;

	ck_assert_int_eq(token_file_write(dir_fd, name, &record), 0);
	ck_assert_int_eq(fstatat(dir_fd, name, &st, 0), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	for (off_t size = st.st_size - 1; size >= 0; size--) {
		int fd = openat(dir_fd, name, O_WRONLY);

		ck_assert_int_eq(ftruncate(fd, size), 0);
		close(fd);
		ck_assert_int_eq(token_file_read(dir_fd, name, &got), -EBADMSG);
		ck_assert_mem_eq(&got, &none, sizeof(got));
	}
}
END_TEST

START_TEST(test_one_that_others_can_read_counts_as_none)
{
	struct token_record record = record_new(), got;

	ck_assert_int_eq(token_file_write(dir_fd, name, &record), 0);
	ck_assert_int_eq(fchmodat(dir_fd, name, 0640, 0), 0);
	ck_assert_int_eq(token_file_read(dir_fd, name, &got), -EBADMSG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("token_file");
	TCase *tests = tcase_create("tests");
	SRunner *runner;
	int n_failed;

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, test_it_comes_back_as_written);
	tcase_add_test(tests, test_it_is_on_disk_once_it_is_written);
	tcase_add_test(tests, test_half_of_it_counts_as_none);
	tcase_add_test(tests, test_one_that_others_can_read_counts_as_none);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

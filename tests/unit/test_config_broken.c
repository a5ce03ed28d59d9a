/*
 * The configuration where it is wrong: each NAME.yaml of tests/data/config gives the messages of
 * NAME.expected word by word. What cannot stand in a text file (bytes that are no text, owners) is
 * made here.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/loader.h"
#include "config_fixture.h"
#include "core/credential.h"
#include "util/mem.h"

enum { GOLDEN_MIN = 30, GOLDEN_MAX = 200 };

static struct config_fixture fixture;
static char *golden_names[GOLDEN_MAX];
static int n_golden;

static void set_up(void)
{
	config_fixture_init(&fixture);
	/* So that checks find the default directories. */
	setenv("STATE_DIRECTORY", fixture.dir, true);
	setenv("RUNTIME_DIRECTORY", fixture.dir, true);
}

static void tear_down(void)
{
	config_fixture_deinit(&fixture);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of the broken configurations, without their suffix. */
static void golden_find(void)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/config", config_fixture_data_dir());
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir) {
		fprintf(stderr, "%s cannot be opened\n", path);
		exit(EXIT_FAILURE);
	}
	while ((entry = readdir(dir)) && n_golden < GOLDEN_MAX) {
		const char *suffix = strrchr(entry->d_name, '.');

		if (suffix && strcmp(suffix, ".yaml") == 0)
			golden_names[n_golden++] =
			        mem_strndup(entry->d_name, (size_t)(suffix - entry->d_name));
	}
	closedir(dir);
	qsort(golden_names, (size_t)n_golden, sizeof(golden_names[0]), compare_names);
}

/* The messages of a configuration that must be wrong; the caller ends *words. */
static void load_wrong(const char *name, enum config_use use, struct buf *words)
{
	struct config_problems problems;
	struct config *config;
	int r = config_fixture_load(&fixture, name, use, &config, &problems);

	config_fixture_print(&fixture, &problems, words);
	ck_assert_msg(r == CONFIG_E_INVALID, "%s is taken:\n%s", name, buf_str(words));
	ck_assert_ptr_null(config);
	ck_assert_uint_gt(problems.n_errors, 0);
	config_problems_deinit(&problems);
}

START_TEST(test_golden)
{
	const char *name = golden_names[_i];
	cleanup(mem_free_p) char *file = mem_printf("%s.yaml", name);
	cleanup(mem_free_p) char *expected_path =
	        mem_printf("%s/config/%s.expected", config_fixture_data_dir(), name);
	cleanup(buf_deinit) struct buf words = {0}, expected = {0};

	config_fixture_copy_data(&fixture);
	load_wrong(file, CONFIG_RUN, &words);
	config_fixture_read(expected_path, &expected);
	ck_assert_msg(strcmp(buf_str(&words), buf_str(&expected)) == 0,
	        "%s gives\n%sinstead of\n%s", file, buf_str(&words), buf_str(&expected));
}
END_TEST

START_TEST(test_golden_are_enough)
{
	ck_assert_int_ge(n_golden, GOLDEN_MIN);
	ck_assert_int_lt(n_golden, GOLDEN_MAX);
}
END_TEST

static const struct {
	const char *text;
	size_t len; /* 0 = up to the NUL */
	const char *expected;
} byte_rows[] = {
        {"a: 1\nb: \"x\xff\"\n", 0, "bytes.yaml:2:6: error: invalid UTF-8 (byte 0xff)\n"},
        {"# \xc3\xa4\xc3\xb6 \xc3\n", 0, "bytes.yaml:1:6: error: invalid UTF-8 (byte 0xc3)\n"},
        {"a: 1\r\nb: 2\r\nc: \xed\xa0\x80\r\n", 0,
                "bytes.yaml:3:4: error: invalid UTF-8 (byte 0xed)\n"},
        {"a: 1\rb: \xc0\xaf\r", 0, "bytes.yaml:2:4: error: invalid UTF-8 (byte 0xc0)\n"},
        {"\xff\xfe"
         "a\0:\0",
                6, "bytes.yaml:1:1: error: invalid UTF-8 (byte 0xff)\n"},
        {"a: 1\nb: \x01\n", 0, "bytes.yaml:2:4: error: a control character (U+0001) in the file\n"},
        {"a: 1\nb: c\0d\n", 11,
                "bytes.yaml:2:5: error: a control character (U+0000) in the file\n"},
        {"# \xc3\xa4\x7f\n", 0,
                "bytes.yaml:1:4: error: a control character (U+007F) in the file\n"},
        {"\xef\xbb\xbf"
         "retain: x\n",
                0,
                "bytes.yaml: warning: there are no accounts, so there is nothing to watch\n"
                "bytes.yaml:1:9: error: retain: expected a duration such as 500ms, 15s, 5m, 6h, "
                "30d or 1h30m, found \"x\"\n"},
        {" \n\n", 0, "bytes.yaml: error: the file is empty\n"},
};

START_TEST(test_bytes)
{
	const char *text = byte_rows[_i].text;
	cleanup(buf_deinit) struct buf words = {0};

	config_fixture_write(&fixture, "bytes.yaml", text,
	        byte_rows[_i].len ? byte_rows[_i].len : strlen(text), 0644);
	load_wrong("bytes.yaml", CONFIG_RUN, &words);
	ck_assert_str_eq(buf_str(&words), byte_rows[_i].expected);
}
END_TEST

START_TEST(test_jobs_file_bytes)
{
	static const char config[] =
	        "accounts: {a: {datacenter: eu, access_token_file: token, jobs_file: j}}\n";
	static const char jobs[] = "1 a\n2 \xc3\xa4\xff\n3 b\0c\n# \xfe\n4 \xc2\x85\n5\n";
	cleanup(buf_deinit) struct buf words = {0};

	config_fixture_write(&fixture, "c.yaml", config, sizeof(config) - 1, 0644);
	config_fixture_write(&fixture, "j", jobs, sizeof(jobs) - 1, 0644);
	load_wrong("c.yaml", CONFIG_RUN, &words);
	ck_assert_str_eq(buf_str(&words),
	        "j:2:4: error: invalid UTF-8 (byte 0xff)\n"
	        "j:3:1: error: a NUL character in the line\n"
	        "j:4:3: error: invalid UTF-8 (byte 0xfe)\n"
	        "j:5:3: error: the name \"?\?\" holds a control character\n");
}
END_TEST

START_TEST(test_unreadable)
{
	cleanup(buf_deinit) struct buf missing = {0}, directory = {0}, included = {0};
	static const char text[] = "accounts: {}\ninclude: [token-fifo, token-dir]\n";

	load_wrong("missing.yaml", CONFIG_RUN, &missing);
	ck_assert_str_eq(buf_str(&missing),
	        "missing.yaml: error: cannot be read: No such file or directory\n");
	load_wrong("token-dir", CONFIG_RUN, &directory);
	ck_assert_str_eq(buf_str(&directory), "token-dir: error: cannot be read: Is a directory\n");
	config_fixture_write(&fixture, "i.yaml", text, sizeof(text) - 1, 0644);
	load_wrong("i.yaml", CONFIG_RUN, &included);
	ck_assert_str_eq(buf_str(&included),
	        "i.yaml: warning: there are no accounts, so there is nothing to watch\n"
	        "token-dir: error: cannot be read: Is a directory\n"
	        "token-fifo: error: cannot be read: not a regular file\n");
}
END_TEST

START_TEST(test_owners)
{
	static const char text[] = "accounts: {a: {datacenter: eu, access_token_file: token}}\n"
	                           "hooks: {h: {exec: [./program]}}\n";
	cleanup(buf_deinit) struct buf words = {0};
	char path[PATH_SIZE];

	/* Only root may give files away; that the rule is kept shows wherever tests run as root. */
	if (geteuid() != 0)
		return;
	snprintf(path, sizeof(path), "%s/token", fixture.dir);
	ck_assert_int_eq(chown(path, 65534, 0), 0);
	snprintf(path, sizeof(path), "%s/program", fixture.dir);
	ck_assert_int_eq(chown(path, 65534, 0), 0);
	config_fixture_write(&fixture, "o.yaml", text, sizeof(text) - 1, 0644);
	load_wrong("o.yaml", CONFIG_RUN, &words);
	ck_assert_str_eq(buf_str(&words),
	        "o.yaml:1:51: error: access_token_file: token belongs to user 65534; it must "
	        "belong to root or to user 0, who runs this\n"
	        "o.yaml:2:20: error: exec: program belongs to neither root nor the user who runs "
	        "this\n");
}
END_TEST

START_TEST(test_check_keeps_errors)
{
	static const char text[] =
	        "accounts: {a: {datacenter: eu, access_token_file: '%d/t', max_in_flight: 0}}\n";
	cleanup(buf_deinit) struct buf words = {0};

	config_fixture_write(&fixture, "k.yaml", text, sizeof(text) - 1, 0644);
	load_wrong("k.yaml", CONFIG_CHECK, &words);
	ck_assert_str_eq(buf_str(&words),
	        "k.yaml:1:51: warning: access_token_file: %d is not known here "
	        "($CREDENTIALS_DIRECTORY is not set), so the file was not looked at\n"
	        "k.yaml:1:74: error: max_in_flight: expected a whole number from 1 to 10000, "
	        "found \"0\"\n");
}
END_TEST

/* All that a file of a secret may hold and be of no use. */
static const struct {
	const char *key; /* of an account, or of a hook if it is secret_file */
	const char *bytes;
	size_t len; /* 0 = up to the NUL */
	const char *words;
} useless_rows[] = {
        {"access_token_file", "\n \n", 0, "holds no secret"},
        {"access_token_file", "", 0, "holds no secret"},
        {"access_token_file", "1000.a\n1000.b\n", 0, "holds more than one line"},
        {"access_token_file", "1000.\0a\n", 8, "holds a NUL character"},
        {"access_token_file", "1000.\x1b\n", 0,
                "holds a blank or something else that is not printable ASCII"},
        {"access_token_file", NULL, CREDENTIAL_MAX_BYTES + 1, "is longer than 4095 bytes"},
        {"client_secret_file", "a b\n", 0,
                "holds a blank or something else that is not printable ASCII"},
        {"refresh_token_file", "\xc3\xa4\n", 0,
                "holds a blank or something else that is not printable ASCII"},
        {"secret_file", "\n\r\n", 0, "holds no secret"},
        {"secret_file", "whsec_?", 0, "has something else than base64 behind whsec_"},
        {"secret_file", "good\nwhsec_\n", 0, "has something else than base64 behind whsec_"},
        {"secret_file", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", 0, "holds more than 8 secrets"},
        {"secret_file", NULL, CREDENTIAL_MAX_BYTES + 1, "is longer than 4095 bytes"},
};

/* A configuration whose only file of that kind is "useless", the key in column 3 of a line. */
static void write_with_secret(const char *key, const char *file)
{
	static const char *const three[] = {"client_secret_file", "refresh_token_file"};
	bool is_ready = strcmp(key, "access_token_file") == 0;
	bool is_webhook = strcmp(key, "secret_file") == 0;
	cleanup(buf_deinit) struct buf text = {0};

	if (is_ready || is_webhook)
		buf_addf(&text, "accounts:\n a:\n  datacenter: eu\n  access_token_file: %s\n",
		        is_ready ? file : "token");
	else
		buf_adds(&text, "accounts:\n a:\n  datacenter: eu\n  client_id: x\n");
	for (size_t i = 0; !is_ready && !is_webhook && i < ARRAY_LEN(three); i++)
		buf_addf(&text, "  %s: %s\n", three[i], strcmp(three[i], key) ? "token" : file);
	if (is_webhook)
		buf_addf(
		        &text, "hooks:\n h:\n  url: https://a.example/\n  secret_file: %s\n", file);
	config_fixture_write(&fixture, "u.yaml", text.data, text.len, 0644);
}

static void load_useless(enum config_use use, int expected, struct buf *words)
{
	struct config_problems problems;
	struct config *config;

	ck_assert_int_eq(
	        config_fixture_load(&fixture, "u.yaml", use, &config, &problems), expected);
	config_fixture_print(&fixture, &problems, words);
	config_problems_deinit(&problems);
	config_free(config);
}

/* `--check` refuses it; a start says so and goes on, for it can be mended meanwhile. */
START_TEST(test_useless_secrets)
{
	cleanup(buf_deinit) struct buf checked = {0}, run = {0};
	cleanup(mem_free_p) char *error = mem_printf(
	        ": error: %s: useless %s\n", useless_rows[_i].key, useless_rows[_i].words);
	cleanup(mem_free_p) char *warning = mem_printf(
	        ": warning: %s: useless %s\n", useless_rows[_i].key, useless_rows[_i].words);
	const char *bytes = useless_rows[_i].bytes;
	size_t len = useless_rows[_i].len;
	cleanup(buf_deinit) struct buf full = {0};

	for (size_t i = 0; !bytes && i < len; i++)
		buf_addc(&full, 'a');
	if (bytes)
		buf_add(&full, bytes, len ? len : strlen(bytes));
	config_fixture_write(&fixture, "useless", buf_str(&full), full.len, 0600);
	write_with_secret(useless_rows[_i].key, "useless");
	load_useless(CONFIG_CHECK, CONFIG_E_INVALID, &checked);
	ck_assert_msg(strstr(buf_str(&checked), error), "%s", buf_str(&checked));
	ck_assert_int_eq(strncmp(buf_str(&checked), "u.yaml:", 7), 0);
	load_useless(CONFIG_RUN, 0, &run);
	ck_assert_msg(strstr(buf_str(&run), warning), "%s", buf_str(&run));
	write_with_secret(useless_rows[_i].key, "token");
	buf_clear(&checked);
	load_useless(CONFIG_CHECK, 0, &checked);
	ck_assert_str_eq(buf_str(&checked), "");
}
END_TEST

START_TEST(test_directories)
{
	static const char named[] = "accounts: {a: {datacenter: eu, access_token_file: token}}\n"
	                            "state_dir: missing\n"
	                            "runtime_dir: ./token\n";
	static const char unnamed[] = "accounts: {a: {datacenter: eu, access_token_file: token}}\n";
	cleanup(buf_deinit) struct buf run = {0}, checked = {0}, looked = {0};
	cleanup(buf_deinit) struct buf defaults = {0}, by_anybody = {0};
	cleanup(mem_free_p) char *missing = mem_printf("%s/missing", fixture.dir);
	static const char errors[] = "u.yaml:2:12: error: state_dir: missing does not exist\n"
	                             "u.yaml:3:14: error: runtime_dir: token is not a directory\n";

	config_fixture_write(&fixture, "u.yaml", named, sizeof(named) - 1, 0644);
	load_useless(CONFIG_CHECK, CONFIG_E_INVALID, &checked);
	ck_assert_str_eq(buf_str(&checked), errors);
	load_useless(CONFIG_LOOK, 0, &looked);
	ck_assert_str_eq(buf_str(&looked),
	        "u.yaml:2:12: warning: state_dir: missing does not exist\n"
	        "u.yaml:3:14: warning: runtime_dir: token is not a directory\n");
	load_useless(CONFIG_RUN, 0, &run); /* a start says it when it opens them */
	ck_assert_str_eq(buf_str(&run), "");
	setenv("STATE_DIRECTORY", missing, true);
	config_fixture_write(&fixture, "u.yaml", unnamed, sizeof(unnamed) - 1, 0644);
	load_useless(CONFIG_CHECK, 0, &defaults);
	ck_assert_str_eq(buf_str(&defaults),
	        "u.yaml: warning: state_dir: missing does not exist; a start needs it\n");
	load_useless(CONFIG_LOOK, 0, &by_anybody);
	ck_assert_str_eq(buf_str(&by_anybody), "");
}
END_TEST

/* What only its owner may write to is an error for the daemon's user, and perhaps none for
 * others. */
START_TEST(test_directory_of_another)
{
	static const char text[] = "accounts: {}\nstate_dir: closed\n";
	cleanup(mem_free_p) char *closed = mem_printf("%s/closed", fixture.dir);
	cleanup(buf_deinit) struct buf checked = {0}, looked = {0};

	/* Only root may become somebody else; that the rule is kept shows wherever tests run as
	 * root. */
	if (geteuid() != 0)
		return;
	config_fixture_write(&fixture, "u.yaml", text, sizeof(text) - 1, 0644);
	ck_assert_int_eq(mkdir(closed, 0755), 0);
	ck_assert_int_eq(chmod(fixture.dir, 0755), 0);
	ck_assert_int_eq(seteuid(65534), 0);
	load_useless(CONFIG_CHECK, CONFIG_E_INVALID, &checked);
	load_useless(CONFIG_LOOK, 0, &looked);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_ptr_nonnull(strstr(buf_str(&checked),
	        "u.yaml:2:12: error: state_dir: closed cannot be written to by user 65534, who "
	        "runs this: Permission denied\n"));
	ck_assert_ptr_nonnull(strstr(buf_str(&looked),
	        "u.yaml:2:12: warning: state_dir: closed cannot be written to by user 65534"));
}
END_TEST

START_TEST(test_many_problems_are_counted)
{
	cleanup(buf_deinit) struct buf text = {0}, words = {0};
	const char *last;

	for (int i = 0; i < PROBLEMS_MAX + 5; i++)
		buf_addf(&text, "wrong%d: 1\n", i);
	config_fixture_write(&fixture, "m.yaml", text.data, text.len, 0644);
	load_wrong("m.yaml", CONFIG_RUN, &words);
	last = strstr(buf_str(&words), "m.yaml: error: and ");
	ck_assert_ptr_nonnull(last);
	/* Five keys, and the warning that there are no accounts. */
	ck_assert_str_eq(last, "m.yaml: error: and 6 more problems\n");
}
END_TEST

/* 200 kB of "[" once cost libyaml a minute; what is refused must be refused soon. */
START_TEST(test_depth_is_cheap)
{
	enum { N = 200 * 1000 };
	cleanup(mem_free_p) char *text = mem_new(N, 1);
	cleanup(buf_deinit) struct buf words = {0};

	memset(text, '[', N);
	config_fixture_write(&fixture, "d.yaml", text, N, 0644);
	load_wrong("d.yaml", CONFIG_RUN, &words);
	ck_assert_str_eq(buf_str(&words), "d.yaml:1:33: error: nested more than 32 deep\n");
}
END_TEST

START_TEST(test_later_options)
{
	static const char text[] =
	        "accounts:\n"
	        "  none: {datacenter: eu}\n"
	        "  some: {datacenter: eu, client_id: x}\n"
	        "  both: {datacenter: eu, client_id: x, access_token_file: token}\n"
	        "  text: {datacenter: eu, client_id: '', client_secret_file: token, "
	        "refresh_token_file: token}\n"
	        "hooks:\n"
	        "  none: {}\n"
	        "  both: {exec: [/bin/true], url: 'https://a.example/b#c'}\n"
	        "  secret: {exec: [/bin/true], secret_file: token}\n";
	cleanup(buf_deinit) struct buf words = {0};
	cleanup(mem_free_p) char *path = mem_printf("%s/l.yaml", fixture.dir);
	struct config_problems problems;
	struct config *config;

	ck_assert_int_eq(loader_load_text(path, text, sizeof(text) - 1, LOADER_TAKE_LATER, &config,
	                         &problems),
	        CONFIG_E_INVALID);
	config_fixture_print(&fixture, &problems, &words);
	ck_assert_str_eq(buf_str(&words),
	        "l.yaml:2:3: error: account \"none\": client_id, client_secret_file and "
	        "refresh_token_file are required, or access_token_file alone\n"
	        "l.yaml:3:3: error: account \"some\": client_secret_file is required\n"
	        "l.yaml:3:3: error: account \"some\": refresh_token_file is required\n"
	        "l.yaml:4:3: error: account \"both\": access_token_file stands instead of "
	        "client_id, client_secret_file and refresh_token_file, not beside them\n"
	        "l.yaml:5:37: error: client_id: expected a text, found an empty text\n"
	        "l.yaml:7:3: error: hook \"none\": exec or url is required\n"
	        "l.yaml:8:3: error: hook \"both\": exec and url exclude one another; make two "
	        "hooks\n"
	        "l.yaml:8:34: error: url: \"https://a.example/b#c\" must not have a fragment "
	        "(#...)\n"
	        "l.yaml:9:31: error: secret_file: it signs a webhook's requests, but there is no "
	        "url\n");
	config_problems_deinit(&problems);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config_broken");
	TCase *tests = tcase_create("broken");
	SRunner *runner;
	int n_failed;

	golden_find();
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, test_golden, 0, n_golden);
	tcase_add_test(tests, test_golden_are_enough);
	tcase_add_loop_test(tests, test_bytes, 0, (int)ARRAY_LEN(byte_rows));
	tcase_add_test(tests, test_jobs_file_bytes);
	tcase_add_test(tests, test_unreadable);
	tcase_add_test(tests, test_owners);
	tcase_add_test(tests, test_check_keeps_errors);
	tcase_add_loop_test(tests, test_useless_secrets, 0, (int)ARRAY_LEN(useless_rows));
	tcase_add_test(tests, test_directories);
	tcase_add_test(tests, test_directory_of_another);
	tcase_add_test(tests, test_many_problems_are_counted);
	tcase_add_test(tests, test_depth_is_cheap);
	tcase_add_test(tests, test_later_options);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	for (int i = 0; i < n_golden; i++)
		free(golden_names[i]);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

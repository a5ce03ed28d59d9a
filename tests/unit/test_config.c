/*
 * The configuration where it is right: values, defaults, inheritance, files; what is shown, and
 * what a reload may not change. What is wrong is in test_config_broken.c, the documents in
 * test_config_docs.c.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/loader.h"
#include "config_fixture.h"
#include "core/limits.h"
#include "util/clock.h"
#include "util/mem.h"

static struct config_fixture fixture;

static void set_up(void)
{
	config_fixture_init(&fixture);
}

static void tear_down(void)
{
	config_fixture_deinit(&fixture);
}

/* Loads the text, which must be right but for warnings, as a file of the fixture's directory. */
static struct config *load_right(const char *text)
{
	struct config_problems problems;
	cleanup(buf_deinit) struct buf words = {0};
	struct config *config;
	int r;

	config_fixture_write(&fixture, "right.yaml", text, strlen(text), 0644);
	r = config_fixture_load(&fixture, "right.yaml", CONFIG_RUN, &config, &problems);
	config_fixture_print(&fixture, &problems, &words);
	config_problems_deinit(&problems);
	ck_assert_msg(r == 0 && config, "%s", buf_str(&words));
	return config;
}

START_TEST(test_defaults)
{
	struct config *config = load_right("accounts:\n"
	                                   "  acme: {datacenter: eu, access_token_file: token}\n"
	                                   "hooks:\n"
	                                   "  load: {exec: [/bin/true]}\n");
	const struct config_account *account = config_account_find(config, "acme");
	const struct config_hook *hook = config_hook_find(config, "load");

	ck_assert_str_eq(config->state_dir, "/var/lib/bulkwatch");
	ck_assert_str_eq(config->runtime_dir, "/run/bulkwatch");
	ck_assert_int_eq(config->log_level, LOG_LEVEL_INFO);
	ck_assert_int_eq(config->retain_ms, INT64_C(90) * 86400000);
	ck_assert_int_eq(config->drain_timeout_ms, 30000);
	ck_assert_int_eq(config->max_clients, 1024);
	ck_assert_int_eq(config->poll.min_interval_ms, 15000);
	ck_assert_int_eq(config->poll.max_interval_ms, 300000);
	ck_assert_int_eq(config->poll.polls_per_job, 20);
	ck_assert_int_eq(config->poll.timeout_ms, 30000);
	ck_assert_int_eq(config->poll.overdue_after_ms, 86400000);
	ck_assert_int_eq(config->poll.lost_after_ms, 600000);
	ck_assert_int_eq(account->service, SERVICE_BIGIN);
	ck_assert_int_eq(account->credits_per_day, 4000);
	ck_assert_int_eq(account->max_in_flight, 4);
	ck_assert_mem_eq(&account->poll, &config->poll, sizeof(config->poll));
	ck_assert_ptr_null(account->client_id);
	ck_assert_uint_eq(account->n_jobs, 0);
	ck_assert_uint_eq(hook->on, EVENT_SET_FINISHED);
	ck_assert_int_eq(hook->timeout_ms, 600000);
	ck_assert_int_eq(hook->attempts, 20);
	ck_assert_int_eq(hook->retry_first_ms, 5000);
	ck_assert_int_eq(hook->retry_max_ms, 6 * 3600000);
	ck_assert_int_eq(hook->parallel, 4);
	ck_assert_str_eq(hook->exec[0], "/bin/true");
	ck_assert_ptr_null(hook->exec[1]);
	ck_assert_ptr_null(config_account_find(config, "acm"));
	ck_assert_ptr_null(config_hook_find(config, "acme"));
	config_free(config);
}
END_TEST

START_TEST(test_values)
{
	struct config *config = load_right("state_dir: lib\n"
	                                   "runtime_dir: ./run\n"
	                                   "log_level: debug\n"
	                                   "retain: 0s\n"
	                                   "drain_timeout: 1m30s\n"
	                                   "max_clients: '7'\n"
	                                   "accounts: {}\n");
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/lib", fixture.dir);
	ck_assert_str_eq(config->state_dir, path);
	snprintf(path, sizeof(path), "%s/run", fixture.dir);
	ck_assert_str_eq(config->runtime_dir, path);
	snprintf(path, sizeof(path), "%s/right.yaml", fixture.dir);
	ck_assert_str_eq(config->file, path);
	ck_assert_int_eq(config->log_level, LOG_LEVEL_DEBUG);
	ck_assert_int_eq(config->retain_ms, 0);
	ck_assert_int_eq(config->drain_timeout_ms, 90000);
	ck_assert_int_eq(config->max_clients, 7);
	config_free(config);
}
END_TEST

START_TEST(test_directories_of_environment)
{
	struct config *config;

	setenv("STATE_DIRECTORY", "/srv/first:/srv/second", 1);
	setenv("RUNTIME_DIRECTORY", "/srv/run", 1);
	config = load_right("accounts: {}\n");
	ck_assert_str_eq(config->state_dir, "/srv/first");
	ck_assert_str_eq(config->runtime_dir, "/srv/run");
	config_free(config);
	config = load_right("accounts: {}\nstate_dir: /a\nruntime_dir: /b\n");
	ck_assert_str_eq(config->state_dir, "/a");
	ck_assert_str_eq(config->runtime_dir, "/b");
	config_free(config);
	unsetenv("STATE_DIRECTORY");
	unsetenv("RUNTIME_DIRECTORY");
}
END_TEST

START_TEST(test_poll_is_inherited)
{
	struct config *config = load_right(
	        "accounts:\n"
	        "  a: {datacenter: eu, access_token_file: token, poll: {timeout: 5s},\n"
	        "      jobs: [1, {id: 2, overdue_after: 1h}]}\n"
	        "  b: {datacenter: eu, access_token_file: token, poll: {overdue_after: 2h},\n"
	        "      jobs: [1]}\n"
	        "poll: {min_interval: 1s, max_interval: 2s, lost_after: 0s}\n");
	const struct config_poll *a = &config->accounts[0].poll, *b = &config->accounts[1].poll;

	ck_assert_int_eq(a->min_interval_ms, 1000);
	ck_assert_int_eq(a->max_interval_ms, 2000);
	ck_assert_int_eq(a->lost_after_ms, 0);
	ck_assert_int_eq(a->timeout_ms, 5000);
	ck_assert_int_eq(b->timeout_ms, 30000);
	ck_assert_int_eq(config->accounts[0].jobs[0].overdue_after_ms, 86400000);
	ck_assert_int_eq(config->accounts[0].jobs[1].overdue_after_ms, 3600000);
	ck_assert_int_eq(config->accounts[1].jobs[0].overdue_after_ms, 7200000);
	config_free(config);
}
END_TEST

START_TEST(test_hooks_of_jobs)
{
	struct config *config =
	        load_right("accounts:\n"
	                   "  a: {datacenter: eu, access_token_file: token, hooks: [c, a],\n"
	                   "      jobs: [1, {id: 2, hooks: [b]}, {id: 3, hooks: []}]}\n"
	                   "  b: {datacenter: eu, access_token_file: token}\n"
	                   "  c: {datacenter: eu, access_token_file: token, hooks: []}\n"
	                   "hooks:\n"
	                   "  a: {exec: [/bin/true], on: ['job.*']}\n"
	                   "  b: {exec: [/bin/true], on: [hook.dead, account.paused]}\n"
	                   "  c: {exec: [/bin/true], on: ['*']}\n");
	const struct config_account *a = &config->accounts[0];

	ck_assert_uint_eq(a->hooks.n, 2);
	ck_assert_uint_eq(a->hooks.hooks[0], 0);
	ck_assert_uint_eq(a->hooks.hooks[1], 2);
	ck_assert(!a->jobs[0].has_hooks);
	ck_assert(a->jobs[1].has_hooks && a->jobs[1].hooks.n == 1);
	ck_assert_uint_eq(a->jobs[1].hooks.hooks[0], 1);
	ck_assert(a->jobs[2].has_hooks && a->jobs[2].hooks.n == 0);
	ck_assert_uint_eq(config->accounts[1].hooks.n, 3);
	ck_assert_uint_eq(config->accounts[2].hooks.n, 0);
	ck_assert(event_set_has(config->hooks[0].on, EVENT_JOB_OVERDUE));
	ck_assert(!event_set_has(config->hooks[0].on, EVENT_HOOK_DEAD));
	ck_assert_uint_eq(config->hooks[1].on, 1u << EVENT_HOOK_DEAD | 1u << EVENT_ACCOUNT_PAUSED);
	ck_assert(event_set_has(config->hooks[2].on, EVENT_HOOK_DEAD));
	config_free(config);
}
END_TEST

static const struct config_datacenter *datacenter(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_datacenters; i++) {
		if (strcmp(config->datacenters[i].name, name) == 0)
			return &config->datacenters[i];
	}
	ck_abort_msg("there is no data center %s", name);
}

START_TEST(test_datacenters)
{
	static const char *const names[] = {"us", "eu", "au", "in", "cn", "jp", "sa", "ca"};
	struct config *config = load_right(
	        "accounts: {t: {datacenter: test, access_token_file: token}}\n"
	        "datacenters:\n"
	        "  test: {api_url: 'HTTP://LocalHost:8080/', accounts_url: 'http://[::1]:80'}\n"
	        "  eu: {ca_file: ca.pem}\n"
	        "  us: {api_url: 'https://API.Example.COM.:443', accounts_url: "
	        "'http://127.9.9.9:443/'}\n");

	ck_assert_uint_eq(config->n_datacenters, ARRAY_LEN(names) + 1);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ck_assert_str_eq(config->datacenters[i].name, names[i]);
	ck_assert_uint_eq(config->accounts[0].datacenter, ARRAY_LEN(names));
	ck_assert_str_eq(datacenter(config, "test")->api_url, "http://localhost:8080");
	ck_assert_str_eq(datacenter(config, "test")->accounts_url, "http://[::1]");
	ck_assert(!datacenter(config, "test")->is_built_in);
	ck_assert_ptr_null(datacenter(config, "test")->ca_file);
	ck_assert_str_eq(datacenter(config, "us")->api_url, "https://api.example.com");
	ck_assert_str_eq(datacenter(config, "us")->accounts_url, "http://127.9.9.9:443");
	ck_assert_str_eq(datacenter(config, "eu")->api_url, "https://www.zohoapis.eu");
	ck_assert_ptr_nonnull(datacenter(config, "eu")->ca_file);
	ck_assert(!datacenter(config, "eu")->is_built_in);
	ck_assert_str_eq(datacenter(config, "au")->api_url, "https://www.zohoapis.com.au");
	ck_assert_str_eq(datacenter(config, "ca")->accounts_url, "https://accounts.zohocloud.ca");
	ck_assert(datacenter(config, "ca")->is_built_in);
	config_free(config);
}
END_TEST

START_TEST(test_jobs_file)
{
	static const char text[] = "\xef\xbb\xbf# a comment\r\n"
	                           "1 one two\r\n"
	                           "\r\n"
	                           "  2\t# no name\n"
	                           "\t3  three # and more \t\n"
	                           "0004 \xc3\xa4\n"
	                           "5";
	struct config *config;
	const struct config_account *account;

	config_fixture_write(&fixture, "my.jobs", text, sizeof(text) - 1, 0644);
	config = load_right("accounts: {a: {datacenter: eu, access_token_file: token,\n"
	                    "  jobs_file: my.jobs, jobs: [{id: 9, name: nine}]}}\n");
	account = &config->accounts[0];
	ck_assert_uint_eq(account->n_jobs, 6);
	ck_assert_str_eq(account->jobs[0].id, "9");
	ck_assert_str_eq(account->jobs[0].name, "nine");
	ck_assert_str_eq(account->jobs[1].id, "1");
	ck_assert_str_eq(account->jobs[1].name, "one two");
	ck_assert_str_eq(account->jobs[2].id, "2");
	ck_assert_ptr_null(account->jobs[2].name);
	ck_assert_str_eq(account->jobs[3].name, "three # and more");
	ck_assert_str_eq(account->jobs[4].id, "0004");
	ck_assert_str_eq(account->jobs[4].name, "\xc3\xa4");
	ck_assert_str_eq(account->jobs[5].id, "5");
	ck_assert_int_eq(account->jobs[5].overdue_after_ms, 86400000);
	config_free(config);
}
END_TEST

START_TEST(test_million_jobs)
{
	enum { N = 1000000 };
	cleanup(buf_deinit) struct buf text = {0};
	struct config *config;
	int64_t begin_ms;

	for (int i = 0; i < N; i++)
		buf_addf(&text, "%lld job number %d\n", 3652397000000646004LL + i * 7919LL, i);
	config_fixture_write(&fixture, "many.jobs", text.data, text.len, 0644);
	begin_ms = clock_now().mono_ms;
	config = load_right("accounts: {a: {datacenter: eu, access_token_file: token,\n"
	                    "  jobs_file: many.jobs}}\n");
	/* A few hundred milliseconds in the plain build; this is room for sanitizers and valgrind.
	 */
	ck_assert_int_lt(clock_now().mono_ms - begin_ms, 30000);
	ck_assert_uint_eq(config->accounts[0].n_jobs, N);
	ck_assert_str_eq(config->accounts[0].jobs[N - 1].name, "job number 999999");
	config_free(config);
}
END_TEST

START_TEST(test_includes_are_sorted)
{
	static const char first[] = "accounts: {a: {datacenter: lab, access_token_file: ../token,\n"
	                            "  jobs_file: sub.jobs, hooks: [late]}}\n";
	static const char second[] =
	        "datacenters: {lab: {api_url: 'https://a.example', accounts_url: "
	        "'https://b.example'}}\n"
	        "hooks: {late: {exec: [../program]}}\n";
	char path[PATH_SIZE];
	struct config *config;

	snprintf(path, sizeof(path), "%s/sub [x]", fixture.dir);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	config_fixture_write(&fixture, "sub [x]/1.yaml", first, sizeof(first) - 1, 0644);
	config_fixture_write(&fixture, "sub [x]/2.yaml", second, sizeof(second) - 1, 0644);
	config_fixture_write(&fixture, "sub [x]/sub.jobs", "7 seven", 7, 0644);
	config = load_right("include: ['./sub \\[x\\]/2.yaml', 'sub*/*.yaml', none/*.yaml]\n"
	                    "hooks: {early: {exec: [./program]}}\n"
	                    "accounts: {z: {datacenter: eu, access_token_file: token}}\n");
	ck_assert_str_eq(config->accounts[0].name, "z");
	ck_assert_str_eq(config->accounts[1].name, "a");
	ck_assert_str_eq(config->hooks[0].name, "early");
	ck_assert_str_eq(config->hooks[1].name, "late");
	ck_assert_uint_eq(config->accounts[1].hooks.hooks[0], 1);
	ck_assert_str_eq(config->accounts[1].jobs[0].name, "seven");
	snprintf(path, sizeof(path), "%s/sub [x]/../program", fixture.dir);
	ck_assert_str_eq(config->hooks[1].exec[0], path);
	snprintf(path, sizeof(path), "%s/sub [x]/../token", fixture.dir);
	ck_assert_str_eq(config->accounts[1].access_token_file, path);
	config_free(config);
}
END_TEST

START_TEST(test_relative_file_name)
{
	struct config_problems problems;
	struct config *config;
	char path[PATH_SIZE], cwd[PATH_SIZE];

	config_fixture_write(&fixture, "here.yaml", "accounts: {}\nstate_dir: s\n",
	        strlen("accounts: {}\nstate_dir: s\n"), 0644);
	ck_assert_ptr_nonnull(getcwd(cwd, sizeof(cwd)));
	ck_assert_int_eq(chdir(fixture.dir), 0);
	ck_assert_int_eq(config_load("here.yaml", CONFIG_RUN, &config, &problems), 0);
	ck_assert_int_eq(chdir(cwd), 0);
	snprintf(path, sizeof(path), "%s/here.yaml", fixture.dir);
	ck_assert_str_eq(config->file, path);
	snprintf(path, sizeof(path), "%s/s", fixture.dir);
	ck_assert_str_eq(config->state_dir, path);
	config_problems_deinit(&problems);
	config_free(config);
}
END_TEST

static const char credentials_text[] =
        "accounts: {a: {datacenter: eu, access_token_file: '%d/token'}}\n";

START_TEST(test_credentials_directory)
{
	struct config *config;
	char path[PATH_SIZE];

	setenv("CREDENTIALS_DIRECTORY", fixture.dir, 1);
	config = load_right(credentials_text);
	snprintf(path, sizeof(path), "%s/token", fixture.dir);
	ck_assert_str_eq(config->accounts[0].access_token_file, path);
	config_free(config);
	unsetenv("CREDENTIALS_DIRECTORY");
}
END_TEST

START_TEST(test_credentials_directory_is_unset_at_check)
{
	cleanup(buf_deinit) struct buf words = {0};
	struct config_problems problems;
	struct config *config;

	setenv("STATE_DIRECTORY", fixture.dir, true);
	setenv("RUNTIME_DIRECTORY", fixture.dir, true);
	config_fixture_write(&fixture, "c.yaml", credentials_text, strlen(credentials_text), 0644);
	ck_assert_int_eq(
	        config_fixture_load(&fixture, "c.yaml", CONFIG_CHECK, &config, &problems), 0);
	ck_assert_uint_eq(problems.n_errors, 0);
	config_fixture_print(&fixture, &problems, &words);
	ck_assert_str_eq(buf_str(&words),
	        "c.yaml:1:51: warning: access_token_file: %d is not known here "
	        "($CREDENTIALS_DIRECTORY is not set), so the file was not looked at\n");
	ck_assert_str_eq(config->accounts[0].access_token_file, "%d/token");
	config_problems_deinit(&problems);
	config_free(config);
}
END_TEST

START_TEST(test_missing_program_is_a_warning)
{
	static const char text[] = "accounts: {}\nhooks: {h: {exec: [./later, 'a b']}}\n";
	cleanup(buf_deinit) struct buf words = {0};
	struct config_problems problems;
	struct config *config;

	config_fixture_write(&fixture, "p.yaml", text, sizeof(text) - 1, 0644);
	ck_assert_int_eq(
	        config_fixture_load(&fixture, "p.yaml", CONFIG_RUN, &config, &problems), 0);
	config_fixture_print(&fixture, &problems, &words);
	ck_assert_str_eq(buf_str(&words),
	        "p.yaml: warning: there are no accounts, so there is nothing to watch\n"
	        "p.yaml:2:20: warning: exec: later does not exist yet\n");
	ck_assert_str_eq(config->hooks[0].exec[1], "a b");
	config_problems_deinit(&problems);
	config_free(config);
}
END_TEST

/* ---- showing, reloading ---- */

static const char rich_text[] =
        "state_dir: \"/srv/it's #1\"\n"
        "retain: 36h\n"
        "datacenters: {lab: {api_url: 'http://localhost:1', accounts_url: 'http://localhost:2',\n"
        "  ca_file: ca.pem}}\n"
        "accounts:\n"
        "  'no': {datacenter: lab, access_token_file: token, poll: {max_interval: 1h1ms},\n"
        "    jobs: [1, {id: 22, name: \"\\xe4 \\\"b\\\" \\u2028: #\", hooks: [null], "
        "overdue_after: "
        "1m}]}\n"
        "  empty: {datacenter: cn, access_token_file: token, hooks: []}\n"
        "hooks:\n"
        "  'null': {exec: [/bin/true, '', \"\\x01\\n\\x85\\uFEFF\", '- x: y'], on: ['job.*']}\n"
        "  y: {exec: [/bin/true], attempts: 1}\n";

START_TEST(test_shown_is_loaded_again)
{
	cleanup(buf_deinit) struct buf first = {0}, second = {0};
	struct config *config = load_right(rich_text), *again;

	config_show(config, &first);
	again = load_right(buf_str(&first));
	config_show(again, &second);
	ck_assert_str_eq(buf_str(&first), buf_str(&second));
	ck_assert_str_eq(again->state_dir, "/srv/it's #1");
	ck_assert_str_eq(again->accounts[0].name, "no");
	ck_assert_int_eq(again->accounts[0].poll.max_interval_ms, 3600001);
	ck_assert_str_eq(again->accounts[0].jobs[1].name, "\xc3\xa4 \"b\" \xe2\x80\xa8: #");
	ck_assert_uint_eq(again->accounts[0].jobs[1].hooks.n, 1);
	ck_assert_int_eq(again->accounts[0].jobs[1].overdue_after_ms, 60000);
	ck_assert_uint_eq(again->accounts[1].hooks.n, 0);
	ck_assert_str_eq(again->hooks[0].exec[1], "");
	ck_assert_str_eq(again->hooks[0].exec[2], "\x01\n\xc2\x85\xef\xbb\xbf");
	ck_assert_str_eq(again->hooks[0].exec[3], "- x: y");
	ck_assert_uint_eq(again->hooks[0].on, config->hooks[0].on);
	config_free(config);
	config_free(again);
}
END_TEST

static void assert_restart_keys(const char *old_text, const char *new_text, const char *expected)
{
	struct config *old = load_right(old_text), *new = load_right(new_text);
	cleanup(buf_deinit) struct buf keys = {0};

	config_restart_keys(old, new, &keys);
	ck_assert_str_eq(buf_str(&keys), expected);
	config_free(old);
	config_free(new);
}

START_TEST(test_restart_keys)
{
	assert_restart_keys(rich_text, rich_text, "");
	assert_restart_keys("accounts: {}\n",
	        "accounts: {}\nlog_level: debug\nretain: 1d\nhooks: {a: {exec: [/bin/true]}}\n",
	        "");
	assert_restart_keys("accounts: {}\n", "accounts: {}\nmax_clients: 5\n", "max_clients");
	assert_restart_keys("accounts: {}\n",
	        "accounts: {}\nruntime_dir: /r\nstate_dir: /s\nmax_clients: 5\n",
	        "state_dir, runtime_dir, max_clients");
	assert_restart_keys("accounts: {}\n", "accounts: {}\nmax_clients: 1024\n", "");
}
END_TEST

/* ---- what the table says is not yet supported, as if it were ---- */

START_TEST(test_later_options)
{
	static const char text[] =
	        "accounts:\n"
	        "  a: {datacenter: eu, service: crm, client_id: 1000.X, client_secret_file: "
	        "token,\n"
	        "      refresh_token_file: token, credits_per_day: 7, poll: {polls_per_job: 3}}\n"
	        "hooks:\n"
	        "  w: {url: 'https://Hooks.Example.com/X/', secret_file: token}\n"
	        "  v: {url: 'https://hooks.example.com', timeout: 1m}\n"
	        "  q: {url: 'https://hooks.example.com/a?b=c/d?e', on: [job.*]}\n"
	        "  r: {url: 'https://Hooks.example.com:443?b=@'}\n";
	struct config_problems problems;
	struct config *config;
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/later.yaml", fixture.dir);
	ck_assert_int_eq(loader_load_text(path, text, sizeof(text) - 1, LOADER_TAKE_LATER, &config,
	                         &problems),
	        0);
	ck_assert_int_eq(config->accounts[0].service, SERVICE_CRM);
	ck_assert_str_eq(config_service_name(config->accounts[0].service), "crm");
	ck_assert_str_eq(config_service_name(SERVICE_BIGIN), "bigin");
	ck_assert_str_eq(config->accounts[0].client_id, "1000.X");
	ck_assert_ptr_nonnull(config->accounts[0].client_secret_file);
	ck_assert_ptr_nonnull(config->accounts[0].refresh_token_file);
	ck_assert_ptr_null(config->accounts[0].access_token_file);
	ck_assert_int_eq(config->accounts[0].credits_per_day, 7);
	ck_assert_int_eq(config->accounts[0].poll.polls_per_job, 3);
	ck_assert_str_eq(config->hooks[0].url, "https://hooks.example.com/X/");
	ck_assert_int_eq(config->hooks[0].timeout_ms, 30000);
	ck_assert_ptr_null(config->hooks[0].exec);
	ck_assert_int_eq(config->hooks[1].timeout_ms, 60000);
	ck_assert_str_eq(config->hooks[1].url, "https://hooks.example.com");
	ck_assert_str_eq(config->hooks[2].url, "https://hooks.example.com/a?b=c/d?e");
	ck_assert_str_eq(config->hooks[3].url, "https://hooks.example.com/?b=@");
	config_problems_deinit(&problems);
	config_free(config);
}
END_TEST

START_TEST(test_job_names)
{
	char name[JOB_NAME_MAX_BYTES + 2];

	memset(name, 'x', sizeof(name));
	name[JOB_NAME_MAX_BYTES + 1] = '\0';
	ck_assert_ptr_nonnull(config_job_name_problem(name));
	name[JOB_NAME_MAX_BYTES] = '\0';
	ck_assert_ptr_null(config_job_name_problem(name));
	ck_assert_ptr_null(config_job_name_problem("7 of 9"));
	ck_assert_ptr_null(config_job_name_problem("\xc2\xa0\xf0\x9f\x98\x80"));
	ck_assert_ptr_nonnull(config_job_name_problem(""));
	ck_assert_ptr_nonnull(config_job_name_problem("79"));
	ck_assert_ptr_nonnull(config_job_name_problem("a/b"));
	ck_assert_ptr_nonnull(config_job_name_problem("a\x7f"));
	ck_assert_ptr_nonnull(config_job_name_problem("long enough \xff for words"));
	ck_assert_ptr_nonnull(config_job_name_problem("a\xc2"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *tests = tcase_create("right");
	SRunner *runner;
	int n_failed;

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, test_defaults);
	tcase_add_test(tests, test_values);
	tcase_add_test(tests, test_directories_of_environment);
	tcase_add_test(tests, test_poll_is_inherited);
	tcase_add_test(tests, test_hooks_of_jobs);
	tcase_add_test(tests, test_datacenters);
	tcase_add_test(tests, test_jobs_file);
	tcase_add_test(tests, test_million_jobs);
	tcase_add_test(tests, test_includes_are_sorted);
	tcase_add_test(tests, test_relative_file_name);
	tcase_add_test(tests, test_credentials_directory);
	tcase_add_test(tests, test_credentials_directory_is_unset_at_check);
	tcase_add_test(tests, test_missing_program_is_a_warning);
	tcase_add_test(tests, test_shown_is_loaded_again);
	tcase_add_test(tests, test_restart_keys);
	tcase_add_test(tests, test_later_options);
	tcase_add_test(tests, test_job_names);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/*
 * The poller between the queue and http: who is asked after an answer, and when. Accounts, tracker,
 * journal and store are those of the daemon; requests are caught on their way out and answered by
 * hand, and the clock stands still until it is set.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_fixture.h"
#include "daemon/ledger.h"
#include "daemon/poller.h"
#include "daemon/thrift.h"
#include "httpkit.h"
#include "netkit.h"
#include "storekit.h"
#include "util/mem.h"

enum { REQUESTS_MAX = 8, INTERVAL_MS = 15 * 1000, HOUR_MS = 3600 * 1000 };

int __wrap_http_submit(struct http_host *host, const struct http_request *request,
        http_answer_fn *fn, void *arg, uint64_t owner);
struct now __wrap_loop_now(const struct loop *loop);
int64_t __wrap_loop_turn_us(const struct loop *loop);
void __wrap_loop_wake(struct loop *loop);

static struct config_fixture fixture;
static char dir[STOREKIT_PATH_SIZE];
static struct rng rng;
static struct tracker tracker;
static struct queue queue;
static struct http *http;
static struct store *store;
static struct poller *poller;

/* ---- the clock, and the way out ---- */

static struct now clock_of_turn;
static int64_t turn_us; /* since then */

struct now __wrap_loop_now(const struct loop *loop)
{
	(void)loop;
	return clock_of_turn;
}

int64_t __wrap_loop_turn_us(const struct loop *loop)
{
	(void)loop;
	return turn_us;
}

static bool is_woken;

void __wrap_loop_wake(struct loop *loop)
{
	(void)loop;
	is_woken = true;
}

static struct request {
	char url[128];
	http_answer_fn *fn;
	void *arg;
	uint64_t owner;
} requests[REQUESTS_MAX];
static size_t n_requests;

int __wrap_http_submit(struct http_host *host, const struct http_request *request,
        http_answer_fn *fn, void *arg, uint64_t owner)
{
	struct request *caught = &requests[n_requests++];

	(void)host;
	ck_assert_uint_le(n_requests, REQUESTS_MAX);
	*caught = (struct request){.fn = fn, .arg = arg, .owner = owner};
	snprintf(caught->url, sizeof(caught->url), "%s", request->url);
	return 0;
}

/* Each request went out once, unless said otherwise. */
static unsigned n_sent;

static void answer(size_t i, int status, const char *body, int64_t duration_ms)
{
	struct http_answer answer = httpkit_json(status, body);

	answer.duration_ms = duration_ms;
	answer.n_sent = n_sent;
	requests[i].fn(requests[i].arg, requests[i].owner, &answer);
}

/* ---- a daemon of two accounts ---- */

static const char config_text[] =
        "datacenters:\n"
        "  lab: {api_url: 'http://127.0.0.1:1', accounts_url: 'http://127.0.0.1:2'}\n"
        "  far: {api_url: 'http://127.0.0.1:3', accounts_url: 'http://127.0.0.1:4'}\n"
        "poll: {min_interval: 15s, max_interval: 15s}\n"
        "accounts:\n"
        "  makes: {datacenter: lab, client_id: 1000.X, client_secret_file: token,\n"
        "          refresh_token_file: token}\n"
        "  ready: {datacenter: %s, access_token_file: token}\n";

static void apply_config(const char *datacenter_of_ready)
{
	cleanup(mem_free_p) char *text = mem_printf(config_text, datacenter_of_ready);
	cleanup(buf_deinit) struct buf words = {0};
	struct config *config = config_fixture_take(&fixture, text);

	hooks_apply(tracker.hooks, config);
	ck_assert_int_eq(accounts_apply(tracker.accounts, config, tracker.hooks, &words), 0);
	config_free(config);
}

static void setup(void)
{
	config_fixture_init(&fixture);
	storekit_dir_make(dir);
	store = storekit_open(dir);
	rng_seed(&rng, 1);
	clock_of_turn = (struct now){.mono_ms = HOUR_MS, .wall_ms = 1700000000000};
	turn_us = 0;
	n_requests = 0;
	n_sent = 1;
	queue = (struct queue){0};
	tracker = (struct tracker){.rng = &rng, .queue = &queue};
	ck_assert_int_eq(loop_new(&tracker.loop), 0);
	ck_assert_int_eq(http_new(tracker.loop, &http), 0);
	tracker.journal = journal_new(tracker.loop, store);
	tracker.hooks = hooks_new(tracker.loop, NULL, http, tracker.journal, &rng);
	tracker.accounts = accounts_new(tracker.loop, http, &rng, fixture.dir);
	tracker.registry = registry_new();
	poller = poller_new(tracker.loop, &tracker);
	apply_config("lab");
}

static void teardown(void)
{
	poller_free(poller);
	journal_abandon(tracker.journal);
	queue_deinit(&queue);
	registry_free(tracker.registry);
	accounts_free(tracker.accounts);
	hooks_free(tracker.hooks);
	journal_free(tracker.journal);
	http_free(http);
	loop_free(tracker.loop);
	store_close(store);
	storekit_dir_remove(dir);
	config_fixture_deinit(&fixture);
}

static void pass(int64_t ms)
{
	clock_of_turn.mono_ms += ms;
	clock_of_turn.wall_ms += ms;
}

/* As the daemon does. What wants credits goes out in the turn after the one that reserves them. */
static void end_turns(void)
{
	for (int i = 0; i < 2; i++) {
		thrift_write_ledgers(&tracker);
		ck_assert_int_eq(journal_commit(tracker.journal), 0);
		poller_dispatch(poller);
	}
}

/* A job of the account, due by now. */
static struct account *watch(const char *name, const char *id)
{
	struct account *account = accounts_find(tracker.accounts, name);
	struct tracker_wish wish = {.account = account, .id = id, .n_together = 1};

	ck_assert(tracker_watch(&tracker, &wish));
	ck_assert_int_eq(journal_commit(tracker.journal), 0);
	pass(HOUR_MS);
	return account;
}

static void assert_sent(size_t i, const char *url)
{
	ck_assert_uint_gt(n_requests, i);
	ck_assert_str_eq(requests[i].url, url);
}

/* ---- tests ---- */

#define IN_PROGRESS                                                                                \
	"{\"data\":[{\"id\":\"2000\",\"operation\":\"read\",\"state\":\"IN PROGRESS\"}]}"

/* The probe of a data center that was not well found its own token refused, and waits for another
 * one, maybe for minutes. That is no reason for others to wait. */
START_TEST(test_a_refused_token_shows_that_the_data_center_is_there)
{
	struct datacenter *datacenter = watch("makes", "1000")->datacenter;

	end_turns();
	assert_sent(0, "http://127.0.0.1:2/oauth/v2/token");
	answer(0, 200,
	        "{\"access_token\":\"1000.a\",\"api_domain\":\"http://127.0.0.1:1\","
	        "\"token_type\":\"Bearer\",\"expires_in\":3600}",
	        20);
	datacenter->circuit = (struct circuit){.is_open = true};
	end_turns();
	assert_sent(1, "http://127.0.0.1:1/bigin/bulk/v2/read/1000");
	watch("ready", "2000");
	end_turns();
	ck_assert_uint_eq(n_requests, 2); /* one probe at a time */
	answer(1, 401, "{\"code\":\"INVALID_TOKEN\",\"status\":\"error\"}", 20);
	ck_assert(!datacenter->circuit.is_open);
	end_turns();
	ck_assert_uint_eq(n_requests, 4);
	assert_sent(2, "http://127.0.0.1:2/oauth/v2/token");
	assert_sent(3, "http://127.0.0.1:1/bigin/bulk/v2/read/2000");
}
END_TEST

/* From request to request, whatever of it the answer took, and the turn that brings it. */
START_TEST(test_never_sooner_than_min_interval)
{
	int64_t sent_mono_ms;

	watch("ready", "2000");
	end_turns();
	assert_sent(0, "http://127.0.0.1:1/bigin/bulk/v2/read/2000");
	sent_mono_ms = clock_of_turn.mono_ms;
	pass(995);
	turn_us = 4001;
	answer(0, 200, IN_PROGRESS, 1000);
	turn_us = 0;
	end_turns();
	ck_assert_int_eq(poller_next_mono(poller), sent_mono_ms + INTERVAL_MS);
}
END_TEST

/* What libcurl sent once more over a fresh connection costs once more. */
START_TEST(test_what_was_sent_twice_is_charged_twice)
{
	const struct account *account = watch("ready", "2000");

	end_turns();
	ck_assert_uint_eq(n_requests, 1);
	ck_assert_int_eq(ledger_spent(account->ledger, clock_of_turn), 1);
	n_sent = 2;
	answer(0, 200, IN_PROGRESS, 20);
	ck_assert_int_eq(ledger_spent(account->ledger, clock_of_turn), 2);
	ck_assert_uint_eq(account->n_polls, 2);
}
END_TEST

START_TEST(test_where_it_was_says_nothing_of_where_it_is)
{
	const struct account *account = watch("ready", "2000");

	end_turns();
	assert_sent(0, "http://127.0.0.1:1/bigin/bulk/v2/read/2000");
	apply_config("far");
	answer(0, 429, "{\"code\":\"TOO_MANY_REQUESTS\",\"status\":\"error\"}", 20);
	ck_assert_int_eq(account->gate.state, GATE_OK);
	pass(HOUR_MS);
	end_turns();
	assert_sent(1, "http://127.0.0.1:3/bigin/bulk/v2/read/2000");
	answer(1, 429, "{\"code\":\"TOO_MANY_REQUESTS\",\"status\":\"error\"}", 20);
	ck_assert_int_eq(account->gate.state, GATE_HELD);
}
END_TEST

/* That shows after the turn's commit, when a token is wanted: it is not told whenever something
 * else wakes the daemon, but in the next turn, which begins at once. */
START_TEST(test_a_pause_that_shows_late_in_a_turn_is_told_at_once)
{
	const struct account *account = watch("makes", "1000");

	end_turns();
	assert_sent(0, "http://127.0.0.1:2/oauth/v2/token");
	answer(0, 200,
	        "{\"access_token\":\"1000.a\",\"api_domain\":\"http://127.0.0.1:9\","
	        "\"token_type\":\"Bearer\",\"expires_in\":3600}",
	        20);
	is_woken = false;
	poller_dispatch(poller);
	ck_assert_int_eq(account->gate.state, GATE_PAUSED);
	ck_assert(is_woken);
	tracker_tell_accounts(&tracker);
	ck_assert_int_eq(journal_commit(tracker.journal), 0);
	ck_assert(account->is_pause_told);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, test_a_refused_token_shows_that_the_data_center_is_there);
	tcase_add_test(tests, test_never_sooner_than_min_interval);
	tcase_add_test(tests, test_what_was_sent_twice_is_charged_twice);
	tcase_add_test(tests, test_a_pause_that_shows_late_in_a_turn_is_told_at_once);
	tcase_add_test(tests, test_where_it_was_says_nothing_of_where_it_is);
}

int main(void)
{
	return netkit_main("poller", add_tests);
}

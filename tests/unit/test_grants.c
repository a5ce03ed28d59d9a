/*
 * How often access tokens are asked for (core/refresh.h says how often they may be), over restarts
 * too. Requests are caught on their way out and answered by hand, and the clock stands still until
 * it is set.
 */
#include <check.h>
#include <stdlib.h>

#include "config_fixture.h"
#include "core/refresh.h"
#include "daemon/token.h"
#include "httpkit.h"
#include "netkit.h"

int __wrap_http_submit(struct http_host *host, const struct http_request *request,
        http_answer_fn *fn, void *arg, uint64_t owner);
struct now __wrap_loop_now(const struct loop *loop);

static struct config_fixture fixture;
static struct rng rng;
static struct loop *loop;
static struct http *http;
static struct grants *grants;
static struct grant *grant;

/* ---- the clock, and the way out ---- */

static struct now now;

struct now __wrap_loop_now(const struct loop *unused)
{
	(void)unused;
	return now;
}

static struct request {
	http_answer_fn *fn;
	void *arg;
	uint64_t owner;
} last_request;
static int n_requests;

int __wrap_http_submit(struct http_host *host, const struct http_request *request,
        http_answer_fn *fn, void *arg, uint64_t owner)
{
	(void)host;
	ck_assert_str_eq(request->url, "http://127.0.0.1:2/oauth/v2/token");
	last_request = (struct request){.fn = fn, .arg = arg, .owner = owner};
	n_requests++;
	return 0;
}

static void give_token(void)
{
	static const char body[] =
	        "{\"access_token\":\"1000.a\",\"api_domain\":\"http://127.0.0.1:1\","
	        "\"token_type\":\"Bearer\",\"expires_in\":3600}";
	struct http_answer answer = httpkit_json(200, body);

	last_request.fn(last_request.arg, last_request.owner, &answer);
}

/* ---- lives of one grant ---- */

static void on_news(void *unused, const struct grant *of)
{
	(void)unused;
	ck_assert_ptr_eq(of, grant);
}

static void start(void)
{
	static const struct grant_source source = {
	        .accounts_url = "http://127.0.0.1:2",
	        .client_id = "1000.X",
	        .client_secret = "secret",
	        .refresh_token = "1000.refresh",
	};

	grants = grants_new(loop, http, &rng, fixture.dir);
	grants_set_news(grants, on_news, NULL);
	grant = grants_get(grants, &source);
}

static void stop(void)
{
	grant = grant_put(grant);
	grants = grants_free(grants);
}

static void setup(void)
{
	config_fixture_init(&fixture);
	rng_seed(&rng, 1);
	now = (struct now){.mono_ms = REFRESH_WINDOW_MS, .wall_ms = 1700000000000};
	n_requests = 0;
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(http_new(loop, &http), 0);
	start();
}

static void teardown(void)
{
	stop();
	http_free(http);
	loop_free(loop);
	config_fixture_deinit(&fixture);
}

static void pass(int64_t ms)
{
	now.mono_ms += ms;
	now.wall_ms += ms;
}

/* Every token is dropped as soon as it is there, so that the next one is wanted. */
static void use_up(int n)
{
	for (int i = 0; i < n; i++) {
		int before = n_requests;

		ck_assert_int_ne(grant_want(grant, now), 0);
		ck_assert_int_eq(n_requests, before + 1);
		give_token();
		ck_assert_ptr_nonnull(grant_token(grant, now.mono_ms));
		grant_drop(grant);
		pass(1000);
	}
}

static void assert_nothing_is_asked_before(int64_t mono_ms)
{
	int before = n_requests;

	ck_assert_int_eq(grant_want(grant, now), mono_ms);
	ck_assert_int_eq(n_requests, before);
}

/* ---- tests ---- */

START_TEST(test_five_in_ten_minutes)
{
	int64_t first_mono_ms = now.mono_ms;

	use_up(REFRESH_ASKS_MAX);
	assert_nothing_is_asked_before(first_mono_ms + REFRESH_WINDOW_MS);
	pass(first_mono_ms + REFRESH_WINDOW_MS - now.mono_ms);
	use_up(1);
}
END_TEST

START_TEST(test_however_often_it_is_started)
{
	int64_t first_mono_ms = now.mono_ms;

	for (int i = 0; i < REFRESH_ASKS_MAX; i++) {
		use_up(1);
		stop();
		start();
		grant_drop(grant); /* on disk it still is */
	}
	assert_nothing_is_asked_before(first_mono_ms + REFRESH_WINDOW_MS);
	/* Of another boot the wall clock alone tells. */
	stop();
	now.mono_ms = 1000;
	start();
	grant_drop(grant);
	assert_nothing_is_asked_before(1000 + REFRESH_WINDOW_MS - REFRESH_ASKS_MAX * (int64_t)1000);
}
END_TEST

START_TEST(test_a_token_outlives_a_restart)
{
	ck_assert_int_ne(grant_want(grant, now), 0);
	give_token();
	stop();
	start();
	ck_assert_int_eq(grant_want(grant, now), 0);
	ck_assert_str_eq(grant_token(grant, now.mono_ms), "1000.a");
	ck_assert_int_eq(n_requests, 1);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, test_five_in_ten_minutes);
	tcase_add_test(tests, test_however_often_it_is_started);
	tcase_add_test(tests, test_a_token_outlives_a_restart);
}

int main(void)
{
	return netkit_main("grants", add_tests);
}

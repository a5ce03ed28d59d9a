/*
 * A hook tried by hand: its real program, in the daemon's own process state, or its real webhook,
 * with an event of the journal or a made-up one, and BULKWATCH_TEST=1 (or a header that says so).
 * Nothing is recorded: a test is no delivery.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/program.h"
#include "daemon/webhook.h"
#include "util/mem.h"

/* Beyond every id of a delivery. */
static const uint64_t TEST_OWNER = UINT64_C(1) << 63;

enum { TESTS_MAX = 4 };

struct hook_test {
	struct hooks *hooks;
	struct hook_test *next;
	struct program program;
	struct webhook_headers headers; /* of a webhook */
	hooks_test_fn *fn;
	void *arg;
};

static void hook_test_free(struct hook_test *test)
{
	program_deinit(&test->program);
	webhook_headers_deinit(&test->headers);
	free(test);
}

static void finish(struct hook_test *test, const struct hook_test_result *told)
{
	struct hook_test **link = &test->hooks->tests;

	test->fn(test->arg, told);
	while (*link != test)
		link = &(*link)->next;
	*link = test->next;
	test->hooks->n_tests--;
	hook_test_free(test);
}

static void hook_test_on_child(void *arg, uint64_t owner, const struct child_result *result)
{
	struct hook_test *test = arg;
	struct hook_test_result told = {
	        .envp = (const char *const *)test->program.env.envp,
	        .input = buf_str(&test->program.input),
	        .is_delivered = result->end == CHILD_EXITED && result->code == 0,
	        .end = attempt_end_of_child(result->end),
	        .code = result->code,
	        .duration_ms = result->duration_ms,
	        .output = result->output,
	        .output_len = result->output_len,
	};

	(void)owner;
	finish(test, &told);
}

static void hook_test_on_answer(void *arg, uint64_t owner, const struct http_answer *answer)
{
	struct hook_test *test = arg;
	struct webhook_result result = webhook_result_of(answer);
	struct hook_test_result told = {
	        .headers = (const char *const *)test->headers.lines,
	        .input = buf_str(&test->program.input),
	        .is_delivered = result.is_delivered,
	        .end = result.end,
	        .code = result.code,
	        .duration_ms = answer->duration_ms,
	        .output = result.output,
	        .output_len = result.output_len,
	};

	(void)owner;
	finish(test, &told);
}

static const char sample_job[] =
        "{\"account\":\"test\",\"id\":\"3652397000000646004\",\"name\":\"a-test\",\"datacenter\":"
        "\"eu\","
        "\"service\":\"bigin\",\"state\":\"COMPLETED\",\"finished\":true,\"watched\":true,"
        "\"paused\":false,"
        "\"operation\":\"read\",\"module\":\"Contacts\",\"created_time\":\"2019-04-01T14:24:04+05:"
        "30\","
        "\"query\":{\"module\":\"Contacts\",\"page\":1},"
        "\"result\":{\"page\":1,\"count\":20,\"per_page\":200000,\"more_records\":false,"
        "\"download_url\":\"/bigin/bulk/v2/read/3652397000000646004/result\","
        "\"url\":\"https://api.example.invalid/bigin/bulk/v2/read/3652397000000646004/result\"}}";

struct test_start {
	struct hook_test *test;
	struct hook *hook;
	struct buf *words;
};

static int start_webhook(struct test_start *start, int64_t seq, uint64_t owner)
{
	struct hook_test *test = start->test;
	struct hooks *hooks = test->hooks;
	char id[EVENT_ID_SIZE];

	event_id(store_instance(journal_store(hooks->journal)), seq, id);
	struct webhook_message message = {
	        .event_id = id,
	        .body = test->program.input.data,
	        .body_len = test->program.input.len,
	        .is_test = true,
	};

	return webhook_send(hooks, start->hook, &message, hook_test_on_answer, test, owner,
	               &test->headers, start->words) < 0
	               ? HOOKS_E_UNFIT
	               : 0;
}

static int start_test(void *arg, const struct store_event *event)
{
	struct test_start *start = arg;
	struct hook_test *test = start->test;
	struct hooks *hooks = test->hooks;
	uint64_t owner = TEST_OWNER | (uint64_t)(uintptr_t)test;

	program_init(&test->program, hooks, start->hook, event, 1, true);
	if (start->hook->config.url)
		return start_webhook(start, event->seq, owner);
	child_start(hooks->children, &test->program.spec, hook_test_on_child, test, owner);
	return 0;
}

int hooks_test(struct hooks *hooks, uint32_t handle, int64_t event_seq, hooks_test_fn *fn,
        void *arg, struct buf *words)
{
	struct store_event sample = {
	        .type = EVENT_JOB_COMPLETED,
	        .at_wall_ms = loop_now(hooks->loop).wall_ms,
	        .account = "test",
	        .job_id = "3652397000000646004",
	        .from_state = "IN PROGRESS",
	        .to_state = "COMPLETED",
	        .data = sample_job,
	};
	struct hook_test *test = MEM_NEW(struct hook_test);
	struct test_start start = {.test = test, .hook = hooks->hooks[handle], .words = words};
	int r = HOOKS_E_BUSY;

	test->hooks = hooks;
	test->fn = fn;
	test->arg = arg;
	if (hooks->n_tests < TESTS_MAX && !hooks->is_draining && start.hook->is_configured)
		r = event_seq ? store_event_get(journal_store(hooks->journal), event_seq,
		                        start_test, &start)
		              : start_test(&start, &sample);
	if (r) {
		hook_test_free(test);
		return r == STORE_E_NONE ? HOOKS_E_NONE : r;
	}
	test->next = hooks->tests;
	hooks->tests = test;
	hooks->n_tests++;
	return 0;
}

void hooks_forget_tests(struct hooks *hooks)
{
	while (hooks->tests) {
		struct hook_test *test = hooks->tests;

		hooks->tests = test->next;
		test->fn(test->arg, NULL);
		hook_test_free(test);
	}
}

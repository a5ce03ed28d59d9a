/*
 * SQLite's share of memory is used up: each allocation of a call fails in turn, alone and with all
 * after it. The call answers -ENOMEM or what is so, never a text that is missing or a damage that
 * is none; what was not committed is rolled back, and the store answers on.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faultmem.h"
#include "store/private.h"
#include "storekit.h"
#include "util/err.h"
#include "util/mem.h"

/* Beyond a page, a text needs memory of its own to be read; for its end, too, by some lengths. */
enum { WRONG = 99, TEXT_LEN = 5001, N_TURNS = 2, N_JOBS = 200 };

static char dir[STOREKIT_PATH_SIZE];
static struct store *store;
static char texts[N_TURNS][TEXT_LEN + 6 * N_TURNS];

static bool is_text(const char *text, int64_t number)
{
	return text && strcmp(text, texts[number - 1]) == 0;
}

static int write_turn(int64_t number)
{
	const char *text = texts[number - 1];
	struct store_job job = {.account = "acme",
	        .id = text,
	        .name = text,
	        .state = text,
	        .error_message = text,
	        .is_watched = true};
	struct job_document document = {.query = text, .result = text};
	struct store_event event = {.type = EVENT_JOB_ADDED,
	        .account = "acme",
	        .job_id = text,
	        .from_state = text,
	        .data = text};
	struct store_delivery delivery = {.hook = text};
	int r = store_job_put(store, &job);

	if (r != 0)
		return r;
	event.job_key = job.key;
	if ((r = store_job_document_put(store, job.key, &document)) != 0 ||
	        (r = store_event_append(store, &event)) != 0)
		return r;
	delivery.event_seq = event.seq;
	if ((r = store_delivery_add(store, &delivery)) != 0 ||
	        (r = store_value_put(store, "value", text)) != 0)
		return r;
	return store_commit(store);
}

static void setup(void)
{
	for (int i = 0; i < N_TURNS; i++)
		memset(texts[i], 'a' + i, TEXT_LEN + 6 * (size_t)i);
	storekit_dir_make(dir);
	store = storekit_open(dir);
}

static void teardown(void)
{
	store_close(store);
	storekit_dir_remove(dir);
}

/* ---- reading ---- */

static int64_t last_number;

static int on_job(void *arg, const struct store_job *job)
{
	(void)arg;
	return is_text(job->id, job->key) && is_text(job->name, job->key) &&
	                       is_text(job->state, job->key) &&
	                       is_text(job->error_message, job->key) && !job->error_class
	               ? 0
	               : WRONG;
}

static int on_event(void *arg, const struct store_event *event)
{
	(void)arg;
	return is_text(event->job_id, event->seq) && is_text(event->from_state, event->seq) &&
	                       is_text(event->data, event->seq) && !event->to_state
	               ? 0
	               : WRONG;
}

static int on_delivery(void *arg, const struct store_delivery *delivery)
{
	(void)arg;
	return is_text(delivery->hook, delivery->id) && is_text(delivery->job_id, delivery->id)
	               ? 0
	               : WRONG;
}

static int on_document(void *arg, const struct job_document *document)
{
	(void)arg;
	return is_text(document->query, last_number) && is_text(document->result, last_number) &&
	                       !document->other
	               ? 0
	               : WRONG;
}

static int on_value(void *arg, const char *value)
{
	(void)arg;
	return is_text(value, last_number) ? 0 : WRONG;
}

static int walk_jobs(void)
{
	return store_jobs_each_watched(store, on_job, NULL);
}

static int find_job(void)
{
	return store_job_find(store, "acme", texts[last_number - 1], on_job, NULL);
}

static int get_document(void)
{
	return store_job_document_get(store, last_number, on_document, NULL);
}

static int walk_events(void)
{
	int64_t last;

	return store_events_read(store, 0, N_TURNS, NULL, on_event, NULL, &last);
}

static int get_event(void)
{
	return store_event_get(store, last_number, on_event, NULL);
}

static int walk_pending(void)
{
	return store_deliveries_each_pending(store, on_delivery, NULL);
}

static int walk_deliveries(void)
{
	int64_t last;

	return store_deliveries_read(store, 0, N_TURNS, -1, NULL, on_delivery, NULL, &last);
}

static int get_delivery(void)
{
	return store_delivery_get(store, last_number, on_delivery, NULL);
}

static int get_value(void)
{
	return store_value_get(store, "value", on_value, NULL);
}

static int ask_version(void)
{
	int64_t version;
	int r = store_query_int(store, "PRAGMA user_version", &version);

	return r == 0 && version != 1 ? WRONG : r;
}

static int copy(void)
{
	const char *path = storekit_path(dir, "copy");
	int r = store_copy(store, path);

	ck_assert_int_eq(access(path, F_OK) == 0, r == 0);
	unlink(path);
	return r;
}

static int mark_clean(void)
{
	return store_mark_clean(store);
}

static int try_room(void)
{
	return store_try_room(store);
}

/* And what writes nothing that could be seen. */
static int (*const reads[])(void) = {walk_jobs, find_job, get_document, walk_events, get_event,
        walk_pending, walk_deliveries, get_delivery, get_value, ask_version, copy, mark_clean,
        try_room};

/* How often it lacked memory until it had enough. */
static int fail_each(int (*read)(void), bool is_lasting)
{
	int n_lacking = 0;

	for (int64_t nth = 1;; nth++) {
		int r;

		faultmem_fail(nth, is_lasting);
		r = read();
		if (!faultmem_heal()) {
			ck_assert_int_eq(r, 0);
			return n_lacking;
		}
		ck_assert_msg(r == 0 || r == -ENOMEM, "allocation %d: %d", (int)nth, r);
		n_lacking += r != 0;
		ck_assert_int_eq(store_heartbeat(store), 0);
	}
}

START_TEST(what_is_read_is_whole)
{
	int n_lacking = 0;

	for (last_number = 1; write_turn(last_number) == 0 && last_number < N_TURNS; last_number++)
		;
	ck_assert_int_eq(store_last_seq(store), N_TURNS);
	n_lacking += fail_each(reads[_i], false);
	n_lacking += fail_each(reads[_i], true);
	ck_assert_int_gt(n_lacking, 0);
}
END_TEST

/* ---- writing ---- */

static void write_with(int64_t number, int64_t nth, bool is_lasting, bool *has_fired)
{
	uint64_t counts[4];
	int r;

	faultmem_fail(nth, is_lasting);
	r = write_turn(number);
	*has_fired = faultmem_heal();
	ck_assert_msg(r == 0 || (*has_fired && r == -ENOMEM), "allocation %d: %d", (int)nth, r);
	ck_assert(!store_is_dirty(store));
	ck_assert_int_eq(store_last_seq(store), r == 0 ? number : number - 1);
	ck_assert_int_eq(store_delivery_counts(store, texts[number - 1], counts), 0);
	ck_assert_uint_eq(counts[DELIVERY_PENDING], r == 0);
}

START_TEST(what_is_not_committed_is_rolled_back)
{
	char *answer;
	int64_t number = 1;
	bool has_fired;

	for (int64_t nth = 1; number <= N_TURNS; nth++) {
		write_with(number, nth, nth % 2, &has_fired);
		if (store_last_seq(store) == number)
			number++;
		if (!has_fired)
			nth = 0;
	}
	last_number = N_TURNS;
	ck_assert_int_eq(walk_jobs(), 0);
	ck_assert_int_eq(walk_events(), 0);
	store = store_close(store);
	answer = storekit_query(dir, "SELECT (SELECT count(*) FROM job), count(*), max(event_seq), "
	                             "(SELECT count(*) FROM name) FROM delivery");
	ck_assert_str_eq(answer, "2|2|2|3");
	free(answer);
	store = storekit_open(dir);
}
END_TEST

/* ---- opening ---- */

/* As a kill leaves it: the check spares nothing, and has pages of trees, of texts and unused ones.
 */
static void leave_unclean(void)
{
	pid_t pid;
	int status;

	store = store_close(store);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		char id[16];

		store = storekit_open(dir);
		for (int i = 0; i < N_JOBS; i++) {
			snprintf(id, sizeof(id), "%d", 1000 + i);
			storekit_job_put(store, "acme", id);
		}
		_exit(write_turn(1) == 0 && store_checkpoint(store, true) == 0 ? 0 : WRONG);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	storekit_exec(dir, "CREATE TABLE t AS SELECT zeroblob(40000); DROP TABLE t");
}

static int open_once(int64_t nth, bool is_lasting, bool *has_fired)
{
	struct buf words = {0};
	int r;

	faultmem_fail(nth, is_lasting);
	r = store_open(dir, &store, &words);
	*has_fired = faultmem_heal();
	ck_assert_msg(r == 0 || (*has_fired && r == -ENOMEM), "allocation %d: %d: %s", (int)nth, r,
	        buf_str(&words));
	buf_deinit(&words);
	return r;
}

START_TEST(no_memory_is_no_damage)
{
	int n_lacking = 0;
	bool has_fired = true;

	leave_unclean();
	for (int64_t nth = 1; has_fired; nth++) {
		for (int is_lasting = 0; is_lasting < 2; is_lasting++) {
			if (open_once(nth, is_lasting, &has_fired) != 0)
				n_lacking++;
			/* Closing does not mark it clean: the next check is as thorough. */
			else
				store = store_close(store);
		}
	}
	ck_assert_int_gt(n_lacking, 100);
	store = storekit_open(dir);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store memory");
	TCase *tcase = tcase_create("memory");

	faultmem_install();
	tcase_set_timeout(tcase, 150);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, what_is_read_is_whole, 0, (int)ARRAY_LEN(reads));
	tcase_add_test(tcase, what_is_not_committed_is_rolled_back);
	tcase_add_test(tcase, no_memory_is_no_damage);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	int n_failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

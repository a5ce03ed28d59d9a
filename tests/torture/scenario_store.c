/* The life of a database: made, written, read, copied, pruned, closed; and again after a kill. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls_store.h"
#include "scenario.h"
#include "store/private.h"
#include "util/err.h"
#include "util/mem.h"

enum { ROUNDS = 3 };

static int on_event(void *arg, const struct store_event *event)
{
	int64_t *expected = arg;

	return event->seq == *expected && strtoll(event->data, NULL, 10) == event->seq
	               ? (++*expected, 0)
	               : 99;
}

static int on_delivery(void *arg, const struct store_delivery *delivery)
{
	int64_t *n = arg;

	(void)delivery;
	++*n;
	return 0;
}

static int on_job(void *arg, const struct store_job *job)
{
	int64_t *n = arg;

	(void)job;
	++*n;
	return 0;
}

static int on_attempt(void *arg, const struct store_attempt *attempt)
{
	(void)arg;
	return attempt->output_len == 6 ? 0 : 99;
}

static int on_document(void *arg, const struct job_document *document)
{
	(void)arg;
	return !document->operation || strcmp(document->operation, "read") == 0 ? 0 : 99;
}

static int on_value(void *arg, const char *value)
{
	(void)arg;
	return !value || strcmp(value, "1") == 0 ? 0 : 99;
}

/* One turn's transaction: a job, what is known of it, its event, a delivery with an attempt. */
static int write_turn(struct store *store, int64_t number)
{
	char id[24], data[64];
	struct job_document document = {.operation = "read"};
	struct store_job job = {.account = "acme",
	        .id = id,
	        .datacenter = "eu",
	        .service = "bigin",
	        .state = "COMPLETED",
	        .is_watched = true};
	struct store_event event = {
	        .type = EVENT_JOB_COMPLETED, .account = "acme", .job_id = id, .data = data};
	struct store_delivery delivery = {.hook = "load"};
	struct store_attempt attempt = {.number = 1, .output = "output", .output_len = 6};
	int r;

	snprintf(id, sizeof(id), "%d", (int)number);
	snprintf(data, sizeof(data), "%d", (int)number);
	if ((r = store_job_put(store, &job)) != 0)
		return r;
	event.job_key = job.key;
	job.polls = 7;
	if ((r = store_job_contact_put(store, &job)) != 0 ||
	        (r = store_job_document_put(store, job.key, &document)) != 0 ||
	        (r = store_event_append(store, &event)) != 0)
		return r;
	delivery.event_seq = event.seq;
	if ((r = store_delivery_add(store, &delivery)) != 0)
		return r;
	attempt.delivery_id = delivery.id;
	if ((r = store_attempt_put(store, &attempt)) != 0)
		return r;
	delivery.state = number % 2 ? DELIVERY_PENDING : DELIVERY_DELIVERED;
	if ((r = store_delivery_put(store, &delivery)) != 0)
		return r;
	return store_value_put(store, "a", number % 2 ? "1" : NULL);
}

/* All reading calls once: an error, or what was written. */
static int read_all(struct store *store)
{
	struct store_event_filter filter = {.account = "acme"};
	uint64_t counts[4];
	int64_t expected = 1, n = 0, last = 0;
	int r = store_events_read(store, 0, 10, &filter, on_event, &expected, &last);

	if (r == 0)
		r = store_deliveries_read(store, 0, 10, -1, NULL, on_delivery, &n, &last);
	if (r == 0)
		r = store_deliveries_each_pending(store, on_delivery, &n);
	if (r == 0)
		r = store_jobs_each_watched(store, on_job, &n);
	if (r == 0)
		r = store_job_find(store, "acme", "1", on_job, &n);
	if (r == 0)
		r = store_event_get(store, 1, on_event, &(int64_t){1});
	if (r == 0)
		r = store_delivery_get(store, 1, on_delivery, &n);
	if (r == 0)
		r = store_attempts_read(store, 1, on_attempt, NULL);
	if (r == 0)
		r = store_job_document_get(store, 1, on_document, NULL);
	if (r == 0)
		r = store_value_get(store, "a", on_value, NULL);
	if (r == 0)
		r = store_delivery_counts(store, "load", counts);
	if (r == 0)
		r = store_heartbeat(store);
	return r;
}

/* What a call may answer once the fault is there, beside success. */
enum place {
	AT_START,
	IN_USE,    /* SQLite's alone: no call of the kernel's fails it */
	IN_A_COPY, /* in a file of its own */
};

static bool is_error_of_sqlite(const struct store_fault *fault, enum place place, int r)
{
	return r == fault->in_use || (place == AT_START && r == fault->at_start) ||
	       (place == IN_A_COPY && r == ERR_IO);
}

static bool is_error_of_kernel(const struct store_fault *fault, enum place place, int r)
{
	return place != IN_USE && (r == -fault->kernel || r == fault->of_kernel ||
	                                  (r == ERR_IO && err_is_passing(-fault->kernel)));
}

static bool is_error_of(const struct fault_plan *plan, enum place place, int r)
{
	const struct store_fault *fault = &store_faults[plan->variant];
	bool is_of_sqlite = strncmp(fault_where(), "sqlite3_", 8) == 0;

	if (plan->kind == FAULT_ALLOCATION)
		return r == -ENOMEM;
	if (*fault_where() == '\0')
		return false;
	return ((is_of_sqlite || plan->is_lasting) && is_error_of_sqlite(fault, place, r)) ||
	       ((!is_of_sqlite || plan->is_lasting) && is_error_of_kernel(fault, place, r));
}

static void check_error(const struct fault_plan *fault, enum place place, const char *what, int r)
{
	if (r == 99 || (r < 0 && !is_error_of(fault, place, r)))
		scenario_wrong("%s: %d (%s)", what, r, r < 0 ? err_text(r) : "a wrong answer");
}

static int copy_in_slices(struct store *store, const char *path)
{
	struct store_backup *backup;
	int r = store_backup_begin(store, path, &backup), fd;

	if (r != 0)
		return r;
	do
		r = store_backup_step(backup, 8);
	while (r == 1);
	fd = store_backup_take_fd(backup);
	if (fd >= 0)
		close(fd);
	store_backup_free(backup);
	return r;
}

/* Another instance, the files, and copies of them. */
static void look_around(
        const struct world *world, const struct fault_plan *fault, struct store *store)
{
	cleanup(mem_free_p) char *copy = mem_printf("%s/copy", world->dir);
	struct store *other;
	struct buf words = {0};
	int r = store_open(world->dir, &other, &words);

	if (other || words.len == 0)
		scenario_wrong("a second one has it: %d, %s", r, buf_str(&words));
	if (r != ERR_LOCKED)
		check_error(fault, AT_START, "a second one", r);
	buf_deinit(&words);
	if (!store_file_is_there(store))
		scenario_wrong("the file is missed");
	if (store_size(store) < 0)
		scenario_wrong("a size below nothing");
	check_error(fault, IN_A_COPY, "slices", copy_in_slices(store, copy));
	unlink(copy);
	r = store_copy(store, copy);
	check_error(fault, IN_A_COPY, "copy", r);
	if (r == 0 && access(copy, F_OK) != 0)
		scenario_wrong("no copy");
}

static int64_t live(const struct world *world, const struct fault_plan *fault, struct store *store)
{
	int64_t n_acknowledged = 0;
	size_t n_pruned;

	for (int i = 0; i < ROUNDS; i++) {
		int64_t number = store_last_seq(store) + 1;
		int r = write_turn(store, number);

		if (r == 0)
			r = store_commit(store);
		else
			store_rollback(store);
		if (r == 0)
			n_acknowledged = number;
		check_error(fault, IN_USE, "commit", r);
		if (store_last_seq(store) != n_acknowledged || store_is_dirty(store))
			scenario_wrong("last_seq %d of %d", (int)store_last_seq(store),
			        (int)n_acknowledged);
		int read = read_all(store);

		/* A positive answer is "there is none", which may be so after a turn that failed.
		 */
		check_error(fault, IN_USE, "read", read > 0 && n_acknowledged > 0 ? 99 : read);
		check_error(fault, IN_USE, "checkpoint", store_checkpoint(store, true));
		if (r == ERR_FULL)
			check_error(fault, IN_USE, "room", store_try_room(store));
	}
	check_error(fault, IN_USE, "prune", store_prune(store, 1, 10, &n_pruned));
	check_error(fault, IN_USE, "commit", store_commit(store));
	look_around(world, fault, store);
	check_error(fault, IN_USE, "the end", store_mark_clean(store));
	return n_acknowledged;
}

/* The number of whole turns that are there. */
static int64_t count_whole(const struct world *world)
{
	int64_t expected = 1, last = 0, n_jobs = 0, n_deliveries = 0;
	struct store *store;
	struct buf words = {0};
	int r = store_open(world->dir, &store, &words);

	if (r != 0)
		scenario_wrong("not to be opened again: %s", buf_str(&words));
	buf_deinit(&words);
	while (r == 0 && last < store_last_seq(store))
		r = store_events_read(store, last, 50, NULL, on_event, &expected, &last);
	if (r == 0)
		r = store_jobs_each_watched(store, on_job, &n_jobs);
	if (r == 0)
		r = store_deliveries_read(
		        store, 0, 50, -1, NULL, on_delivery, &n_deliveries, &last);
	if (r != 0 || expected - 1 != store_last_seq(store) || n_jobs != expected - 1 ||
	        n_deliveries != expected - 1)
		scenario_wrong("error %d, %d events, %d jobs, %d deliveries", r, (int)expected - 1,
		        (int)n_jobs, (int)n_deliveries);
	store_close(store);
	return expected - 1;
}

static void check_open(const struct fault_plan *fault, int r, const struct buf *words)
{
	if (r != 0 && words->len == 0)
		scenario_wrong("no words for %d", r);
	check_error(fault, AT_START, words->len ? words->data : "opened", r);
}

/* With room in its file for the ballast, whose making is most of the time. */
static void run_store(const struct world *world, const struct fault_plan *fault)
{
	cleanup(mem_free_p) char *copy = mem_printf("%s/copy", world->dir);
	int64_t n_acknowledged = 0, n;
	struct store *store;
	struct buf words = {0};
	int r;

	scenario_arm(fault);
	r = store_open(world->dir, &store, &words);
	check_open(fault, r, &words);
	if (r == 0) {
		n_acknowledged = live(world, fault, store);
		store_close(store);
	}
	fault_disarm();
	buf_deinit(&words);
	n = count_whole(world);
	if (n < n_acknowledged || n > n_acknowledged + 1)
		scenario_wrong("%d acknowledged, %d there", (int)n_acknowledged, (int)n);
	unlink(copy);
}

/* ---- recovering and forgetting ---- */

/* Three turns; the third's delivery was running when the daemon was killed. */
static _Noreturn void live_in_the_past(const struct world *world)
{
	struct store_delivery running = {.id = 3, .state = DELIVERY_RUNNING, .attempts = 1};
	struct buf words = {0};
	struct store *store;

	if (store_open(world->dir, &store, &words) != 0)
		scenario_wrong("opened: %s", buf_str(&words));
	for (int64_t i = 1; i <= 3; i++) {
		if (write_turn(store, i) != 0)
			scenario_wrong("turn %d", (int)i);
	}
	if (store_delivery_put(store, &running) != 0 || store_commit(store) != 0)
		scenario_wrong("the past cannot be written");
	_exit(0);
}

static void make_past(const struct world *world)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		scenario_wrong("no process: %d", errno);
	if (pid == 0)
		live_in_the_past(world);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		scenario_wrong("the past: %d", status);
}

/* The second job is no longer watched, and nothing is owed for it. */
static int forget(const struct fault_plan *fault, struct store *store)
{
	struct store_job job = {.key = 2,
	        .account = "acme",
	        .id = "2",
	        .datacenter = "eu",
	        .service = "crm",
	        .state = "COMPLETED",
	        .ended_wall_ms = 1};
	size_t n_pruned = 0;
	int r = store_job_put(store, &job);

	if (r == 0)
		r = store_commit(store);
	if (r == 0)
		r = store_prune(store, 10, 10, &n_pruned);
	if (r == 0 && n_pruned != 1)
		scenario_wrong("%zu were forgotten, not one", n_pruned);
	if (r == 0)
		r = store_commit(store);
	check_error(fault, IN_USE, "forget", r);
	return r;
}

static int on_pending(void *arg, const struct store_delivery *delivery)
{
	bool *is_third = arg;

	*is_third |= delivery->id == 3 && delivery->attempts == 1;
	return 0;
}

/* What was running is owed; the second job is there whole or not at all, and gone if that was said.
 */
static void judge_future(const struct world *world, bool is_forgotten)
{
	bool is_third = false;
	int64_t n = 0, expected = 2;
	struct buf words = {0};
	struct store *store;

	if (store_open(world->dir, &store, &words) != 0)
		scenario_wrong("not to be opened again: %s", buf_str(&words));
	int job = store_job_find(store, "acme", "2", on_job, &n);
	int event = store_event_get(store, 2, on_event, &expected);

	if (job != event || (job != 0 && job != STORE_E_NONE) || (is_forgotten && job == 0))
		scenario_wrong("the job: %d, its event: %d", job, event);
	if (store_deliveries_each_pending(store, on_pending, &is_third) != 0 || !is_third)
		scenario_wrong("what was running is lost");
	if (store_last_seq(store) != 3)
		scenario_wrong("last_seq is %d", (int)store_last_seq(store));
	store_close(store);
	buf_deinit(&words);
}

static void run_forget(const struct world *world, const struct fault_plan *fault)
{
	bool is_forgotten = false;
	struct buf words = {0};
	struct store *store;
	int r;

	make_past(world);
	scenario_arm(fault);
	r = store_open(world->dir, &store, &words);
	check_open(fault, r, &words);
	if (r == 0) {
		is_forgotten = forget(fault, store) == 0;
		store_close(store);
	}
	fault_disarm();
	buf_deinit(&words);
	judge_future(world, is_forgotten);
}

const struct scenario scenario_forget = {
        .name = "forget", .run = run_forget, .n_variants = STORE_FAULTS, .is_offline = true};
const struct scenario scenario_store = {
        .name = "store", .run = run_store, .n_variants = STORE_FAULTS, .is_offline = true};

/*
 * How fast the store is: transitions a second by how many a commit groups; a million jobs put,
 * opened again after a clean end and after a kill, and walked; transitions of those jobs in the
 * order of their rows and at random. As in the daemon, a log that is large is moved between
 * commits, which counts.
 *
 * Usage: bench_store [DIRECTORY [JOBS]]; the directory (made, and removed) says which disk is
 * measured. One line a figure: name, value, unit.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"
#include "util/clock.h"

enum { SECONDS_A_BATCH = 2, N_ACCOUNTS = 100, BATCH_OF_KNOWN = 1000 };

static const char query[] =
        "{\"module\":\"Contacts\",\"fields\":[\"Last_Name\",\"Owner\"],\"page\":1}";

static void must(int r, const char *what)
{
	if (r == 0)
		return;
	fprintf(stderr, "bench_store: %s: %d\n", what, r);
	exit(1);
}

static struct store *open_timed(const char *dir, const char *name)
{
	int64_t start = clock_now().mono_ms;
	struct store *store;
	struct buf words = {0};

	if (store_open(dir, &store, &words) != 0) {
		fprintf(stderr, "bench_store: %s\n", buf_str(&words));
		exit(1);
	}
	if (name)
		printf("%s %lld ms\n", name, (long long)(clock_now().mono_ms - start));
	buf_deinit(&words);
	return store;
}

/* The job of a number; key 0: a new one. */
static void put_job(struct store *store, long number, int64_t key, struct store_job *job)
{
	static char account[32], id[32], name[32];

	snprintf(account, sizeof(account), "account-%ld", number % N_ACCOUNTS);
	snprintf(id, sizeof(id), "%019ld", 3652397000000000000 + number * 7);
	snprintf(name, sizeof(name), "nightly-%ld", number);
	*job = (struct store_job){
	        .key = key,
	        .account = account,
	        .id = id,
	        .name = name,
	        .datacenter = "eu",
	        .service = "bigin",
	        .state = key ? "COMPLETED" : "IN PROGRESS",
	        .is_watched = true,
	        .since_wall_ms = 1700000000000 + number,
	        .watched_since_wall_ms = 1700000000000,
	        .last_polled_wall_ms = 1700000005000,
	        .last_answered_wall_ms = 1700000005000,
	        .polls = 3,
	};
	must(store_job_put(store, job), "job");
}

/* What a transition costs the daemon: the job's row, its document, the event, a delivery. */
static void put_transition(struct store *store, long number, int64_t key)
{
	struct job_document document = {.operation = "read", .query = query};
	struct store_delivery delivery = {.hook = "load"};
	struct store_event event = {
	        .type = EVENT_JOB_COMPLETED, .to_state = "COMPLETED", .from_state = "ADDED"};
	struct store_job job;

	put_job(store, number, key, &job);
	event.account = job.account;
	event.job_key = job.key;
	event.job_id = job.id;
	event.data = query;
	must(store_job_document_put(store, job.key, &document), "document");
	must(store_event_append(store, &event), "event");
	delivery.event_seq = event.seq;
	must(store_delivery_add(store, &delivery), "delivery");
}

/* Commits for a while, each of so many transitions: of new jobs, of the known ones in turn, or of
 * any of them. */
enum order { ORDER_NEW, ORDER_IN_TURN, ORDER_RANDOM };

static void measure_commits(struct store *store, const char *name, int n_each, enum order order,
        long *next, long n_known)
{
	int64_t start = clock_now().mono_ms, spent = 0, moving = 0;
	long n_commits = 0;

	for (; spent < SECONDS_A_BATCH * 1000; spent = clock_now().mono_ms - start) {
		for (int k = 0; k < n_each; k++) {
			long number = order == ORDER_RANDOM ? random() % n_known : (*next)++;

			if (order == ORDER_IN_TURN)
				number %= n_known;
			put_transition(store, number, order == ORDER_NEW ? 0 : number + 1);
		}
		must(store_commit(store), "commit");
		n_commits++;
		if (store_log_size(store) != STORE_LOG_SMALL) {
			int64_t began = clock_now().mono_ms;

			must(store_checkpoint(store, false), "checkpoint");
			moving += clock_now().mono_ms - began;
		}
	}
	printf("%s %.0f commits/s %.0f transitions/s, %.0f %% of the time moving the log\n", name,
	        (double)n_commits * 1000 / (double)spent,
	        (double)n_commits * n_each * 1000 / (double)spent,
	        (double)moving * 100 / (double)spent);
}

static void measure_batches(const char *dir)
{
	static const int sizes[] = {1, 10, 100, 1000};
	struct store *store = open_timed(dir, NULL);
	long number = 0;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char name[32];

		snprintf(name, sizeof(name), "batch_%d", sizes[i]);
		measure_commits(store, name, sizes[i], ORDER_NEW, &number, 0);
	}
	store_close(store);
}

/* Of jobs whose rows are in a database far larger than SQLite's page cache; the n-th job put has
 * the key n. */
static void measure_known(struct store *store, long n_known)
{
	long number = 0;

	measure_commits(store, "known_in_order", BATCH_OF_KNOWN, ORDER_IN_TURN, &number, n_known);
	measure_commits(store, "known_at_random", BATCH_OF_KNOWN, ORDER_RANDOM, &number, n_known);
}

static int count_job(void *arg, const struct store_job *job)
{
	(void)job;
	++*(long *)arg;
	return 0;
}

static void walk_timed(struct store *store, long n_expected)
{
	int64_t start = clock_now().mono_ms;
	long n = 0;

	must(store_jobs_each_watched(store, count_job, &n), "walk");
	must(n != n_expected, "number of jobs walked");
	printf("walk %lld ms for %ld jobs\n", (long long)(clock_now().mono_ms - start), n);
}

/* A process that commits and is killed with the log still hot. */
static void kill_one(const char *dir, long n_jobs)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct store *store = open_timed(dir, NULL);

		for (long i = 0; i < 1000; i++) {
			struct store_job job;

			put_job(store, n_jobs + i, 0, &job);
		}
		must(store_commit(store), "commit");
		raise(SIGKILL);
	}
	must(pid < 0 || waitpid(pid, &status, 0) != pid, "child");
}

static void measure_million(const char *dir, long n_jobs)
{
	int64_t start = clock_now().mono_ms;
	struct store *store = open_timed(dir, NULL);
	struct rusage usage;

	for (long i = 0; i < n_jobs; i++) {
		struct store_job job;

		put_job(store, i, 0, &job);
		if (i % 10000 == 9999)
			must(store_commit(store), "commit");
	}
	must(store_commit(store), "commit");
	printf("put %lld ms for %ld jobs\n", (long long)(clock_now().mono_ms - start), n_jobs);
	store_close(store);
	store = open_timed(dir, "open_clean");
	walk_timed(store, n_jobs);
	printf("size %lld MiB\n", (long long)(store_size(store) >> 20));
	store_close(store);
	kill_one(dir, n_jobs);
	store = open_timed(dir, "open_killed");
	walk_timed(store, n_jobs + 1000);
	measure_known(store, n_jobs);
	store_close(store);
	getrusage(RUSAGE_SELF, &usage);
	printf("memory %ld MiB at most\n", usage.ru_maxrss >> 10);
}

static void remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	while (d && (entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == 'b')
			unlinkat(dirfd(d), entry->d_name, 0);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

int main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : "bench_store.tmp";
	long n_jobs = argc > 2 ? strtol(argv[2], NULL, 10) : 1000 * 1000;

	setvbuf(stdout, NULL, _IOLBF, 0);
	must(mkdir(dir, 0700), dir);
	measure_batches(dir);
	remove_dir(dir);
	must(mkdir(dir, 0700), dir);
	measure_million(dir, n_jobs);
	remove_dir(dir);
	return 0;
}

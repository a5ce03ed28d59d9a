/* When all is over: did everything come to its right end? */
#include "judge.h"

#include <inttypes.h>

#include "crowd.h"
#include "evidence.h"
#include "look.h"
#include "util/str.h"
#include "world.h"

enum {
	DAY_MS = 24 * 60 * 60 * 1000,
	/* Far more than any schedule would spend whose max_interval is minutes. */
	EASY_INTERVAL_MS = 60 * 1000,
	POLLS_A_START = 100,
	POLLS_PER_JOB = 20, /* poll.polls_per_job, by default: what a job may cost on average */
	JOBS_MIN = 100,     /* of an account, for an average that says something */
};

static bool has_ended(uint8_t state)
{
	return state == DELIVERY_DELIVERED || state == DELIVERY_DEAD;
}

static int phase_of(const struct world_job *job, uint8_t word)
{
	for (int i = 0; i < job->n_phases; i++) {
		if (job->phases[i].word == word)
			return i;
	}
	return -1;
}

/* Newest first: the states of its life in their order, each once (LOST may stand anywhere). */
static void judge_job(const struct world_job *job)
{
	bool may_be_lost = !world_has(KIND_CHANGES) && job->unknown_to_mono_ms > 0;
	int later = job->n_phases;

	if (!job->is_watched)
		world_note_failure("job %s is not watched at the end", job->id);
	if (job->state != job->phases[job->n_phases - 1].word &&
	        !(job->state == WORD_LOST && may_be_lost))
		world_note_failure("job %s ends %s instead of %s", job->id, word_text(job->state),
		        word_text(job->phases[job->n_phases - 1].word));
	for (int32_t seq = job->last_event; seq; seq = world->events[seq].previous) {
		const struct seen_event *event = &world->events[seq];
		int phase = phase_of(job, event->to);

		if (event->to == WORD_NONE || event->to == WORD_LOST ||
		        event->type == EVENT_JOB_OVERDUE || event->type == EVENT_HOOK_DEAD)
			continue;
		/* The same one may come twice if the job was LOST in between. */
		if (phase < 0 || phase > later)
			world_note_failure(
			        "job %s: event %d has %s out of its place in the job's life",
			        job->id, seq, word_text((enum word)event->to));
		later = phase;
	}
}

/* Between two polls, unless there is nothing else for them. */
static int64_t shortest_ms(const struct world_account *account)
{
	int64_t ms = EASY_INTERVAL_MS;

	for (size_t v = 0; v < WORLD_VARIANTS; v++)
		ms = account->max_interval_ms[v] < ms ? account->max_interval_ms[v] : ms;
	return ms;
}

/* Credits are not spent as if every job were forever young, or about to finish. */
static void judge_cost(const struct world_job *job)
{
	int64_t days = 1 + (world->mono_ms - WORLD_START_MONO_MS) / DAY_MS;
	int64_t a_day = DAY_MS / shortest_ms(&world->accounts[job->account]);
	int64_t most = a_day * days + POLLS_A_START * (job->watches + world->life);

	if (job->polls > most)
		world_note_failure("job %s was polled %d times in %" PRId64 " days", job->id,
		        job->polls, days);
}

/*
 * The promise of polls_per_job. Only of a calm world, where no poll is a retry; twice as much is
 * let pass, since what is learned comes only with the first jobs that finish, and thrice of one
 * account, whose first ones may be slow (ten thousand jobs in ten: 25 to 29 of all, 20 to 46 of
 * one).
 */
static void judge_average_cost(const char *whose, int64_t n_jobs, int64_t n_polls, int times)
{
	if (n_jobs >= JOBS_MIN && n_polls > times * POLLS_PER_JOB * n_jobs)
		world_note_failure("%s: a job costs %" PRId64 " polls on average, promised are %d",
		        whose, n_polls / n_jobs, POLLS_PER_JOB);
}

static void judge_costs(void)
{
	int64_t n_polls = 0;

	for (size_t k = 0; k < world->n_accounts; k++) {
		int64_t n_jobs = 0, n_of_account = 0;

		for (size_t i = 0; i < world->n_jobs; i++) {
			if (world->jobs[i].account != (int)k)
				continue;
			n_jobs++;
			n_of_account += world->jobs[i].polls;
		}
		judge_average_cost(world->accounts[k].name, n_jobs, n_of_account, 3);
		n_polls += n_of_account;
	}
	judge_average_cost("all accounts", (int64_t)world->n_jobs, n_polls, 2);
}

static void judge_views(sqlite3 *db)
{
	sqlite3_stmt *stmt =
	        look_prepare(db, "SELECT account, job_id, state, finished, watched FROM jobs");
	size_t n = 0;

	while (stmt && sqlite3_step(stmt) == SQLITE_ROW) {
		int account = world_find_account(look_text(stmt, 0));
		int job = account < 0 ? -1 : world_find_job(account, look_text(stmt, 1));

		n++;
		if (job < 0 || word_of(look_text(stmt, 2)) != world->jobs[job].state ||
		        !sqlite3_column_int(stmt, 3) || !sqlite3_column_int(stmt, 4))
			world_note_failure("the row of job %s/%s does not fit its history",
			        look_text(stmt, 0), look_text(stmt, 1));
	}
	sqlite3_finalize(stmt);
	if (n != world->n_jobs)
		world_note_failure("%zu jobs are on disk, %zu there were", n, world->n_jobs);
}

static void judge_integrity(sqlite3 *db)
{
	sqlite3_stmt *stmt = look_prepare(db, "PRAGMA integrity_check");

	if (!stmt || sqlite3_step(stmt) != SQLITE_ROW || !str_is_equal(look_text(stmt, 0), "ok"))
		world_note_failure("the database is damaged: %s", stmt ? look_text(stmt, 0) : "");
	sqlite3_finalize(stmt);
	if (look_int(db, "SELECT count(*) FROM pragma_foreign_key_check") != 0)
		world_note_failure("the database has rows that refer to none");
}

static void judge_ends_of_deliveries(void)
{
	for (size_t i = 0; i < world->n_deliveries; i++) {
		const struct seen_delivery *delivery = &world->deliveries[i];

		if (!has_ended(delivery->state))
			world_note_failure("hook %s: event %d is %s at the end",
			        world->hooks[delivery->hook].name, delivery->seq,
			        delivery_state_name((enum delivery_state)delivery->state));
		if (delivery->state == DELIVERY_DELIVERED && delivery->n_started == 0)
			world_note_failure(
			        "hook %s: event %d is delivered, but no attempt ever began",
			        world->hooks[delivery->hook].name, delivery->seq);
	}
}

void judge_end(void)
{
	sqlite3 *db = look_open();

	if (!db) {
		world_note_failure("there is no database at the end");
		return;
	}
	if (world->is_crowd)
		crowd_judge();
	if (world->kinds == 0)
		judge_costs();
	for (size_t i = 0; i < world->n_jobs; i++) {
		judge_job(&world->jobs[i]);
		judge_cost(&world->jobs[i]);
	}
	judge_ends_of_deliveries();
	judge_views(db);
	judge_integrity(db);
	for (size_t i = 0; world_has(KIND_CLIENTS) && i < WORLD_READERS; i++) {
		if (world->readers[i].seq != world->committed_seq)
			world_note_failure("reader %zu has events up to %" PRId64 " of %" PRId64, i,
			        world->readers[i].seq, world->committed_seq);
	}
	sqlite3_close(db);
}

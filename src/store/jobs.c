/*
 * Jobs: a narrow row that is rewritten with every transition, and beside it the document, which is
 * what Zoho last answered. Nothing here decides anything about a job.
 */
#include "store/private.h"

#include <errno.h>

/* Texts that the schema says are never NULL come back so when the file lies. */
static bool job_of_row(struct store *store, sqlite3_stmt *stmt, struct store_job *job)
{
	*job = (struct store_job){
	        .key = sqlite3_column_int64(stmt, 0),
	        .id = store_column_text(stmt, 2),
	        .name = store_column_text(stmt, 3),
	        .state = store_column_text(stmt, 6),
	        .origin = sqlite3_column_int(stmt, 7) == ORIGIN_CONFIG ? ORIGIN_CONFIG
	                                                               : ORIGIN_SOCKET,
	        .is_watched = sqlite3_column_int(stmt, 8) != 0,
	        .is_removed = sqlite3_column_int(stmt, 9) != 0,
	        .is_paused = sqlite3_column_int(stmt, 10) != 0,
	        .is_overdue_told = sqlite3_column_int(stmt, 11) != 0,
	        .since_wall_ms = sqlite3_column_int64(stmt, 12),
	        .watched_since_wall_ms = sqlite3_column_int64(stmt, 13),
	        .last_polled_wall_ms = sqlite3_column_int64(stmt, 14),
	        .last_answered_wall_ms = sqlite3_column_int64(stmt, 15),
	        .ended_wall_ms = sqlite3_column_int64(stmt, 16),
	        .polls = (uint64_t)sqlite3_column_int64(stmt, 17),
	        .failures = (uint64_t)sqlite3_column_int64(stmt, 18),
	        .error_at_wall_ms = sqlite3_column_int64(stmt, 19),
	        .error_class = store_column_text(stmt, 20),
	        .error_message = store_column_text(stmt, 21),
	};
	return store_name_column(store, stmt, 1, &job->account) && job->account &&
	       store_name_column(store, stmt, 4, &job->datacenter) &&
	       store_name_column(store, stmt, 5, &job->service) && job->id && job->state &&
	       store_is_row_whole(store);
}

static void job_bind_contact(sqlite3_stmt *stmt, const int columns[7], const struct store_job *job)
{
	store_bind_int(stmt, columns[0], job->last_polled_wall_ms);
	store_bind_int(stmt, columns[1], job->last_answered_wall_ms);
	store_bind_int(stmt, columns[2], (int64_t)job->polls);
	store_bind_int(stmt, columns[3], (int64_t)job->failures);
	store_bind_int(stmt, columns[4], job->error_at_wall_ms);
	store_bind_text(stmt, columns[5], job->error_class);
	store_bind_text(stmt, columns[6], job->error_message);
}

/* The parameters that inserting and rewriting have in common, by the same numbers. */
static int job_bind(struct store *store, sqlite3_stmt *stmt, const struct store_job *job)
{
	static const int contact[7] = {15, 16, 18, 19, 20, 21, 22};
	int64_t datacenter, service;
	int r = store_name_key(store, job->datacenter, &datacenter);

	if (r == 0)
		r = store_name_key(store, job->service, &service);
	if (r != 0)
		return r;
	store_bind_text(stmt, 4, job->name);
	store_bind_name(stmt, 5, datacenter);
	store_bind_name(stmt, 6, service);
	store_bind_text(stmt, 7, job->state);
	store_bind_int(stmt, 8, job->origin);
	store_bind_int(stmt, 9, job->is_watched);
	store_bind_int(stmt, 10, job->is_removed);
	store_bind_int(stmt, 11, job->is_paused);
	store_bind_int(stmt, 12, job->is_overdue_told);
	store_bind_int(stmt, 13, job->since_wall_ms);
	store_bind_int(stmt, 14, job->watched_since_wall_ms);
	store_bind_int(stmt, 17, job->ended_wall_ms);
	job_bind_contact(stmt, contact, job);
	return 0;
}

static int job_run_by_key(struct store *store, enum store_stmt stmt)
{
	int r = store_run(store, stmt);

	return r == 0 && sqlite3_changes(store->db) == 0 ? -ENOENT : r;
}

static int job_insert(struct store *store, struct store_job *job)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_JOB_INSERT);
	int64_t key = store->now.last_job_key + 1, account;
	int r = store_name_key(store, job->account, &account);

	if (r == 0)
		r = job_bind(store, stmt, job);
	if (r != 0)
		return r;
	store_bind_int(stmt, 1, key);
	store_bind_name(stmt, 2, account);
	store_bind_text(stmt, 3, job->id);
	r = store_run(store, STMT_JOB_INSERT);
	if (r == 0)
		store->now.last_job_key = job->key = key;
	return r;
}

int store_job_put(struct store *store, struct store_job *job)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_JOB_UPDATE);
	int r = store_write_begin(store);

	if (r != 0 || job->key == 0)
		return r != 0 ? r : job_insert(store, job);
	r = job_bind(store, stmt, job);
	if (r != 0)
		return r;
	store_bind_int(stmt, 1, job->key);
	return job_run_by_key(store, STMT_JOB_UPDATE);
}

int store_job_contact_put(struct store *store, const struct store_job *job)
{
	static const int contact[7] = {2, 3, 4, 5, 6, 7, 8};
	sqlite3_stmt *stmt = store_stmt(store, STMT_JOB_CONTACT);
	int r = store_write_begin(store);

	if (r != 0)
		return r;
	store_bind_int(stmt, 1, job->key);
	job_bind_contact(stmt, contact, job);
	return job_run_by_key(store, STMT_JOB_CONTACT);
}

int store_job_document_put(struct store *store, int64_t key, const struct job_document *document)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_DOCUMENT_PUT);
	int r = store_write_begin(store);

	if (r != 0)
		return r;
	store_bind_int(stmt, 1, key);
	store_bind_text(stmt, 2, document->operation);
	store_bind_text(stmt, 3, document->created_by);
	store_bind_text(stmt, 4, document->created_time);
	store_bind_text(stmt, 5, document->query);
	store_bind_text(stmt, 6, document->result);
	store_bind_text(stmt, 7, document->other);
	return store_run(store, STMT_DOCUMENT_PUT);
}

int store_job_document_get(struct store *store, int64_t key, store_document_fn *fn, void *arg)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_DOCUMENT_GET);
	struct job_document document = {0};
	int r;

	store_bind_int(stmt, 1, key);
	r = store_step(store, STMT_DOCUMENT_GET);
	if (r < 0)
		return r;
	if (r == 0)
		return fn(arg, &document);
	document = (struct job_document){
	        .operation = store_column_text(stmt, 0),
	        .created_by = store_column_text(stmt, 1),
	        .created_time = store_column_text(stmt, 2),
	        .query = store_column_text(stmt, 3),
	        .result = store_column_text(stmt, 4),
	        .other = store_column_text(stmt, 5),
	};
	if (!store_is_row_whole(store))
		return store_walk_fail(store, STMT_DOCUMENT_GET);
	return store_walk_end(store, STMT_DOCUMENT_GET, fn(arg, &document));
}

int store_jobs_each_watched(struct store *store, store_job_fn *fn, void *arg)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_JOBS_WATCHED);
	struct store_job job;
	int r;

	while ((r = store_step(store, STMT_JOBS_WATCHED)) > 0) {
		if (!job_of_row(store, stmt, &job))
			return store_walk_fail(store, STMT_JOBS_WATCHED);
		r = fn(arg, &job);
		if (r != 0)
			return store_walk_end(store, STMT_JOBS_WATCHED, r);
	}
	return r;
}

int64_t store_jobs_ever(const struct store *store)
{
	return store->now.last_job_key;
}

int store_job_find(
        struct store *store, const char *account, const char *id, store_job_fn *fn, void *arg)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_JOB_FIND);
	int64_t key = store_name_find(store, account);
	struct store_job job;
	int r;

	if (store->broken)
		return store->broken;
	if (key == 0)
		return STORE_E_NONE;
	store_bind_int(stmt, 1, key);
	store_bind_text(stmt, 2, id);
	r = store_step(store, STMT_JOB_FIND);
	if (r <= 0)
		return r < 0 ? r : STORE_E_NONE;
	if (!job_of_row(store, stmt, &job))
		return store_walk_fail(store, STMT_JOB_FIND);
	return store_walk_end(store, STMT_JOB_FIND, fn(arg, &job));
}

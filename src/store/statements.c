/*
 * Every statement that the store runs more than once, on one page, in the order of enum store_stmt.
 * Each finds its rows by primary key or by an index that schema.c names; jobs_watched, which is
 * read once at the start, walks its whole table.
 */
#include "store/private.h"

/* SQL, laid out as SQL. */
/* clang-format off */
#define JOB_COLUMNS \
	"key, account, id, name, datacenter, service, state, origin, is_watched, is_removed, " \
	"is_paused, is_overdue_told, since_at, watched_since_at, last_polled_at, " \
	"last_answered_at, ended_at, polls, failures, error_at, error_class, error_message"

#define EVENT_COLUMNS "seq, type, at, account, job_key, job_id, from_state, to_state, data"

#define DELIVERY_SELECT \
	"SELECT d.id, d.event_seq, d.hook, e.account, e.job_key, e.job_id, d.state, " \
	"d.attempts, d.attempts_base, d.next_at, d.created_at, d.ended_at " \
	"FROM delivery d CROSS JOIN event e ON e.seq = d.event_seq "

const char *const store_statements[STMT_COUNT] = {
	[STMT_BEGIN] = "BEGIN IMMEDIATE",
	[STMT_COMMIT] = "COMMIT",
	[STMT_ROLLBACK] = "ROLLBACK",
	[STMT_HEARTBEAT] = "SELECT last_seq FROM meta WHERE one = 1",
	[STMT_META_READ] =
		"SELECT instance, last_seq, last_job_key, last_delivery_id, pruned_through, "
		"is_clean FROM meta WHERE one = 1",
	[STMT_META_WRITE] =
		"UPDATE meta SET last_seq = ?1, last_job_key = ?2, last_delivery_id = ?3, "
		"pruned_through = ?4, is_clean = ?5 WHERE one = 1",
	[STMT_PROBE] = "UPDATE meta SET n_probes = n_probes + 1 WHERE one = 1",

	[STMT_NAMES_READ] = "SELECT key, text FROM name ORDER BY key",
	[STMT_NAME_ADD] = "INSERT INTO name (key, text) VALUES (?1, ?2)",
	[STMT_TALLIES_READ] = "SELECT hook, pending, running, delivered, dead FROM tally",
	[STMT_TALLY_PUT] =
		"INSERT OR REPLACE INTO tally (hook, pending, running, delivered, dead) "
		"VALUES (?1, ?2, ?3, ?4, ?5)",

	[STMT_JOB_INSERT] =
		"INSERT INTO job (" JOB_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
		"?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
	/* Not account and id: naming them would rewrite their index, and they never change. */
	[STMT_JOB_UPDATE] =
		"UPDATE job SET name = ?4, datacenter = ?5, service = ?6, state = ?7, origin = ?8, "
		"is_watched = ?9, is_removed = ?10, is_paused = ?11, is_overdue_told = ?12, "
		"since_at = ?13, watched_since_at = ?14, last_polled_at = ?15, "
		"last_answered_at = ?16, ended_at = ?17, polls = ?18, failures = ?19, "
		"error_at = ?20, error_class = ?21, error_message = ?22 WHERE key = ?1",
	[STMT_JOB_CONTACT] =
		"UPDATE job SET last_polled_at = ?2, last_answered_at = ?3, polls = ?4, "
		"failures = ?5, error_at = ?6, error_class = ?7, error_message = ?8 WHERE key = ?1",
	[STMT_JOB_FIND] = "SELECT " JOB_COLUMNS " FROM job WHERE account = ?1 AND id = ?2",
	[STMT_JOBS_WATCHED] = "SELECT " JOB_COLUMNS " FROM job WHERE is_watched = 1 ORDER BY key",
	[STMT_DOCUMENT_PUT] =
		"INSERT INTO document "
		"(key, operation, created_by, created_time, query, result, other) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (key) DO UPDATE SET "
		"operation = ?2, created_by = ?3, created_time = ?4, query = ?5, "
		"result = ?6, other = ?7",
	[STMT_DOCUMENT_GET] =
		"SELECT operation, created_by, created_time, query, result, other "
		"FROM document WHERE key = ?1",

	[STMT_EVENT_ADD] =
		"INSERT INTO event (" EVENT_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[STMT_EVENT_GET] = "SELECT " EVENT_COLUMNS " FROM event WHERE seq = ?1",
	[STMT_EVENTS_READ] =
		"SELECT " EVENT_COLUMNS " FROM event WHERE seq > ?1 AND seq <= ?2 "
		"ORDER BY seq LIMIT ?3",
	[STMT_EVENTS_OF_JOB] =
		"SELECT " EVENT_COLUMNS " FROM event WHERE job_key = ?4 AND seq > ?1 AND seq <= ?2 "
		"ORDER BY seq LIMIT ?3",

	[STMT_DELIVERY_ADD] =
		"INSERT INTO delivery (id, event_seq, hook, state, attempts, attempts_base, "
		"next_at, created_at, ended_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[STMT_DELIVERY_STATE] = "SELECT hook, state FROM delivery WHERE id = ?1",
	[STMT_DELIVERY_PUT] =
		"UPDATE delivery SET state = ?2, attempts = ?3, attempts_base = ?4, next_at = ?5, "
		"ended_at = ?6 WHERE id = ?1",
	[STMT_DELIVERY_GET] = DELIVERY_SELECT "WHERE d.id = ?1",
	/* Here and below, "state < 2" is what makes the index of open deliveries eligible. */
	[STMT_DELIVERIES_PENDING] =
		DELIVERY_SELECT "WHERE d.state < 2 AND d.state = 0 ORDER BY d.event_seq, d.id",
	[STMT_DELIVERIES_BACK] = DELIVERY_SELECT "WHERE d.id < ?1 ORDER BY d.id DESC LIMIT ?2",
	[STMT_RECOVER_LOOK] = "SELECT 1 FROM delivery WHERE state < 2 AND state = 1 LIMIT 1",
	[STMT_RECOVER_ATTEMPTS] =
		"UPDATE attempt SET ending = ?1, duration = 0 WHERE duration < 0 AND delivery IN "
		"(SELECT id FROM delivery WHERE state < 2 AND state = 1)",
	[STMT_RECOVER_DELIVERIES] =
		"UPDATE delivery SET state = 0, next_at = 0 WHERE state < 2 AND state = 1",
	[STMT_RECOVER_TALLIES] = "UPDATE tally SET pending = pending + running, running = 0",
	[STMT_ATTEMPT_PUT] =
		"INSERT INTO attempt (delivery, number, started_at, duration, ending, code, "
		"output) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT "
		"(delivery, number) DO UPDATE SET started_at = ?3, duration = ?4, ending = ?5, "
		"code = ?6, output = ?7",
	[STMT_ATTEMPT_TRIM] = "DELETE FROM attempt WHERE delivery = ?1 AND number <= ?2",
	[STMT_ATTEMPTS_READ] =
		"SELECT number, started_at, duration, ending, code, output FROM attempt "
		"WHERE delivery = ?1 ORDER BY number",

	[STMT_PRUNE_JOBS] =
		"SELECT key FROM job WHERE is_watched = 0 AND ended_at > 0 "
		"AND (is_removed = 0 OR origin = 1) AND ended_at < ?1 AND NOT EXISTS "
		"(SELECT 1 FROM event e LEFT JOIN delivery d ON d.event_seq = e.seq "
		"WHERE e.job_key = job.key AND (e.at >= ?1 OR d.state < 2)) "
		"ORDER BY ended_at LIMIT ?2",
	[STMT_PRUNE_EVENTS] =
		"SELECT seq FROM event WHERE job_key IS NULL AND at < ?1 AND NOT EXISTS "
		"(SELECT 1 FROM delivery d WHERE d.event_seq = event.seq AND d.state < 2) "
		"ORDER BY at LIMIT ?2",
	[STMT_PRUNE_EVENT_OF_JOB] = "SELECT seq FROM event WHERE job_key = ?1 ORDER BY seq LIMIT 1",
	[STMT_PRUNE_DELIVERY_OF_EVENT] =
		"SELECT id, hook, state FROM delivery WHERE event_seq = ?1 LIMIT 1",
	[STMT_PRUNE_ATTEMPTS] = "DELETE FROM attempt WHERE delivery = ?1",
	[STMT_PRUNE_DELIVERY] = "DELETE FROM delivery WHERE id = ?1",
	[STMT_PRUNE_EVENT] = "DELETE FROM event WHERE seq = ?1",
	[STMT_PRUNE_DOCUMENT] = "DELETE FROM document WHERE key = ?1",
	[STMT_PRUNE_JOB] = "DELETE FROM job WHERE key = ?1",

	[STMT_VALUE_PUT] =
		"INSERT INTO small_value (name, value) VALUES (?1, ?2) "
		"ON CONFLICT (name) DO UPDATE SET value = ?2",
	[STMT_VALUE_REMOVE] = "DELETE FROM small_value WHERE name = ?1",
	[STMT_VALUE_GET] = "SELECT value FROM small_value WHERE name = ?1",
};
/* clang-format on */

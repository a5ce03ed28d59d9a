/*
 * The shape of the database: what its tables are, how an older file is brought up to date, and the
 * views that people read at rest (docs: bulkwatchd(8), "DATABASE").
 *
 * The number of the shape is SQLite's user_version. A migration is one transaction that ends with
 * the new number; a copy of the file is made before the first of them. New numbers of event types,
 * and any other value that an older program would not know, need a new version too.
 *
 * Tables, seen from the rows that change:
 *   job       narrow and hot; the wide reply stands in `document`
 *   event     append only; pruned as a whole, by job
 *   delivery  the outbox; those not yet ended have an index of their own, which stays small
 *   tally     deliveries by hook and state, so that counting never walks
 *   name      the words that rows repeat, by number; never deleted
 */
#include "store/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "util/err.h"
#include "util/mem.h"

/* SQL, laid out as SQL. */
/* clang-format off */
#define AT(column) \
	"CASE WHEN " column " <> 0 THEN strftime('%Y-%m-%dT%H:%M:%S', " column " / 1000, " \
	"'unixepoch') || printf('.%03dZ', " column " % 1000) END"

static const char schema_1[] =
	"CREATE TABLE meta ("
	"  one INTEGER PRIMARY KEY CHECK (one = 1),"
	"  instance TEXT NOT NULL,"
	"  last_seq INTEGER NOT NULL,"
	"  last_job_key INTEGER NOT NULL,"
	"  last_delivery_id INTEGER NOT NULL,"
	"  pruned_through INTEGER NOT NULL,"
	"  is_clean INTEGER NOT NULL,"
	"  n_probes INTEGER NOT NULL"
	") STRICT;"
	"INSERT INTO meta VALUES (1, lower(hex(randomblob(8))), 0, 0, 0, 0, 1, 0);"

	"CREATE TABLE name (key INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;"

	"CREATE TABLE job ("
	"  key INTEGER PRIMARY KEY,"
	"  account INTEGER NOT NULL,"
	"  id TEXT NOT NULL,"
	"  name TEXT,"
	"  datacenter INTEGER,"
	"  service INTEGER,"
	"  state TEXT NOT NULL,"
	"  origin INTEGER NOT NULL CHECK (origin BETWEEN 0 AND 1),"
	"  is_watched INTEGER NOT NULL,"
	"  is_removed INTEGER NOT NULL,"
	"  is_paused INTEGER NOT NULL,"
	"  is_overdue_told INTEGER NOT NULL,"
	"  since_at INTEGER NOT NULL,"
	"  watched_since_at INTEGER NOT NULL,"
	"  last_polled_at INTEGER NOT NULL,"
	"  last_answered_at INTEGER NOT NULL,"
	"  ended_at INTEGER NOT NULL,"
	"  polls INTEGER NOT NULL,"
	"  failures INTEGER NOT NULL,"
	"  error_at INTEGER NOT NULL,"
	"  error_class TEXT,"
	"  error_message TEXT,"
	"  UNIQUE (account, id)"
	") STRICT;"
	/*
	 * What may be pruned. A job that was DELETEd but stands in the config is kept: its row is
	 * what keeps the config from bringing it back.
	 */
	"CREATE INDEX job_ended ON job (ended_at)"
	"  WHERE is_watched = 0 AND ended_at > 0 AND (is_removed = 0 OR origin = 1);"

	"CREATE TABLE document ("
	"  key INTEGER PRIMARY KEY REFERENCES job (key),"
	"  operation TEXT, created_by TEXT, created_time TEXT, query TEXT, result TEXT, other TEXT"
	") STRICT;"

	"CREATE TABLE event ("
	"  seq INTEGER PRIMARY KEY,"
	"  type INTEGER NOT NULL,"
	"  at INTEGER NOT NULL,"
	"  account INTEGER,"
	"  job_key INTEGER REFERENCES job (key),"
	"  job_id TEXT,"
	"  from_state TEXT,"
	"  to_state TEXT,"
	"  data TEXT NOT NULL"
	") STRICT;"
	"CREATE INDEX event_of_job ON event (job_key, seq) WHERE job_key IS NOT NULL;"
	"CREATE INDEX event_of_no_job ON event (at) WHERE job_key IS NULL;"

	"CREATE TABLE delivery ("
	"  id INTEGER PRIMARY KEY,"
	"  event_seq INTEGER NOT NULL REFERENCES event (seq),"
	"  hook INTEGER NOT NULL,"
	"  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),"
	"  attempts INTEGER NOT NULL,"
	"  attempts_base INTEGER NOT NULL,"
	"  next_at INTEGER NOT NULL,"
	"  created_at INTEGER NOT NULL,"
	"  ended_at INTEGER NOT NULL,"
	"  UNIQUE (event_seq, hook)"
	") STRICT;"
	"CREATE INDEX delivery_open ON delivery (event_seq) WHERE state < 2;"

	"CREATE TABLE attempt ("
	"  key INTEGER PRIMARY KEY,"
	"  delivery INTEGER NOT NULL REFERENCES delivery (id),"
	"  number INTEGER NOT NULL,"
	"  started_at INTEGER NOT NULL,"
	"  duration INTEGER NOT NULL,"
	"  ending INTEGER NOT NULL CHECK (ending BETWEEN 0 AND 5),"
	"  code INTEGER NOT NULL,"
	"  output BLOB NOT NULL,"
	"  UNIQUE (delivery, number)"
	") STRICT;"

	"CREATE TABLE tally ("
	"  hook INTEGER PRIMARY KEY,"
	"  pending INTEGER NOT NULL, running INTEGER NOT NULL,"
	"  delivered INTEGER NOT NULL, dead INTEGER NOT NULL"
	") STRICT;"

	"CREATE TABLE small_value (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"

	/* The numbers are those of enum event_type: added to lost, and unknown_state. */
	"CREATE VIEW transitions (seq, at, account, job_id, from_state, to_state) AS"
	"  SELECT e.seq, " AT("e.at") ", a.text, e.job_id, e.from_state, e.to_state"
	"  FROM event e LEFT JOIN name a ON a.key = e.account"
	"  WHERE e.type IN (2, 3, 4, 5, 6, 7, 9) AND e.to_state IS NOT NULL"
	"  AND e.to_state IS NOT e.from_state;"

	"CREATE VIEW jobs (account, job_id, name, state, finished, watched, paused, datacenter,"
	"  service, since, watched_since, last_polled, last_answered, ended, polls, failures,"
	"  error_at, error_class, error_message) AS"
	"  SELECT a.text, j.id, j.name, j.state,"
	"  j.state IN ('COMPLETED', 'FAILURE', 'FAILED', 'LOST'), j.is_watched, j.is_paused,"
	"  c.text, s.text, " AT("j.since_at") ", " AT("j.watched_since_at") ","
	"  " AT("j.last_polled_at") ", " AT("j.last_answered_at") ", " AT("j.ended_at") ","
	"  j.polls, j.failures, " AT("j.error_at") ", j.error_class, j.error_message"
	"  FROM job j LEFT JOIN name a ON a.key = j.account"
	"  LEFT JOIN name c ON c.key = j.datacenter LEFT JOIN name s ON s.key = j.service;"

	"CREATE VIEW deliveries (event_seq, hook, account, job_id, state, attempts, id, next,"
	"  created, ended) AS"
	"  SELECT d.event_seq, h.text, a.text, e.job_id,"
	"  CASE d.state WHEN 0 THEN 'pending' WHEN 1 THEN 'running' WHEN 2 THEN 'delivered'"
	"  ELSE 'dead' END, d.attempts, d.id,"
	"  " AT("d.next_at") ", " AT("d.created_at") ", " AT("d.ended_at")
	"  FROM delivery d JOIN event e ON e.seq = d.event_seq"
	"  LEFT JOIN name h ON h.key = d.hook LEFT JOIN name a ON a.key = e.account;";
/* clang-format on */

const struct store_migration store_migrations[] = {
        {1, schema_1},
};
const size_t store_n_migrations = ARRAY_LEN(store_migrations);

int store_schema_newest(const struct store *store)
{
	return store->migrations[store->n_migrations - 1].version;
}

int store_schema_look(struct store *store, struct buf *words)
{
	int newest = store_schema_newest(store);
	int64_t application, version, n_objects;
	int r = store_query_int(store, "PRAGMA application_id", &application);

	if (r == 0)
		r = store_query_int(store, "PRAGMA user_version", &version);
	if (r == 0)
		r = store_query_int(store, "SELECT count(*) FROM sqlite_schema", &n_objects);
	if (r != 0) {
		buf_addf(words, "%s: %s (%s)", store->path, err_text(r), sqlite3_errmsg(store->db));
		return r;
	}
	/* A file that a first start left before its first commit has nothing in it. */
	store->is_new = application == 0 && version == 0 && n_objects == 0;
	if (store->is_new)
		return 0;
	if (application != STORE_APPLICATION_ID) {
		buf_addf(words, "%s is a database, but not one of bulkwatch", store->path);
		return ERR_FOREIGN;
	}
	if (version > newest) {
		buf_addf(words,
		        "%s was written by a newer version (its schema is %" PRId64
		        ", this program knows up to %d)",
		        store->path, version, newest);
		return ERR_NEWER;
	}
	if (version < 1) {
		buf_addf(words, "%s is damaged: it has no schema version", store->path);
		return ERR_CORRUPT;
	}
	return 0;
}

static int schema_step(struct store *store, const struct store_migration *migration)
{
	char pragmas[128];
	int r = store_exec(store, "BEGIN IMMEDIATE");

	if (r != 0)
		return r;
	snprintf(pragmas, sizeof(pragmas), "PRAGMA application_id = %d; PRAGMA user_version = %d",
	        STORE_APPLICATION_ID, migration->version);
	r = store_exec(store, migration->sql);
	if (r == 0)
		r = store_exec(store, pragmas);
	if (r == 0)
		r = store_exec(store, "COMMIT");
	if (r != 0 && !sqlite3_get_autocommit(store->db))
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

/* The copy stays until someone removes it: it is the way back to the older program. */
static int schema_copy_first(struct store *store, int64_t version, struct buf *words)
{
	cleanup(mem_free_p) char *path = mem_printf("%s.v%" PRId64, store->path, version);
	int r = store_copy(store, path);

	if (r != 0)
		buf_addf(words, "%s, the copy to make before a migration: %s", path, err_text(r));
	return r;
}

int store_schema_migrate(struct store *store, struct buf *words)
{
	int64_t version;
	int r = store_query_int(store, "PRAGMA user_version", &version);

	if (r != 0) {
		buf_addf(words, "%s: %s", store->path, err_text(r));
		return r;
	}
	if (version > 0) {
		r = schema_copy_first(store, version, words);
		if (r != 0)
			return r;
	}
	for (size_t i = 0; i < store->n_migrations; i++) {
		const struct store_migration *migration = &store->migrations[i];

		if (migration->version <= version)
			continue;
		r = schema_step(store, migration);
		if (r != 0) {
			buf_addf(words, "%s: migration to schema %d: %s", store->path,
			        migration->version, err_text(r));
			return r;
		}
	}
	return 0;
}

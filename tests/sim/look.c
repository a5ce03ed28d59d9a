#include "look.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/mem.h"
#include "world.h"

static int copy_file(const char *name, const char *to_dir)
{
	cleanup(mem_free_p) char *from = mem_printf("%s/%s", world->dir, name);
	cleanup(mem_free_p) char *to = mem_printf("%s/%s", to_dir, name);
	cleanup(mem_close_p) int in = open(from, O_RDONLY | O_CLOEXEC);
	cleanup(mem_close_p) int out = -1;
	struct stat st;

	unlink(to);
	if (in < 0)
		return errno == ENOENT ? 0 : -errno;
	out = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0 || fstat(in, &st) != 0)
		return -errno;
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = copy_file_range(in, NULL, out, NULL, (size_t)left, 0);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		left -= n;
	}
	return (int)(st.st_size > 0);
}

sqlite3 *look_open(void)
{
	cleanup(mem_free_p) char *dir = mem_printf("%s/look", world->dir);
	cleanup(mem_free_p) char *path = mem_printf("%s/bulkwatch.db", dir);
	sqlite3 *db = NULL;
	int r;

	(void)mkdir(dir, 0700);
	r = copy_file("bulkwatch.db-wal", dir);
	if (r >= 0)
		r = copy_file("bulkwatch.db", dir);
	if (r < 0)
		world_note_failure("the database cannot be copied: %s", strerror(-r));
	if (r <= 0)
		return NULL;
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix") == SQLITE_OK)
		return db;
	world_note_failure("the database cannot be opened: %s", sqlite3_errmsg(db));
	sqlite3_close(db);
	return NULL;
}

sqlite3_stmt *look_prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		world_note_failure("the database does not answer: %s: %s", sql, sqlite3_errmsg(db));
	return stmt;
}

const char *look_text(sqlite3_stmt *stmt, int column)
{
	return (const char *)sqlite3_column_text(stmt, column);
}

int64_t look_int(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = look_prepare(db, sql);
	int64_t value =
	        stmt && sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;

	sqlite3_finalize(stmt);
	return value;
}

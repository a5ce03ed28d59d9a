/* Between store/ and what it calls: SQLite and the kernel. A call that is made to fail is not made.
 */
#include "calls_store.h"

#include <errno.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "calls.h"
#include "util/err.h"

const struct store_fault store_faults[STORE_FAULTS] = {
        {SQLITE_NOMEM, 0, -ENOMEM, -ENOMEM, ENOMEM, -ENOMEM},
        {SQLITE_IOERR_READ, EIO, ERR_IO, ERR_IO, EIO, ERR_IO},
        {SQLITE_BUSY, 0, ERR_LOCKED, ERR_IO, EDQUOT, ERR_FULL},
        {SQLITE_CORRUPT, 0, ERR_CORRUPT, ERR_CORRUPT, EACCES, -EACCES},
        {SQLITE_FULL, 0, ERR_FULL, ERR_FULL, ENOSPC, ERR_FULL},
        {SQLITE_NOTADB, 0, ERR_CORRUPT, ERR_CORRUPT, EPERM, -EPERM},
        {SQLITE_CANTOPEN, EACCES, -EACCES, ERR_IO, EROFS, -EROFS},
        {SQLITE_CANTOPEN, EMFILE, ERR_IO, ERR_IO, EMFILE, -EMFILE},
        {SQLITE_READONLY, 0, -EACCES, ERR_IO, EFBIG, ERR_FULL},
        {SQLITE_CONSTRAINT_PRIMARYKEY, 0, -EEXIST, -EEXIST, ELOOP, -ELOOP},
        {SQLITE_TOOBIG, 0, -E2BIG, -E2BIG, ENFILE, -ENFILE},
};

/* ---- SQLite ---- */

/* What is said of the last call: NULL if it was made. */
static const struct store_fault *said;

static int sqlite_error(void)
{
	said = &store_faults[fault_variant()];
	return said->sqlite;
}

#define SQLITE_CALL(name, parameters, arguments)                                                   \
	int __real_##name parameters;                                                              \
	int __wrap_##name parameters;                                                              \
	int __wrap_##name parameters                                                               \
	{                                                                                          \
		if (fault_is_due(FAULT_CALL, #name))                                               \
			return sqlite_error();                                                     \
		said = NULL;                                                                       \
		return __real_##name arguments;                                                    \
	}

SQLITE_CALL(sqlite3_prepare_v2,
        (sqlite3 * db, const char *sql, int size, sqlite3_stmt **out, const char **tail),
        (db, sql, size, out, tail))
SQLITE_CALL(sqlite3_prepare_v3,
        (sqlite3 * db, const char *sql, int size, unsigned flags, sqlite3_stmt **out,
                const char **tail),
        (db, sql, size, flags, out, tail))
SQLITE_CALL(sqlite3_wal_checkpoint_v2,
        (sqlite3 * db, const char *name, int mode, int *n_log, int *n_moved),
        (db, name, mode, n_log, n_moved))
SQLITE_CALL(sqlite3_backup_step, (sqlite3_backup * backup, int n_pages), (backup, n_pages))

/* It gives a connection, to be asked for the error and closed, unless there is no memory for it. */
int __real_sqlite3_open_v2(const char *name, sqlite3 **out, int flags, const char *vfs);
int __wrap_sqlite3_open_v2(const char *name, sqlite3 **out, int flags, const char *vfs);
int __wrap_sqlite3_open_v2(const char *name, sqlite3 **out, int flags, const char *vfs)
{
	bool is_due = fault_is_due(FAULT_CALL, "sqlite3_open_v2");
	int rc = is_due ? sqlite_error() : SQLITE_OK;

	*out = NULL;
	if (rc == SQLITE_NOMEM)
		return rc;
	if (is_due) {
		__real_sqlite3_open_v2("/no/such/directory", out, flags, vfs);
		return rc;
	}
	said = NULL;
	return __real_sqlite3_open_v2(name, out, flags, vfs);
}

sqlite3_backup *__real_sqlite3_backup_init(
        sqlite3 *to, const char *to_name, sqlite3 *from, const char *from_name);
sqlite3_backup *__wrap_sqlite3_backup_init(
        sqlite3 *to, const char *to_name, sqlite3 *from, const char *from_name);
sqlite3_backup *__wrap_sqlite3_backup_init(
        sqlite3 *to, const char *to_name, sqlite3 *from, const char *from_name)
{
	if (fault_is_due(FAULT_CALL, "sqlite3_backup_init")) {
		sqlite_error();
		return NULL;
	}
	said = NULL;
	return __real_sqlite3_backup_init(to, to_name, from, from_name);
}

int __real_sqlite3_errcode(sqlite3 *db);
int __wrap_sqlite3_errcode(sqlite3 *db);
int __wrap_sqlite3_errcode(sqlite3 *db)
{
	return said ? said->sqlite : __real_sqlite3_errcode(db);
}

int __real_sqlite3_system_errno(sqlite3 *db);
int __wrap_sqlite3_system_errno(sqlite3 *db);
int __wrap_sqlite3_system_errno(sqlite3 *db)
{
	return said ? said->system_errno : __real_sqlite3_system_errno(db);
}

/* But for ROLLBACK, here and below, which SQLite has no way to refuse. */
int __real_sqlite3_step(sqlite3_stmt *stmt);
int __wrap_sqlite3_step(sqlite3_stmt *stmt);
int __wrap_sqlite3_step(sqlite3_stmt *stmt)
{
	bool is_rollback = strcmp(sqlite3_sql(stmt), "ROLLBACK") == 0;

	if (!is_rollback && fault_is_due(FAULT_CALL, "sqlite3_step"))
		return sqlite_error();
	said = NULL;
	return __real_sqlite3_step(stmt);
}

int __real_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **),
        void *arg, char **words);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **),
        void *arg, char **words);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **),
        void *arg, char **words)
{
	if (strcmp(sql, "ROLLBACK") != 0 && fault_is_due(FAULT_CALL, "sqlite3_exec"))
		return sqlite_error();
	said = NULL;
	return __real_sqlite3_exec(db, sql, each, arg, words);
}

/* ---- the kernel ---- */

static int kernel_error(void)
{
	return store_faults[fault_variant()].kernel;
}

/* The third argument of open() is there or not; passing one more does no harm. */
CALL(int, open64, (const char *path, int flags, mode_t mode), (path, flags, mode),
        (errno = kernel_error(), -1))
CALL(int, openat64, (int at, const char *path, int flags, mode_t mode), (at, path, flags, mode),
        (errno = kernel_error(), -1))
CALL(int, fsync, (int fd), (fd), (errno = kernel_error(), -1))
CALL(int, ftruncate64, (int fd, off_t size), (fd, size), (errno = kernel_error(), -1))
CALL(ssize_t, pread64, (int fd, void *to, size_t n, off_t at), (fd, to, n, at),
        (errno = kernel_error(), -1))
CALL(ssize_t, pwrite64, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at),
        (errno = kernel_error(), -1))
CALL(int, fstat64, (int fd, struct stat64 *st), (fd, st), (errno = kernel_error(), -1))
CALL(int, fstatat64, (int at, const char *path, struct stat64 *st, int flags),
        (at, path, st, flags), (errno = kernel_error(), -1))
CALL(int, flock, (int fd, int how), (fd, how), (errno = kernel_error(), -1))
CALL(int, posix_fallocate64, (int fd, off_t at, off_t n), (fd, at, n), kernel_error())
CALL(int, renameat2, (int from_at, const char *from, int to_at, const char *to, unsigned flags),
        (from_at, from, to_at, to, flags), (errno = kernel_error(), -1))
CALL(int, rename, (const char *from, const char *to), (from, to), (errno = kernel_error(), -1))

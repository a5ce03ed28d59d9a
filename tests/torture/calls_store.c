/* Between store/ and what it calls: SQLite and the kernel. A call that is made to fail is not made.
 */
#include <errno.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "calls.h"

static int sqlite_error(void)
{
	static const int errors[] = {
	        SQLITE_NOMEM, SQLITE_IOERR_READ, SQLITE_BUSY, SQLITE_CORRUPT, SQLITE_FULL};

	return errors[fault_variant()];
}

static int kernel_error(void)
{
	static const int errors[] = {ENOMEM, EIO, EDQUOT, EACCES, ENOSPC};

	return errors[fault_variant()];
}

CALL(int, sqlite3_step, (sqlite3_stmt * stmt), (stmt), sqlite_error())
CALL(int, sqlite3_prepare_v2,
        (sqlite3 * db, const char *sql, int size, sqlite3_stmt **out, const char **tail),
        (db, sql, size, out, tail), sqlite_error())
CALL(int, sqlite3_prepare_v3,
        (sqlite3 * db, const char *sql, int size, unsigned flags, sqlite3_stmt **out,
                const char **tail),
        (db, sql, size, flags, out, tail), sqlite_error())
CALL(int, sqlite3_open_v2, (const char *name, sqlite3 **out, int flags, const char *vfs),
        (name, out, flags, vfs), sqlite_error())
CALL(int, sqlite3_wal_checkpoint_v2,
        (sqlite3 * db, const char *name, int mode, int *n_log, int *n_moved),
        (db, name, mode, n_log, n_moved), sqlite_error())

/* But for ROLLBACK, which SQLite has no way to refuse. */
int __real_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **),
        void *arg, char **words);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **),
        void *arg, char **words);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **),
        void *arg, char **words)
{
	if (strcmp(sql, "ROLLBACK") != 0 && fault_is_due(FAULT_CALL, "sqlite3_exec"))
		return sqlite_error();
	return __real_sqlite3_exec(db, sql, each, arg, words);
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
CALL(int, flock, (int fd, int how), (fd, how), (errno = kernel_error(), -1))
CALL(int, posix_fallocate64, (int fd, off_t at, off_t n), (fd, at, n), kernel_error())
CALL(int, renameat2, (int from_at, const char *from, int to_at, const char *to, unsigned flags),
        (from_at, from, to_at, to, flags), (errno = kernel_error(), -1))
CALL(int, rename, (const char *from, const char *to), (from, to), (errno = kernel_error(), -1))

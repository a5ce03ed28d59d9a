/*
 * A consistent copy of the database as one plain file (no WAL beside it), made through the one
 * connection by VACUUM INTO: under a temporary name, synced, then renamed.
 *
 * What goes wrong with the copy is not the database's matter: nothing is rolled back, the ballast
 * stays, and an I/O error does not make the store unusable, since a bad page of our own shows again
 * in the next read.
 */
#include "store/private.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/err.h"
#include "util/mem.h"

static int copy_errno(void)
{
	return errno == ENOSPC || errno == EDQUOT ? ERR_FULL : errno == EIO ? ERR_IO : -errno;
}

static int copy_sync(const char *path, int flags)
{
	cleanup(mem_close_p) int fd = open(path, flags | O_CLOEXEC);

	return fd < 0 || fsync(fd) != 0 ? copy_errno() : 0;
}

static int copy_vacuum(struct store *store, const char *temporary)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(store->db, "VACUUM INTO ?1", -1, &stmt, NULL);

	if (rc == SQLITE_OK) {
		store_bind_text(stmt, 1, temporary);
		rc = sqlite3_step(stmt);
	}
	sqlite3_finalize(stmt);
	return rc == SQLITE_DONE ? 0 : store_error_of(store, rc);
}

static int copy_rename(const char *temporary, const char *path, bool may_replace)
{
	if (may_replace)
		return rename(temporary, path) == 0 ? 0 : copy_errno();
	if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return 0;
	/* A file system that knows no flags of renames. */
	if (errno == EINVAL && access(path, F_OK) != 0 && rename(temporary, path) == 0)
		return 0;
	return copy_errno();
}

static int copy_to(struct store *store, const char *temporary, const char *path, bool may_replace)
{
	cleanup(mem_free_p) char *directory = mem_strdup(path);
	int r = copy_vacuum(store, temporary);

	if (r == 0)
		r = copy_sync(temporary, O_RDONLY);
	if (r == 0)
		r = copy_rename(temporary, path, may_replace);
	if (r != 0)
		return r;
	return copy_sync(dirname(directory), O_RDONLY | O_DIRECTORY);
}

int store_copy(struct store *store, const char *path, bool may_replace)
{
	cleanup(mem_free_p) char *temporary = mem_printf("%s.%d.tmp", path, (int)getpid());
	int fd, r;

	if (store->broken)
		return store->broken;
	if (store->is_dirty)
		return -EBUSY;
	if (!may_replace && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	/* Made here for its mode; SQLite fills an empty file as well. */
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST && unlink(temporary) == 0)
		fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return copy_errno();
	close(fd);
	r = copy_to(store, temporary, path, may_replace);
	if (r != 0)
		unlink(temporary);
	return r;
}

int store_backup(struct store *store, const char *path)
{
	return store_copy(store, path, false);
}

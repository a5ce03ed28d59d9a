/*
 * Consistent copies of the database, each one plain file (no WAL beside it), by SQLite's online
 * backup. It is made in slices, between which the store is used as ever: what is committed
 * meanwhile through the one connection is carried over into the pages that are copied already, so
 * the copy is the database as of its last slice. (Only a transaction that spilled out of the page
 * cache and was rolled back makes it begin anew; SQLite sees to that.)
 *
 * What goes wrong with the copy is not the database's matter: nothing is rolled back, the ballast
 * stays, and an I/O error does not make the store unusable, since a bad page of our own shows again
 * in the next read.
 */
#include "store/private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/err.h"
#include "util/mem.h"

enum {
	/* Bytes 18 and 19 of the file: a rollback journal, not a WAL (sqlite.org/fileformat2.html,
	 * 1.3.3). */
	VERSIONS_AT = 18,
	VERSION_PLAIN = 1,
};

struct store_backup {
	struct store *store;
	sqlite3 *db;            /* of the copy */
	sqlite3_backup *backup; /* NULL: it is whole, or it failed */
	int fd;                 /* of the copy's file; closed after db, whose locks it would drop */
	int error;              /* of a slice; every later one answers the same */
};

static int backup_error(const struct store_backup *backup, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return ERR_FULL;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CORRUPT:
		return ERR_CORRUPT;
	default:
		return store_file_errno(backup->db, SQLITE_FCNTL_FILE_POINTER) == EDQUOT ? ERR_FULL
		                                                                         : ERR_IO;
	}
}

/* Neither a journal nor a sync: a copy that is not whole is of no use to anybody. */
static int backup_connect(struct store_backup *backup, const char *path)
{
	static const char pragmas[] = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF;"
	                              "PRAGMA synchronous = OFF; PRAGMA cache_size = -1024";
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
	            SQLITE_OPEN_EXRESCODE;
	int rc = sqlite3_open_v2(path, &backup->db, flags, NULL);

	if (!backup->db)
		return -ENOMEM;
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(backup->db, pragmas, NULL, NULL, NULL);
	if (rc == SQLITE_OK) {
		backup->backup = sqlite3_backup_init(backup->db, "main", backup->store->db, "main");
		rc = backup->backup ? SQLITE_OK : sqlite3_errcode(backup->db);
	}
	return rc == SQLITE_OK ? 0 : backup_error(backup, rc);
}

int store_backup_begin(struct store *store, const char *path, struct store_backup **out)
{
	struct store_backup *backup;
	int fd, r;

	*out = NULL;
	if (store->broken)
		return store->broken;
	/* Made here for its mode; SQLite fills an empty file as well. */
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return store_error_of_errno(errno);
	backup = MEM_NEW(struct store_backup);
	*backup = (struct store_backup){.store = store, .fd = fd};
	r = backup_connect(backup, path);
	if (r == 0) {
		*out = backup;
		return 0;
	}
	store_backup_free(backup);
	unlink(path);
	return r;
}

static int backup_end(struct store_backup *backup, int rc)
{
	static const unsigned char versions[] = {VERSION_PLAIN, VERSION_PLAIN};

	sqlite3_backup_finish(backup->backup);
	backup->backup = NULL;
	if (rc != SQLITE_DONE)
		return backup_error(backup, rc);
	sqlite3_close(backup->db);
	backup->db = NULL;
	errno = ENOSPC; /* of a write that falls short */
	return pwrite(backup->fd, versions, sizeof(versions), VERSIONS_AT) == sizeof(versions)
	               ? 0
	               : store_error_of_errno(errno);
}

int store_backup_step(struct store_backup *backup, int n_pages)
{
	int rc;

	if (backup->error || !backup->backup)
		return backup->error;
	if (backup->store->broken)
		return backup->store->broken;
	if (backup->store->is_dirty)
		return 1;
	rc = sqlite3_backup_step(backup->backup, n_pages);
	if (rc == SQLITE_OK)
		return 1;
	backup->error = backup_end(backup, rc);
	return backup->error;
}

int store_backup_take_fd(struct store_backup *backup)
{
	int fd = backup->fd;

	backup->fd = -1;
	return fd;
}

struct store_backup *store_backup_free(struct store_backup *backup)
{
	if (!backup)
		return NULL;
	sqlite3_backup_finish(backup->backup);
	sqlite3_close(backup->db);
	if (backup->fd >= 0)
		close(backup->fd);
	free(backup);
	return NULL;
}

/* ---- a copy that stays ---- */

static int copy_sync_directory(const char *path)
{
	cleanup(mem_free_p) char *copy = mem_strdup(path);
	cleanup(mem_close_p) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) != 0 ? store_error_of_errno(errno) : 0;
}

static int copy_to(struct store *store, const char *path)
{
	struct store_backup *backup;
	int r = store_backup_begin(store, path, &backup);

	if (r != 0)
		return r;
	assert(backup);
	/* All at once: nobody waits beside it. */
	r = store_backup_step(backup, INT_MAX);
	assert(r <= 0);
	if (r == 0 && fsync(backup->fd) != 0)
		r = store_error_of_errno(errno);
	store_backup_free(backup);
	return r;
}

int store_copy(struct store *store, const char *path)
{
	cleanup(mem_free_p) char *temporary = mem_printf("%s.%d.tmp", path, (int)getpid());
	int r;

	if (store->is_dirty)
		return -EBUSY;
	r = copy_to(store, temporary);
	if (r == -EEXIST && unlink(temporary) == 0)
		r = copy_to(store, temporary);
	if (r == 0 && rename(temporary, path) != 0)
		r = store_error_of_errno(errno);
	if (r == 0)
		return copy_sync_directory(path);
	unlink(temporary);
	return r;
}

#include "faultvfs.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <string.h>

#include "util/mem.h"
#include "util/rng.h"

struct fault_file {
	sqlite3_file base;
	sqlite3_file *inner; /* behind this struct, in the room that SQLite gave us */
	int error;           /* as unixFile.lastErrno: not for ENOSPC */
	bool is_log;
};

/* What a write or a truncation replaced, and what it put there. */
struct fault_change {
	struct fault_file *file;
	sqlite3_int64 at, size_before;
	unsigned char *before, *after; /* owned */
	int n_before, n_after;
	bool is_truncation;
};

static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	unsigned operations;
	int64_t n_left;
	enum faultvfs_kind kind;
	bool is_lasting, has_fired, is_recording, is_lying, is_dead, is_read_only;
	void (*meanwhile)(void);
	const char *pragma, *answer;
	struct rng rng;
	struct fault_change *changes;
	size_t n_changes;
} fault;

static sqlite3_file *inner_of(sqlite3_file *file)
{
	return ((struct fault_file *)file)->inner;
}

/* ---- changes that are not synced ---- */

static void change_free(struct fault_change *change)
{
	free(change->before);
	free(change->after);
}

static void changes_forget(const sqlite3_file *file)
{
	size_t n = 0;

	for (size_t i = 0; i < fault.n_changes; i++) {
		if (!file || (const sqlite3_file *)fault.changes[i].file == file)
			change_free(&fault.changes[i]);
		else
			fault.changes[n++] = fault.changes[i];
	}
	fault.n_changes = n;
}

static void change_add(
        sqlite3_file *file, sqlite3_int64 at, const void *bytes, int n, bool is_truncation)
{
	sqlite3_file *inner = inner_of(file);
	struct fault_change change = {
	        .file = (struct fault_file *)file, .at = at, .is_truncation = is_truncation};
	int rc;

	if (!fault.is_recording)
		return;
	rc = inner->pMethods->xFileSize(inner, &change.size_before);
	assert(rc == SQLITE_OK);
	if (at < change.size_before) {
		sqlite3_int64 n_there = change.size_before - at;

		change.n_before = (int)(!is_truncation && n_there > n ? n : n_there);
		change.before = mem_new((size_t)change.n_before, 1);
		rc = inner->pMethods->xRead(inner, change.before, change.n_before, at);
		assert(rc == SQLITE_OK);
	}
	if (n > 0) {
		change.n_after = n;
		change.after = mem_new((size_t)n, 1);
		memcpy(change.after, bytes, (size_t)n);
	}
	fault.changes = mem_resize(fault.changes, fault.n_changes + 1, sizeof(change));
	fault.changes[fault.n_changes++] = change;
}

static void change_undo(const struct fault_change *change)
{
	sqlite3_file *inner = change->file->inner;

	if (change->n_before > 0)
		inner->pMethods->xWrite(inner, change->before, change->n_before, change->at);
	inner->pMethods->xTruncate(inner, change->size_before);
}

static void change_redo(const struct fault_change *change)
{
	sqlite3_file *inner = change->file->inner;
	int n = change->n_after;

	if (change->is_truncation) {
		inner->pMethods->xTruncate(inner, change->at);
		return;
	}
	if (n > 512 && rng_below(&fault.rng, 4) == 0)
		n = (int)(512 * (1 + rng_below(&fault.rng, (uint64_t)(n / 512))));
	inner->pMethods->xWrite(inner, change->after, n, change->at);
}

static void power_cut(void)
{
	/* From nothing survived to nearly all did. */
	uint64_t percent = rng_below(&fault.rng, 100);

	for (size_t i = fault.n_changes; i > 0; i--)
		change_undo(&fault.changes[i - 1]);
	for (size_t i = 0; i < fault.n_changes; i++) {
		if (rng_below(&fault.rng, 100) < percent)
			change_redo(&fault.changes[i]);
	}
	changes_forget(NULL);
	fault.is_dead = true;
}

/* ---- which operation fails ---- */

static bool is_due(const struct fault_file *file, unsigned operation)
{
	unsigned others = file->is_log ? FAULTVFS_OF_DATABASE : FAULTVFS_OF_LOG;

	if (fault.is_dead && operation < FAULTVFS_READ)
		return true;
	if (!(fault.operations & operation) || (fault.operations & others))
		return false;
	if (fault.has_fired)
		return fault.is_lasting;
	if (--fault.n_left > 0)
		return false;
	fault.has_fired = true;
	if (fault.kind == FAULTVFS_POWER_CUT)
		power_cut();
	return true;
}

static int errno_of_kind(void)
{
	static const int errors[] = {
	        [FAULTVFS_ENXIO] = ENXIO,
	        [FAULTVFS_ENOSPC] = ENOSPC,
	        [FAULTVFS_EACCES] = EACCES,
	        [FAULTVFS_EROFS] = EROFS,
	        [FAULTVFS_EPERM] = EPERM,
	        [FAULTVFS_EMFILE] = EMFILE,
	        [FAULTVFS_EDQUOT] = EDQUOT,
	        [FAULTVFS_POWER_CUT] = 0,
	};

	return errors[fault.kind] ? errors[fault.kind] : EIO;
}

/* What unixRead, unixWrite, unixSync and unixTruncate of SQLite answer to that errno. */
static int failure(sqlite3_file *file, unsigned operation)
{
	bool is_full = fault.kind == FAULTVFS_ENOSPC || fault.kind == FAULTVFS_SHORT;

	if (fault.kind == FAULTVFS_NO_MEMORY)
		return SQLITE_IOERR_NOMEM;
	errno = errno_of_kind();
	((struct fault_file *)file)->error = is_full ? 0 : errno;
	if (operation == FAULTVFS_READ)
		return SQLITE_IOERR_CORRUPTFS;
	if (operation == FAULTVFS_SYNC)
		return SQLITE_IOERR_FSYNC;
	if (operation == FAULTVFS_TRUNCATE)
		return SQLITE_IOERR_TRUNCATE;
	return is_full && !fault.is_dead ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

/* ---- the methods of a file ---- */

static int fault_close(sqlite3_file *file)
{
	changes_forget(file);
	return inner_of(file)->pMethods->xClose(inner_of(file));
}

static int fault_read(sqlite3_file *file, void *to, int n, sqlite3_int64 at)
{
	if (is_due((struct fault_file *)file, FAULTVFS_READ))
		return failure(file, FAULTVFS_READ);
	return inner_of(file)->pMethods->xRead(inner_of(file), to, n, at);
}

static int fault_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
	sqlite3_file *inner = inner_of(file);

	if (is_due((struct fault_file *)file, FAULTVFS_WRITE)) {
		if (fault.kind == FAULTVFS_SHORT && !fault.is_dead && n > 1)
			inner->pMethods->xWrite(inner, bytes, n / 2, at);
		return failure(file, FAULTVFS_WRITE);
	}
	change_add(file, at, bytes, n, false);
	return inner->pMethods->xWrite(inner, bytes, n, at);
}

static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	if (is_due((struct fault_file *)file, FAULTVFS_TRUNCATE))
		return failure(file, FAULTVFS_TRUNCATE);
	change_add(file, size, NULL, 0, true);
	return inner_of(file)->pMethods->xTruncate(inner_of(file), size);
}

/* The kernel keeps what was written through all that is played here: a real sync costs only time.
 */
static int fault_sync(sqlite3_file *file, int flags)
{
	(void)flags;
	if (is_due((struct fault_file *)file, FAULTVFS_SYNC))
		return failure(file, FAULTVFS_SYNC);
	if (!fault.is_lying)
		changes_forget(file);
	return SQLITE_OK;
}

static int fault_file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	return inner_of(file)->pMethods->xFileSize(inner_of(file), size);
}

static int fault_lock(sqlite3_file *file, int level)
{
	return inner_of(file)->pMethods->xLock(inner_of(file), level);
}

static int fault_unlock(sqlite3_file *file, int level)
{
	return inner_of(file)->pMethods->xUnlock(inner_of(file), level);
}

static int fault_check_lock(sqlite3_file *file, int *is_reserved)
{
	return inner_of(file)->pMethods->xCheckReservedLock(inner_of(file), is_reserved);
}

static int fault_control(sqlite3_file *file, int operation, void *arg)
{
	if (operation == SQLITE_FCNTL_LAST_ERRNO) {
		*(int *)arg = ((struct fault_file *)file)->error;
		return SQLITE_OK;
	}
	if (operation == SQLITE_FCNTL_PRAGMA && fault.pragma) {
		char **words = arg; /* of the answer, the pragma, the value that it shall have */

		if (strcmp(words[1], fault.pragma) == 0 && !words[2]) {
			words[0] = fault.answer ? sqlite3_mprintf("%s", fault.answer) : NULL;
			return SQLITE_OK;
		}
	}
	return inner_of(file)->pMethods->xFileControl(inner_of(file), operation, arg);
}

static int fault_sector_size(sqlite3_file *file)
{
	return inner_of(file)->pMethods->xSectorSize(inner_of(file));
}

static int fault_characteristics(sqlite3_file *file)
{
	return inner_of(file)->pMethods->xDeviceCharacteristics(inner_of(file));
}

/* Version 1: no shared memory, which an exclusive WAL does not need, and no mmap. */
static const sqlite3_io_methods fault_methods = {
        .iVersion = 1,
        .xClose = fault_close,
        .xRead = fault_read,
        .xWrite = fault_write,
        .xTruncate = fault_truncate,
        .xSync = fault_sync,
        .xFileSize = fault_file_size,
        .xLock = fault_lock,
        .xUnlock = fault_unlock,
        .xCheckReservedLock = fault_check_lock,
        .xFileControl = fault_control,
        .xSectorSize = fault_sector_size,
        .xDeviceCharacteristics = fault_characteristics,
};

/* ---- the methods of the file system ---- */

static int fault_open(
        sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *flags_out)
{
	struct fault_file *mine = (struct fault_file *)file;
	int rc;

	(void)vfs;
	mine->inner = (sqlite3_file *)(mine + 1);
	mine->error = 0;
	mine->is_log = flags & SQLITE_OPEN_WAL;
	mine->base.pMethods = NULL;
	if (is_due(mine, FAULTVFS_OPEN)) {
		errno = errno_of_kind();
		return fault.kind == FAULTVFS_NO_MEMORY ? SQLITE_NOMEM : SQLITE_CANTOPEN;
	}
	if (fault.is_read_only && (flags & SQLITE_OPEN_MAIN_DB)) {
		flags &= ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
		flags |= SQLITE_OPEN_READONLY;
	}
	rc = fault.real->xOpen(fault.real, name, mine->inner, flags, flags_out);
	mine->base.pMethods = mine->inner->pMethods ? &fault_methods : NULL;
	if (fault.is_read_only && fault.meanwhile)
		fault.meanwhile();
	return rc;
}

static int fault_delete(sqlite3_vfs *vfs, const char *name, int is_dir_synced)
{
	(void)vfs;
	return fault.is_dead ? SQLITE_IOERR_DELETE
	                     : fault.real->xDelete(fault.real, name, is_dir_synced);
}

void faultvfs_install(void)
{
	int rc;

	fault.real = sqlite3_vfs_find("unix");
	assert(fault.real);
	fault.vfs = *fault.real;
	fault.vfs.pNext = NULL;
	fault.vfs.zName = "fault";
	fault.vfs.szOsFile = (int)sizeof(struct fault_file) + fault.real->szOsFile;
	fault.vfs.xOpen = fault_open;
	fault.vfs.xDelete = fault_delete;
	faultvfs_heal();
	rc = sqlite3_vfs_register(&fault.vfs, 1);
	assert(rc == SQLITE_OK);
	(void)rc;
}

void faultvfs_remove(void)
{
	faultvfs_heal();
	free(fault.changes);
	fault.changes = NULL;
	sqlite3_vfs_unregister(&fault.vfs);
	sqlite3_vfs_register(fault.real, 1);
}

void faultvfs_fail(unsigned operations, int64_t nth, enum faultvfs_kind kind, bool is_lasting)
{
	fault.operations = operations;
	fault.n_left = nth;
	fault.kind = kind;
	fault.is_lasting = is_lasting;
	fault.has_fired = false;
}

void faultvfs_heal(void)
{
	changes_forget(NULL);
	fault.operations = 0;
	fault.is_dead = fault.is_recording = fault.is_lying = fault.has_fired = false;
	fault.is_read_only = false;
	fault.pragma = NULL;
}

bool faultvfs_has_fired(void)
{
	return fault.has_fired;
}

void faultvfs_open_read_only(void (*meanwhile)(void))
{
	fault.is_read_only = true;
	fault.meanwhile = meanwhile;
}

void faultvfs_answer_pragma(const char *name, const char *text)
{
	fault.pragma = name;
	fault.answer = text;
}

void faultvfs_record(uint64_t seed)
{
	rng_seed(&fault.rng, seed);
	fault.is_recording = true;
}

void faultvfs_lie_about_syncs(bool is_lying)
{
	fault.is_lying = is_lying;
}

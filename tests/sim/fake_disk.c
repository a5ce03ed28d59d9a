/*
 * SQLite's files as the simulation has them: the real ones below, a place to die before each
 * write, sync, truncation and deletion, a disk that is full at times, an I/O error now and then,
 * and a power cut that takes back what was not synced.
 *
 * What a power cut keeps of the writes since a file's last sync is drawn at random: a part from the
 * front, or any of them (https://sqlite.org/atomiccommit.html, section 2). Directories are taken to
 * be as durable as a journalling file system makes them.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "plant.h"
#include "util/mem.h"
#include "world.h"

struct undo {
	sqlite3_int64 offset;
	size_t len;     /* of the write */
	size_t old_len; /* that was there before */
	char *old;      /* owned */
};

struct disk_file {
	sqlite3_file base;
	struct disk_file *next;
	sqlite3_file *real;
	struct undo *undos; /* owned; since the last sync */
	size_t n_undos, cap_undos;
	sqlite3_int64 synced_size;
};

static struct disk_file *open_files;
static sqlite3_vfs *real_vfs;

static struct disk_file *file_of(sqlite3_file *file)
{
	return (struct disk_file *)file;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
	return file_of(file)->real;
}

/* ---- what a power cut would take back ---- */

static void forget(struct disk_file *file)
{
	for (size_t i = 0; i < file->n_undos; i++)
		free(file->undos[i].old);
	file->n_undos = 0;
	file->real->pMethods->xFileSize(file->real, &file->synced_size);
}

static void remember(struct disk_file *file, sqlite3_int64 offset, size_t len)
{
	sqlite3_int64 size = 0;
	struct undo *undo;

	if (file->n_undos == file->cap_undos) {
		file->cap_undos = file->cap_undos ? 2 * file->cap_undos : 16;
		file->undos = mem_resize(file->undos, file->cap_undos, sizeof(*file->undos));
	}
	undo = &file->undos[file->n_undos++];
	*undo = (struct undo){.offset = offset, .len = len, .old = mem_new(len + 1, 1)};
	file->real->pMethods->xFileSize(file->real, &size);
	if (size > offset)
		undo->old_len = size - offset < (sqlite3_int64)len ? (size_t)(size - offset) : len;
	if (undo->old_len > 0)
		file->real->pMethods->xRead(file->real, undo->old, (int)undo->old_len, offset);
}

static void take_back(struct disk_file *file)
{
	sqlite3_int64 size = file->synced_size, now = 0;
	bool is_front = world_chance(0.5);
	size_t n_kept = (size_t)world_below(file->n_undos + 1);

	for (size_t i = file->n_undos; i > 0; i--) {
		const struct undo *undo = &file->undos[i - 1];
		bool is_kept = is_front ? i <= n_kept : world_chance(0.5);
		sqlite3_int64 end = undo->offset + (sqlite3_int64)undo->len;

		if (is_kept && end > size)
			size = end;
		/* What was beyond the end reads as zeros. */
		if (!is_kept)
			file->real->pMethods->xWrite(
			        file->real, undo->old, (int)undo->len, undo->offset);
	}
	file->real->pMethods->xFileSize(file->real, &now);
	if (now > size)
		file->real->pMethods->xTruncate(file->real, size);
}

void fake_disk_cut_power(void)
{
	for (struct disk_file *file = open_files; file; file = file->next) {
		if (file->n_undos > 0)
			take_back(file);
	}
}

/* ---- files ---- */

static int disk_close(sqlite3_file *base)
{
	struct disk_file *file = file_of(base), **link = &open_files;

	while (*link != file)
		link = &(*link)->next;
	*link = file->next;
	forget(file);
	free(file->undos);
	return file->real->pMethods->xClose(file->real);
}

static int disk_read(sqlite3_file *file, void *to, int n, sqlite3_int64 offset)
{
	return real_of(file)->pMethods->xRead(real_of(file), to, n, offset);
}

/* The one error that was planned for this life. */
static bool is_to_fail(void)
{
	if (world->end.fail_at_step == 0 || world->step < world->end.fail_at_step ||
	        world->had_io_error)
		return false;
	world->had_io_error = true;
	fprintf(stderr, "sim: an I/O error at step %lld\n", (long long)world->step);
	return true;
}

/* Blocks that a file has are its own; only growing needs room. */
static bool has_room(sqlite3_file *file, sqlite3_int64 end)
{
	sqlite3_int64 size = 0;

	if (!world_disk_is_full())
		return true;
	real_of(file)->pMethods->xFileSize(real_of(file), &size);
	return end <= size;
}

static int disk_write(sqlite3_file *file, const void *from, int n, sqlite3_int64 offset)
{
	world_step("before a write");
	if (is_to_fail())
		return SQLITE_IOERR_WRITE;
	if (!has_room(file, offset + n))
		return SQLITE_FULL;
	remember(file_of(file), offset, (size_t)n);
	return real_of(file)->pMethods->xWrite(real_of(file), from, n, offset);
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	sqlite3_int64 now = 0;

	world_step("before a truncation");
	real_of(file)->pMethods->xFileSize(real_of(file), &now);
	if (now > size)
		remember(file_of(file), size, (size_t)(now - size));
	return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int disk_sync(sqlite3_file *file, int flags)
{
	(void)flags; /* a sync of memory is nothing; that it was asked for is what counts */
	world_step("before a sync");
	if (is_to_fail())
		return SQLITE_IOERR_FSYNC;
	if (!plant_is(PLANT_NO_SYNC))
		forget(file_of(file));
	world_step("after a sync");
	return SQLITE_OK;
}

static int disk_size(sqlite3_file *file, sqlite3_int64 *size)
{
	return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int disk_lock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int disk_unlock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int disk_check_lock(sqlite3_file *file, int *result)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), result);
}

static int disk_control(sqlite3_file *file, int what, void *arg)
{
	return real_of(file)->pMethods->xFileControl(real_of(file), what, arg);
}

static int disk_sector_size(sqlite3_file *file)
{
	return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int disk_characteristics(sqlite3_file *file)
{
	return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

/* Version 1: no shared memory. The store's exclusive lock needs none, and no memory map. */
static const sqlite3_io_methods methods = {
        .iVersion = 1,
        .xClose = disk_close,
        .xRead = disk_read,
        .xWrite = disk_write,
        .xTruncate = disk_truncate,
        .xSync = disk_sync,
        .xFileSize = disk_size,
        .xLock = disk_lock,
        .xUnlock = disk_unlock,
        .xCheckReservedLock = disk_check_lock,
        .xFileControl = disk_control,
        .xSectorSize = disk_sector_size,
        .xDeviceCharacteristics = disk_characteristics,
};

static int disk_open(
        sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *out_flags)
{
	struct disk_file *file = file_of(base);
	int rc;

	(void)vfs;
	memset(file, 0, sizeof(*file));
	file->real = (sqlite3_file *)(file + 1);
	rc = real_vfs->xOpen(real_vfs, name, file->real, flags, out_flags);
	if (rc != SQLITE_OK)
		return rc;
	file->base.pMethods = &methods;
	file->next = open_files;
	open_files = file;
	forget(file);
	return SQLITE_OK;
}

static int disk_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	(void)vfs;
	world_step("before a deletion");
	return real_vfs->xDelete(real_vfs, name, sync_dir);
}

static int disk_random(sqlite3_vfs *vfs, int n, char *bytes)
{
	(void)vfs;
	for (int i = 0; i < n; i++)
		bytes[i] = (char)world_below(256);
	return n;
}

static int disk_time(sqlite3_vfs *vfs, sqlite3_int64 *julian_ms)
{
	(void)vfs;
	*julian_ms = world->wall_ms + INT64_C(210866760000000);
	return SQLITE_OK;
}

void fake_disk_install(void)
{
	static sqlite3_vfs vfs;

	real_vfs = sqlite3_vfs_find("unix");
	vfs = *real_vfs;
	vfs.zName = "fake";
	vfs.szOsFile = (int)sizeof(struct disk_file) + real_vfs->szOsFile;
	vfs.xOpen = disk_open;
	vfs.xDelete = disk_delete;
	vfs.xRandomness = disk_random;
	vfs.xCurrentTimeInt64 = disk_time;
	sqlite3_vfs_register(&vfs, 1);
	sqlite3_randomness(0, NULL); /* seeded anew, from the world's chance */
}

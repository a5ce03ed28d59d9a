/*
 * SQLite's files as the simulation has them: the real ones below, a place to die before each
 * write, sync, truncation and deletion, a disk that is full at times, an I/O error of any call, and
 * a power cut that takes back what was not synced.
 *
 * A power cut keeps of what was written since a file's last sync what chance has it: all from the
 * front up to some point, or any of it, whole or in sectors of 512 bytes (a write that the cut fell
 * into); so later writes may be kept where earlier ones are lost
 * (https://sqlite.org/atomiccommit.html, section 2; https://sqlite.org/psow.html). Directories are
 * taken to be as durable as a journalling file system makes them.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake.h"
#include "plant.h"
#include "util/mem.h"
#include "world.h"

enum { SECTOR_BYTES = 512 };

/* A write; or, without new bytes, a truncation of what stood from offset on. */
struct change {
	sqlite3_int64 offset;
	size_t len, old_len; /* old_len: what was there before */
	char *old, *new;     /* owned */
};

/* What a file is on the disk itself; outlives its being open. */
struct medium {
	struct medium *next;
	char *name;             /* owned */
	struct change *changes; /* owned; since the last sync */
	size_t n_changes, cap_changes;
	sqlite3_int64 synced_size;
};

struct disk_file {
	sqlite3_file base;
	struct medium *medium;
	sqlite3_file *real;
};

static struct medium *media; /* of this process */
static sqlite3_vfs *real_vfs;

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct disk_file *)file)->real;
}

/* ---- what a power cut would take back ---- */

static void forget(struct medium *medium)
{
	for (size_t i = 0; i < medium->n_changes; i++) {
		free(medium->changes[i].old);
		free(medium->changes[i].new);
	}
	medium->n_changes = 0;
}

static void is_synced(struct disk_file *file)
{
	forget(file->medium);
	file->real->pMethods->xFileSize(file->real, &file->medium->synced_size);
}

static struct change *remember(struct disk_file *file, sqlite3_int64 offset, size_t len)
{
	struct medium *medium = file->medium;
	sqlite3_int64 size = 0;
	struct change *change;

	if (medium->n_changes == medium->cap_changes) {
		medium->cap_changes = medium->cap_changes ? 2 * medium->cap_changes : 16;
		medium->changes =
		        mem_resize(medium->changes, medium->cap_changes, sizeof(*medium->changes));
	}
	change = &medium->changes[medium->n_changes++];
	*change = (struct change){.offset = offset, .len = len, .old = mem_new(len + 1, 1)};
	file->real->pMethods->xFileSize(file->real, &size);
	if (size > offset)
		change->old_len =
		        size - offset < (sqlite3_int64)len ? (size_t)(size - offset) : len;
	if (change->old_len > 0)
		file->real->pMethods->xRead(file->real, change->old, (int)change->old_len, offset);
	return change;
}

static void put(FILE *file, const char *bytes, size_t len, sqlite3_int64 offset)
{
	if (len > 0 &&
	        (fseek(file, (long)offset, SEEK_SET) != 0 || fwrite(bytes, 1, len, file) != len))
		world_fail("the disk of the simulation failed");
}

static void cut_to(FILE *file, sqlite3_int64 size)
{
	fflush(file);
	if (ftruncate(fileno(file), size) != 0)
		world_fail("the disk of the simulation failed");
}

/* In sectors, as the disk writes them: some of them came before the cut. */
static void put_torn(FILE *file, const struct change *change)
{
	size_t n_kept = 0, n_lost = 0, end;

	for (size_t at = 0; at < change->len; at = end) {
		sqlite3_int64 sector = (change->offset + (sqlite3_int64)at) / SECTOR_BYTES;

		end = (size_t)((sector + 1) * SECTOR_BYTES - change->offset);
		if (end > change->len)
			end = change->len;
		bool is_kept = world_chance(DICE_DISK, 0.5);

		if (is_kept)
			put(file, change->new + at, end - at, change->offset + (sqlite3_int64)at);
		n_kept += is_kept;
		n_lost += !is_kept;
	}
	if (n_kept > 0 && n_lost > 0)
		world_happened(HAPPENED_WRITE_TORN);
}

static void put_whole(FILE *file, const struct change *change)
{
	if (change->new)
		put(file, change->new, change->len, change->offset);
	else
		cut_to(file, change->offset);
}

/* The file as it was synced, and upon that what came to the disk besides. */
static void cut_power_of(struct medium *medium)
{
	FILE *file = fopen(medium->name, "r+");
	bool is_front = world_chance(DICE_DISK, 0.5), has_lost = false;
	size_t n_kept = (size_t)world_below(DICE_DISK, medium->n_changes + 1);

	if (!file)
		return; /* it was deleted */
	for (size_t i = medium->n_changes; i > 0; i--) {
		const struct change *change = &medium->changes[i - 1];

		put(file, change->old, change->new ? change->old_len : change->len, change->offset);
	}
	cut_to(file, medium->synced_size);
	for (size_t i = 0; i < medium->n_changes; i++) {
		const struct change *change = &medium->changes[i];
		bool is_at_the_cut = is_front ? i == n_kept : world_chance(DICE_DISK, 0.2);
		bool is_kept = is_front ? i < n_kept : world_chance(DICE_DISK, 0.5);

		if (is_at_the_cut && change->new && !plant_is(PLANT_WHOLE_WRITES))
			put_torn(file, change);
		else if (is_kept)
			put_whole(file, change);
		else
			world_happened(HAPPENED_WRITE_LOST);
		if (is_kept && has_lost)
			world_happened(HAPPENED_WRITE_OVERTOOK);
		has_lost |= !is_kept;
	}
	fclose(file);
}

void fake_disk_cut_power(void)
{
	world_happened(HAPPENED_CUT);
	if (world->turn == 0)
		world_happened(HAPPENED_CUT_AT_START);
	if (world->had_io_error)
		world_happened(HAPPENED_CUT_AFTER_ERROR);
	for (struct medium *medium = media; medium; medium = medium->next) {
		if (medium->n_changes > 0)
			cut_power_of(medium);
	}
}

/* ---- trouble ---- */

/* The error that was planned for this life, and those that follow. */
static bool is_to_fail(enum happening what)
{
	const struct world_end *end = &world->end;

	if (end->fail_at_step == 0 || world->mono_ms < end->from_mono_ms ||
	        world->end_step < end->fail_at_step || (world->had_io_error && !end->is_lasting))
		return false;
	/* Most calls are writes: others fail, too. */
	if (!world->had_io_error && (what == HAPPENED_WRITE_ERROR || what == HAPPENED_SYNC_ERROR) &&
	        !world_chance(DICE_DISK, 0.2))
		return false;
	if (!world->had_io_error)
		fprintf(stderr, "sim: %s at step %lld\n", happening_name(what),
		        (long long)world->step);
	world_happened(what);
	/* Of what SQLite does in passing (deleting a log, say) nobody needs to hear. */
	world->may_have_io_error = true;
	if (what != HAPPENED_OTHER_ERROR)
		world->had_io_error = true;
	return true;
}

/* Blocks that a file has are its own; only growing needs room. How much of the write finds any. */
static int room_for(sqlite3_file *file, int n, sqlite3_int64 offset)
{
	sqlite3_int64 size = 0;

	if (!world_disk_is_full())
		return n;
	real_of(file)->pMethods->xFileSize(real_of(file), &size);
	if (offset + n <= size)
		return n;
	world_happened(HAPPENED_NO_ROOM);
	return world_chance(DICE_DISK, 0.5) ? 0 : (int)world_below(DICE_DISK, (uint64_t)n);
}

/* ---- files ---- */

static int disk_close(sqlite3_file *base)
{
	return real_of(base)->pMethods->xClose(real_of(base));
}

static int disk_read(sqlite3_file *file, void *to, int n, sqlite3_int64 offset)
{
	if (is_to_fail(HAPPENED_READ_ERROR))
		return SQLITE_IOERR_READ;
	return real_of(file)->pMethods->xRead(real_of(file), to, n, offset);
}

static int write_through(sqlite3_file *file, const void *from, int n, sqlite3_int64 offset)
{
	struct change *change;

	if (world->end.is_power_cut) {
		change = remember((struct disk_file *)file, offset, (size_t)n);
		change->new = mem_new((size_t)n + 1, 1);
		memcpy(change->new, from, (size_t)n);
	}
	return real_of(file)->pMethods->xWrite(real_of(file), from, n, offset);
}

static int disk_write(sqlite3_file *file, const void *from, int n, sqlite3_int64 offset)
{
	int room;

	world_step("before a write");
	if (is_to_fail(HAPPENED_WRITE_ERROR))
		return SQLITE_IOERR_WRITE;
	room = room_for(file, n, offset);
	if (room == n)
		return write_through(file, from, n, offset);
	if (room > 0) {
		world_happened(HAPPENED_PART_OF_WRITE);
		write_through(file, from, room, offset);
	}
	return SQLITE_FULL;
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	sqlite3_int64 now = 0;

	world_step("before a truncation");
	if (is_to_fail(HAPPENED_OTHER_ERROR))
		return SQLITE_IOERR_TRUNCATE;
	real_of(file)->pMethods->xFileSize(real_of(file), &now);
	if (now > size && world->end.is_power_cut)
		remember((struct disk_file *)file, size, (size_t)(now - size));
	return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int disk_sync(sqlite3_file *file, int flags)
{
	(void)flags; /* a sync of memory is nothing; that it was asked for is what counts */
	world_step("before a sync");
	if (is_to_fail(HAPPENED_SYNC_ERROR))
		return SQLITE_IOERR_FSYNC;
	if (!plant_is(PLANT_NO_SYNC))
		is_synced((struct disk_file *)file);
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

/* NULL: none of that name was opened. */
static struct medium *find_medium(const char *name)
{
	for (struct medium *medium = media; medium; medium = medium->next) {
		if (strcmp(medium->name, name) == 0)
			return medium;
	}
	return NULL;
}

/* What an earlier life left behind is taken to be on the disk by now. */
static struct medium *medium_of(const char *name, struct disk_file *file)
{
	struct medium *medium = find_medium(name);

	if (medium)
		return medium;
	medium = MEM_NEW(struct medium);
	medium->name = mem_strdup(name);
	medium->next = media;
	media = medium;
	file->real->pMethods->xFileSize(file->real, &medium->synced_size);
	return medium;
}

static int disk_open(
        sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *out_flags)
{
	struct disk_file *file = (struct disk_file *)base;
	int rc;

	(void)vfs;
	memset(file, 0, sizeof(*file));
	if (is_to_fail(HAPPENED_OTHER_ERROR))
		return SQLITE_CANTOPEN;
	file->real = (sqlite3_file *)(file + 1);
	rc = real_vfs->xOpen(real_vfs, name, file->real, flags, out_flags);
	if (rc != SQLITE_OK)
		return rc;
	file->base.pMethods = &methods;
	file->medium = medium_of(name ? name : "", file);
	return SQLITE_OK;
}

static int disk_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	struct medium *medium = find_medium(name);

	(void)vfs;
	world_step("before a deletion");
	if (is_to_fail(HAPPENED_OTHER_ERROR))
		return SQLITE_IOERR_DELETE;
	if (medium) {
		forget(medium);
		medium->synced_size = 0;
	}
	return real_vfs->xDelete(real_vfs, name, sync_dir);
}

static int disk_random(sqlite3_vfs *vfs, int n, char *bytes)
{
	(void)vfs;
	for (int i = 0; i < n; i++)
		bytes[i] = (char)world_below(DICE_DISK, 256);
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

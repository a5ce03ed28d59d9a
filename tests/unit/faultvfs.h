/*
 * A shim between SQLite and its own way to the disk (https://sqlite.org/vfs.html) that fails a
 * chosen operation, or plays a power cut: of what was written since a file's last sync, each write
 * survives or not, whole or torn, as the dice say. Not modelled: torn sectors, directory entries
 * that were not synced.
 *
 * It is the default while it is installed; one thread, one test at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	FAULTVFS_WRITE = 1,
	FAULTVFS_SYNC = 2,
	FAULTVFS_TRUNCATE = 4,
	FAULTVFS_READ = 8,
	FAULTVFS_OPEN = 16,
	/* Not an operation: of all files the write-ahead logs alone, or the others. */
	FAULTVFS_OF_LOG = 32,
	FAULTVFS_OF_DATABASE = 64,
};

enum faultvfs_kind {
	FAULTVFS_EIO,
	FAULTVFS_ENXIO, /* of a read: the device is gone */
	FAULTVFS_NO_MEMORY,
	FAULTVFS_EACCES, /* of opening */
	FAULTVFS_EROFS,
	FAULTVFS_EPERM,
	FAULTVFS_EMFILE,
	FAULTVFS_ENOSPC,
	FAULTVFS_EDQUOT,
	FAULTVFS_SHORT, /* half of a write is done, then the disk is full */
	FAULTVFS_POWER_CUT,
};

void faultvfs_install(void);
void faultvfs_remove(void);

/* The nth operation (from 1) of these from now on fails so; with is_lasting all after it, too. */
void faultvfs_fail(unsigned operations, int64_t nth, enum faultvfs_kind kind, bool is_lasting);
void faultvfs_heal(void);
bool faultvfs_has_fired(void);

/*
 * SQLite's way when it cannot open a database for writing: from now on it is open for reading
 * alone. meanwhile is called once it is open, if it is not NULL.
 */
void faultvfs_open_read_only(void (*meanwhile)(void));
/* What SQLite says that this setting is; text NULL: nothing, as if it had none by that name. */
void faultvfs_answer_pragma(const char *name, const char *text);

/* Remembers what is not synced, for FAULTVFS_POWER_CUT; the seed throws the dice. */
void faultvfs_record(uint64_t seed);
/* The planted fault: syncs say that they did, and did nothing. */
void faultvfs_lie_about_syncs(bool is_lying);

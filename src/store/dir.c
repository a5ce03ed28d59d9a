/*
 * The state directory as the file system sees it: the lock, the ballast, and a look at the database
 * file before SQLite opens it.
 *
 * Promises that a file which is not ours is not even opened by SQLite (which would roll back a
 * journal that it finds beside it), and that no descriptor of the database is opened here once the
 * connection is: closing it would drop the process's POSIX locks (fcntl(2)).
 *
 * The ballast is a file of allocated, empty blocks. When the disk is full it is given up, so that
 * what is running can still be recorded; it is made anew when there is room.
 */
#include "store/private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/err.h"
#include "util/mem.h"

enum {
	HEADER_SIZE = 100,
	HEADER_APPLICATION_ID = 68,
	HEADER_USER_VERSION = 60,
	PAGE_BYTES = 4096,
	WAL_HEADER_SIZE = 32
};

/* Its last bit says which byte order the checksums have. */
#define WAL_MAGIC 0x377f0682u

int store_error_of_errno(int error)
{
	switch (error) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_FULL;
	case EIO:
		return ERR_IO;
	default:
		return -error;
	}
}

int store_dir_open(struct store *store, const char *dir, struct buf *words)
{
	store->dir = mem_strdup(dir);
	store->path = mem_printf("%s/%s", dir, STORE_DB_NAME);
	store->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dir_fd < 0) {
		int error = -errno;

		buf_addf(words, "the state directory %s: %s", dir, err_text(error));
		return error;
	}
	return 0;
}

int store_dir_lock(struct store *store, struct buf *words)
{
	char pid[32] = "";
	int error;

	store->lock_fd = openat(
	        store->dir_fd, STORE_LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (store->lock_fd < 0) {
		error = -errno;
		buf_addf(words, "%s/%s: %s", store->dir, STORE_LOCK_NAME, err_text(error));
		return error;
	}
	if (flock(store->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK) {
		error = -errno;
		buf_addf(words, "%s/%s: cannot lock: %s", store->dir, STORE_LOCK_NAME,
		        err_text(error));
		return error;
	}
	if (pread(store->lock_fd, pid, sizeof(pid) - 1, 0) < 0)
		pid[0] = '\0';
	pid[strspn(pid, "0123456789")] = '\0';
	/* One that is about to start has not written its own yet. */
	if (kill((pid_t)strtol(pid, NULL, 10), 0) != 0 && errno == ESRCH)
		pid[0] = '\0';
	buf_addf(words, "another instance holds the state directory %s%s%s", store->dir,
	        pid[0] ? ", process " : "", pid);
	return ERR_LOCKED;
}

void store_dir_tell_holder(struct store *store)
{
	char pid[32];
	int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	bool is_told =
	        ftruncate(store->lock_fd, 0) == 0 && pwrite(store->lock_fd, pid, (size_t)n, 0) == n;

	(void)is_told;
}

static uint32_t header_u32(const unsigned char *header, size_t at)
{
	return (uint32_t)header[at] << 24 | (uint32_t)header[at + 1] << 16 |
	       (uint32_t)header[at + 2] << 8 | header[at + 3];
}

static int64_t dir_file_size(const struct store *store, const char *name)
{
	struct stat st;

	return fstatat(store->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (int64_t)st.st_size
	                                                                   : -1;
}

/*
 * The header as the main file has it. With a WAL beside it the numbers in it may be older than the
 * truth, but they are never another program's: only zero (before the first commit) or ours.
 */
static int dir_look_header(
        struct store *store, const unsigned char *header, int64_t size, struct buf *words)
{
	uint32_t application = header_u32(header, HEADER_APPLICATION_ID);
	int64_t journal = dir_file_size(store, STORE_DB_NAME "-journal");

	if (memcmp(header, "SQLite format 3", 16) != 0) {
		buf_addf(words, "%s is not a database", store->path);
		return ERR_FOREIGN;
	}
	if (application == STORE_APPLICATION_ID) {
		int newest = store_schema_newest(store);

		if (header_u32(header, HEADER_USER_VERSION) <= (uint32_t)newest)
			return 0;
		buf_addf(words,
		        "%s was written by a newer version (its schema is %u, this program knows "
		        "up to %d)",
		        store->path, header_u32(header, HEADER_USER_VERSION), newest);
		return ERR_NEWER;
	}
	if (application != 0 || (journal > 0 && size > PAGE_BYTES)) {
		buf_addf(words, "%s is a database, but not one of bulkwatch", store->path);
		return ERR_FOREIGN;
	}
	return 0;
}

/* What could not be looked at: it may go well the next time, or somebody has to mend something. */
static int dir_unread(const struct store *store, const char *suffix, int error, struct buf *words)
{
	buf_addf(words, "%s%s: %s", store->path, suffix, err_text(error));
	return err_is_passing(error) ? ERR_IO : error;
}

/* The size of the log; 0 also if there is none. */
static int dir_look_wal(struct store *store, int64_t *size, struct buf *words)
{
	struct stat st;

	*size = 0;
	if (fstatat(store->dir_fd, STORE_DB_NAME "-wal", &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : dir_unread(store, "-wal", -errno, words);
	store->had_wal = true;
	if (!S_ISREG(st.st_mode)) {
		buf_addf(words, "%s-wal is not a file", store->path);
		return ERR_FOREIGN;
	}
	*size = st.st_size;
	return 0;
}

/*
 * SQLite takes a log without its header for an empty one, and would forget what was acknowledged.
 * It syncs the header before the first frame (https://sqlite.org/fileformat2.html, section 4.1), so
 * no power cut leaves it so.
 */
static int dir_look_wal_header(struct store *store, int64_t size, struct buf *words)
{
	cleanup(mem_close_p) int fd = -1;
	unsigned char header[WAL_HEADER_SIZE] = {0};

	if (size <= WAL_HEADER_SIZE)
		return 0;
	fd = openat(store->dir_fd, STORE_DB_NAME "-wal", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || pread(fd, header, sizeof(header), 0) < 0)
		return dir_unread(store, "-wal", -errno, words);
	if ((header_u32(header, 0) & ~1u) == WAL_MAGIC)
		return 0;
	buf_addf(words,
	        "%s-wal is damaged: it does not begin as a write-ahead log does; it was "
	        "left as it is",
	        store->path);
	return ERR_CORRUPT;
}

static int dir_look_file(struct store *store, int fd, struct buf *words)
{
	unsigned char header[HEADER_SIZE] = {0};
	struct stat st;
	int64_t wal;
	int error;

	if (fstat(fd, &st) != 0)
		return dir_unread(store, "", -errno, words);
	if (!S_ISREG(st.st_mode)) {
		buf_addf(words, "%s is not a file", store->path);
		return ERR_FOREIGN;
	}
	store->file_dev = st.st_dev;
	store->file_ino = st.st_ino;
	error = dir_look_wal(store, &wal, words);
	if (error != 0)
		return error;
	store->size_at_open = (int64_t)st.st_size + wal;
	if (st.st_size == 0 && wal > 0) {
		buf_addf(words, "%s is missing or empty, but its write-ahead log %s-wal is not",
		        store->path, store->path);
		return ERR_CORRUPT;
	}
	if (st.st_size == 0 && dir_file_size(store, STORE_BALLAST_NAME) > 0) {
		buf_addf(words,
		        "%s is empty, but was not: restore a backup, or remove it to begin anew",
		        store->path);
		return ERR_CORRUPT;
	}
	if (st.st_size == 0)
		return 0;
	error = dir_look_wal_header(store, wal, words);
	if (error != 0)
		return error;
	if (pread(fd, header, sizeof(header), 0) < 0)
		return dir_unread(store, "", -errno, words);
	return dir_look_header(store, header, (int64_t)st.st_size, words);
}

int store_dir_look(struct store *store, struct buf *words)
{
	int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	cleanup(mem_close_p) int fd = openat(store->dir_fd, STORE_DB_NAME, flags);
	int error;

	if (fd < 0 && errno == ENOENT && dir_file_size(store, STORE_DB_NAME "-wal") > 0) {
		buf_addf(words, "%s is missing, but its write-ahead log %s-wal is there",
		        store->path, store->path);
		return ERR_CORRUPT;
	}
	/* SQLite would make it 0644. Its WAL takes the mode of the database. */
	if (fd < 0 && errno == ENOENT) {
		/* An empty file beside the ballast would be one that was emptied. */
		unlinkat(store->dir_fd, STORE_BALLAST_NAME, 0);
		fd = openat(store->dir_fd, STORE_DB_NAME, flags | O_CREAT | O_EXCL, 0600);
	}
	/* At each start: the one that made it may have ended before this. */
	if (fd < 0 || fsync(store->dir_fd) != 0) {
		error = store_error_of_errno(errno);
		buf_addf(words, "%s: %s", store->path, err_text(error));
		return error;
	}
	return dir_look_file(store, fd, words);
}

int store_dir_write_error(const struct store *store)
{
	if (faccessat(store->dir_fd, ".", W_OK, AT_EACCESS) != 0 ||
	        faccessat(store->dir_fd, STORE_DB_NAME, W_OK, AT_EACCESS) != 0)
		return -errno;
	/* There need not be one. */
	if (faccessat(store->dir_fd, STORE_DB_NAME "-wal", W_OK, AT_EACCESS) != 0 &&
	        errno != ENOENT)
		return -errno;
	return ERR_IO;
}

void store_dir_tidy(struct store *store)
{
	if (!store->had_wal && store->dir_fd >= 0 &&
	        dir_file_size(store, STORE_DB_NAME "-wal") == 0)
		unlinkat(store->dir_fd, STORE_DB_NAME "-wal", 0);
}

void store_dir_close(struct store *store)
{
	mem_close_p(&store->lock_fd);
	mem_close_p(&store->dir_fd);
	free(store->path);
	free(store->dir);
}

void store_ballast_look(struct store *store)
{
	struct stat st;

	store->has_ballast =
	        fstatat(store->dir_fd, STORE_BALLAST_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	        S_ISREG(st.st_mode) && (int64_t)st.st_blocks * 512 >= STORE_BALLAST_BYTES;
}

int store_ballast_make(struct store *store)
{
	cleanup(mem_close_p) int fd = -1;
	int error;

	if (store->has_ballast)
		return 0;
	fd = openat(
	        store->dir_fd, STORE_BALLAST_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return store_error_of_errno(errno);
	error = posix_fallocate(fd, 0, STORE_BALLAST_BYTES);
	if (error != 0) {
		/* What it could get of the room is taken already. */
		unlinkat(store->dir_fd, STORE_BALLAST_NAME, 0);
		return store_error_of_errno(error);
	}
	store->has_ballast = true;
	store->wants_ballast = false;
	return 0;
}

void store_ballast_drop(struct store *store)
{
	if (!store->has_ballast)
		return;
	unlinkat(store->dir_fd, STORE_BALLAST_NAME, 0);
	store->has_ballast = false;
	store->wants_ballast = true;
}

bool store_file_is_there(const struct store *store)
{
	struct stat st;

	if (fstatat(store->dir_fd, STORE_DB_NAME, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno != ENOENT;
	return st.st_dev == store->file_dev && st.st_ino == store->file_ino;
}

int64_t store_size(const struct store *store)
{
	int64_t db = dir_file_size(store, STORE_DB_NAME);
	int64_t wal = dir_file_size(store, STORE_DB_NAME "-wal");

	return (db > 0 ? db : 0) + (wal > 0 ? wal : 0);
}

#include "daemon/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/mem.h"
#include "util/str.h"

void secret_init(struct secret *secret, const char *path)
{
	*secret = (struct secret){.path = mem_strdup(path)};
}

static char *text_new(void)
{
	char *text = mem_new(SECRET_MAX_BYTES + 1, 1);

	mlock(text, SECRET_MAX_BYTES + 1); /* best effort: RLIMIT_MEMLOCK may not allow it */
	return text;
}

char *secret_text_dup(const char *from)
{
	char *text = text_new();

	str_copy(text, SECRET_MAX_BYTES + 1, from);
	return text;
}

char *secret_text_free(char *text)
{
	if (!text)
		return NULL;
	explicit_bzero(text, SECRET_MAX_BYTES + 1);
	munlock(text, SECRET_MAX_BYTES + 1);
	free(text);
	return NULL;
}

static void wipe(struct secret *secret)
{
	secret->text = secret_text_free(secret->text);
}

void secret_deinit(struct secret *secret)
{
	wipe(secret);
	free(secret->path);
	secret->path = NULL;
}

static bool fail(struct secret *secret, const char *why)
{
	snprintf(secret->problem, sizeof(secret->problem), "%s: %s", secret->path, why);
	return false;
}

static bool is_fit(struct secret *secret, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return fail(secret, "not a regular file");
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return fail(secret,
		        "owned by somebody else (chown it to root or to the daemon's user)");
	if (st->st_mode & 027)
		return fail(secret, "open to others or writable by the group (chmod 0400 or 0600)");
	return true;
}

static bool is_same(const struct secret *secret, const struct stat *st)
{
	return secret->generation > 0 && st->st_dev == secret->device &&
	       st->st_ino == secret->inode && st->st_size == secret->size &&
	       st->st_ctim.tv_sec * INT64_C(1000000000) + st->st_ctim.tv_nsec == secret->changed_ns;
}

static void remember(struct secret *secret, const struct stat *st)
{
	secret->device = st->st_dev;
	secret->inode = st->st_ino;
	secret->size = st->st_size;
	secret->changed_ns = st->st_ctim.tv_sec * INT64_C(1000000000) + st->st_ctim.tv_nsec;
}

static bool is_printable_line(char *text, size_t len)
{
	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		text[--len] = '\0';
	for (size_t i = 0; i < len; i++) {
		if (text[i] <= 0x20 || text[i] > 0x7e)
			return false;
	}
	return len > 0;
}

static bool is_text(const struct secret *secret, char *text, size_t len)
{
	if (secret->is_list)
		return len > 0 && !memchr(text, '\0', len);
	return is_printable_line(text, len);
}

static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, text + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static bool take_text(struct secret *secret, int fd)
{
	char *text = text_new();
	ssize_t len = read_all(fd, text, SECRET_MAX_BYTES);
	struct secret fresh = {.text = text};

	if (len < 0 || len == SECRET_MAX_BYTES || !is_text(secret, text, (size_t)len)) {
		wipe(&fresh);
		return fail(secret, len < 0 ? strerror(errno)
		                    : secret->is_list
		                            ? "empty, too long, or not text"
		                            : "empty, too long, or not one line of printable text");
	}
	if (secret->text && strcmp(secret->text, text) == 0) {
		wipe(&fresh);
		return false;
	}
	wipe(secret);
	secret->text = text;
	secret->generation++;
	return true;
}

bool secret_refresh(struct secret *secret)
{
	cleanup(mem_close_p) int fd =
	        open(secret->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return fail(secret, errno == ELOOP ? "a symbolic link" : strerror(errno));
	if (fstat(fd, &st) < 0)
		return fail(secret, strerror(errno));
	if (!is_fit(secret, &st))
		return false;
	if (is_same(secret, &st) && !secret->problem[0])
		return false;
	remember(secret, &st);
	secret->problem[0] = '\0';
	return take_text(secret, fd);
}

#include "daemon/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/log.h"
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

/* Ends a line where its text does. */
static enum credential_error look(const struct secret *secret, char *text, size_t len)
{
	enum credential_error error;
	size_t n_used;

	/* A key that cannot be used fails the attempt that it was to sign, in these words. */
	if (secret->is_list) {
		error = credential_keys_look(text, len);
		return error == CREDENTIAL_E_BASE64 || error == CREDENTIAL_E_TOO_MANY
		               ? CREDENTIAL_OK
		               : error;
	}
	error = credential_line_look(text, len, &n_used);
	text[n_used < len ? n_used : len] = '\0';
	return error;
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
	enum credential_error error = len < 0 ? CREDENTIAL_OK : look(secret, text, (size_t)len);
	struct secret fresh = {.text = text};

	if (len < 0 || error != CREDENTIAL_OK) {
		const char *why = len < 0 ? strerror(errno) : credential_error_words(error);

		wipe(&fresh);
		return fail(secret, why);
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

static bool read_anew(struct secret *secret)
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

/* By one system call: it is asked for of each account that has something to do, again and again. */
static bool is_as_read(const struct secret *secret)
{
	struct stat st;

	return !secret->problem[0] && lstat(secret->path, &st) == 0 && is_same(secret, &st);
}

bool secret_refresh(struct secret *secret, const char *whose)
{
	char before[sizeof(secret->problem)];

	if (is_as_read(secret))
		return false;
	str_copy(before, sizeof(before), secret->problem);
	bool had_text = secret->text != NULL, is_new = read_anew(secret);

	if (had_text && secret->problem[0] && strcmp(before, secret->problem) != 0)
		log_warning("%s: %s; what was read before stays in use", whose, secret->problem);
	else if (had_text && before[0] && !secret->problem[0])
		log_notice("%s: %s can be read again", whose, secret->path);
	return is_new;
}

/*
 * Paths, and the files that they lead to: read whole, or looked at for what makes them unsafe.
 * Who may write a secret or a hook's program rules over the daemon, so owner and mode are checked
 * (path_resolution(7) for why the last component alone must not be a symbolic link).
 */
#include "config/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/credential.h"
#include "util/err.h"
#include "util/mem.h"
#include "util/str.h"

enum { SECRET_MODE_REFUSED = 027, PROGRAM_MODE_REFUSED = 022, READ_FIRST_BYTES = 16 * 1024 };
enum { CA_MAX_BYTES = 64 * 1024 * 1024 };

char *path_resolve(const char *dir, const char *path)
{
	while (str_has_prefix(path, "./") && path[2] != '\0')
		path += 2;
	if (path[0] == '/')
		return mem_strdup(path);
	return mem_printf("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, path);
}

char *path_dir_of(const char *file)
{
	cleanup(mem_free_p) char *cwd = file[0] == '/' ? NULL : getcwd(NULL, 0);
	cleanup(mem_free_p) char *whole = path_resolve(cwd ? cwd : "/", file);
	size_t len = (size_t)(strrchr(whole, '/') - whole);

	return mem_strndup(whole, len ? len : 1);
}

char *path_beside(const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');

	while (str_has_prefix(path, "./") && path[2] != '\0')
		path += 2;
	if (path[0] == '/' || !slash)
		return mem_strdup(path);
	return mem_printf("%.*s%s", (int)(slash + 1 - file), file, path);
}

/* A regular file tells its size; what does not is read as it comes. */
static int path_read_fd(int fd, size_t max_bytes, struct buf *bytes)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max_bytes)
		return -EFBIG;
	buf_reserve(bytes, S_ISREG(st.st_mode) ? (size_t)st.st_size + 1 : READ_FIRST_BYTES);
	for (;;) {
		ssize_t n;

		buf_reserve(bytes, 1);
		n = read(fd, bytes->data + bytes->len, bytes->cap - bytes->len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		bytes->len += (size_t)n;
		if (bytes->len > max_bytes)
			return -EFBIG;
	}
	bytes->data[bytes->len] = '\0';
	return 0;
}

int path_read(const char *path, size_t max_bytes, bool must_be_regular, char **text, size_t *len)
{
	/* A FIFO without a writer must not hold us up where only regular files are right. */
	cleanup(mem_close_p) int fd =
	        open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (must_be_regular ? O_NONBLOCK : 0));
	cleanup(buf_deinit) struct buf bytes = {0};
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (must_be_regular && !S_ISREG(st.st_mode))
		return -ENODEV;
	r = path_read_fd(fd, max_bytes, &bytes);
	if (r < 0)
		return r;
	*len = bytes.len;
	*text = buf_steal(&bytes);
	return 0;
}

/* The user that the package and systemd/bulkwatch.sysusers make for the daemon. */
#define DAEMON_USER "bulkwatch"

/* Root looks on behalf of the daemon, whose own files are as they should be. */
static bool owner_is_trusted(const struct stat *st)
{
	const struct passwd *daemon;

	if (st->st_uid == 0 || st->st_uid == geteuid())
		return true;
	daemon = geteuid() == 0 ? getpwnam(DAEMON_USER) : NULL;
	return daemon && st->st_uid == daemon->pw_uid;
}

/* What a secret's file must be, whatever it holds. *error: of its opening, then of this. */
static const char *secret_file_problem(int fd, struct buf *words, int *error)
{
	struct stat st = {0};

	if (fd >= 0)
		*error = fstat(fd, &st) < 0 ? -errno : 0;
	if (*error == -ELOOP)
		return "is a symbolic link; name the file itself";
	if (*error == -ENOENT)
		return "does not exist";
	if (*error < 0) {
		buf_addf(words, "cannot be read: %s", err_text(*error));
		return buf_str(words);
	}
	if (!S_ISREG(st.st_mode))
		return "is not a regular file";
	if (!owner_is_trusted(&st)) {
		buf_addf(words,
		        "belongs to user %u; it must belong to root or to user %u, who runs this",
		        (unsigned)st.st_uid, (unsigned)geteuid());
		return buf_str(words);
	}
	if (st.st_mode & SECRET_MODE_REFUSED) {
		buf_addf(words,
		        "has mode %04o, open to more than its owner and readers of its group; try: "
		        "chmod 600",
		        (unsigned)(st.st_mode & 07777));
		return buf_str(words);
	}
	return NULL;
}

const char *path_secret_problem(
        const char *path, bool is_list, bool *is_useless, struct buf *words, int *error)
{
	cleanup(mem_close_p) int fd =
	        open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char text[CREDENTIAL_MAX_BYTES + 2];
	enum credential_error judged;
	const char *wrong;
	size_t n_used;

	*is_useless = false;
	*error = fd < 0 ? -errno : 0;
	wrong = secret_file_problem(fd, words, error);
	if (wrong)
		return wrong;
	/* Secrets are small files: what one reading does not get is no secret either. */
	ssize_t n = read(fd, text, sizeof(text) - 1);

	if (n < 0) {
		*error = -errno;
		buf_addf(words, "cannot be read: %s", err_text(*error));
		return buf_str(words);
	}
	text[n] = '\0';
	judged = is_list ? credential_keys_look(text, (size_t)n)
	                 : credential_line_look(text, (size_t)n, &n_used);
	explicit_bzero(text, sizeof(text));
	*is_useless = judged != CREDENTIAL_OK;
	return *is_useless ? credential_error_words(judged) : NULL;
}

const char *path_program_problem(const char *path, int *error)
{
	struct stat st;

	*error = stat(path, &st) < 0 ? -errno : 0;
	if (*error < 0)
		return *error == -ENOENT ? "does not exist yet" : err_text(*error);
	if (S_ISDIR(st.st_mode))
		return "is a directory";
	if (!S_ISREG(st.st_mode))
		return "is not a regular file";
	if (!(st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)))
		return "is not executable; try: chmod +x";
	if (!owner_is_trusted(&st))
		return "belongs to neither root nor the user who runs this";
	if (st.st_mode & PROGRAM_MODE_REFUSED)
		return "may be written by its group or by others; try: chmod go-w";
	return NULL;
}

const char *path_ca_problem(const char *path, int *error)
{
	static const char *const heads[] = {"-----BEGIN CERTIFICATE-----",
	        "-----BEGIN TRUSTED CERTIFICATE-----", "-----BEGIN X509 CERTIFICATE-----"};
	cleanup(mem_free_p) char *text = NULL;
	size_t len;
	int r = path_read(path, CA_MAX_BYTES, true, &text, &len);

	*error = r;
	if (r == -ENOENT)
		return "does not exist";
	if (r == -EISDIR)
		return "is a directory";
	if (r == -ENODEV)
		return "is not a regular file";
	/* r says it all, but gcc's analyzer does not know that errno is never 0 after a failure. */
	if (r < 0 || !text)
		return err_text(r);
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		if (strstr(text, heads[i]))
			return NULL;
	}
	return "holds no certificate (-----BEGIN CERTIFICATE-----)";
}

const char *path_dir_problem(const char *path, struct buf *words)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		if (errno == ENOENT)
			return "does not exist";
		buf_addf(words, "cannot be looked at: %s", err_text(-errno));
		return buf_str(words);
	}
	if (!S_ISDIR(st.st_mode))
		return "is not a directory";
	if (eaccess(path, R_OK | W_OK | X_OK) == 0)
		return NULL;
	buf_addf(words, "cannot be written to by user %u, who runs this: %s", (unsigned)geteuid(),
	        err_text(-errno));
	return buf_str(words);
}

#include "daemon/token_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/buf.h"
#include "util/mem.h"
#include "util/str.h"

enum {
	FILE_MAX_BYTES = 8192,
	KEPT_S = 2 * 3600, /* no token, hold or count lives longer */
	NAME_HASH_BYTES = 16,
};

static const char first_line[] = "bulkwatch-token 1";
static const char suffix[] = ".token", suffix_new[] = ".token.new";

/* ---- the directory ---- */

static bool has_suffix(const char *name, const char *end)
{
	size_t len = strlen(name), n = strlen(end);

	return len > n && strcmp(name + len - n, end) == 0;
}

static void sweep(int dir_fd, int64_t wall_ms)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	struct stat st;

	if (!dir) {
		mem_close_p(&fd);
		return;
	}
	while ((entry = readdir(dir))) {
		bool is_partial = has_suffix(entry->d_name, suffix_new);

		if (!is_partial && !has_suffix(entry->d_name, suffix))
			continue;
		if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		        (is_partial || wall_ms / 1000 - st.st_mtim.tv_sec > KEPT_S))
			unlinkat(dir_fd, entry->d_name, 0);
	}
	closedir(dir);
}

int token_dir_open(const char *state_dir, int64_t wall_ms)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/tokens", state_dir);

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	sweep(fd, wall_ms);
	return fd;
}

void token_file_name(char name[static TOKEN_FILE_NAME_SIZE], const char *accounts_url,
        const char *client_id, const char *refresh_token)
{
	cleanup(buf_deinit) struct buf all = {0};
	unsigned char hash[SHA256_DIGEST_LENGTH];
	size_t at = 0;

	buf_reserve(&all, strlen(accounts_url) + strlen(client_id) + strlen(refresh_token) + 2);
	buf_addf(&all, "%s\n%s\n%s", accounts_url, client_id, refresh_token);
	SHA256((const unsigned char *)all.data, all.len, hash);
	explicit_bzero(all.data, all.cap);
	for (size_t i = 0; i < NAME_HASH_BYTES; i++)
		at += (size_t)snprintf(name + at, TOKEN_FILE_NAME_SIZE - at, "%02x", hash[i]);
	snprintf(name + at, TOKEN_FILE_NAME_SIZE - at, "%s", suffix);
}

/* ---- reading ---- */

static bool take_time(const char *value, int64_t *out)
{
	return str_to_int(value, 0, INT64_MAX / 2, out) == 0;
}

static bool take_line(struct token_record *record, const char *key, const char *value)
{
	int64_t number;

	if (strcmp(key, "access_token") == 0) {
		str_copy(record->access_token, sizeof(record->access_token), value);
		return strlen(value) <= TOKEN_MAX_BYTES && value[strcspn(value, " \t\r")] == '\0';
	}
	if (strcmp(key, "api_domain") == 0)
		return token_origin(value, record->api_domain);
	if (strcmp(key, "got") == 0)
		return take_time(value, &record->got_wall_ms);
	if (strcmp(key, "expires") == 0)
		return take_time(value, &record->expires_wall_ms);
	if (strcmp(key, "held_until") == 0)
		return take_time(value, &record->held_until_wall_ms);
	if (strcmp(key, "throttled") == 0 && str_to_int(value, 0, UINT8_MAX, &number) == 0) {
		record->throttled_level = (uint8_t)number;
		return true;
	}
	return strcmp(key, "asked") == 0 && record->n_asked < REFRESH_ASKS_MAX &&
	       take_time(value, &record->asked_wall_ms[record->n_asked++]);
}

static int parse(char *text, struct token_record *out)
{
	char *rest = text, *line = strsep(&rest, "\n");

	if (strcmp(line, first_line) != 0)
		return -EBADMSG;
	while ((line = strsep(&rest, "\n")) && *line) {
		char *value = strchr(line, ' ');

		if (!value)
			return -EBADMSG;
		*value++ = '\0';
		if (!take_line(out, line, value))
			return -EBADMSG;
	}
	return rest && !*rest ? 0 : -EBADMSG; /* the last line is whole */
}

static int read_text(int fd, char text[static FILE_MAX_BYTES])
{
	size_t len = 0;

	while (len < FILE_MAX_BYTES - 1) {
		ssize_t n = read(fd, text + len, FILE_MAX_BYTES - 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	return strlen(text) == len && len < FILE_MAX_BYTES - 1 ? 0 : -EBADMSG;
}

int token_file_read(int dir_fd, const char *name, struct token_record *out)
{
	cleanup(mem_close_p) int fd =
	        openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char text[FILE_MAX_BYTES];
	struct stat st;

	*out = (struct token_record){0};
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return -EBADMSG;
	int r = read_text(fd, text);

	if (r == 0)
		r = parse(text, out);
	if (r < 0)
		explicit_bzero(out, sizeof(*out));
	explicit_bzero(text, sizeof(text));
	return r;
}

/* ---- writing ---- */

static void add_time(struct buf *text, const char *key, int64_t wall_ms)
{
	if (wall_ms > 0)
		buf_addf(text, "%s %" PRId64 "\n", key, wall_ms);
}

static void add_record(struct buf *text, const struct token_record *record)
{
	buf_reserve(text, FILE_MAX_BYTES); /* so that no copy stays behind where it grew */
	buf_addf(text, "%s\n", first_line);
	if (record->access_token[0]) {
		buf_addf(text, "access_token %s\n", record->access_token);
		add_time(text, "got", record->got_wall_ms);
		add_time(text, "expires", record->expires_wall_ms);
		if (record->api_domain[0])
			buf_addf(text, "api_domain %s\n", record->api_domain);
	}
	add_time(text, "held_until", record->held_until_wall_ms);
	if (record->throttled_level > 0)
		buf_addf(text, "throttled %u\n", record->throttled_level);
	for (size_t i = 0; i < record->n_asked; i++)
		add_time(text, "asked", record->asked_wall_ms[i]);
	buf_addc(text, '\n');
}

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int token_file_write(int dir_fd, const char *name, const struct token_record *record)
{
	cleanup(buf_deinit) struct buf text = {0};
	char partial[TOKEN_FILE_NAME_SIZE + sizeof(suffix_new)];

	snprintf(partial, sizeof(partial), "%s.new", name);
	unlinkat(dir_fd, partial, 0);
	cleanup(mem_close_p) int fd =
	        openat(dir_fd, partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	add_record(&text, record);
	int r = write_all(fd, text.data, text.len);

	explicit_bzero(text.data, text.cap);
	if (r == 0 && renameat(dir_fd, partial, dir_fd, name) < 0)
		r = -errno;
	if (r == 0 && fsync(dir_fd) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir_fd, partial, 0);
	return r;
}

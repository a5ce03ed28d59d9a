/*
 * bulkwatch backup: the daemon's consistent copy of its database into a file. It is written under
 * a temporary name beside it, synced, then given its name: a file of that name is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/answer.h"
#include "ctl/commands.h"
#include "util/mem.h"

/* The first bytes of every SQLite 3 file (https://www.sqlite.org/fileformat.html). */
static const char backup_magic[16] = "SQLite format 3";

struct backup {
	const char *path; /* where it goes; borrowed */
	char *temporary;  /* owned */
	int fd;
	int error; /* an errno of the writing, or 0 */
	int64_t size;
	char head[sizeof(backup_magic)];
};

static bool backup_on_bytes(void *arg, const char *bytes, size_t len)
{
	struct backup *backup = arg;

	for (size_t i = 0; i < len && backup->size + (int64_t)i < (int64_t)sizeof(backup->head);
	        i++)
		backup->head[backup->size + (int64_t)i] = bytes[i];
	backup->size += (int64_t)len;
	while (len > 0) {
		ssize_t n = write(backup->fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			backup->error = errno;
			return false;
		}
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

static int say_file(const char *path, int error)
{
	ctl_say("%s: %s", path, strerrordesc_np(error));
	return CTL_OTHER;
}

static int sync_directory(const char *path)
{
	cleanup(mem_free_p) char *copy = mem_strdup(path);
	cleanup(mem_close_p) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) != 0 ? errno : 0;
}

/* RENAME_NOREPLACE: it never replaces a file that came to be there meanwhile. */
static int backup_keep(struct backup *backup)
{
	int error = 0;

	if (backup->size < (int64_t)sizeof(backup->head) ||
	        memcmp(backup->head, backup_magic, sizeof(backup_magic)) != 0) {
		ctl_say("what the daemon sent is no database");
		return CTL_OTHER;
	}
	if (fsync(backup->fd) != 0 || renameat2(AT_FDCWD, backup->temporary, AT_FDCWD, backup->path,
	                                      RENAME_NOREPLACE) != 0)
		return say_file(backup->path, errno);
	error = sync_directory(backup->path);
	return error ? say_file(backup->path, error) : CTL_OK;
}

static int backup_fetch(struct ctl *ctl, struct backup *backup)
{
	cleanup(client_free_p) struct client *client = client_new(ctl, SOCKET_ADMIN);
	struct client_request request = {
	        .path = "/v1/backup",
	        .sink = backup_on_bytes,
	        .sink_arg = backup,
	        .silence_s = CLIENT_BACKUP_SILENCE_S,
	};
	struct answer answer = {0};
	int code = client ? client_ask(client, &request, &answer) : CTL_CONFIG;

	if (code == CTL_OK && backup->error)
		code = say_file(backup->temporary, backup->error);
	else if (code == CTL_OK)
		code = answer_check(&answer);
	answer_deinit(&answer);
	return code;
}

static void print_made(const struct ctl *ctl, const struct backup *backup)
{
	cleanup(buf_deinit) struct buf text = {0}, safe = {0};
	struct json_out out;

	if (!ctl->is_json) {
		if (ctl->term.is_terminal)
			printf("%" PRId64 " bytes\n", backup->size);
		return;
	}
	json_out_init(&out, &text, false);
	json_open_object(&out, NULL);
	json_put_string(&out, "file", backup->path);
	json_put_integer(&out, "bytes", backup->size);
	json_close_object(&out);
	json_out_deinit(&out);
	text_add_safe_json(&safe, buf_str(&text), text.len);
	printf("%s\n", buf_str(&safe));
}

int cmd_backup(struct ctl *ctl, const struct args *args)
{
	struct backup backup = {.path = args->operands[0]};
	struct stat st;
	int code;

	if (lstat(backup.path, &st) == 0)
		return say_file(backup.path, EEXIST);
	backup.temporary = mem_printf("%s.XXXXXX", backup.path);
	/* mkostemp makes it 0600: names of accounts and jobs are nobody else's business. */
	backup.fd = mkostemp(backup.temporary, O_CLOEXEC);
	if (backup.fd < 0) {
		code = say_file(backup.path, errno);
		free(backup.temporary);
		return code;
	}
	code = backup_fetch(ctl, &backup);
	if (code == CTL_OK)
		code = backup_keep(&backup);
	if (code != CTL_OK)
		unlink(backup.temporary);
	else
		print_made(ctl, &backup);
	close(backup.fd);
	free(backup.temporary);
	return code;
}

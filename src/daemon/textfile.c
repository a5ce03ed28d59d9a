#include "daemon/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"

enum { WRITE_EVERY_MS = 15000 };

struct textfile {
	struct loop *loop;
	textfile_write_fn *write;
	void *arg;
	struct loop_timer *timer;
	char *path; /* owned; NULL = none */
	bool is_failing;
};

/* 0, or the error number. */
static int write_whole(int fd, const struct buf *text)
{
	size_t done = 0;

	while (done < text->len) {
		ssize_t n = write(fd, text->data + done, text->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		done += (size_t)n;
	}
	return 0;
}

/* 0644 whatever the umask: it is for another program. */
static int replace(const char *path, const struct buf *text)
{
	cleanup(mem_free_p) char *partial = mem_printf("%s.new", path);
	int fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	int error;

	if (fd < 0)
		return errno;
	error = fchmod(fd, 0644) < 0 ? errno : write_whole(fd, text);
	if (close(fd) < 0 && !error)
		error = errno;
	if (!error && rename(partial, path) < 0)
		error = errno;
	if (error)
		unlink(partial);
	return error;
}

static void textfile_on_timer(void *arg)
{
	struct textfile *textfile = arg;
	cleanup(buf_deinit) struct buf text = {0};

	textfile->write(textfile->arg, &text);
	int error = replace(textfile->path, &text);

	if (error && !textfile->is_failing)
		log_warning("metrics_textfile %s: %s", textfile->path, strerror(error));
	else if (!error && textfile->is_failing)
		log_notice("metrics_textfile %s: written again", textfile->path);
	textfile->is_failing = error != 0;
	loop_timer_set(textfile->timer, loop_now(textfile->loop).mono_ms + WRITE_EVERY_MS);
}

struct textfile *textfile_new(struct loop *loop, textfile_write_fn *write, void *arg)
{
	struct textfile *textfile = MEM_NEW(struct textfile);

	textfile->loop = loop;
	textfile->write = write;
	textfile->arg = arg;
	textfile->timer = loop_timer_new(loop, textfile_on_timer, textfile);
	return textfile;
}

static void forget_path(struct textfile *textfile)
{
	if (textfile->path && !textfile->is_failing)
		unlink(textfile->path);
	free(textfile->path);
	textfile->path = NULL;
	textfile->is_failing = false;
}

struct textfile *textfile_free(struct textfile *textfile)
{
	if (!textfile)
		return NULL;
	forget_path(textfile);
	loop_timer_free(textfile->timer);
	free(textfile);
	return NULL;
}

void textfile_set(struct textfile *textfile, const char *path)
{
	if (str_is_equal(path, textfile->path))
		return;
	forget_path(textfile);
	loop_timer_clear(textfile->timer);
	if (!path)
		return;
	textfile->path = mem_strdup(path);
	loop_timer_set(textfile->timer, loop_now(textfile->loop).mono_ms);
}

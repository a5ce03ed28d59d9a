#include "ctl/position.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "util/mem.h"
#include "util/str.h"

enum { POSITION_MAX_BYTES = 64 };

static int say(const struct position *position, const char *what)
{
	ctl_say("%s: %s: %s", position->path, what, strerror(errno));
	return CTL_OTHER;
}

static int lock(struct position *position, const char *dir, const char *name)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/%s.lock", dir, name);

	position->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (position->lock_fd < 0) {
		ctl_say("%s: %s", path, strerror(errno));
		return CTL_OTHER;
	}
	if (flock(position->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return CTL_OK;
	ctl_say("another consumer has the name %s: %s is locked", name, path);
	return CTL_OTHER;
}

/* "<16 hex digits>-<seq>\n"; without its end it may be half a number. */
static int take_text(struct position *position, char *text)
{
	enum { INSTANCE_LEN = POSITION_INSTANCE_SIZE - 1 };
	char *end = strchr(text, '\n');

	if (end && strspn(text, "0123456789abcdef") == INSTANCE_LEN && text[INSTANCE_LEN] == '-') {
		*end = text[INSTANCE_LEN] = '\0';
		str_copy(position->instance, sizeof(position->instance), text);
		if (str_to_int(text + INSTANCE_LEN + 1, 0, INT64_MAX, &position->seq) == 0)
			return CTL_OK;
	}
	ctl_say("%s does not hold the id of an event; remove it to begin anew", position->path);
	return CTL_OTHER;
}

static int load(struct position *position)
{
	char text[POSITION_MAX_BYTES + 1] = "";
	cleanup(mem_close_p) int fd = open(position->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? CTL_OK : say(position, "cannot be opened");
	n = read(fd, text, POSITION_MAX_BYTES);
	if (n < 0)
		return say(position, "cannot be read");
	return take_text(position, text);
}

int position_open(struct position *position, const char *dir, const char *name)
{
	*position = (struct position){
	        .path = mem_printf("%s/%s.position", dir, name), .dir_fd = -1, .lock_fd = -1};
	position->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (position->dir_fd < 0) {
		ctl_say("state directory %s: %s", dir, strerror(errno));
		return CTL_OTHER;
	}
	int code = lock(position, dir, name);

	return code == CTL_OK ? load(position) : code;
}

void position_close(struct position *position)
{
	mem_close_p(&position->dir_fd);
	mem_close_p(&position->lock_fd);
	free(position->path);
	position->path = NULL;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

int position_save(struct position *position, const char *instance, int64_t seq)
{
	cleanup(mem_free_p) char *partial = mem_printf("%s.new", position->path);
	cleanup(mem_close_p) int fd =
	        open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	char text[POSITION_MAX_BYTES];
	int len = snprintf(text, sizeof(text), "%s-%" PRId64 "\n", instance, seq);

	if (fd < 0 || write_all(fd, text, (size_t)len) < 0 || fsync(fd) < 0 ||
	        rename(partial, position->path) < 0 || fsync(position->dir_fd) < 0)
		return say(position, "cannot be written");
	str_copy(position->instance, sizeof(position->instance), instance);
	position->seq = seq;
	return CTL_OK;
}

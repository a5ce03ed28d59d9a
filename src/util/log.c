#include "util/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/buf.h"
#include "util/clock.h"
#include "util/mem.h"

enum { LOG_LINE_MAX = 4096 };

static enum log_level log_threshold = LOG_LEVEL_INFO;

static const struct {
	const char *name;
	int priority; /* syslog(3) */
} log_levels[] = {
        [LOG_LEVEL_ERROR] = {"error", 3},
        [LOG_LEVEL_WARNING] = {"warning", 4},
        [LOG_LEVEL_NOTICE] = {"notice", 5},
        [LOG_LEVEL_INFO] = {"info", 6},
        [LOG_LEVEL_DEBUG] = {"debug", 7},
};

/* systemd.exec(5): JOURNAL_STREAM holds device and inode of the stream it connected. */
static bool log_is_journal(void)
{
	static int known = -1;
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	if (known < 0) {
		known = stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
		        fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
	}
	return known;
}

void log_set_level(enum log_level level)
{
	log_threshold = level;
}

bool log_is_enabled(enum log_level level)
{
	return level <= log_threshold;
}

/* Cleans what was added from `from` on: nobody's text makes a second line, or moves a cursor. */
static void log_clean(struct buf *line, size_t from)
{
	for (size_t i = from; i < line->len; i++) {
		if ((unsigned char)line->data[i] < 0x20 || line->data[i] == 0x7f)
			line->data[i] = '?';
	}
}

static void log_add_field(struct buf *entry, const char *name, const char *value, size_t len)
{
	buf_addf(entry, "%s=", name);
	size_t from = entry->len;

	buf_add(entry, value, len < LOG_LINE_MAX ? len : LOG_LINE_MAX);
	log_clean(entry, from);
	buf_addc(entry, '\n');
}

/* systemd's "Native Journal Protocol": a datagram, a field a line; no value here has a line feed.
 * Never waits: a journal that is behind loses the line to stderr. */
static bool log_to_journal(
        enum log_level level, const struct log_field *fields, size_t n, const struct buf *text)
{
	static int fd = -1;
	static const struct sockaddr_un journal = {
	        .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket"};
	cleanup(buf_deinit) struct buf entry = {0};

	if (fd < 0)
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	buf_addf(&entry, "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\n", log_levels[level].priority,
	        program_invocation_short_name);
	log_add_field(&entry, "MESSAGE", buf_str(text), text->len);
	for (size_t i = 0; i < n && i < LOG_FIELDS_MAX; i++) {
		if (fields[i].value)
			log_add_field(
			        &entry, fields[i].name, fields[i].value, strlen(fields[i].value));
	}
	return sendto(fd, entry.data, entry.len, MSG_DONTWAIT | MSG_NOSIGNAL,
	               (const struct sockaddr *)&journal, sizeof(journal)) >= 0;
}

static void log_to_stderr(enum log_level level, const struct buf *text)
{
	cleanup(buf_deinit) struct buf line = {0};
	char at[CLOCK_TEXT_SIZE];

	if (log_is_journal())
		buf_addf(&line, "<%d>", log_levels[level].priority);
	else
		buf_addf(&line, "%s %s: ", clock_format(clock_now().wall_ms, at),
		        log_levels[level].name);
	buf_add(&line, buf_str(text), text->len);
	log_clean(&line, 0);
	if (line.len > LOG_LINE_MAX - 1)
		line.len = LOG_LINE_MAX - 1;
	buf_addc(&line, '\n');
	/* One write, so that lines of several processes do not mix; a full pipe loses the line. */
	if (write(STDERR_FILENO, line.data, line.len) < 0)
		return;
}

static void log_write(enum log_level level, const struct log_field *fields, size_t n,
        const char *format, va_list args) __attribute__((format(printf, 4, 0)));

static void log_write(enum log_level level, const struct log_field *fields, size_t n,
        const char *format, va_list args)
{
	cleanup(buf_deinit) struct buf text = {0};

	buf_addv(&text, format, args);
	if (!log_is_journal() || !log_to_journal(level, fields, n, &text))
		log_to_stderr(level, &text);
}

void log_at(enum log_level level, const char *format, ...)
{
	va_list args;

	if (!log_is_enabled(level))
		return;
	va_start(args, format);
	log_write(level, NULL, 0, format, args);
	va_end(args);
}

void log_fields(
        enum log_level level, const struct log_field *fields, size_t n, const char *format, ...)
{
	va_list args;

	if (!log_is_enabled(level))
		return;
	va_start(args, format);
	log_write(level, fields, n, format, args);
	va_end(args);
}

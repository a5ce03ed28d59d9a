#include "util/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/clock.h"

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

void log_at(enum log_level level, const char *format, ...)
{
	char line[LOG_LINE_MAX];
	size_t used;
	va_list args;
	int n;

	if (!log_is_enabled(level))
		return;
	if (log_is_journal()) {
		used = (size_t)snprintf(line, sizeof(line), "<%d>", log_levels[level].priority);
	} else {
		char at[CLOCK_TEXT_SIZE];

		used = (size_t)snprintf(line, sizeof(line),
		        "%s %s: ", clock_format(clock_now().wall_ms, at), log_levels[level].name);
	}
	va_start(args, format);
	n = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	va_end(args);
	if (n > 0)
		used += strlen(line + used);
	for (size_t i = 0; i < used; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	}
	line[used++] = '\n';
	/* One write, so that lines of several processes do not mix; a full pipe loses the line. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}

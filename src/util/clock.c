#include "util/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/mem.h"

static int64_t clock_read_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct now clock_now(void)
{
	return (struct now){
	        .mono_ms = clock_read_ms(CLOCK_BOOTTIME),
	        .wall_ms = clock_read_ms(CLOCK_REALTIME),
	};
}

char *clock_boot(char id[static CLOCK_BOOT_SIZE])
{
	cleanup(mem_close_p) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	const char *given = getenv("BULKWATCH_BOOT_ID");
	ssize_t n = fd >= 0 ? read(fd, id, CLOCK_BOOT_SIZE - 1) : -1;

	if (n > 0)
		id[n] = '\0';
	else
		snprintf(id, CLOCK_BOOT_SIZE, "%s", given ? given : "");
	id[strcspn(id, " \n")] = '\0';
	return id;
}

int64_t clock_stopwatch_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void clock_put_digits(char *to, int n, int value)
{
	for (; n > 0; value /= 10)
		to[--n] = (char)('0' + value % 10);
}

/* Digit by digit: each event has several times in it, and printf takes twenty times as long. */
char *clock_format(int64_t wall_ms, char text[static CLOCK_TEXT_SIZE])
{
	static const int64_t first = INT64_C(-62167219200000), last = INT64_C(253402300799999);
	int64_t clamped = wall_ms < first ? first : wall_ms > last ? last : wall_ms;
	int64_t ms = ((clamped % 1000) + 1000) % 1000;
	time_t seconds = (time_t)((clamped - ms) / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	memcpy(text, "0000-00-00T00:00:00.000Z", CLOCK_TEXT_SIZE);
	clock_put_digits(text, 4, tm.tm_year + 1900);
	clock_put_digits(text + 5, 2, tm.tm_mon + 1);
	clock_put_digits(text + 8, 2, tm.tm_mday);
	clock_put_digits(text + 11, 2, tm.tm_hour);
	clock_put_digits(text + 14, 2, tm.tm_min);
	clock_put_digits(text + 17, 2, tm.tm_sec);
	clock_put_digits(text + 20, 3, (int)ms);
	return text;
}

static const struct duration_unit {
	const char *name;
	int64_t ms;
} duration_units[] = {
        {"d", 86400000},
        {"h", 3600000},
        {"m", 60000},
        {"s", 1000},
        {"ms", 1},
};

enum { DURATION_UNITS = sizeof(duration_units) / sizeof(duration_units[0]) };

static const int64_t duration_max_ms = INT64_C(100) * 365 * 86400000;

/* Reads the unit's letters at *p; returns its index or -1. */
static int duration_unit(const char **p)
{
	size_t len = strspn(*p, "abcdefghijklmnopqrstuvwxyz");

	for (int i = 0; i < DURATION_UNITS; i++) {
		if (strlen(duration_units[i].name) == len &&
		        !strncmp(*p, duration_units[i].name, len)) {
			*p += len;
			return i;
		}
	}
	return -1;
}

int clock_parse_duration(const char *text, int64_t *ms)
{
	const char *p = text;
	int64_t total = 0;
	int last_unit = -1;

	if (!*p)
		return -EINVAL;
	while (*p) {
		int64_t n = 0;
		int unit;

		if (*p < '0' || *p > '9')
			return -EINVAL;
		for (; *p >= '0' && *p <= '9'; p++) {
			n = n * 10 + (*p - '0');
			if (n > duration_max_ms)
				return -ERANGE;
		}
		unit = duration_unit(&p);
		if (unit <= last_unit)
			return -EINVAL;
		last_unit = unit;
		if (n > duration_max_ms / duration_units[unit].ms)
			return -ERANGE;
		total += n * duration_units[unit].ms;
		if (total > duration_max_ms)
			return -ERANGE;
	}
	*ms = total;
	return 0;
}

char *clock_format_duration(int64_t ms, char text[static CLOCK_DURATION_SIZE])
{
	size_t used = 0;

	if (ms <= 0)
		return memcpy(text, "0s", sizeof("0s"));
	for (int i = 0; i < DURATION_UNITS; i++) {
		int64_t n = ms / duration_units[i].ms;

		if (n == 0)
			continue;
		used += (size_t)snprintf(text + used, CLOCK_DURATION_SIZE - used, "%lld%s",
		        (long long)n, duration_units[i].name);
		ms %= duration_units[i].ms;
	}
	return text;
}

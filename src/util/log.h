/*
 * The log: one line a call, for people on stderr and for the systemd journal.
 *
 * Where stderr is the journal's stream ($JOURNAL_STREAM), a line goes to the journal's own socket
 * with its priority and its fields (systemd's "Native Journal Protocol"); where that socket does
 * not take it, to stderr with the "<N>" prefix that gives it its priority (sd-daemon(3)). Elsewhere
 * stderr gets a time stamp, the level's name and the text, and fields are left out. Control
 * characters become '?', a line ends at 4 KiB. Only daemon/, ctl/ and sim/ log.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

void log_set_level(enum log_level level);
bool log_is_enabled(enum log_level level);
void log_at(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What the journal can be searched by. Names: upper case letters, digits and '_', a letter first.
 * Fields without a value are left out. */
struct log_field {
	const char *name;
	const char *value;
};
enum { LOG_FIELDS_MAX = 8 };
void log_fields(enum log_level level, const struct log_field *fields, size_t n, const char *format,
        ...) __attribute__((format(printf, 4, 5)));
/* fields is an array. */
#define log_with(level, fields, ...)                                                               \
	log_fields(level, fields, sizeof(fields) / sizeof((fields)[0]), __VA_ARGS__)

#define log_error(...)   log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_at(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)

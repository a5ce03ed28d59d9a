/*
 * Time. Two clocks, never mixed: mono_ms (CLOCK_BOOTTIME: for deadlines and intervals, counts
 * through suspend, never steps) and wall_ms (Unix time: for people and what is stored). Names of
 * variables carry _mono_ms or _wall_ms.
 *
 * Only this module and net/loop read a clock; everybody else is handed a struct now.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct now {
	int64_t mono_ms;
	int64_t wall_ms;
};

struct now clock_now(void);

/* Microseconds of CLOCK_BOOTTIME, for measuring how long something took, and nothing else: whoever
 * measures may read it. */
int64_t clock_stopwatch_us(void);

/*
 * Which boot mono_ms counts from: the kernel's boot_id (random(4)), or where /proc does not show it
 * $BULKWATCH_BOOT_ID; "" if neither is there.
 */
enum { CLOCK_BOOT_SIZE = 37 };
char *clock_boot(char id[static CLOCK_BOOT_SIZE]);

/* "2026-11-24T05:00:00.123Z": RFC 3339, UTC, milliseconds. Years 0 to 9999; others are clamped. */
enum { CLOCK_TEXT_SIZE = 25 };
char *clock_format(int64_t wall_ms, char text[static CLOCK_TEXT_SIZE]);

/*
 * Durations as people write them: 500ms 15s 5m 6h 30d, and sums in descending units: 1h30m.
 * Returns 0, or -EINVAL (no such form), or -ERANGE (beyond 100 years).
 */
int clock_parse_duration(const char *text, int64_t *ms);
/* A text that parses to the same duration: 90000 -> "1m30s". */
enum { CLOCK_DURATION_SIZE = 48 };
char *clock_format_duration(int64_t ms, char text[static CLOCK_DURATION_SIZE]);

/*
 * What is counted for GET /metrics: plain numbers that stand in the structs of those who count, and
 * are shown by daemon/control_metrics. An increment costs nothing else: nothing here allocates,
 * locks or can fail.
 *
 * Labels are accounts, data centers and hooks, never jobs: the number of series is bounded by the
 * configuration. Histograms go by data center and hook, not by account, for the same reason.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/event.h"
#include "core/observe.h"

enum { METRICS_BOUNDS_MAX = 14 };

/* Upper bounds in seconds, ascending; the bucket above them all is not named. */
struct metrics_bounds {
	size_t n;
	double s[METRICS_BOUNDS_MAX];
};

extern const struct metrics_bounds metrics_work_bounds;    /* of a turn, of a commit */
extern const struct metrics_bounds metrics_request_bounds; /* of a request */
extern const struct metrics_bounds metrics_delay_bounds;   /* of what waits */
extern const struct metrics_bounds metrics_program_bounds; /* of an attempt of a hook */

/* Zero-initialised is empty. */
struct metrics_histogram {
	uint64_t counts[METRICS_BOUNDS_MAX + 1]; /* each bucket's own, not those below it */
	double sum_s;
};

/* Always with the same bounds for one histogram. Less than 0 counts as 0. */
void metrics_observe(
        struct metrics_histogram *histogram, const struct metrics_bounds *bounds, double seconds);

/* Of the loop and the configuration. */
struct metrics {
	struct metrics_histogram turn;
	uint64_t n_reloads, n_refused_reloads;
	int64_t reloaded_wall_ms; /* when the present configuration was taken over */
	bool is_reload_refused;   /* the last one was */
};

/* Of the journal. */
struct metrics_journal {
	struct metrics_histogram commit;
	uint64_t n_full; /* batches that the disk had no room for */
};

struct metrics_datacenter {
	struct metrics_histogram request; /* polls, from their sending to their answer */
	struct metrics_histogram lag;     /* from the time when a poll was due to its sending */
	struct metrics_histogram delay;   /* from a job's end, as estimated, to our noticing */
};

struct metrics_account {
	uint64_t n_events[EVENT_TYPES];
	uint64_t n_results[OBSERVATION_KINDS];
	uint64_t n_held, n_paused;
};

/* Each type of the set happened once. */
void metrics_count_events(struct metrics_account *account, event_set types);

struct metrics_hook {
	struct metrics_histogram attempt;
	uint64_t n_delivered, n_failed, n_dead;
};

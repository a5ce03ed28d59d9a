#include "daemon/metrics.h"

#include <assert.h>

const struct metrics_bounds metrics_work_bounds = {
        .n = 12,
        .s = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1},
};

const struct metrics_bounds metrics_request_bounds = {
        .n = 12,
        .s = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60},
};

const struct metrics_bounds metrics_delay_bounds = {
        .n = 14,
        .s = {0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 900, 3600},
};

const struct metrics_bounds metrics_program_bounds = {
        .n = 10,
        .s = {0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 600},
};

void metrics_observe(
        struct metrics_histogram *histogram, const struct metrics_bounds *bounds, double seconds)
{
	size_t i = 0;

	assert(bounds->n <= METRICS_BOUNDS_MAX);
	if (!(seconds > 0))
		seconds = 0;
	while (i < bounds->n && seconds > bounds->s[i])
		i++;
	histogram->counts[i]++;
	histogram->sum_s += seconds;
}

void metrics_count_events(struct metrics_account *account, event_set types)
{
	for (int type = EVENT_NONE + 1; type < EVENT_TYPES; type++)
		account->n_events[type] += event_set_has(types, (enum event_type)type);
}

#include "core/event.h"

#include <stddef.h>
#include <string.h>

static const char *const event_names[EVENT_TYPES] = {
        [EVENT_JOB_WATCHED] = "job.watched",
        [EVENT_JOB_ADDED] = "job.added",
        [EVENT_JOB_QUEUED] = "job.queued",
        [EVENT_JOB_IN_PROGRESS] = "job.in_progress",
        [EVENT_JOB_COMPLETED] = "job.completed",
        [EVENT_JOB_FAILED] = "job.failed",
        [EVENT_JOB_LOST] = "job.lost",
        [EVENT_JOB_OVERDUE] = "job.overdue",
        [EVENT_JOB_UNKNOWN_STATE] = "job.unknown_state",
        [EVENT_JOB_UNWATCHED] = "job.unwatched",
        [EVENT_ACCOUNT_PAUSED] = "account.paused",
        [EVENT_ACCOUNT_RESUMED] = "account.resumed",
        [EVENT_HOOK_DEAD] = "hook.dead",
};

const char *event_type_name(enum event_type type)
{
	return type > EVENT_NONE && type < EVENT_TYPES ? event_names[type] : NULL;
}

enum event_type event_type_by_name(const char *name)
{
	for (int type = EVENT_NONE + 1; type < EVENT_TYPES; type++) {
		if (strcmp(event_names[type], name) == 0)
			return (enum event_type)type;
	}
	return EVENT_NONE;
}

event_set event_set_by_name(const char *name)
{
	size_t len = strlen(name);
	event_set set = 0;

	if (len == 0 || name[len - 1] != '*')
		return event_type_by_name(name) ? 1u << event_type_by_name(name) : 0;
	len--;
	if (len > 0 && name[len - 1] != '.')
		return 0;
	for (int type = EVENT_NONE + 1; type < EVENT_TYPES; type++) {
		if (strncmp(event_names[type], name, len) == 0)
			set |= 1u << type;
	}
	return set;
}

bool event_type_is_of_job(enum event_type type)
{
	return type >= EVENT_JOB_WATCHED && type <= EVENT_JOB_UNWATCHED;
}

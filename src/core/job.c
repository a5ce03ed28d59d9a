#include "core/job.h"

#include <string.h>

static const struct {
	const char *word;
	enum job_kind kind;
} words[] = {
        {JOB_STATE_PENDING, JOB_PENDING},
        {"ADDED", JOB_ADDED},
        {"QUEUED", JOB_QUEUED},
        {"IN PROGRESS", JOB_IN_PROGRESS},
        {"COMPLETED", JOB_COMPLETED},
        {"FAILURE", JOB_FAILURE},
        {"FAILED", JOB_FAILURE},
        {JOB_STATE_LOST, JOB_LOST},
};

enum job_kind job_kind_of(const char *state)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(state, words[i].word) == 0)
			return words[i].kind;
	}
	return JOB_UNKNOWN;
}

bool job_kind_is_finished(enum job_kind kind)
{
	return kind == JOB_COMPLETED || kind == JOB_FAILURE || kind == JOB_LOST;
}

bool job_state_is_sayable(const char *word)
{
	size_t len = strnlen(word, JOB_STATE_MAX + 1);
	enum job_kind kind = job_kind_of(word);

	if (len == 0 || len > JOB_STATE_MAX || kind == JOB_PENDING || kind == JOB_LOST)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (word[i] < 0x20 || word[i] > 0x7e)
			return false;
	}
	return true;
}

bool job_is_polled(const struct job *job)
{
	return !job_kind_is_finished((enum job_kind)job->kind) || job->is_revived;
}

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

/* Control characters: C0, DEL, and C1, which UTF-8 writes as 0xc2 0x80 to 0xc2 0x9f. */
static bool is_control(const unsigned char *c)
{
	return c[0] < 0x20 || c[0] == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0);
}

bool job_state_is_sayable(const char *word)
{
	enum job_kind kind = job_kind_of(word);
	size_t n_chars = 0;

	for (const unsigned char *c = (const unsigned char *)word; *c; c++) {
		bool is_first_of_char = (*c & 0xc0) != 0x80;

		n_chars += is_first_of_char;
		if (is_control(c) || n_chars > JOB_STATE_MAX_CHARS)
			return false;
	}
	return n_chars > 0 && kind != JOB_PENDING && kind != JOB_LOST;
}

bool job_is_polled(const struct job *job)
{
	return !job_kind_is_finished((enum job_kind)job->kind) || job->is_revived;
}

#include "daemon/apply.h"

#include <string.h>

#include "daemon/hooks.h"
#include "daemon/sharing.h"
#include "util/err.h"
#include "util/str.h"

enum { PORTION = 5000 };

struct apply {
	struct tracker *tracker;
	const struct config *config;
	struct apply_result *result;
	struct account *account; /* whose jobs are looked at */
	size_t n_jobs;           /* in the configuration */
	size_t n_written;        /* since the last commit */
};

/* A full disk is an error here: what was written is undone, and the rest would be, too. */
static int commit(struct apply *apply)
{
	struct journal *journal = apply->tracker->journal;
	int r = journal_commit(journal);

	return !r && journal_is_full(journal) ? ERR_FULL : r;
}

static int commit_portion(struct apply *apply)
{
	apply->n_written++;
	if (apply->n_written < PORTION)
		return 0;
	apply->n_written = 0;
	loop_read_clock(apply->tracker->loop);
	return commit(apply);
}

static const struct hook_set *job_hooks(const struct apply *apply, const struct config_job *job)
{
	return job->has_hooks ? hooks_set_of(apply->tracker->hooks, apply->config, &job->hooks)
	                      : NULL;
}

static void keep_job(struct apply *apply, struct tracked *tracked, const struct config_job *job)
{
	struct registry *registry = apply->tracker->registry;
	bool is_changed = !str_is_equal(registry_name(registry, tracked), job->name) ||
	                  tracked->is_from_socket;
	struct job_terms terms = {
	        .hooks = job_hooks(apply, job), .overdue_after_ms = job->overdue_after_ms};

	tracked->is_marked = true;
	registry_set_terms(registry, tracked, &terms);
	apply->result->n_kept++;
	if (!is_changed)
		return;
	tracked->is_from_socket = false;
	registry_set_name(registry, tracked, job->name);
	tracker_rewrite(apply->tracker, tracked);
}

static int apply_job(struct apply *apply, const struct config_job *job)
{
	struct tracker *tracker = apply->tracker;
	struct tracked *tracked = registry_find(tracker->registry, apply->account->handle, job->id);

	if (tracked) {
		keep_job(apply, tracked, job);
		return 0;
	}
	struct tracker_wish wish = {
	        .account = apply->account,
	        .id = job->id,
	        .name = job->name,
	        .hooks = job_hooks(apply, job),
	        .overdue_after_ms = job->overdue_after_ms,
	        .n_together = apply->n_jobs,
	};

	if (!tracker_watch(tracker, &wish))
		return 0;
	apply->result->n_watched++;
	return commit_portion(apply);
}

static int watch_all(struct apply *apply)
{
	for (size_t i = 0; i < apply->config->n_accounts; i++) {
		const struct config_account *account = &apply->config->accounts[i];

		apply->account = accounts_find(apply->tracker->accounts, account->name);
		for (size_t k = 0; k < account->n_jobs; k++) {
			int r = apply_job(apply, &account->jobs[k]);

			if (r < 0)
				return r;
		}
		/* Held, paused or in a wait: what the new values say counts from now. */
		queue_touch(apply->tracker->queue, apply->account,
		        loop_now(apply->tracker->loop).mono_ms);
	}
	return 0;
}

/* Jobs that were added over the socket stay as long as their account does. */
static bool is_still_wanted(const struct apply *apply, const struct tracked *tracked)
{
	const struct account *account = accounts_get(apply->tracker->accounts, tracked->account);

	return tracked->is_marked || (tracked->is_from_socket && account->is_configured);
}

static int unwatch_rest(struct apply *apply)
{
	struct tracker *tracker = apply->tracker;
	struct tracked *tracked;
	uint32_t cursor = 0;

	while ((tracked = registry_each(tracker->registry, &cursor))) {
		if (!is_still_wanted(apply, tracked)) {
			tracker_unwatch(tracker, tracked, false);
			apply->result->n_unwatched++;
			int r = commit_portion(apply);

			if (r < 0)
				return r;
		}
		tracked->is_marked = false;
	}
	return 0;
}

static void take_marks_off(struct registry *registry)
{
	struct tracked *tracked;
	uint32_t cursor = 0;

	while ((tracked = registry_each(registry, &cursor)))
		tracked->is_marked = false;
}

int apply_places(struct tracker *tracker, const struct config *config, struct buf *words)
{
	hooks_apply(tracker->hooks, config);
	int r = accounts_apply(tracker->accounts, config, tracker->hooks, words);

	if (!r)
		sharing_apply(tracker);
	return r;
}

int apply_jobs(struct tracker *tracker, struct config *config, struct apply_result *result)
{
	struct apply apply = {.tracker = tracker, .config = config, .result = result};

	*result = (struct apply_result){0};
	for (size_t i = 0; i < config->n_accounts; i++)
		apply.n_jobs += config->accounts[i].n_jobs;
	int r = commit(&apply); /* so that no job is in the middle of a change */

	if (!r)
		r = watch_all(&apply);
	config_forget_jobs(config);
	if (!r)
		r = commit(&apply);
	if (!r)
		r = unwatch_rest(&apply);
	if (!r)
		r = commit(&apply);
	if (r)
		take_marks_off(tracker->registry);
	return r;
}

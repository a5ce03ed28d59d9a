/*
 * A turn of the loop, in the order in which the promises need it:
 *
 *   harvest what came in -> decide and write -> commit -> memory -> tell the world -> ask for more
 *
 * Nothing outside learns of anything before its commit: programs are started, streams fed and
 * waiters answered by what runs after journal_end_turn().
 */
#include "daemon/daemon_private.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "daemon/apply.h"
#include "daemon/messages.h"
#include "daemon/thrift.h"
#include "util/err.h"
#include "util/log.h"
#include "util/mem.h"

enum { DRAIN_POLLS_MS = 2000 };

static int exit_code_of(int error)
{
	switch (error) {
	case ERR_CORRUPT:
	case ERR_NEWER:
	case ERR_FOREIGN:
		return DAEMON_BAD_DATABASE;
	case ERR_LOCKED:
		return DAEMON_BUSY;
	case ERR_FULL:
	case ERR_IO:
		return DAEMON_IO;
	default:
		return DAEMON_INTERNAL;
	}
}

/* ---- the turn ---- */

static void log_database_failed(int error)
{
	static const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_DATABASE_FAILED}};

	log_with(LOG_LEVEL_ERROR, fields, "the database failed: %s", err_text(error));
}

void daemon_fail(struct daemon *daemon, int error)
{
	log_database_failed(error);
	daemon->exit_code = exit_code_of(error);
	loop_stop(daemon->loop);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void set_timer(struct daemon *daemon)
{
	int64_t next = earlier(poller_next_mono(daemon->poller), hooks_next_mono(daemon->hooks));

	next = earlier(next, tracker_next_mono(&daemon->tracker));
	if (!journal_is_full(daemon->journal))
		next = earlier(next, daemon->retention.next_mono_ms);
	next = earlier(next, control_next_mono(daemon->control));
	next = earlier(next, service_next_mono(&daemon->service));
	if (daemon->is_stopping)
		next = earlier(next, earlier(daemon->drain_polls_until_mono_ms,
		                             daemon->drain_hooks_until_mono_ms));
	if (next == INT64_MAX)
		loop_timer_clear(daemon->timer);
	else
		loop_timer_set(daemon->timer, next);
}

static void stop_if_drained(struct daemon *daemon)
{
	int64_t mono_ms = loop_now(daemon->loop).mono_ms;

	if (!daemon->is_stopping)
		return;
	if (mono_ms >= daemon->drain_polls_until_mono_ms)
		daemon->drain_polls_until_mono_ms = INT64_MAX;
	if (daemon->drain_polls_until_mono_ms != INT64_MAX && poller_in_flight(daemon->poller) > 0)
		return;
	if (hooks_running(daemon->hooks) > 0 && mono_ms < daemon->drain_hooks_until_mono_ms)
		return;
	loop_stop(daemon->loop);
}

static void daemon_on_turn_end(void *arg)
{
	struct daemon *daemon = arg;

	reload_owed(daemon);             /* before all else, as a reload by a signal is */
	control_answer(daemon->control); /* changes -> rows; before others: who asks reads rows */
	http_harvest(daemon->http);      /* answers -> observations -> decisions -> rows */
	children_harvest(daemon->children); /* ends of hooks -> rows */
	tracker_tell_overdue(&daemon->tracker);
	tracker_tell_accounts(&daemon->tracker);
	tracker_write_contact(&daemon->tracker);
	thrift_write_ledgers(&daemon->tracker);
	retention_prune(&daemon->retention);
	hooks_dispatch(daemon->hooks); /* claims, as rows */
	/* then memory, then programs are started */
	int r = daemon->is_stopping ? journal_commit(daemon->journal)
	                            : journal_end_turn(daemon->journal);

	if (r < 0) {
		daemon_fail(daemon, r);
		return;
	}
	control_publish(daemon->control);
	poller_dispatch(daemon->poller);
	http_flush(daemon->http);
	r = service_turn(&daemon->service);
	if (r < 0) {
		daemon_fail(daemon, r);
		return;
	}
	stop_if_drained(daemon);
	set_timer(daemon);
	metrics_observe(&daemon->metrics.turn, &metrics_work_bounds,
	        (double)loop_turn_us(daemon->loop) / 1e6);
}

static void daemon_on_timer(void *arg)
{
	(void)arg; /* the turn's end does the work */
}

/* ---- signals ---- */

static void daemon_on_stop_signal(void *arg)
{
	struct daemon *daemon = arg;
	struct now now = loop_now(daemon->loop);

	if (daemon->is_stopping) {
		log_notice("told to stop once more: not waiting any longer");
		loop_stop(daemon->loop);
		return;
	}
	log_notice("stopping: %zu hooks run, waiting for them up to %" PRId64 " s",
	        hooks_running(daemon->hooks), daemon->config->drain_timeout_ms / 1000);
	daemon->is_stopping = true;
	daemon->drain_polls_until_mono_ms = now.mono_ms + DRAIN_POLLS_MS;
	daemon->drain_hooks_until_mono_ms = now.mono_ms + daemon->config->drain_timeout_ms;
	poller_stop(daemon->poller);
	hooks_drain(daemon->hooks);
	service_stopping(&daemon->service);
}

static void daemon_on_hangup(void *arg)
{
	cleanup(buf_deinit) struct buf result = {0};

	reload_config(arg, &result);
}

/* ---- starting ---- */

/* The service manager tries again unless it is told that somebody must mend something first. */
int daemon_start_code(int error)
{
	return err_is_passing(error) ? DAEMON_OTHER : DAEMON_CONFIG;
}

static int load_config(struct daemon *daemon, const char *file)
{
	struct config_problems problems = {0};
	int r = config_load(file, CONFIG_RUN, &daemon->config, &problems);

	reload_report(&problems);
	if (r > 0)
		log_error("%s: not usable, errors: %zu; bulkwatchd --check shows them all", file,
		        problems.n_errors);
	else if (r < 0)
		log_error("%s: %s", file, err_text(r));
	int passing = r < 0 ? r : problems.passing;

	config_problems_deinit(&problems);
	if (r)
		return daemon_start_code(passing);
	log_set_level(daemon->config->log_level);
	daemon->config_file = mem_strdup(daemon->config->file);
	daemon->state_dir = mem_strdup(daemon->config->state_dir);
	return 0;
}

static int open_store(struct daemon *daemon)
{
	cleanup(buf_deinit) struct buf words = {0};
	int r = store_open(daemon->config->state_dir, &daemon->store, &words);

	if (r == 0 && words.len)
		log_warning("state directory %s: %s", daemon->config->state_dir, words.data);
	if (r == 0)
		return 0;
	log_error("state directory %s: %s", daemon->config->state_dir,
	        words.len ? words.data : err_text(r));
	return r > ERR_FIRST ? daemon_start_code(r) : exit_code_of(r);
}

static int make_parts(struct daemon *daemon)
{
	int r = loop_new(&daemon->loop);

	if (!r)
		r = http_new(daemon->loop, &daemon->http);
	if (!r)
		r = children_new(daemon->loop, &daemon->children);
	if (!r)
		r = loop_signal_new(
		        daemon->loop, SIGTERM, daemon_on_stop_signal, daemon, &daemon->on_term);
	if (!r)
		r = loop_signal_new(
		        daemon->loop, SIGINT, daemon_on_stop_signal, daemon, &daemon->on_int);
	if (!r)
		r = loop_signal_new(
		        daemon->loop, SIGHUP, daemon_on_hangup, daemon, &daemon->on_hup);
	if (r < 0) {
		log_error("cannot start: %s", err_text(r));
		return DAEMON_INTERNAL;
	}
	daemon->timer = loop_timer_new(daemon->loop, daemon_on_timer, daemon);
	loop_set_turn_end(daemon->loop, daemon_on_turn_end, daemon);
	daemon->journal = journal_new(daemon->loop, daemon->store);
	daemon->hooks = hooks_new(
	        daemon->loop, daemon->children, daemon->http, daemon->journal, &daemon->rng);
	daemon->accounts =
	        accounts_new(daemon->loop, daemon->http, &daemon->rng, daemon->config->state_dir);
	daemon->registry = registry_new();
	daemon->tracker = (struct tracker){
	        .loop = daemon->loop,
	        .journal = daemon->journal,
	        .registry = daemon->registry,
	        .accounts = daemon->accounts,
	        .hooks = daemon->hooks,
	        .queue = &daemon->queue,
	        .rng = &daemon->rng,
	};
	daemon->retention = (struct retention){.loop = daemon->loop, .journal = daemon->journal};
	retention_set(&daemon->retention, daemon->config->retain_ms);
	daemon->poller = poller_new(daemon->loop, &daemon->tracker);
	journal_set_outbox(daemon->journal, hooks_offer, daemon->hooks);
	daemon->service.loop = daemon->loop;
	daemon->service.tracker = &daemon->tracker;
	daemon->service.poller = daemon->poller;
	daemon->service.hooks = daemon->hooks;
	return 0;
}

/* From disk and configuration to what runs. Hooks are loaded before jobs, so that new events queue
 * behind old ones. */
static int recover(struct daemon *daemon)
{
	cleanup(buf_deinit) struct buf words = {0};
	struct apply_result result = {0};
	int r = apply_places(&daemon->tracker, daemon->config, &words);

	if (!r)
		r = hooks_load(daemon->hooks);
	if (!r)
		r = tracker_load_accounts(&daemon->tracker);
	if (!r)
		r = tracker_load(&daemon->tracker);
	loop_read_clock(daemon->loop);
	if (!r)
		r = apply_jobs(&daemon->tracker, daemon->config, &result);
	if (r == ERR_FULL)
		log_error("state directory %s: the disk is full", daemon->config->state_dir);
	else if (r < 0)
		log_error("cannot start: %s", words.len ? words.data : err_text(r));
	if (r < 0)
		return exit_code_of(r);
	log_notice("watching %zu jobs in %zu accounts (%zu new, %zu no longer)",
	        registry_count(daemon->registry), daemon->config->n_accounts, result.n_watched,
	        result.n_unwatched);
	return 0;
}

int daemon_new(const char *config_file, struct daemon **out)
{
	struct daemon *daemon = MEM_NEW(struct daemon);
	uint64_t seed;

	daemon->runtime_lock = -1;
	notify_take_sockets(&daemon->sockets);
	service_init(&daemon->service);
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = (uint64_t)clock_now().mono_ms;
	rng_seed(&daemon->rng, seed);
	int r = load_config(daemon, config_file);

	if (!r)
		r = doors_lock(daemon);
	if (!r)
		r = open_store(daemon);
	if (!r)
		r = make_parts(daemon);
	if (!r)
		r = recover(daemon);
	if (!r)
		r = doors_open(daemon);
	if (r) {
		daemon_free(daemon);
		return r;
	}
	*out = daemon;
	return 0;
}

/* Nobody takes them any more; they would take the exit code's place. */
static void hold_signals(void)
{
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGHUP);
	sigprocmask(SIG_BLOCK, &ours, NULL);
}

struct daemon *daemon_free(struct daemon *daemon)
{
	if (!daemon)
		return NULL;
	hold_signals();
	journal_abandon(daemon->journal);
	doors_close(daemon);
	control_free(daemon->control);
	children_free(daemon->children);
	journal_free(daemon->journal);
	hooks_free(daemon->hooks);
	poller_free(daemon->poller);
	while (daemon->registry && registry_count(daemon->registry) > 0) {
		uint32_t cursor = 0;
		struct tracked *tracked;

		while ((tracked = registry_each(daemon->registry, &cursor))) {
			heap_remove(&accounts_get(daemon->accounts, tracked->account)->due,
			        &tracked->due);
			registry_remove(daemon->registry, tracked);
		}
	}
	registry_free(daemon->registry);
	queue_deinit(&daemon->queue);
	accounts_free(daemon->accounts);
	http_free(daemon->http);
	loop_timer_free(daemon->timer);
	loop_signal_free(daemon->on_term);
	loop_signal_free(daemon->on_int);
	loop_signal_free(daemon->on_hup);
	loop_free(daemon->loop);
	store_close(daemon->store);
	config_free(daemon->config);
	free(daemon->config_file);
	free(daemon->state_dir);
	notify_drop_sockets(&daemon->sockets);
	service_deinit(&daemon->service);
	mem_close_p(&daemon->runtime_lock);
	free(daemon);
	return NULL;
}

/* What memory knows better than the disk, at a stop. */
static void write_rest(struct daemon *daemon)
{
	journal_write_last(daemon->journal);
	hooks_dispatch(
	        daemon->hooks); /* ends of hooks that found no room; draining, it starts none */
	tracker_write_all_contact(&daemon->tracker);
	int r = journal_commit(daemon->journal);

	if (!r && !journal_is_full(daemon->journal))
		r = store_mark_clean(daemon->store);
	if (r < 0 && r != ERR_FULL) {
		log_database_failed(r);
		daemon->exit_code = exit_code_of(r);
	}
}

int daemon_run(struct daemon *daemon)
{
	service_ready(&daemon->service);
	loop_wake(daemon->loop);
	int r = loop_run(daemon->loop);

	if (r < 0) {
		log_error("the event loop failed: %s", err_text(r));
		return DAEMON_INTERNAL;
	}
	service_ending(&daemon->service);
	if (daemon->exit_code == DAEMON_OK)
		write_rest(daemon);
	if (daemon->exit_code == DAEMON_OK)
		log_notice("stopped");
	return daemon->exit_code;
}

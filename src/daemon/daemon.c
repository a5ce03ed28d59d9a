/*
 * A turn of the loop, in the order in which the promises need it:
 *
 *   harvest what came in -> decide and write -> commit -> memory -> tell the world -> ask for more
 *
 * Nothing outside learns of anything before its commit: programs are started, streams fed and
 * waiters answered by what runs after journal_commit().
 */
#include "daemon/daemon.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config/config.h"
#include "daemon/apply.h"
#include "daemon/control.h"
#include "daemon/messages.h"
#include "daemon/retention.h"
#include "daemon/thrift.h"
#include "daemon/service.h"
#include "daemon/textfile.h"
#include "net/listen.h"
#include "util/err.h"
#include "util/log.h"
#include "util/mem.h"

enum {
	DRAIN_POLLS_MS = 2000,
	ADMIN_CLIENTS = 32, /* beside max_clients */
	/* Descriptors kept from clients: database, logs, DNS, pipes of hooks, connections to Zoho.
	 */
	RESERVED_DESCRIPTORS = 512,
};

struct daemon {
	char *state_dir;   /* as at the start: it cannot change */
	char *config_file; /* absolute; outlives every configuration that was read from it */
	struct config *config;
	struct rng rng;
	struct loop *loop;
	struct store *store;
	struct journal *journal;
	struct http *http;
	struct children *children;
	struct hooks *hooks;
	struct accounts *accounts;
	struct registry *registry;
	struct queue queue;
	struct tracker tracker;
	struct retention retention;
	struct poller *poller;
	struct control *control;
	struct listen_group *group, *admin_group;
	struct listen *query, *admin;
	struct listen *tcp; /* for metrics alone; NULL = off */
	struct textfile *textfile;
	struct metrics metrics;
	struct service service;
	struct notify_sockets sockets; /* that the service manager opened, until they are ours */
	int runtime_lock;
	struct loop_timer *timer;
	struct loop_signal *on_term, *on_int, *on_hup;
	bool is_stopping;
	int64_t drain_polls_until_mono_ms, drain_hooks_until_mono_ms;
	int exit_code;
};

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

static void fail(struct daemon *daemon, int error)
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

	http_harvest(daemon->http);         /* answers -> observations -> decisions -> rows */
	children_harvest(daemon->children); /* ends of hooks -> rows */
	tracker_tell_overdue(&daemon->tracker);
	tracker_tell_accounts(&daemon->tracker);
	tracker_write_contact(&daemon->tracker);
	thrift_write_ledgers(&daemon->tracker);
	retention_prune(&daemon->retention);
	hooks_dispatch(daemon->hooks);           /* claims, as rows */
	int r = journal_commit(daemon->journal); /* then memory, then programs are started */

	if (r < 0) {
		fail(daemon, r);
		return;
	}
	control_publish(daemon->control);
	poller_dispatch(daemon->poller);
	r = service_turn(&daemon->service);
	if (r < 0) {
		fail(daemon, r);
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

/* ---- reload ---- */

static void report_problems(const struct config_problems *problems)
{
	cleanup(buf_deinit) struct buf words = {0};

	for (size_t i = 0; i < problems->n; i++) {
		buf_clear(&words);
		config_problem_print(&problems->list[i], &words);
		log_at(problems->list[i].is_warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "%s",
		        words.data);
	}
}

static void write_problems(
        struct buf *out, const struct config_problems *problems, int status, const char *detail)
{
	struct json_out w;

	json_out_init(&w, out, false);
	json_open_object(&w, NULL);
	json_put_string(&w, "type", "about:blank");
	json_put_string(&w, "title", "The configuration was refused; the old one stays in force");
	json_put_integer(&w, "status", status);
	json_put_string(&w, "detail", detail);
	json_open_array(&w, "errors");
	for (size_t i = 0; i < problems->n; i++) {
		const struct config_problem *p = &problems->list[i];

		if (p->is_warning)
			continue;
		json_open_object(&w, NULL);
		json_put_string(&w, "file", p->file);
		json_put_integer(&w, "line", (int64_t)p->line);
		json_put_integer(&w, "column", (int64_t)p->column);
		json_put_string(&w, "detail", p->words);
		json_close_object(&w);
	}
	json_close_array(&w);
	json_close_object(&w);
	json_out_deinit(&w);
}

static void write_applied(struct buf *out, const struct apply_result *result)
{
	struct json_out w;

	json_out_init(&w, out, false);
	json_open_object(&w, NULL);
	json_put_string(&w, "result", "reloaded");
	json_put_integer(&w, "watched", (int64_t)result->n_watched);
	json_put_integer(&w, "unwatched", (int64_t)result->n_unwatched);
	json_put_integer(&w, "kept", (int64_t)result->n_kept);
	json_close_object(&w);
	json_out_deinit(&w);
}

/* Whatever paused an account may be mended by what was reloaded. */
static void probe_paused(struct daemon *daemon)
{
	int64_t mono_ms = loop_now(daemon->loop).mono_ms;

	for (size_t i = 0; i < accounts_count(daemon->accounts); i++) {
		struct account *account = accounts_get(daemon->accounts, (uint32_t)i);

		if (account->is_configured && account->gate.state == GATE_PAUSED) {
			gate_probe_now(&account->gate, mono_ms);
			queue_touch(&daemon->queue, account, mono_ms);
		}
	}
}

static int take_config(struct daemon *daemon, struct config *config, struct buf *result_json)
{
	cleanup(buf_deinit) struct buf words = {0};
	struct apply_result result;
	int r = apply_places(&daemon->tracker, config, &words);

	daemon->tracker.has_account_news =
	        true; /* another token or place opens an account's gate */

	if (!r)
		r = apply_jobs(&daemon->tracker, config, &result);
	config_free(daemon->config);
	daemon->config = config;
	log_set_level(config->log_level);
	retention_set(&daemon->retention, config->retain_ms);
	if (r < 0) {
		fail(daemon, r);
		return r;
	}
	probe_paused(daemon);
	textfile_set(daemon->textfile, config->metrics_textfile);
	write_applied(result_json, &result);
	log_notice("configuration reloaded: %zu jobs watched, %zu no longer, %zu kept",
	        result.n_watched, result.n_unwatched, result.n_kept);
	return 0;
}

static int reload(struct daemon *daemon, struct buf *result_json)
{
	static const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_RELOAD_REFUSED}};
	struct config_problems problems = {0};
	cleanup(buf_deinit) struct buf keys = {0};
	struct config *config = NULL;
	int r = journal_is_full(daemon->journal)
	                ? ERR_FULL
	                : config_load(daemon->config_file, false, &config, &problems);

	if (r == 0)
		config_restart_keys(daemon->config, config, &keys);
	report_problems(&problems);
	if (r != 0 || keys.len > 0) {
		cleanup(mem_free_p) char *why =
		        keys.len > 0 ? mem_printf("these keys need a restart: %s", keys.data)
		                     : mem_strdup(r < 0 ? err_text(r) : "the file has errors");

		write_problems(result_json, &problems,
		        control_reload_status(r ? r : CONFIG_E_INVALID), why);
		log_with(LOG_LEVEL_ERROR, fields,
		        "reload refused, the old configuration stays in force: %s", why);
		config_free(config);
		config_problems_deinit(&problems);
		return r ? r : CONFIG_E_INVALID;
	}
	config_problems_deinit(&problems);
	return take_config(daemon, config, result_json);
}

static int daemon_reload(void *arg, struct buf *result_json)
{
	struct daemon *daemon = arg;

	service_reloading(&daemon->service);
	int r = reload(daemon, result_json);

	daemon->metrics.is_reload_refused = r != 0;
	daemon->metrics.n_refused_reloads += r != 0;
	daemon->metrics.n_reloads += r == 0;
	if (r == 0)
		daemon->metrics.reloaded_wall_ms = loop_now(daemon->loop).wall_ms;
	service_reloaded(&daemon->service);
	return r;
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

	daemon_reload(arg, &result);
}

/* ---- starting ---- */

static int load_config(struct daemon *daemon, const char *file)
{
	struct config_problems problems = {0};
	int r = config_load(file, false, &daemon->config, &problems);

	report_problems(&problems);
	if (r > 0)
		log_error("%s: not usable, errors: %zu; bulkwatchd --check shows them all", file,
		        problems.n_errors);
	else if (r < 0)
		log_error("%s: %s", file, err_text(r));
	config_problems_deinit(&problems);
	if (r)
		return DAEMON_CONFIG;
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
	return r > ERR_FIRST ? DAEMON_CONFIG : exit_code_of(r);
}

/* Whoever holds the lock may unlink stale sockets. It is never unlinked itself. */
static int lock_runtime_dir(struct daemon *daemon)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/sockets.lock", daemon->config->runtime_dir);

	daemon->runtime_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (daemon->runtime_lock < 0) {
		log_error("runtime directory %s: %s", daemon->config->runtime_dir, strerror(errno));
		return DAEMON_CONFIG;
	}
	if (flock(daemon->runtime_lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	log_error("runtime directory %s: another instance holds it", daemon->config->runtime_dir);
	return DAEMON_BUSY;
}

/* A socket of this name that the service manager opened is taken over; else one is made. */
static int listen_on(struct daemon *daemon, struct listen_group *group, const char *name,
        mode_t mode, listen_request_fn *fn, struct listen **out)
{
	cleanup(mem_free_p) char *path =
	        mem_printf("%s/%s.sock", daemon->config->runtime_dir, name);
	char words[512] = "";
	int fd = notify_socket(&daemon->sockets, name);
	int r = fd >= 0 ? listen_fd_new(group, fd, fn, daemon->control, out)
	                : listen_unix_new(group, path, mode, fn, daemon->control, out, words,
	                          sizeof(words));

	if (r == 0)
		return 0;
	log_error("socket %s: %s", path, words[0] ? words : err_text(r));
	return r == LISTEN_E_BUSY ? DAEMON_BUSY : DAEMON_CONFIG;
}

static int max_clients(const struct config *config)
{
	struct rlimit limit;
	int64_t max = config->max_clients;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return (int)max;
	int64_t descriptors = (int64_t)limit.rlim_cur;
	int64_t room = descriptors > 2 * RESERVED_DESCRIPTORS ? descriptors - RESERVED_DESCRIPTORS
	                                                      : descriptors / 4;

	if (room >= max)
		return (int)max;
	log_warning("RLIMIT_NOFILE is %" PRId64 ": at most %" PRId64 " clients instead of %" PRId64,
	        descriptors, room, max);
	return (int)(room > 1 ? room : 1);
}

/* It passes by the sockets' permissions, so it is off unless somebody wants it. */
static int listen_for_metrics(struct daemon *daemon)
{
	const char *text = daemon->config->metrics_listen;
	char address[CONFIG_ADDRESS_SIZE];
	uint16_t port;
	int r;

	if (!text || !config_split_address(text, address, &port))
		return 0;
	r = listen_tcp_new(
	        daemon->group, address, port, control_on_metrics, daemon->control, &daemon->tcp);
	if (r == 0)
		return 0;
	log_error("metrics_listen %s: %s", text, err_text(r));
	return r == -EADDRINUSE ? DAEMON_BUSY : DAEMON_CONFIG;
}

static void write_metrics(void *arg, struct buf *out)
{
	control_write_metrics(arg, out);
}

static int open_doors(struct daemon *daemon)
{
	struct now now = loop_now(daemon->loop);
	struct control_context context = {
	        .loop = daemon->loop,
	        .tracker = &daemon->tracker,
	        .poller = daemon->poller,
	        .hooks = daemon->hooks,
	        .config_file = daemon->config_file,
	        .state_dir = daemon->state_dir,
	        .started_wall_ms = now.wall_ms,
	        .started_mono_ms = now.mono_ms,
	        .reload = daemon_reload,
	        .reload_arg = daemon,
	};
	int r = listen_group_new(daemon->loop, max_clients(daemon->config), &daemon->group);

	/* Places of its own: no number of readers may lock an administrator out. */
	if (!r)
		r = listen_group_new(daemon->loop, ADMIN_CLIENTS, &daemon->admin_group);

	daemon->metrics.reloaded_wall_ms = now.wall_ms;
	context.group = daemon->group;
	context.metrics = &daemon->metrics;
	daemon->control = control_new(&context);
	if (r < 0) {
		log_error("sockets: %s", err_text(r));
		return DAEMON_INTERNAL;
	}
	r = listen_on(daemon, daemon->group, "query", 0660, control_on_query, &daemon->query);
	if (!r)
		r = listen_on(daemon, daemon->admin_group, "admin", 0600, control_on_admin,
		        &daemon->admin);
	if (!r)
		r = listen_for_metrics(daemon);
	daemon->textfile = textfile_new(daemon->loop, write_metrics, daemon->control);
	if (!r)
		textfile_set(daemon->textfile, daemon->config->metrics_textfile);
	if (notify_drop_sockets(&daemon->sockets) > 0)
		log_warning("sockets were handed over that are named neither query nor admin: "
		            "closed");
	return r;
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
	struct apply_result result;
	int r = apply_places(&daemon->tracker, daemon->config, &words);

	if (!r)
		r = hooks_load(daemon->hooks);
	if (!r)
		r = tracker_load_accounts(&daemon->tracker);
	if (!r)
		r = tracker_load(&daemon->tracker);
	if (!r)
		r = apply_jobs(&daemon->tracker, daemon->config, &result);
	if (r < 0) {
		log_error("cannot start: %s", words.len ? words.data : err_text(r));
		return exit_code_of(r);
	}
	if (journal_is_full(daemon->journal)) {
		log_error("state directory %s: the disk is full", daemon->config->state_dir);
		return DAEMON_IO;
	}
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
		r = lock_runtime_dir(daemon);
	if (!r)
		r = open_store(daemon);
	if (!r)
		r = make_parts(daemon);
	if (!r)
		r = recover(daemon);
	if (!r)
		r = open_doors(daemon);
	if (r) {
		daemon_free(daemon);
		return r;
	}
	*out = daemon;
	return 0;
}

struct daemon *daemon_free(struct daemon *daemon)
{
	if (!daemon)
		return NULL;
	journal_abandon(daemon->journal);
	textfile_free(daemon->textfile);
	listen_free(daemon->tcp);
	listen_free(daemon->admin);
	listen_free(daemon->query);
	listen_group_free(daemon->admin_group);
	listen_group_free(daemon->group);
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

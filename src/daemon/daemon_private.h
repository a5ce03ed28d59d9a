/* Shared by daemon.c (the turn, the start, the end), reload.c and doors.c. */
#pragma once

#include "config/config.h"
#include "daemon/control.h"
#include "daemon/daemon.h"
#include "daemon/retention.h"
#include "daemon/service.h"
#include "daemon/textfile.h"
#include "net/listen.h"

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
	bool is_reload_owed; /* the disk was full when jobs were to come and go */
	int64_t drain_polls_until_mono_ms, drain_hooks_until_mono_ms;
	int exit_code;
};

/* Logs that the database failed, and stops with the right exit code. */
void daemon_fail(struct daemon *daemon, int error);
/* The exit code of a start that failed on this; 0 and above = not for a passing reason. */
int daemon_start_code(int error);

/* ---- reload.c ---- */

/* A line of the log each. */
void reload_report(const struct config_problems *problems);
/*
 * Reads the configuration anew and puts it in force, or refuses it whole; result_json gets what
 * became of it, or a problem. 0, CONFIG_E_INVALID, or a negative error.
 */
int reload_config(void *arg, struct buf *result_json);
/* Each turn: what a full disk kept a reload from is done when there is room. */
void reload_owed(struct daemon *daemon);

/* ---- doors.c: 0, or the exit code, with what is wrong logged ---- */

/* Whoever holds the runtime directory may unlink stale sockets in it. */
int doors_lock(struct daemon *daemon);
int doors_open(struct daemon *daemon);
void doors_close(struct daemon *daemon);

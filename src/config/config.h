/*
 * The configuration as the daemon uses it: every value present (defaults filled in), every name
 * resolved, every rule of bulkwatchd.yaml(5) kept. Made by config_load() alone.
 *
 * Everything is owned by the struct config and lives until config_free(); arrays are in the order
 * of the file (included files after it, sorted).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/event.h"
#include "util/buf.h"
#include "util/log.h"

/* Copied into every account: what stands in the account, else in the root, else the default. */
struct config_poll {
	int64_t min_interval_ms;
	int64_t max_interval_ms;
	int64_t polls_per_job;
	int64_t timeout_ms;
	int64_t overdue_after_ms;
	int64_t lost_after_ms;
};

struct config_datacenter {
	char *name;
	char *api_url;      /* scheme://host[:port], lower case, no trailing slash */
	char *accounts_url; /* likewise */
	char *ca_file;      /* absolute path, or NULL = the system's */
	bool is_built_in;   /* of the table, not overridden */
};

enum config_service { SERVICE_BIGIN, SERVICE_CRM };
const char *config_service_name(enum config_service service); /* "bigin", "crm" */

/* A set of hooks by index into config.hooks, sorted, without repeats. */
struct config_hook_set {
	uint32_t *hooks;
	size_t n;
};

struct config_job {
	const char *id;           /* digits */
	const char *name;         /* NULL = none */
	int64_t overdue_after_ms; /* the account's, if the job says nothing */
	bool has_hooks; /* it names its hooks (maybe none: `hooks: []`); else the account's apply */
	struct config_hook_set hooks;
};

struct config_account {
	char *name;
	size_t datacenter; /* index into config.datacenters */
	enum config_service service;
	char *client_id; /* NULL if access_token_file is used */
	char *client_secret_file;
	char *refresh_token_file;
	char *access_token_file; /* NULL if the three above are used */
	int64_t credits_per_day;
	int64_t max_in_flight;
	struct config_poll poll;
	struct config_hook_set hooks; /* resolved: all hooks if the account names none */
	struct config_job *jobs;      /* those in the list, then those of jobs_file */
	size_t n_jobs;
};

struct config_hook {
	char *name;
	event_set on;
	char **exec; /* NULL-terminated argv, or NULL if it is a webhook */
	char *url;   /* NULL if it is exec */
	char *secret_file;
	int64_t timeout_ms;
	int64_t attempts;
	int64_t retry_first_ms;
	int64_t retry_max_ms;
	int64_t parallel;
};

struct config {
	char *file; /* absolute path of what was loaded */
	char *state_dir;
	char *runtime_dir;
	enum log_level log_level;
	int64_t retain_ms;
	int64_t drain_timeout_ms;
	int64_t max_clients;
	char *metrics_listen;   /* as config_split_address() takes it; NULL = off */
	char *metrics_textfile; /* absolute path; NULL = off */
	struct config_poll poll;
	struct config_datacenter *datacenters; /* built in first, then the file's own */
	size_t n_datacenters;
	struct config_account *accounts;
	size_t n_accounts;
	struct config_hook *hooks;
	size_t n_hooks;
	struct config_strings *strings; /* where all texts live but those of jobs files */
	struct config_strings *job_strings;
};

/* What is wrong, or merely worth a warning, with its place. */
struct config_problem {
	char *file;
	size_t line, column; /* from 1; 0 = of the whole file */
	bool is_warning;
	char *words; /* what is wrong, what was expected, "did you mean" */
};

struct config_problems {
	struct config_problem *list; /* in the order of file, line, column */
	size_t n;
	size_t n_errors; /* all, even if so many are found that the last line only counts them */
	/* Why a file could not be looked at that may be readable the next time (err_is_passing);
	 * 0 = no such reason. */
	int passing;
};

/*
 * Loads and checks the file whole. 0 and *out, or CONFIG_E_INVALID with at least one error among
 * the problems (*out is NULL), or a negative error. Warnings may come with either. A file that
 * cannot be read is a problem, too.
 */
enum { CONFIG_E_INVALID = 1 };
enum config_use {
	/* To run by. What a secret's file holds is worth a warning only, for it can be mended while
	 * the daemon runs; state_dir and runtime_dir are left to those who open them. */
	CONFIG_RUN,
	/* `--check`, as the daemon's user: everything that would keep the daemon or an account from
	 * working is an error. %d without $CREDENTIALS_DIRECTORY, and a default directory that is
	 * not there yet, are warnings, for whoever starts the daemon may bring them. */
	CONFIG_CHECK,
	/* The same by anybody, perhaps not on the daemon's machine: directories are worth a warning
	 * at most. */
	CONFIG_LOOK,
};
int config_load(const char *file, enum config_use use, struct config **out,
        struct config_problems *problems);
struct config *config_free(struct config *config);
/* Gives back the lists of jobs, which are most of a large configuration, once they are taken over.
 */
void config_forget_jobs(struct config *config);
void config_problems_deinit(struct config_problems *problems);
/* Without line and column where the whole file is meant. */
void config_problem_print(const struct config_problem *problem, struct buf *out);
/* Its beginning: "file:line:column:", of which a problem of a whole file has but the first. */
void config_problem_place(const struct config_problem *problem, struct buf *out);
/* "file:line:column: error: words\n" for each. */
void config_problems_print(const struct config_problems *problems, struct buf *out);

/* What is wrong with a job's name: "is empty", "holds a \"/\""; NULL if it is right. */
const char *config_job_name_problem(const char *name);

/* "127.0.0.1:9464" or "[::1]:9464", a numeric loopback address and a port from 1. False: it is not.
 */
enum { CONFIG_ADDRESS_SIZE = 46 };
bool config_split_address(
        const char *text, char address[static CONFIG_ADDRESS_SIZE], uint16_t *port);

/* NULL if there is none. */
const struct config_account *config_account_find(const struct config *config, const char *name);
const struct config_hook *config_hook_find(const struct config *config, const char *name);

/*
 * The keys whose values differ between the two and cannot change while the daemon runs, as
 * "state_dir, max_clients"; empty if a reload may go on.
 */
void config_restart_keys(const struct config *old, const struct config *new, struct buf *out);

/* Every option with its value in force, as YAML (secrets are only ever file names here). */
void config_show(const struct config *config, struct buf *out);

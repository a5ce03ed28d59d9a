#include "config/options.h"

#include <string.h>

#include "config/config.h"
#include "core/limits.h"

#define MS(n)      INT64_C(n)
#define SECONDS(n) (INT64_C(1000) * (n))
#define MINUTES(n) (INT64_C(60000) * (n))
#define HOURS(n)   (INT64_C(3600000) * (n))
#define DAYS(n)    (INT64_C(86400000) * (n))

/* In the order of enum log_level. */
static const char *const log_level_words[] = {"error", "warning", "notice", "info", "debug", NULL};
/* In the order of enum config_service. */
static const char *const service_words[] = {"bigin", "crm", NULL};

const struct option options[] = {
        /* The top level. */
        {.scope = SCOPE_ROOT,
                .name = "state_dir",
                .type = OPTION_PATH,
                .default_text = "/var/lib/bulkwatch",
                .needs_restart = true,
                .is_supported = true,
                .offset = offsetof(struct config, state_dir),
                .help = "Directory of bulkwatch.db. Without it the first of $STATE_DIRECTORY is "
                        "used, then the default."},
        {.scope = SCOPE_ROOT,
                .name = "runtime_dir",
                .type = OPTION_PATH,
                .default_text = "/run/bulkwatch",
                .needs_restart = true,
                .is_supported = true,
                .offset = offsetof(struct config, runtime_dir),
                .help = "Directory of query.sock and admin.sock. Without it the first of "
                        "$RUNTIME_DIRECTORY is used, then the default."},
        {.scope = SCOPE_ROOT,
                .name = "log_level",
                .type = OPTION_WORD,
                .words = log_level_words,
                .default_text = "info",
                .is_supported = true,
                .offset = offsetof(struct config, log_level),
                .help = "What is logged: messages of this level and those before it in the list."},
        {.scope = SCOPE_ROOT,
                .name = "retain",
                .type = OPTION_DURATION,
                .min = 0,
                .max = DAYS(36500),
                .default_text = "90d",
                .is_supported = true,
                .offset = offsetof(struct config, retain_ms),
                .help = "How long jobs that are no longer in the configuration, and have no open "
                        "deliveries, are kept after their end."},
        {.scope = SCOPE_ROOT,
                .name = "include",
                .type = OPTION_FILES,
                .is_supported = true,
                .offset = OPTIONS_NO_FIELD,
                .help = "Files that are read too, as glob patterns. They may hold datacenters, "
                        "accounts and hooks."},
        {.scope = SCOPE_ROOT,
                .name = "drain_timeout",
                .type = OPTION_DURATION,
                .min = 0,
                .max = DAYS(1),
                .default_text = "30s",
                .is_supported = true,
                .offset = offsetof(struct config, drain_timeout_ms),
                .help = "How long a stop waits for running hooks."},
        {.scope = SCOPE_ROOT,
                .name = "max_clients",
                .type = OPTION_INTEGER,
                .min = 1,
                .max = 65536,
                .default_text = "1024",
                .needs_restart = true,
                .is_supported = true,
                .offset = offsetof(struct config, max_clients),
                .help = "How many clients may be connected to the sockets at once."},
        {.scope = SCOPE_ROOT,
                .name = "metrics_listen",
                .type = OPTION_STRING,
                .needs_restart = true,
                .is_supported = true,
                .offset = offsetof(struct config, metrics_listen),
                .help = "Loopback address and port at which GET /metrics is answered over TCP, to "
                        "whoever is on this machine. Off without it."},
        {.scope = SCOPE_ROOT,
                .name = "metrics_textfile",
                .type = OPTION_PATH,
                .is_supported = true,
                .offset = offsetof(struct config, metrics_textfile),
                .help = "File that the metrics are written to every 15 s, for the textfile "
                        "collector of node_exporter. Off without it."},
        {.scope = SCOPE_ROOT,
                .name = "poll",
                .type = OPTION_SECTION,
                .is_supported = true,
                .offset = OPTIONS_NO_FIELD,
                .help = "How jobs are polled. The same section may stand in an account."},
        {.scope = SCOPE_ROOT,
                .name = "datacenters",
                .type = OPTION_SECTION,
                .is_supported = true,
                .offset = OPTIONS_NO_FIELD,
                .help = "Data centers by name, beside those that are built in: us eu au in cn jp "
                        "sa ca."},
        {.scope = SCOPE_ROOT,
                .name = "accounts",
                .type = OPTION_SECTION,
                .is_supported = true,
                .offset = OPTIONS_NO_FIELD,
                .help = "Accounts by name, with the jobs to watch."},
        {.scope = SCOPE_ROOT,
                .name = "hooks",
                .type = OPTION_SECTION,
                .is_supported = true,
                .offset = OPTIONS_NO_FIELD,
                .help = "Hooks by name: programs to run, or webhooks to call, when something "
                        "happens to a "
                        "job."},

        /* poll, at the top level and in an account. */
        {.scope = SCOPE_POLL,
                .name = "min_interval",
                .type = OPTION_DURATION,
                .min = MS(10),
                .max = DAYS(1),
                .default_text = "15s",
                .is_supported = true,
                .offset = offsetof(struct config_poll, min_interval_ms),
                .help = "A job is never polled sooner than this after its last poll."},
        {.scope = SCOPE_POLL,
                .name = "max_interval",
                .type = OPTION_DURATION,
                .min = MS(10),
                .max = DAYS(7),
                .default_text = "5m",
                .is_supported = true,
                .offset = offsetof(struct config_poll, max_interval_ms),
                .help = "A job is never polled later than this after its last poll."},
        {.scope = SCOPE_POLL,
                .name = "polls_per_job",
                .type = OPTION_INTEGER,
                .min = 1,
                .max = 1000000,
                .default_text = "20",
                .is_supported = true,
                .offset = offsetof(struct config_poll, polls_per_job),
                .help = "How many polls a job may cost on average. They are spent where it is "
                        "likely to finish."},
        {.scope = SCOPE_POLL,
                .name = "timeout",
                .type = OPTION_DURATION,
                .min = MS(10),
                .max = HOURS(1),
                .default_text = "30s",
                .is_supported = true,
                .offset = offsetof(struct config_poll, timeout_ms),
                .help = "How long one request may take from start to end."},
        {.scope = SCOPE_POLL,
                .name = "overdue_after",
                .type = OPTION_DURATION,
                .min = MS(10),
                .max = DAYS(3650),
                .default_text = "24h",
                .is_supported = true,
                .offset = offsetof(struct config_poll, overdue_after_ms),
                .help = "A job that is not finished this long after it was first watched fires "
                        "job.overdue. Watching goes on."},
        {.scope = SCOPE_POLL,
                .name = "lost_after",
                .type = OPTION_DURATION,
                .min = 0,
                .max = DAYS(30),
                .default_text = "10m",
                .is_supported = true,
                .offset = offsetof(struct config_poll, lost_after_ms),
                .help = "How long Zoho must keep saying that there is no such job, three times at "
                        "least, before it is LOST."},

        /* A data center. */
        {.scope = SCOPE_DATACENTER,
                .name = "api_url",
                .type = OPTION_URL,
                .is_supported = true,
                .offset = offsetof(struct config_datacenter, api_url),
                .help = "Origin of the API. It is overridden together with accounts_url."},
        {.scope = SCOPE_DATACENTER,
                .name = "accounts_url",
                .type = OPTION_URL,
                .is_supported = true,
                .offset = offsetof(struct config_datacenter, accounts_url),
                .help = "Origin of the accounts server, where access tokens are made. It is "
                        "overridden together with api_url."},
        {.scope = SCOPE_DATACENTER,
                .name = "ca_file",
                .type = OPTION_PATH,
                .is_supported = true,
                .offset = offsetof(struct config_datacenter, ca_file),
                .help = "Certificates of the authorities that are trusted, in PEM. Without it the "
                        "system's are used."},

        /* An account. */
        {.scope = SCOPE_ACCOUNT,
                .name = "datacenter",
                .type = OPTION_NAME,
                .is_required = true,
                .is_supported = true,
                .offset = OPTIONS_NO_FIELD,
                .help = "Name of the data center that the account lives in."},
        {.scope = SCOPE_ACCOUNT,
                .name = "service",
                .type = OPTION_WORD,
                .words = service_words,
                .default_text = "bigin",
                .is_supported = true,
                .offset = offsetof(struct config_account, service),
                .help = "Which of Zoho's services the jobs belong to."},
        {.scope = SCOPE_ACCOUNT,
                .name = "client_id",
                .type = OPTION_STRING,
                .is_supported = true,
                .offset = offsetof(struct config_account, client_id),
                .help = "Client id of the application that is registered with Zoho."},
        {.scope = SCOPE_ACCOUNT,
                .name = "client_secret_file",
                .type = OPTION_SECRET,
                .is_supported = true,
                .offset = offsetof(struct config_account, client_secret_file),
                .help = "File that holds the client secret of that application."},
        {.scope = SCOPE_ACCOUNT,
                .name = "refresh_token_file",
                .type = OPTION_SECRET,
                .is_supported = true,
                .offset = offsetof(struct config_account, refresh_token_file),
                .help = "File that holds the refresh token."},
        {.scope = SCOPE_ACCOUNT,
                .name = "access_token_file",
                .type = OPTION_SECRET,
                .is_supported = true,
                .offset = offsetof(struct config_account, access_token_file),
                .help = "File that holds a ready access token. It is read again whenever it "
                        "changes."},
        {.scope = SCOPE_ACCOUNT,
                .name = "credits_per_day",
                .type = OPTION_INTEGER,
                .min = 1,
                .max = 10000000,
                .default_text = "4000",
                .is_supported = true,
                .offset = offsetof(struct config_account, credits_per_day),
                .help = "Polls never spend more of Zoho's API credits than this in any rolling 24 "
                        "hours. Accounts with the same refresh token spend them together, at most "
                        "the lowest number of theirs."},
        {.scope = SCOPE_ACCOUNT,
                .name = "max_in_flight",
                .type = OPTION_INTEGER,
                .min = 1,
                .max = 10000,
                .default_text = "4",
                .is_supported = true,
                .offset = offsetof(struct config_account, max_in_flight),
                .help = "How many requests of the account may be under way at once."},
        {.scope = SCOPE_ACCOUNT,
                .name = "hooks",
                .type = OPTION_NAMES,
                .is_supported = true,
                .offset = OPTIONS_NO_FIELD,
                .help = "Hooks of the jobs that name none themselves. Without it these are all "
                        "hooks."},
        {.scope = SCOPE_ACCOUNT,
                .name = "poll",
                .type = OPTION_SECTION,
                .is_supported = true,
                .offset = OPTIONS_NO_FIELD,
                .help = "How the account's jobs are polled. What is left out is taken from the "
                        "poll section of the top level."},
        {.scope = SCOPE_ACCOUNT,
                .name = "jobs",
                .type = OPTION_SECTION,
                .is_supported = true,
                .offset = OPTIONS_NO_FIELD,
                .help = "The jobs to watch: each an id, or a mapping."},
        {.scope = SCOPE_ACCOUNT,
                .name = "jobs_file",
                .type = OPTION_PATH,
                .is_supported = true,
                .offset = OPTIONS_NO_FIELD,
                .help = "File of more jobs to watch: one id a line, the rest of the line its "
                        "name."},

        /* A job of an account's list. */
        {.scope = SCOPE_JOB,
                .name = "id",
                .type = OPTION_ID,
                .is_required = true,
                .is_supported = true,
                .offset = offsetof(struct config_job, id),
                .help = "The job's id as Zoho gave it: 1 to 20 digits."},
        {.scope = SCOPE_JOB,
                .name = "name",
                .type = OPTION_JOB_NAME,
                .is_supported = true,
                .offset = offsetof(struct config_job, name),
                .help = "A name for people."},
        {.scope = SCOPE_JOB,
                .name = "hooks",
                .type = OPTION_NAMES,
                .is_supported = true,
                .offset = OPTIONS_NO_FIELD,
                .help = "Hooks of this job, instead of the account's."},
        {.scope = SCOPE_JOB,
                .name = "overdue_after",
                .type = OPTION_DURATION,
                .min = MS(10),
                .max = DAYS(3650),
                .is_supported = true,
                .offset = offsetof(struct config_job, overdue_after_ms),
                .help = "Like overdue_after in poll, for this job alone."},

        /* A hook. */
        {.scope = SCOPE_HOOK,
                .name = "on",
                .type = OPTION_EVENTS,
                .default_text = "[job.completed, job.failed, job.lost]",
                .is_supported = true,
                .offset = offsetof(struct config_hook, on),
                .help = "The events that fire the hook: types, or patterns such as job.* for all "
                        "of a kind."},
        {.scope = SCOPE_HOOK,
                .name = "exec",
                .type = OPTION_ARGV,
                .is_supported = true,
                .offset = offsetof(struct config_hook, exec),
                .help = "The program and its arguments. No shell is involved."},
        {.scope = SCOPE_HOOK,
                .name = "url",
                .type = OPTION_URL,
                .is_supported = true,
                .offset = offsetof(struct config_hook, url),
                .help = "Address of a webhook, which is called instead of a program."},
        {.scope = SCOPE_HOOK,
                .name = "secret_file",
                .type = OPTION_SECRET,
                .is_supported = true,
                .offset = offsetof(struct config_hook, secret_file),
                .help = "File that holds the secret which signs the webhook's requests. Without it "
                        "they go unsigned."},
        {.scope = SCOPE_HOOK,
                .name = "timeout",
                .type = OPTION_DURATION,
                .min = MS(10),
                .max = DAYS(7),
                .default_text = "10m",
                .is_supported = true,
                .offset = offsetof(struct config_hook, timeout_ms),
                .help = "How long one attempt may take."},
        {.scope = SCOPE_HOOK,
                .name = "attempts",
                .type = OPTION_INTEGER,
                .min = 1,
                .max = 1000000,
                .default_text = "20",
                .is_supported = true,
                .offset = offsetof(struct config_hook, attempts),
                .help = "After so many failed attempts a delivery is dead, until someone retries "
                        "it."},
        {.scope = SCOPE_HOOK,
                .name = "retry_first",
                .type = OPTION_DURATION,
                .min = MS(10),
                .max = DAYS(1),
                .default_text = "5s",
                .is_supported = true,
                .offset = offsetof(struct config_hook, retry_first_ms),
                .help = "The longest wait before the second attempt. It doubles, with jitter, up "
                        "to retry_max."},
        {.scope = SCOPE_HOOK,
                .name = "retry_max",
                .type = OPTION_DURATION,
                .min = MS(10),
                .max = DAYS(30),
                .default_text = "6h",
                .is_supported = true,
                .offset = offsetof(struct config_hook, retry_max_ms),
                .help = "The longest wait between two attempts."},
        {.scope = SCOPE_HOOK,
                .name = "parallel",
                .type = OPTION_INTEGER,
                .min = 1,
                .max = HOOK_RUNNING_MAX,
                .default_text = "4",
                .is_supported = true,
                .offset = offsetof(struct config_hook, parallel),
                .help = "How many attempts of this hook may run at once."},
};

const size_t n_options = sizeof(options) / sizeof(options[0]);

const struct option *options_of_scope(enum option_scope scope, size_t *n)
{
	const struct option *first = options, *end = options + n_options, *last;

	while (first < end && first->scope != scope)
		first++;
	for (last = first; last < end && last->scope == scope; last++)
		;
	*n = (size_t)(last - first);
	return first;
}

const struct option *option_find(enum option_scope scope, const char *name)
{
	size_t n;
	const struct option *first = options_of_scope(scope, &n);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(first[i].name, name) == 0)
			return &first[i];
	}
	return NULL;
}

const char *option_scope_words(enum option_scope scope)
{
	static const char *const words[SCOPES] = {
	        [SCOPE_ROOT] = "the top level",
	        [SCOPE_POLL] = "poll",
	        [SCOPE_DATACENTER] = "a data center",
	        [SCOPE_ACCOUNT] = "an account",
	        [SCOPE_JOB] = "a job",
	        [SCOPE_HOOK] = "a hook",
	};

	return words[scope];
}

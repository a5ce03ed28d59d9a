/*
 * What a script asks for: data centers, organisations, clients, jobs and faults. Read from strict
 * YAML, or from JSON, which is YAML (docs: bulkwatch-sim(1)).
 *
 * Everything lives in the struct script, which lives until script_free().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "core/limits.h"
#include "sim/dist.h"
#include "sim/fault.h"
#include "sim/ids.h"

enum {
	SCRIPT_STEPS_MAX = 64,              /* of one life */
	SCRIPT_SAMPLE_MAX_BYTES = 16 << 20, /* of a body that is served from a file */
	SERVICE_ANY = -1,                   /* beside enum config_service */
	LIVE_TOKENS_MAX = 15,               /* of a refresh token: the next evicts the oldest */
	TOKENS_PER_WINDOW = 10,             /* of a refresh token, in ten minutes */
	TOKEN_EXPIRES_S = 3600,
};

/* A stretch of a job's life. Exactly one of state, fault and sample is set. */
struct script_step {
	const char *state;
	enum fault_kind fault; /* FAULT_NONE unless the step is a fault */
	const char *sample;    /* the body, verbatim */
	size_t sample_len;
	int64_t polls;     /* so many answers; 0 = it ends by time, or never */
	struct dist lasts; /* if is_timed */
	bool is_timed;
};

/* A member as JSON text. */
struct script_member {
	const char *key;
	const char *json;
};

struct script_job {
	struct ids ids;
	const char *dc;  /* NULL = any */
	int64_t service; /* enum config_service, or SERVICE_ANY */
	const struct script_step *steps;
	size_t n_steps;
	bool shares_duration; /* one draw for all timed steps: a tenth is the first's, the rest the
	                         second's */
	/* The document. NULL and -1 = as in the samples; *_json are JSON texts. */
	const char *operation, *module, *created_time, *download_url;
	const char *fields_json, *query_json, *created_by_json, *result_json;
	int64_t page, count, per_page;
	bool has_more_records;
	struct script_member *extra; /* further members, at the end */
	size_t n_extra;
};

struct script_datacenter {
	const char *name;
	int64_t port; /* 0 = the kernel's choice */
	struct dist latency;
	int64_t credits_per_day, concurrency; /* of requests of no organisation's; 0 = no limit */
	const char **tokens; /* access tokens that are good here, besides issued ones */
	size_t n_tokens;
};

struct script_organisation {
	const char *name;
	int64_t credits_per_day, concurrency; /* 0 = no limit */
};

struct script_client {
	const char *dc; /* NULL = any */
	const char *client_id, *client_secret, *refresh_token;
	const char *organisation; /* NULL = none */
	int64_t expires_in_s;
	int64_t tokens_per_window; /* in ten minutes */
	int64_t live_tokens;
};

/* Arrays in the order of the file. */
struct script {
	struct config_strings *strings; /* owned: texts and arrays */
	struct script_datacenter *datacenters;
	size_t n_datacenters;
	struct script_organisation *organisations;
	size_t n_organisations;
	struct script_client *clients;
	size_t n_clients;
	struct script_job *jobs;
	size_t n_jobs;
	struct fault *faults; /* those of data centers and jobs too */
	size_t n_faults;
};

/* What a script may speak of. */
struct script_context {
	const char *const *datacenters; /* names that exist without the script */
	size_t n_datacenters;
	bool is_fixed; /* the script may not add further ones */
	bool is_live;  /* no file: jobs and faults alone, no sample files */
};

/*
 * Reads a file. 0 and *out, or SCRIPT_E_INVALID with the problems as "file:line:column: error:
 * words" lines in *problems.
 */
enum { SCRIPT_E_INVALID = 1 };
int script_load(const char *file, const struct script_context *context, struct script **out,
        struct buf *problems);
/* Reads a text that is called by that name in the problems. */
int script_parse(const char *text, size_t len, const char *name,
        const struct script_context *context, struct script **out, struct buf *problems);
/* Takes NULL, returns NULL. */
struct script *script_free(struct script *script);
/* [a-z0-9][a-z0-9_-]*, at most NAME_MAX_BYTES. */
bool script_name_is_valid(const char *name);
/* The life of a job that no script speaks of: ADDED twice, IN PROGRESS thrice, COMPLETED. */
const struct script_job *script_default_job(void);

/*
 * The numbers of the house, on one page. Those that people may change are not here but in the
 * table of options (config/options.c).
 */
#pragma once

enum {
	/* Names and words (docs: bulkwatchd.yaml(5)). */
	JOB_ID_MAX = 20,
	JOB_NAME_MAX_BYTES = 128,
	JOB_STATE_MAX_CHARS = 64,                      /* a longer word is a bad reply */
	JOB_STATE_MAX_BYTES = 4 * JOB_STATE_MAX_CHARS, /* of UTF-8 */
	NAME_MAX_BYTES = 63,                           /* of an account, a data center, a hook */
	MESSAGE_MAX_BYTES = 256,

	/* Replies of Zoho's. */
	REPLY_MAX_BYTES = 1024 * 1024,
	REPLY_MAX_DEPTH = 32,

	/* Polling. */
	FIRST_POLL_SPREAD_MS = 3000, /* new jobs are not all asked in the same instant */
	LOST_AFTER_ANSWERS = 3,      /* fewer "no such job" than this never make a job LOST */
	RETRY_AFTER_MIN_MS = 1000,
	RETRY_AFTER_MAX_MS = 3600 * 1000,
	THROTTLE_FIRST_MS = 60 * 1000,
	THROTTLE_MAX_MS = 15 * 60 * 1000,
	PROBE_FIRST_MS = 60 * 1000, /* of a paused account */
	PROBE_MAX_MS = 15 * 60 * 1000,
	CIRCUIT_AFTER_FAILURES =
	        5, /* in a row over a data center before only one probe goes through */
	CIRCUIT_FIRST_MS = 5 * 1000,
	CIRCUIT_MAX_MS = 5 * 60 * 1000,

	/* Hooks. */
	HOOK_INPUT_MAX_BYTES = 20 * 1024, /* beyond it `query` is null */
	HOOK_ENV_VALUE_MAX_BYTES = 4096,
	HOOK_RUNNING_MAX = 64,    /* of all hooks together */
	HOOK_EXIT_PERMANENT = 65, /* EX_DATAERR of sysexits.h: do not try again */
	HOOK_WEBHOOK_TIMEOUT_MS = 30 * 1000,
	HOOK_RETRY_AFTER_MAX_MS = 7 * 24 * 3600 * 1000, /* what a webhook may ask for */
};

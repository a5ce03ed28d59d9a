/*
 * What one request to Zoho taught: the only thing that the decisions see of an answer. wire/reply
 * makes it of an HTTP answer; a request that got none is made into one by daemon/poller.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/job.h"
#include "core/limits.h"

enum observation_kind {
	OBSERVED_STATUS,      /* the job's document */
	OBSERVED_NOT_FOUND,   /* Zoho says that there is no such job */
	OBSERVED_THROTTLED,   /* 429: of the whole account */
	OBSERVED_REFUSED,     /* token, scope, permission, path: of the whole account */
	OBSERVED_UNREACHABLE, /* no answer, or 5xx: of the data center */
	OBSERVED_GARBLED,     /* an answer that nobody can use: of this request alone */
};
enum { OBSERVATION_KINDS = OBSERVED_GARBLED + 1 };

/* Why there is no document; what `last_error.class` and an account's reason say. */
enum error_class {
	ERROR_NONE,
	ERROR_DNS,
	ERROR_CONNECT,
	ERROR_TLS,
	ERROR_TIMEOUT,
	ERROR_BROKEN,    /* cut off, or not HTTP */
	ERROR_SERVER,    /* 5xx */
	ERROR_BAD_REPLY, /* not the JSON that was asked for */
	ERROR_HTTP,      /* a 3xx, or a 4xx without a known code */
	ERROR_NOT_FOUND,
	ERROR_THROTTLED,
	ERROR_TOKEN,      /* the access token is not accepted */
	ERROR_SCOPE,      /* the token lacks a scope */
	ERROR_PERMISSION, /* the user may not */
	ERROR_PATH,       /* wrong host or path */
	ERROR_ALL_LOST,   /* every job of the account is unknown to Zoho */
	ERROR_SECRET,     /* a secret file of ours cannot be read */
	ERROR_GRANT,      /* the accounts server refuses to give a token */
	ERROR_DOMAIN,     /* the token is for another API host than the account's */
	ERROR_CLASSES,
};

const char *error_class_name(enum error_class error); /* "dns" ...; "" for ERROR_NONE */

struct observation {
	enum observation_kind kind;
	enum error_class error;          /* ERROR_NONE for OBSERVED_STATUS alone */
	int http_status;                 /* 0 = no answer */
	int64_t retry_after_ms;          /* clamped already; -1 = not given */
	int64_t took_ms;                 /* from the request to the time that is told with this */
	char message[MESSAGE_MAX_BYTES]; /* for people: one line, UTF-8, no secret */

	/* Of OBSERVED_STATUS; borrowed from whoever made the observation. */
	const char *state;
	bool is_repeated; /* all of it is as it was at the last poll: the document is not given */
	struct job_document document;
	uint64_t fingerprint; /* equal for replies that are observed alike; 0 = none */
};

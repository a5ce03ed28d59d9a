/*
 * Faults: which there are, when one strikes, and what it does to an answer.
 *
 * A fault strikes the requests that fit its selectors, but for the first `after` of them, then each
 * `every`-th, with `probability`, at most `times`, and only within `for` of its first strike. Of
 * several the first in order strikes; those after it do not count the request.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/ids.h"
#include "sim/reply.h"
#include "util/rng.h"

/* In the order of the table in fault.c. */
enum fault_kind {
	FAULT_NONE,
	/* Answers of the API instead of the right one. */
	FAULT_INVALID_TOKEN,
	FAULT_AUTHENTICATION_FAILURE,
	FAULT_INVALID_OAUTHTOKEN,
	FAULT_SCOPE_MISMATCH,
	FAULT_NO_PERMISSION,
	FAULT_AUTHORIZATION_FAILED,
	FAULT_NOT_FOUND,
	FAULT_INVALID_URL_PATTERN,
	FAULT_429,
	FAULT_500,
	/* Answers of what stands before the API. */
	FAULT_502,
	FAULT_503,
	FAULT_504,
	FAULT_204,
	FAULT_304,
	FAULT_302,
	FAULT_STATUS,
	FAULT_HTML,
	FAULT_EMPTY,
	FAULT_GARBAGE,
	FAULT_DEEP,
	FAULT_ENDLESS_BODY,
	FAULT_ENDLESS_HEADERS,
	/* The connection. */
	FAULT_HANG,
	FAULT_DROP,
	FAULT_RESET,
	FAULT_REFUSE,
	/* Answers of the accounts server. */
	FAULT_THROTTLED,
	FAULT_THROTTLED_TRANSLATED,
	FAULT_INVALID_CODE,
	FAULT_INVALID_CLIENT,
	FAULT_INVALID_CLIENT_SECRET,
	FAULT_NO_ACCESS_TOKEN,
	FAULT_LEGACY_MILLISECONDS, /* these two change the right answer */
	FAULT_FOREIGN_API_DOMAIN,
	/* The right document, changed within. */
	FAULT_WRONG_ID,
	FAULT_NUL_STATE,
	FAULT_NUMBER_STATE,
	FAULT_LONG_STATE,
	FAULT_DUPLICATE_KEYS,
	FAULT_BAD_UTF8,
	FAULT_BIG_BODY,
	/* The right answer, changed on its way. */
	FAULT_TRUNCATE,
	FAULT_TRUNCATE_CLOSED,
	FAULT_TRUNCATE_CHUNKED,
	FAULT_TRAILING_GARBAGE,
	FAULT_WRONG_CONTENT_TYPE,
	FAULT_DELAY,
	FAULT_SLOW,
	FAULT_HTTP10,
	FAULT_KINDS,
};

enum fault_class {
	FAULT_REPLACES, /* the whole answer: it is not even looked up */
	FAULT_OF_TOKEN, /* changes an answer of the accounts server */
	FAULT_OF_DOCUMENT,
	FAULT_ON_WIRE,
};

enum fault_path {
	FAULT_PATH_DEFAULT,
	FAULT_PATH_API,
	FAULT_PATH_RESULT,
	FAULT_PATH_TOKEN,
	FAULT_PATH_ANY
};

/* Texts are borrowed from the script. NULL, 0 and -1 where said = not given. */
struct fault {
	enum fault_kind kind;
	/* Selectors. */
	const char *dc; /* NULL = any */
	struct ids ids; /* of a job's status or download */
	enum fault_path path;
	int64_t after;
	int64_t every;
	int64_t times; /* -1 = for ever */
	int64_t for_ms;
	double probability;
	/* What it does. */
	int64_t status;
	int64_t bytes; /* -1 = not given */
	int64_t delay_ms;
	const char *retry_after, *body, *content_type, *location;
	/* What happened so far. */
	int64_t n_fitting, n_strikes;
	int64_t first_strike_mono_ms;
};

/* What the defaults are: the kind is none yet. */
void fault_init(struct fault *fault);
/* NULL for FAULT_NONE. */
const char *fault_kind_name(enum fault_kind kind);
/* FAULT_NONE if nobody knows the word. */
enum fault_kind fault_kind_by_name(const char *name);
enum fault_class fault_kind_class(enum fault_kind kind);
/* True if an answer struck by it still reaches the client whole and right, only differently. */
bool fault_kind_is_harmless(enum fault_kind kind);
/* The paths on which the kind makes sense; the default becomes the kind's own. False if it is none.
 */
bool fault_settle_path(struct fault *fault);
/* Stops listening from the start, instead of at a request. */
bool fault_is_immediate(const struct fault *fault);

/* A request as faults see it: id is "" if it is about no job. */
struct fault_target {
	const char *dc;
	const char *id;
	enum fault_path path;
	int64_t mono_ms;
};

/* True if it strikes this request, which is counted. */
bool fault_strikes(struct fault *fault, const struct fault_target *target, struct rng *rng);
void fault_reset(struct fault *fault);

/* FAULT_REPLACES: makes the answer. id may be "". */
void fault_replace(const struct fault *fault, const char *id, struct reply *reply);
/* The same for a kind without any options: how the API itself says these things. */
void fault_replace_plainly(enum fault_kind kind, const char *id, struct reply *reply);
/* FAULT_ON_WIRE: changes the right answer. */
void fault_spoil(const struct fault *fault, struct reply *reply);

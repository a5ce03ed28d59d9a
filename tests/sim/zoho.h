/*
 * Zoho's API servers: what they say of a job at a time, troubles and all. Bodies follow the API
 * page's own samples.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/observe.h"
#include "net/http.h"
#include "util/buf.h"
#include "world.h"

/* A request for the state of a job, as it was understood. */
struct poll {
	int account, job, token;
	int watches; /* the job's, when it was sent */
	int64_t sent_mono_ms;
};

/* What a request will be answered. Zero-initialise it, end with zoho_saying_deinit. */
struct zoho_saying {
	enum http_error error; /* nobody answers */
	int status;
	const char *content_type;
	int64_t retry_after_s; /* -1 = not given */
	int64_t after_ms;      /* until it is there */
	struct buf body;
	/* What a right reader makes of it. */
	enum observation_kind kind;
	enum word word; /* of OBSERVED_STATUS */
	int token;      /* of an accounts server: 1 + the number of the one given; 0 = none */
};

void zoho_say(const struct poll *poll, int64_t timeout_ms, struct zoho_saying *saying);
void zoho_saying_deinit(struct zoho_saying *saying);

/* The word for the job at that time. */
enum word zoho_word_at(const struct world_job *job, int64_t mono_ms);

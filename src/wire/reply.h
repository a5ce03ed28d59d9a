/*
 * Zoho's replies to "what of this job?": an HTTP answer becomes a struct observation.
 *
 * GET {api}/bigin/bulk/v2/read/{id} and its CRM twin (Zoho's page "Bulk Read - Get the details of a
 * job"; docs/zoho.md names what is documented and what is assumed). Nothing here decides: whatever
 * is malformed, foreign, cut off or too large is an observation of its own kind.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/observe.h"
#include "util/buf.h"

/* What came over the wire; borrowed. */
struct reply {
	int http_status;
	const char *body;
	size_t len;
	const char *content_type; /* "" if none */
	int64_t retry_after_s;    /* as the header gave it, unclamped; -1 or 0 = not given */
};

/* What was asked; borrowed. */
struct reply_question {
	const char *job_id;
	const char *api_url; /* origin, without trailing slash: the base of download_url */
	const char *token;   /* a reply that repeats it is not kept; NULL = none */
};

/* Owns the texts that an observation borrows. Zero-initialised; may serve one reply after another.
 */
struct reply_texts {
	char state[JOB_STATE_MAX_BYTES + 1];
	struct buf operation, created_by, created_time, query, result, other;
};

void reply_texts_deinit(struct reply_texts *texts);

/*
 * A number for all that the observation of a job's document depends on: replies with the same one
 * are observed alike. 0: this one cannot be a job's document. Keyed (util/hash), so that it is of
 * this process alone and nobody can make two replies alike.
 */
uint64_t reply_fingerprint(const struct reply *reply, const struct reply_question *question);

/* Valid until texts is used again or ended. */
void reply_observe(const struct reply *reply, const struct reply_question *question,
        struct reply_texts *texts, struct observation *out);

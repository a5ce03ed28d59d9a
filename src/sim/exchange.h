/*
 * One request and its answer while it is made. For the files of the API alone.
 */
#pragma once

#include "sim/route.h"
#include "sim/sim.h"
#include "util/clock.h"

struct exchange {
	struct sim *sim;
	struct datacenter *dc;
	const struct http_request *request;
	struct now now;
	struct route route;
	struct org *org;           /* who asks; NULL until it is known */
	const struct fault *fault; /* that strikes; NULL = none */
	struct reply reply;
	const char *state; /* that is answered; NULL = none */
	int64_t state_age_ms;
};

/* The right answers at the three paths, changed by faults of documents and of tokens. */
void exchange_answer_status(struct exchange *x);
void exchange_answer_result(struct exchange *x);
void exchange_answer_token(struct exchange *x);

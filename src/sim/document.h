/*
 * The JSON document of a job, as the API's own samples have it: the same members in the same order
 * and of the same types. What a script does not say of a job is taken from the sample of its state.
 */
#pragma once

#include "sim/script.h"

struct document {
	const struct script_job *job;
	const char *id; /* as asked for */
	const char *state;
	enum config_service service;
	const char *version;   /* of the path: "v2" */
	enum fault_kind fault; /* FAULT_OF_DOCUMENT, or FAULT_NONE */
	int64_t fault_bytes;   /* -1 = the kind's own number */
};

void document_write(const struct document *document, struct buf *out);
/* The names of the columns that its CSV has: those of the query's fields, separated by commas. */
void document_write_columns(const struct script_job *job, struct buf *out);
/* The number of records that it speaks of. */
int64_t document_count(const struct script_job *job);

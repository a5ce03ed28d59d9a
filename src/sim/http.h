/*
 * Reading HTTP/1.1 requests: pure functions over bytes that are already here.
 *
 * Strict where it helps a rehearsal (two Authorization headers, a chunked request body or a control
 * character in the target are refused), and no more than Zoho's clients need: bodies come with a
 * Content-Length, names and values are not joined or unfolded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util/buf.h"

enum {
	HTTP_HEAD_MAX_BYTES = 64 * 1024,
	HTTP_BODY_MAX_BYTES = 4 * 1024 * 1024,
};

/* Texts are borrowed from the head and body that were parsed. */
struct http_request {
	const char *method;
	const char *path;          /* as sent, undecoded, without the query */
	const char *query;         /* "" if there is none */
	const char *authorization; /* NULL if there is none */
	const char *body;          /* followed by a NUL */
	size_t body_len;
	bool keep_alive;
};

/*
 * Parses head (up to and with the empty line, followed by a NUL) in place, cutting it up. Returns 0
 * and the request without its body, whose length is in body_len; or the HTTP status to refuse with.
 */
int http_request_parse(char *head, size_t len, struct http_request *request);

/*
 * The value of a name in a form or query (application/x-www-form-urlencoded), decoded into value,
 * which is cleared first. False if the name is not there or its value holds a NUL.
 */
bool http_form_get(const char *form, size_t len, const char *name, struct buf *value);

/* "Not Found"; "Status" for numbers without a known phrase. */
const char *http_reason(int status);

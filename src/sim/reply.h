/*
 * One answer of the simulator's, down to the ways in which it can go wrong on the wire.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"

/* As Zoho says it. */
#define REPLY_TYPE_JSON "application/json;charset=UTF-8"

enum reply_framing {
	REPLY_LENGTH,  /* Content-Length */
	REPLY_CHUNKED, /* Transfer-Encoding: chunked */
	REPLY_CLOSED,  /* neither: the body ends with the connection */
	REPLY_BARE,    /* no body at all: 204, 304, and answers to HEAD */
};

enum reply_manner {
	REPLY_WHOLE,
	REPLY_CUT,             /* cut_bytes of the body, then the connection is closed */
	REPLY_HANG,            /* nothing, the connection stays open */
	REPLY_DROP,            /* nothing, the connection is closed */
	REPLY_RESET,           /* nothing, the connection is reset (RST) */
	REPLY_ENDLESS_BODY,    /* chunks until the client leaves */
	REPLY_ENDLESS_HEADERS, /* header lines until the client leaves */
};

/* Zero-initialised it is an empty 200. */
struct reply {
	int status;               /* 0 = 200 */
	const char *content_type; /* NULL = no such header; borrowed */
	struct buf headers;       /* further lines, each ended by CRLF */
	struct buf body;
	enum reply_framing framing;
	enum reply_manner manner;
	size_t cut_bytes;
	int64_t delay_ms;    /* before the first byte */
	int64_t interval_ms; /* between two bytes; 0 = all at once */
	bool is_http10;      /* the status line says HTTP/1.0, and the connection is closed */
	bool is_last;        /* the connection is closed after it */
	uint32_t *in_flight; /* borrowed, counted down when the answer is over; or NULL */
};

void reply_deinit(struct reply *reply);
/* The status that goes out; 0 if none does. */
int reply_status(const struct reply *reply);
/* Adds "name: value"; the value's control characters are the caller's business. */
void reply_add_header(struct reply *reply, const char *name, const char *value);
/* Replaces the body. */
void reply_set_body(struct reply *reply, const char *content_type, const char *body, size_t len);
/* The bytes of the wire, as far as they are known in advance. */
void reply_encode(const struct reply *reply, struct buf *out);
/* The next piece of an endless answer, some 16 KiB. */
void reply_encode_more(const struct reply *reply, struct buf *out);
/* The connection ends with this answer. */
bool reply_closes(const struct reply *reply);

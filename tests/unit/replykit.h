/*
 * What the tests of replies share: the sample replies of tests/data/zoho, and one question that is
 * asked again and again.
 */
#pragma once

#include "util/buf.h"
#include "wire/reply.h"

#define REPLYKIT_TOKEN "1000.0a1b2c3d4e5f.6789"
#define REPLYKIT_API   "https://www.zohoapis.eu"

struct replykit {
	struct reply_question question; /* of job 3652397000000646004, with token and API above */
	struct reply_texts texts;
	struct observation out;
};

void replykit_init(struct replykit *kit);
void replykit_deinit(struct replykit *kit);
/*
 * Observes the body as application/json. The body is a copy of the exact size that is freed at
 * once: an observation that borrows from it, or looks beyond it, is seen by the sanitizer.
 */
void replykit_observe(struct replykit *kit, int http_status, const char *body, size_t len);
void replykit_observe_as(struct replykit *kit, int http_status, const char *body, size_t len,
        const char *content_type);
/* {"data":[{"id":"<the question's>","state":"COMPLETED",<members>}]} with HTTP 200. */
void replykit_observe_members(struct replykit *kit, const char *members);

/* The directory of the sample replies, and one of them. */
const char *replykit_dir(struct buf *path);
void replykit_read(const char *name, struct buf *out);

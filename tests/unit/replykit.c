#include "replykit.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/mem.h"

void replykit_init(struct replykit *kit)
{
	*kit = (struct replykit){.question = {.job_id = "3652397000000646004",
	                                 .api_url = REPLYKIT_API,
	                                 .token = REPLYKIT_TOKEN}};
}

void replykit_deinit(struct replykit *kit)
{
	reply_texts_deinit(&kit->texts);
}

void replykit_observe_as(struct replykit *kit, int http_status, const char *body, size_t len,
        const char *content_type)
{
	cleanup(mem_free_p) char *copy = malloc(len ? len : 1);
	struct reply reply = {.http_status = http_status,
	        .body = copy,
	        .len = len,
	        .content_type = content_type,
	        .retry_after_s = -1};

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, body, len);
	reply_observe(&reply, &kit->question, &kit->texts, &kit->out);
}

void replykit_observe(struct replykit *kit, int http_status, const char *body, size_t len)
{
	replykit_observe_as(kit, http_status, body, len, "application/json;charset=UTF-8");
}

void replykit_observe_members(struct replykit *kit, const char *members)
{
	cleanup(buf_deinit) struct buf body = {0};

	buf_addf(&body, "{\"data\":[{\"id\":\"%s\",\"state\":\"COMPLETED\"%s%s}]}",
	        kit->question.job_id, members[0] ? "," : "", members);
	replykit_observe(kit, 200, body.data, body.len);
}

const char *replykit_dir(struct buf *path)
{
	const char *data = getenv("BULKWATCH_TEST_DATA");

	buf_clear(path);
	buf_addf(path, "%s/zoho", data ? data : "tests/data");
	return buf_str(path);
}

void replykit_read(const char *name, struct buf *out)
{
	cleanup(buf_deinit) struct buf path = {0};
	char bytes[4096];
	size_t n;
	FILE *file;

	replykit_dir(&path);
	buf_addf(&path, "/%s", name);
	file = fopen(buf_str(&path), "r");
	ck_assert_msg(file != NULL, "cannot open %s", buf_str(&path));
	buf_clear(out);
	while ((n = fread(bytes, 1, sizeof(bytes), file)) > 0)
		buf_add(out, bytes, n);
	ck_assert(!ferror(file));
	fclose(file);
	ck_assert_uint_gt(out->len, 0);
}

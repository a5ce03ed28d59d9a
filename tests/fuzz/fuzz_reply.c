/*
 * Any bytes as a reply of Zoho's. The first byte chooses the job that was asked for, the status and
 * the content type; the rest is the body. Whatever comes, an observation keeps what core/observe.h
 * and core/job.h promise of it.
 */
#include <string.h>

#include "fuzz.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/json.h"
#include "wire/reply.h"

static const char token[] = "1000.0a1b2c3d4e5f.6789";

/* By the upper half of the first byte: of the samples, so that their replies are answers. */
static const char *const job_ids[] = {
        "554023000000568002", "111111000000052009", "1", "3652397000000646004"};

/* By the lower half: the characters '0' to '?' choose them in this order for the last job. */
static const struct {
	int http_status;
	const char *content_type;
	int64_t retry_after_s;
} heads[16] = {
        {200, "application/json", -1},
        {200, "application/json;charset=UTF-8", 0},
        {200, "text/html", -1},
        {200, "", -1},
        {204, "application/json", -1},
        {302, "application/json", -1},
        {400, "application/json", -1},
        {401, "application/json", -1},
        {403, "application/json", -1},
        {404, "application/json", -1},
        {429, "application/json", 251603807779},
        {500, "application/json", -189033821},
        {503, "text/html", 120},
        {201, "application/json", -1},
        {404, "text/html", -1},
        {304, "", -1},
};

static void check_json(const char *text)
{
	struct json *json;

	if (!text)
		return;
	must(json_parse(text, strlen(text), SIZE_MAX, &json) == JSON_OK);
	json_free(json);
}

static void check_text(const char *text)
{
	must(str_is_utf8(text, strlen(text), NULL));
	must(!strstr(text, token));
}

static void check_document(const struct job_document *document)
{
	if (document->operation)
		check_text(document->operation);
	check_json(document->created_by);
	check_json(document->created_time);
	check_json(document->query);
	check_json(document->result);
	check_json(document->other);
}

static void check_observation(const struct observation *out, int http_status)
{
	must((int)out->kind < OBSERVATION_KINDS && out->error < ERROR_CLASSES);
	must((out->kind == OBSERVED_STATUS) == (out->error == ERROR_NONE));
	must((out->kind == OBSERVED_STATUS) == (out->state != NULL));
	must(out->kind != OBSERVED_STATUS || http_status == 200);
	must(out->http_status == http_status);
	must(out->retry_after_ms == -1 || (out->retry_after_ms >= RETRY_AFTER_MIN_MS &&
	                                          out->retry_after_ms <= RETRY_AFTER_MAX_MS));
	check_text(out->message);
	must(!str_has_control(out->message, strlen(out->message)));
	if (out->kind != OBSERVED_STATUS) {
		must(out->message[0] != '\0');
		return;
	}
	check_text(out->state);
	must(job_state_is_sayable(out->state));
	check_document(&out->document);
}

static void check_same(const struct observation *a, const struct observation *b)
{
	must(a->kind == b->kind && a->error == b->error && str_is_equal(a->message, b->message));
	must(str_is_equal(a->state, b->state));
	must(str_is_equal(a->document.operation, b->document.operation));
	must(str_is_equal(a->document.created_by, b->document.created_by));
	must(str_is_equal(a->document.created_time, b->document.created_time));
	must(str_is_equal(a->document.query, b->document.query));
	must(str_is_equal(a->document.result, b->document.result));
	must(str_is_equal(a->document.other, b->document.other));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reply_texts fresh = {0}, used = {0};
	struct observation first, again;

	if (size == 0)
		return 0;
	const struct reply reply = {
	        .http_status = heads[data[0] % 16].http_status,
	        .body = (const char *)data + 1,
	        .len = size - 1,
	        .content_type = heads[data[0] % 16].content_type,
	        .retry_after_s = heads[data[0] % 16].retry_after_s,
	};
	const struct reply_question question = {
	        .job_id = job_ids[data[0] / 16 % 4],
	        .api_url = "https://www.zohoapis.eu",
	        .token = token,
	};

	reply_observe(&reply, &question, &used, &again);
	reply_observe(&reply, &question, &fresh, &first);
	check_observation(&first, reply.http_status);
	/* The same, in texts that served a reply before. */
	reply_observe(&reply, &question, &used, &again);
	check_same(&first, &again);
	reply_texts_deinit(&fresh);
	reply_texts_deinit(&used);
	return 0;
}

#include "sim/document.h"

#include <string.h>

#include "util/mem.h"
#include "util/str.h"
#include "wire/json.h"

enum {
	LONG_STATE_BYTES = 4096,
	BIG_BODY_BYTES = 2 << 20,
	SAMPLE_COUNT = 20,
	SAMPLE_PER_PAGE = 200000,
};

/* The samples' members that differ from state to state: tests/data/zoho. */
struct sample {
	const char *fields;
	const char *criteria;
	const char *created_by;
	const char *created_time;
	const char *file_type;
};

#define BOYLE "{\"id\":\"3652397000000186017\",\"name\":\"Patricia Boyle\"}"
#define CONDITION(name, comparator, value)                                                         \
	"{\"api_name\":\"" name "\",\"comparator\":\"" comparator "\",\"value\":\"" value "\"}"
#define OWNER_AND_PHONE                                                                            \
	CONDITION("Owner.last_name", "equal", "Boyle")                                             \
	"," CONDITION("Account_Name.Phone", "contains", "5")
#define CRITERIA(group) "{\"group\":[" group "],\"group_operator\":\"or\"}"

static const struct sample sample_added = {
        "[\"Last_Name\",\"Owner\",\"Owner.last_name\",\"Account_Name.Account_Name\","
        "\"Account_Name.Phone\",\"Created_Time\"]",
        CRITERIA(OWNER_AND_PHONE),
        BOYLE,
        "2019-04-01T14:20:04+05:30",
        NULL,
};

static const struct sample sample_in_progress = {
        "[\"Last_Name\",\"Owner\",\"Owner.last_name\",\"Account_Name.Account_Name\","
        "\"Account_Name.Phone\",\"Created_Time\"]",
        CRITERIA(OWNER_AND_PHONE),
        BOYLE,
        "2019-04-01T14:22:04+05:30",
        NULL,
};

static const struct sample sample_completed = {
        "[\"Last_Name\",\"Owner\",\"Owner.last_name\",\"Account_Name.Account_Name\","
        "\"Account_Name.Phone\",\"Lead_Source\",\"Created_Time\"]",
        CRITERIA(CONDITION("Lead_Source", "equal", "Advertisement") "," OWNER_AND_PHONE),
        BOYLE,
        "2019-04-01T14:24:04+05:30",
        NULL,
};

static const struct sample sample_failure = {
        NULL,
        NULL,
        "{\"id\":\"111111000000035795\",\"name\":\"Patricia Boyle\"}",
        "2021-02-23T13:36:53+05:30",
        "csv",
};

static const char failure_result[] =
        "{\"error_message\":{\"status\":\"error\",\"code\":\"INTERNAL_SERVER_ERROR\","
        "\"message\":\"Internal server error occurred.\",\"details\":{}}}";

static const struct sample *sample_of_state(const char *state)
{
	if (strcmp(state, "COMPLETED") == 0)
		return &sample_completed;
	if (strcmp(state, "FAILURE") == 0 || strcmp(state, "FAILED") == 0)
		return &sample_failure;
	if (strcmp(state, "ADDED") == 0 || strcmp(state, "QUEUED") == 0)
		return &sample_added;
	return &sample_in_progress;
}

int64_t document_count(const struct script_job *job)
{
	return job->count >= 0 ? job->count : SAMPLE_COUNT;
}

void document_write_columns(const struct script_job *job, struct buf *out)
{
	const char *p = job->fields_json ? job->fields_json : sample_completed.fields;

	/* Names of fields have no quotes or commas that a CSV would have to escape. */
	buf_adds(out, "Id");
	for (; *p; p++) {
		if (*p == '"') {
			size_t len = strcspn(++p, "\"");

			buf_addc(out, ',');
			buf_add(out, p, len);
			p += len;
		}
	}
}

/* Its last digit is another one. */
static void put_wrong_id(struct json_out *w, const char *id)
{
	cleanup(mem_free_p) char *wrong = mem_strdup(id);
	char *last = wrong + strlen(wrong) - 1;

	*last = (char)(*last == '9' ? '0' : *last + 1);
	json_put_string(w, "id", wrong);
}

static void put_state(struct json_out *w, const struct document *d)
{
	cleanup(buf_deinit) struct buf text = {0};
	size_t n = d->fault_bytes >= 0 ? (size_t)d->fault_bytes : LONG_STATE_BYTES;

	switch (d->fault) {
	case FAULT_NUMBER_STATE:
		json_put_integer(w, "state", 7);
		return;
	case FAULT_NUL_STATE:
		json_put_raw(w, "state", "\"COMPLETED\\u0000\"");
		return;
	case FAULT_DUPLICATE_KEYS:
		json_put_raw(w, "state", "\"ADDED\"");
		json_put_raw(w, "state", "\"COMPLETED\"");
		return;
	case FAULT_BAD_UTF8:
		json_put_raw(w, "state",
		        "\"COMPL\xff\xfe"
		        "ETED\"");
		return;
	case FAULT_LONG_STATE:
		buf_reserve(&text, n);
		memset(text.data, 'X', n);
		json_put_bytes(w, "state", text.data, n);
		return;
	default:
		json_put_string(w, "state", d->state);
	}
}

static void put_completed_result(struct json_out *w, const struct document *d)
{
	const struct script_job *job = d->job;
	cleanup(mem_free_p) char *url = mem_printf(
	        "/%s/bulk/%s/read/%s/result", config_service_name(d->service), d->version, d->id);

	json_open_object(w, "result");
	json_put_integer(w, "page", job->page >= 0 ? job->page : 1);
	json_put_integer(w, "count", document_count(job));
	json_put_string(w, "download_url", job->download_url ? job->download_url : url);
	json_put_integer(w, "per_page", job->per_page >= 0 ? job->per_page : SAMPLE_PER_PAGE);
	json_put_bool(w, "more_records", job->has_more_records);
	json_close_object(w);
}

static void put_result(struct json_out *w, const struct document *d, const struct sample *sample)
{
	if (sample != &sample_completed && sample != &sample_failure)
		return;
	if (d->job->result_json)
		json_put_raw(w, "result", d->job->result_json);
	else if (sample == &sample_completed)
		put_completed_result(w, d);
	else
		json_put_raw(w, "result", failure_result);
}

/* Bigin gives the module's name, the CRM twin from v3 on an object [its manual]. */
static void put_module(struct json_out *w, const struct document *d)
{
	const char *module = d->job->module ? d->job->module : "Contacts";

	if (d->service == SERVICE_BIGIN || strcmp(d->version, "v2") == 0) {
		json_put_string(w, "module", module);
		return;
	}
	json_open_object(w, "module");
	json_put_string(w, "id", "3652397000000002175");
	json_put_string(w, "api_name", module);
	json_close_object(w);
}

static void put_query(struct json_out *w, const struct document *d, const struct sample *sample)
{
	const struct script_job *job = d->job;
	const char *fields = job->fields_json ? job->fields_json : sample->fields;

	if (job->query_json) {
		json_put_raw(w, "query", job->query_json);
		return;
	}
	json_open_object(w, "query");
	if (fields)
		json_put_raw(w, "fields", fields);
	put_module(w, d);
	if (sample->criteria)
		json_put_raw(w, "criteria", sample->criteria);
	json_put_integer(w, "page", job->page >= 0 ? job->page : 1);
	json_close_object(w);
}

static void put_padding(struct json_out *w, const struct document *d)
{
	cleanup(buf_deinit) struct buf text = {0};
	size_t n = d->fault_bytes >= 0 ? (size_t)d->fault_bytes : BIG_BODY_BYTES;

	buf_reserve(&text, n);
	memset(text.data, 'x', n);
	json_put_bytes(w, "padding", text.data, n);
}

static void put_job(struct json_out *w, const struct document *d)
{
	const struct script_job *job = d->job;
	const struct sample *sample = sample_of_state(d->state);

	if (d->fault == FAULT_WRONG_ID)
		put_wrong_id(w, d->id);
	else
		json_put_string(w, "id", d->id);
	json_put_string(w, "operation", job->operation ? job->operation : "read");
	put_state(w, d);
	put_result(w, d, sample);
	put_query(w, d, sample);
	json_put_raw(
	        w, "created_by", job->created_by_json ? job->created_by_json : sample->created_by);
	json_put_string(
	        w, "created_time", job->created_time ? job->created_time : sample->created_time);
	if (sample->file_type)
		json_put_string(w, "file_type", sample->file_type);
	for (size_t i = 0; i < job->n_extra; i++)
		json_put_raw(w, job->extra[i].key, job->extra[i].json);
	if (d->fault == FAULT_BIG_BODY)
		put_padding(w, d);
}

void document_write(const struct document *document, struct buf *out)
{
	struct json_out w;

	json_out_init(&w, out, false);
	json_open_object(&w, NULL);
	json_open_array(&w, "data");
	json_open_object(&w, NULL);
	put_job(&w, document);
	json_close_object(&w);
	json_close_array(&w);
	json_close_object(&w);
	json_out_deinit(&w);
}

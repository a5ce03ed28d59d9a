/* The status of a job, and the download of its result. */
#include <string.h>

#include "sim/document.h"
#include "sim/exchange.h"
#include "sim/zip.h"
#include "util/mem.h"

enum { CSV_ROWS_MAX = 1000 };

/* NULL, and that is answered, if there is no such job for this service. */
static struct life *exchange_life(struct exchange *x)
{
	struct life *life = lives_find(x->sim->lives, x->dc->index, x->route.id);

	if (!life)
		life = lives_begin(x->sim->lives, x->dc->index, x->route.id,
		        sim_job(x->sim, x->dc, x->route.id), x->now.mono_ms);
	if (!life) {
		fault_replace_plainly(FAULT_503, x->route.id, &x->reply);
		return NULL;
	}
	life->n_requests++;
	if (life->job->service != SERVICE_ANY && life->job->service != (int64_t)x->route.service) {
		fault_replace_plainly(FAULT_NOT_FOUND, x->route.id, &x->reply);
		return NULL;
	}
	return life;
}

static void exchange_write_document(
        struct exchange *x, const struct life *life, const struct script_step *step)
{
	bool is_changed = x->fault && fault_kind_class(x->fault->kind) == FAULT_OF_DOCUMENT;
	struct document document = {
	        .job = life->job,
	        .id = x->route.id,
	        .state = step->state,
	        .service = x->route.service,
	        .version = x->route.version,
	        .fault = is_changed ? x->fault->kind : FAULT_NONE,
	        .fault_bytes = is_changed ? x->fault->bytes : -1,
	};

	x->reply.content_type = REPLY_TYPE_JSON;
	document_write(&document, &x->reply.body);
	x->state = step->state;
	x->state_age_ms = x->now.mono_ms - life->step_since_mono_ms;
}

void exchange_answer_status(struct exchange *x)
{
	struct life *life = exchange_life(x);
	const struct script_step *step;

	if (!life)
		return;
	step = life_look(x->sim->lives, life, x->now.mono_ms);
	if (step->fault != FAULT_NONE)
		fault_replace_plainly(step->fault, x->route.id, &x->reply);
	else if (step->sample)
		reply_set_body(&x->reply, REPLY_TYPE_JSON, step->sample, step->sample_len);
	else
		exchange_write_document(x, life, step);
	/* An answer that arrives broken has told nobody of the state. */
	if (!x->fault || fault_kind_is_harmless(x->fault->kind))
		life_count_answer(x->sim->lives, life, x->now.mono_ms);
}

static void csv_write(const struct script_job *job, struct buf *out)
{
	int64_t n_rows = document_count(job);
	size_t n_columns = 0;

	document_write_columns(job, out);
	for (size_t i = 0; i < out->len; i++)
		n_columns += out->data[i] == ',';
	buf_adds(out, "\r\n");
	for (int64_t row = 1; row <= n_rows && row <= CSV_ROWS_MAX; row++) {
		buf_addf(out, "36523970000%08lld", (long long)row);
		for (size_t column = 1; column <= n_columns; column++)
			buf_addf(out, ",value %lld.%zu", (long long)row, column);
		buf_adds(out, "\r\n");
	}
}

static void exchange_write_archive(struct exchange *x, const struct script_job *job)
{
	cleanup(buf_deinit) struct buf csv = {0};
	cleanup(mem_free_p) char *name = mem_printf("%s.csv", x->route.id);

	csv_write(job, &csv);
	zip_write(name, csv.data, csv.len, &x->reply.body);
	x->reply.content_type = "application/x-download";
	buf_addf(&x->reply.headers, "Content-Disposition: attachment;filename=%s.zip\r\n",
	        x->route.id);
}

/* The state is only looked at: a download is no answer that moves a life on. */
void exchange_answer_result(struct exchange *x)
{
	struct life *life = lives_find(x->sim->lives, x->dc->index, x->route.id);
	const struct script_step *step =
	        life ? life_look(x->sim->lives, life, x->now.mono_ms) : NULL;

	if (!step || !step->state || strcmp(step->state, "COMPLETED") != 0 ||
	        (life->job->service != SERVICE_ANY &&
	                life->job->service != (int64_t)x->route.service))
		fault_replace_plainly(FAULT_NOT_FOUND, x->route.id, &x->reply);
	else if (!org_take_download(x->org, x->now.mono_ms))
		fault_replace_plainly(FAULT_429, x->route.id, &x->reply);
	else
		exchange_write_archive(x, life->job);
}

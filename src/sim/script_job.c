/* The `jobs:` list of a script. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/script_read.h"
#include "util/err.h"
#include "util/mem.h"
#include "util/str.h"

enum {
	STEP_STATE_MAX = 4096,
	STEP_POLLS_MAX = 1000000000,
	JOB_TEXT_MAX = 1024,
};

static const int64_t job_number_max = INT64_C(1000000000000000);

/* What a job may say of its life: the reading keeps apart what becomes steps. */
struct job_draft {
	struct script_job job;
	struct script_step *steps; /* of `life`; job.steps in the end */
	struct script_step sample;
	const char *final;
	struct dist duration;
	bool has_duration;
};

static const struct script_step default_steps[] = {
        {.state = "ADDED", .polls = 2},
        {.state = "IN PROGRESS", .polls = 3},
        {.state = "COMPLETED"},
};

static const struct script_job default_job = {
        .service = SERVICE_ANY,
        .steps = default_steps,
        .n_steps = ARRAY_LEN(default_steps),
        .page = -1,
        .count = -1,
        .per_page = -1,
};

const struct script_job *script_default_job(void)
{
	return &default_job;
}

static int sample_read(const char *path, struct buf *out)
{
	cleanup(mem_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > SCRIPT_SAMPLE_MAX_BYTES)
		return -EFBIG;
	buf_reserve(out, (size_t)st.st_size);
	do {
		n = read(fd, out->data + out->len, (size_t)st.st_size - out->len);
		out->len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	return n < 0 ? -errno : 0;
}

/* Into a struct script_step. */
static void read_sample(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	cleanup(buf_deinit) struct buf bytes = {0};
	cleanup(mem_free_p) char *path = NULL;
	struct script_step *step = field;
	const char *name = script_scalar(r, node, key->name);
	int error;

	if (!name)
		return;
	if (r->context->is_live) {
		problems_add(r->problems, node->at, "no files are read for a job that comes later");
		return;
	}
	path = name[0] == '/' ? mem_strdup(name) : mem_printf("%s/%s", r->directory, name);
	error = sample_read(path, &bytes);
	if (error < 0) {
		problems_add(r->problems, node->at, "%s: %s", path, err_text(error));
		return;
	}
	step->sample = config_strings_add(r->script->strings, buf_str(&bytes), bytes.len);
	step->sample_len = bytes.len;
}

static void read_step_fault(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const char *text = script_scalar(r, node, key->name);
	enum fault_kind kind = text ? fault_kind_by_name(text) : FAULT_NONE;
	struct fault fault;
	char quoted[QUOTE_SIZE];

	if (!text)
		return;
	fault_init(&fault);
	fault.kind = kind;
	fault.path = FAULT_PATH_API;
	/* Those that need an option have no place here, and a refusal is the whole data center's.
	 */
	if (kind == FAULT_NONE || !fault_settle_path(&fault) || kind == FAULT_REFUSE ||
	        kind == FAULT_STATUS || fault_kind_class(kind) != FAULT_REPLACES)
		problems_add(r->problems, node->at,
		        "%s is no fault that can stand for a state; those that replace the whole "
		        "answer can, such as not_found",
		        problems_quote(quoted, text));
	else
		*(enum fault_kind *)field = kind;
}

static void read_step_lasts(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	struct script_step *step = field;

	step->is_timed = true;
	script_read_dist(r, node, &step->lasts, key);
}

static const struct script_key step_keys[] = {
        {"state", script_read_text, offsetof(struct script_step, state), 0, STEP_STATE_MAX},
        {"fault", read_step_fault, offsetof(struct script_step, fault), 0, 0},
        {"sample", read_sample, 0, 0, 0},
        {"polls", script_read_integer, offsetof(struct script_step, polls), 1, STEP_POLLS_MAX},
        {"for", read_step_lasts, 0, 0, 0},
};

static void read_step(struct script_reader *r, const struct tree_node *node, void *target,
        const struct script_key *key)
{
	struct job_draft *draft = target;
	struct script_job *job = &draft->job;
	struct script_step *step;
	int n_said;

	(void)key;
	if (job->n_steps == SCRIPT_STEPS_MAX) {
		problems_add(
		        r->problems, node->at, "a life has at most %d steps", SCRIPT_STEPS_MAX);
		return;
	}
	step = &draft->steps[job->n_steps++];
	if (!script_read_map(r, node, "a step", step_keys, ARRAY_LEN(step_keys), step))
		return;
	n_said = !!tree_get(node, "state") + !!tree_get(node, "fault") + !!tree_get(node, "sample");
	if (n_said != 1)
		problems_add(r->problems, node->at, "a step has one of state, fault and sample");
	if (tree_get(node, "polls") && tree_get(node, "for"))
		problems_add(r->problems, node->at, "a step has polls or for, not both");
	if (node->next && !tree_get(node, "polls") && !tree_get(node, "for"))
		problems_add(
		        r->problems, node->at, "a step needs polls or for, unless it is the last");
}

static void read_life(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	struct job_draft *draft = field;
	size_t n = node->n < SCRIPT_STEPS_MAX ? node->n : SCRIPT_STEPS_MAX;

	draft->steps = config_strings_alloc(r->script->strings, (n + 1) * sizeof(*draft->steps));
	if (script_read_list(r, node, "life", read_step, draft, key) && node->n == 0)
		problems_add(r->problems, node->at, "a life has at least one step");
}

static void read_duration(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	struct job_draft *draft = field;

	draft->has_duration = true;
	script_read_dist(r, node, &draft->duration, key);
}

static void read_extra(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	static const struct script_key any = {.name = "extra"};
	struct script_job *job = field;

	if (node->kind != TREE_MAP) {
		problems_add(r->problems, node->at, "%s must be a map", key->name);
		return;
	}
	job->extra = config_strings_alloc(r->script->strings, (node->n + 1) * sizeof(*job->extra));
	for (const struct tree_node *child = node->first; child; child = child->next) {
		if (child->kind == TREE_BROKEN)
			continue;
		job->extra[job->n_extra].key = child->key;
		script_read_json(r, child, &job->extra[job->n_extra].json, &any);
		job->n_extra++;
	}
}

/* Read when the rest of the job is known. */
static void read_later(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	(void)r;
	(void)node;
	(void)field;
	(void)key;
}

#define FIELD(name) offsetof(struct job_draft, job.name)

static const struct script_key job_keys[] = {
        {"id", script_read_ids, FIELD(ids), 0, 0},
        {"dc", script_read_dc, FIELD(dc), 0, 0},
        {"service", script_read_service, FIELD(service), 0, 0},
        {"life", read_life, 0, 0, 0},
        {"duration", read_duration, 0, 0, 0},
        {"final", script_read_text, offsetof(struct job_draft, final), 0, STEP_STATE_MAX},
        {"sample", read_sample, offsetof(struct job_draft, sample), 0, 0},
        {"operation", script_read_text, FIELD(operation), 0, JOB_TEXT_MAX},
        {"module", script_read_text, FIELD(module), 0, JOB_TEXT_MAX},
        {"page", script_read_integer, FIELD(page), 0, job_number_max},
        {"count", script_read_integer, FIELD(count), 0, job_number_max},
        {"per_page", script_read_integer, FIELD(per_page), 0, job_number_max},
        {"more_records", script_read_bool, FIELD(has_more_records), 0, 0},
        {"fields", script_read_json_texts, FIELD(fields_json), 0, 0},
        {"query", script_read_json, FIELD(query_json), 0, 0},
        {"created_by", script_read_json_texts, FIELD(created_by_json), 0, 0},
        {"created_time", script_read_text, FIELD(created_time), 0, JOB_TEXT_MAX},
        {"download_url", script_read_text, FIELD(download_url), 0, JOB_TEXT_MAX},
        {"result", script_read_json, FIELD(result_json), 0, 0},
        {"extra", read_extra, offsetof(struct job_draft, job), 0, 0},
        {"faults", read_later, 0, 0, 0},
};

/* Of a life that is only said by its length or end: a tenth of it ADDED, the rest IN PROGRESS. */
static void draft_settle_steps(struct script_reader *r, struct job_draft *draft)
{
	struct script_job *job = &draft->job;
	struct script_step *steps;

	job->steps = draft->steps;
	if (job->steps)
		return;
	steps = config_strings_alloc(r->script->strings, sizeof(default_steps));
	job->steps = steps;
	if (draft->sample.sample) {
		steps[0] = draft->sample;
		job->n_steps = 1;
		return;
	}
	memcpy(steps, default_steps, sizeof(default_steps));
	job->n_steps = ARRAY_LEN(default_steps);
	if (draft->final)
		steps[job->n_steps - 1].state = draft->final;
	if (!draft->has_duration)
		return;
	for (size_t i = 0; i + 1 < job->n_steps; i++) {
		steps[i].polls = 0;
		steps[i].is_timed = true;
		steps[i].lasts = draft->duration;
	}
	job->shares_duration = true;
}

static void draft_check(struct script_reader *r, const struct tree_node *node)
{
	static const char *const shorthands[] = {"duration", "final"};
	const struct tree_node *life = tree_get(node, "life"), *sample = tree_get(node, "sample");

	if (!tree_get(node, "id"))
		problems_add(r->problems, node->at, "a job needs an id (or a range, or a pattern)");
	if (life && sample)
		problems_add(r->problems, sample->key_at, "a job has life or sample, not both");
	for (size_t i = 0; i < ARRAY_LEN(shorthands); i++) {
		const struct tree_node *shorthand = tree_get(node, shorthands[i]);

		if (shorthand && (life || sample))
			problems_add(r->problems, shorthand->key_at,
			        "%s says nothing where there is a %s", shorthands[i],
			        life ? "life" : "sample");
	}
}

static void read_job(struct script_reader *r, const struct tree_node *node, void *target,
        const struct script_key *key)
{
	struct script *script = r->script;
	struct job_draft draft = {.job = default_job};
	const struct tree_node *faults;

	(void)target;
	draft.job.steps = NULL;
	draft.job.n_steps = 0;
	if (!script_read_map(r, node, "a job", job_keys, ARRAY_LEN(job_keys), &draft))
		return;
	draft_check(r, node);
	draft_settle_steps(r, &draft);
	faults = tree_get(node, "faults");
	if (faults && faults->kind != TREE_BROKEN) {
		r->dc = draft.job.dc;
		r->ids = &draft.job.ids;
		script_read_faults(r, faults, NULL, key);
		r->dc = NULL;
		r->ids = NULL;
	}
	script->jobs =
	        script_grow(r, script->jobs, &script->n_jobs, &r->cap_jobs, sizeof(*script->jobs));
	script->jobs[script->n_jobs - 1] = draft.job;
}

void script_read_jobs(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	script_read_list(r, node, "jobs", read_job, field, key);
}

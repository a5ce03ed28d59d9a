/* The `faults:` lists of a script. */
#include <string.h>

#include "sim/script_read.h"
#include "util/mem.h"
#include "util/str.h"

enum {
	FAULT_BYTES_MAX = 64 << 20,
	FAULT_TEXT_MAX = 64 * 1024,
	FAULT_WAIT_MAX_MS = 9 * 60 * 1000, /* below CONN_IDLE_S, which would end it */
	FAULT_COUNT_MAX = 1000000000,
};

static const int64_t fault_for_max_ms = INT64_C(1000) * 86400 * 1000;

static void read_what(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const char *text = script_scalar(r, node, key->name), *nearest;
	const char *names[FAULT_KINDS - 1];
	char quoted[QUOTE_SIZE];
	enum fault_kind kind = text ? fault_kind_by_name(text) : FAULT_NONE;

	*(enum fault_kind *)field = kind;
	if (!text || kind != FAULT_NONE)
		return;
	for (size_t i = 0; i < FAULT_KINDS - 1; i++)
		names[i] = fault_kind_name((enum fault_kind)(i + 1));
	nearest = str_nearest(text, names, FAULT_KINDS - 1);
	problems_add(r->problems, node->at, "%s is no fault%s%s%s", problems_quote(quoted, text),
	        nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

static void read_path(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	static const struct {
		const char *name;
		enum fault_path path;
	} paths[] = {{"api", FAULT_PATH_API}, {"result", FAULT_PATH_RESULT},
	        {"token", FAULT_PATH_TOKEN}, {"any", FAULT_PATH_ANY}};
	const char *text = script_scalar(r, node, key->name);

	for (size_t i = 0; text && i < ARRAY_LEN(paths); i++) {
		if (strcmp(paths[i].name, text) == 0) {
			*(enum fault_path *)field = paths[i].path;
			return;
		}
	}
	if (text)
		problems_add(r->problems, node->at, "path must be api, result, token or any");
}

static void read_times(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const char *text = script_scalar(r, node, key->name);

	if (!text)
		return;
	if (strcmp(text, "forever") == 0)
		*(int64_t *)field = -1;
	else if (str_to_int(text, key->min, key->max, field) < 0)
		problems_add(r->problems, node->at, "times must be a number from 1, or forever");
}

static void read_probability(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const char *text = script_scalar(r, node, key->name);
	char *end = NULL;
	double value;

	if (!text)
		return;
	value = strspn(text, "0123456789.") == strlen(text) ? strtod(text, &end) : -1;
	if (!end || end == text || *end != '\0' || value > 1)
		problems_add(r->problems, node->at, "probability must be a number from 0 to 1");
	else
		*(double *)field = value;
}

/* A body may hold line ends. */
static void read_body(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const char *text = script_scalar(r, node, key->name);

	if (text && strlen(text) > (size_t)key->max)
		problems_add(r->problems, node->at, "body must be at most %lld bytes",
		        (long long)key->max);
	else if (text)
		*(const char **)field = text;
}

#define FIELD(name) offsetof(struct fault, name)

static const struct script_key fault_keys[] = {
        {"what", read_what, FIELD(kind), 0, 0},
        {"dc", script_read_dc, FIELD(dc), 0, 0},
        {"job", script_read_ids, FIELD(ids), 0, 0},
        {"path", read_path, FIELD(path), 0, 0},
        {"after", script_read_integer, FIELD(after), 0, FAULT_COUNT_MAX},
        {"every", script_read_integer, FIELD(every), 1, FAULT_COUNT_MAX},
        {"times", read_times, FIELD(times), 1, FAULT_COUNT_MAX},
        {"for", script_read_duration, FIELD(for_ms), 1, fault_for_max_ms},
        {"probability", read_probability, FIELD(probability), 0, 0},
        {"status", script_read_integer, FIELD(status), 200, 599},
        {"bytes", script_read_integer, FIELD(bytes), 0, FAULT_BYTES_MAX},
        {"delay", script_read_duration, FIELD(delay_ms), 1, FAULT_WAIT_MAX_MS},
        {"retry_after", script_read_text, FIELD(retry_after), 1, 256},
        {"body", read_body, FIELD(body), 0, FAULT_TEXT_MAX},
        {"content_type", script_read_text, FIELD(content_type), 1, 256},
        {"location", script_read_text, FIELD(location), 1, 2048},
};

static void fault_check_owner(struct script_reader *r, const struct tree_node *node)
{
	const struct tree_node *dc = tree_get(node, "dc"), *job = tree_get(node, "job");

	if (r->ids && job)
		problems_add(r->problems, job->key_at, "a fault of a job is for that job alone");
	if ((r->ids || r->dc) && dc)
		problems_add(r->problems, dc->key_at, "this fault is for %s alone",
		        r->ids ? "that job" : "that data center");
}

static void fault_check(struct script_reader *r, const struct tree_node *node, struct fault *fault)
{
	const struct tree_node *what = tree_get(node, "what");
	const char *name = fault_kind_name(fault->kind);

	if (!what)
		problems_add(r->problems, node->at, "a fault needs what: the kind of it");
	if (!what || fault->kind == FAULT_NONE)
		return;
	if (!fault_settle_path(fault))
		problems_add(r->problems, what->at, "%s cannot happen on that path", name);
	if (fault->ids.kind != IDS_ALL && fault->path == FAULT_PATH_TOKEN)
		problems_add(r->problems, what->at, "requests for tokens are about no job");
	if ((fault->kind == FAULT_DELAY || fault->kind == FAULT_SLOW) && fault->delay_ms == 0)
		problems_add(r->problems, what->at, "%s needs delay", name);
	if (fault->kind == FAULT_STATUS && fault->status == 0)
		problems_add(r->problems, what->at, "status needs status: the number of it");
}

static void read_fault(struct script_reader *r, const struct tree_node *node, void *target,
        const struct script_key *key)
{
	struct script *script = r->script;
	struct fault *fault;

	(void)target;
	(void)key;
	script->faults = script_grow(
	        r, script->faults, &script->n_faults, &r->cap_faults, sizeof(*script->faults));
	fault = &script->faults[script->n_faults - 1];
	fault_init(fault);
	if (!script_read_map(r, node, "a fault", fault_keys, ARRAY_LEN(fault_keys), fault))
		return;
	fault_check_owner(r, node);
	if (r->dc)
		fault->dc = r->dc;
	if (r->ids)
		fault->ids = *r->ids;
	fault_check(r, node, fault);
	if (fault->kind == FAULT_REFUSE && fault->every == 1 && !tree_get(node, "times"))
		fault->times = 1;
}

void script_read_faults(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	script_read_list(r, node, "faults", read_fault, field, key);
}

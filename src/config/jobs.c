/*
 * The jobs of an account: those in its list and those of its file, a million of them without
 * trouble. The text of a file stays in memory as it was read; ids and names point into it.
 *
 * A jobs file has one id a line, the rest of the line is the job's name:
 *
 *	# exports of the night
 *	3652397000000646004
 *	3652397000000646005 contacts-nightly
 */
#include "config/loader.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "core/limits.h"
#include "util/err.h"
#include "util/mem.h"
#include "util/str.h"

struct jobs {
	struct loader *l;
	struct config_account *account;
	struct place *places; /* owned: of each job of the account */
	size_t cap;
};

/* Most is ASCII, which is seen eight bytes at a time. */
static bool text_is_utf8(const char *text, size_t len)
{
	size_t i = 0;

	for (uint64_t word; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, text + i, sizeof(word));
		if (word & UINT64_C(0x8080808080808080))
			break;
	}
	return str_is_utf8(text + i, len - i, NULL);
}

const char *config_job_name_problem(const char *name)
{
	size_t len = strlen(name), n_digits = 0;

	if (len == 0)
		return "is empty";
	if (len > JOB_NAME_MAX_BYTES)
		return "is longer than 128 bytes";
	if (!text_is_utf8(name, len))
		return "is not valid UTF-8";
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c == '/')
			return "holds a \"/\"";
		/* U+0080 to U+009f are controls, too. */
		if (c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)name[i + 1] < 0xa0))
			return "holds a control character";
		n_digits += c >= '0' && c <= '9';
	}
	return n_digits == len ? "is digits alone, as an id is" : NULL;
}

static void jobs_reserve(struct jobs *jobs, size_t n_more)
{
	struct config_account *account = jobs->account;
	size_t need = account->n_jobs + n_more;

	if (need <= jobs->cap)
		return;
	jobs->cap = need > jobs->cap * 2 ? need : jobs->cap * 2;
	account->jobs = mem_resize(account->jobs, jobs->cap, sizeof(*account->jobs));
	jobs->places = mem_resize(jobs->places, jobs->cap, sizeof(*jobs->places));
}

/* Ready to be filled, or NULL if there are too many. */
static struct config_job *jobs_add(struct jobs *jobs, struct place at)
{
	struct config_account *account = jobs->account;
	struct config_job *job;

	if (jobs->l->n_jobs == JOBS_MAX)
		return NULL;
	jobs_reserve(jobs, 1);
	assert(jobs->places);
	jobs->l->n_jobs++;
	jobs->places[account->n_jobs] = at;
	job = &account->jobs[account->n_jobs++];
	*job = (struct config_job){.overdue_after_ms = account->poll.overdue_after_ms};
	return job;
}

static void jobs_take_back(struct jobs *jobs)
{
	jobs->account->n_jobs--;
	jobs->l->n_jobs--;
}

/* False if it was told to be wrong, so that there is no job. */
static bool job_read(struct jobs *jobs, const struct tree_node *node, struct config_job *job)
{
	struct loader *l = jobs->l;
	const struct tree_node *hooks;
	struct found found;

	if (node->kind == TREE_SCALAR)
		return value_read(l, option_find(SCOPE_JOB, "id"), node, job);
	if (!value_is_kind(l, "jobs", node, TREE_MAP, "a job's id, or a mapping with id"))
		return false;
	scope_read(l, SCOPE_JOB, node, job, &found);
	hooks = found_node(&found, "hooks");
	if (hooks) {
		job->has_hooks = true;
		value_read_hooks(l, option_find(SCOPE_JOB, "hooks"), hooks, &job->hooks);
	}
	if (!found_node(&found, "id"))
		problems_add(&l->problems, node->at, "a job without an id");
	return job->id != NULL;
}

static void jobs_read_list(struct jobs *jobs, const struct tree_node *list)
{
	static const char expected[] =
	        "a list of jobs, each \"- ID\" or \"- {id: ID, name: NAME}\"";
	struct loader *l = jobs->l;

	if (!value_is_kind(l, "jobs", list, TREE_LIST, expected))
		return;
	jobs_reserve(jobs, list->n);
	for (const struct tree_node *node = list->first; node; node = node->next) {
		struct config_job *job = jobs_add(jobs, node->at);

		if (!job) {
			problems_add(&l->problems, node->at, "jobs: more than %d in all", JOBS_MAX);
			return;
		}
		if (!job_read(jobs, node, job))
			jobs_take_back(jobs);
	}
}

/* ---- the file ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The line as text is told in its place; at->column is set to what is wrong. */
static void line_refuse_bytes(struct jobs *jobs, const char *line, size_t len, struct place at)
{
	size_t bad = 0;

	if (memchr(line, '\0', len)) {
		problems_add(&jobs->l->problems, at, "a NUL character in the line");
		return;
	}
	str_is_utf8(line, len, &bad);
	for (size_t i = 0; i < bad; i++)
		at.column += ((unsigned char)line[i] & 0xc0) != 0x80;
	problems_add(
	        &jobs->l->problems, at, "invalid UTF-8 (byte 0x%02x)", (unsigned char)line[bad]);
}

/* The line ends with a NUL and holds more than blanks. False if there are too many jobs. */
static bool line_read(struct jobs *jobs, char *line, struct place at)
{
	struct problems *problems = &jobs->l->problems;
	char *id = line + strspn(line, " \t"), *name;
	size_t len = strspn(id, "0123456789");
	char quoted[QUOTE_SIZE];
	struct config_job *job;
	const char *wrong;

	at.column = (uint32_t)(id - line) + 1;
	if (len == 0 || len > JOB_ID_MAX || (id[len] && !is_blank(id[len]))) {
		id[strcspn(id, " \t")] = '\0';
		problems_add(problems, at, "expected a job's id of 1 to 20 digits, found %s",
		        problems_quote(quoted, id));
		return true;
	}
	job = jobs_add(jobs, at);
	if (!job) {
		problems_add(problems, at, "more than %d jobs in all", JOBS_MAX);
		return false;
	}
	name = id + len + strspn(id + len, " \t");
	id[len] = '\0';
	job->id = id;
	if (*name == '\0' || *name == '#')
		return true;
	job->name = name;
	wrong = config_job_name_problem(name);
	at.column = (uint32_t)(name - line) + 1;
	if (wrong)
		problems_add(problems, at, "the name %s %s", problems_quote(quoted, name), wrong);
	return true;
}

static size_t count_lines(const char *text, size_t len)
{
	size_t n = 1;

	for (const char *p = text; (p = memchr(p, '\n', len - (size_t)(p - text))); p++)
		n++;
	return n;
}

static void jobs_parse_text(struct jobs *jobs, uint32_t file, char *text, size_t len)
{
	static const char bom[] = "\xef\xbb\xbf";
	struct place at = {.file = file, .column = 1};
	char *line = text + (str_has_prefix(text, bom) ? strlen(bom) : 0), *end = text + len, *next;

	jobs_reserve(jobs, count_lines(text, len));
	for (; line < end; line = next) {
		char *newline = memchr(line, '\n', (size_t)(end - line));
		char *last = newline ? newline : end, *first;

		next = last + 1;
		at.line++;
		if (last > line && last[-1] == '\r')
			last--;
		while (last > line && is_blank(last[-1]))
			last--;
		*last = '\0';
		if (memchr(line, '\0', (size_t)(last - line)) ||
		        !text_is_utf8(line, (size_t)(last - line))) {
			line_refuse_bytes(jobs, line, (size_t)(last - line), at);
			continue;
		}
		first = line + strspn(line, " \t");
		if (*first && *first != '#' && !line_read(jobs, line, at))
			return;
	}
}

static void jobs_read_file(struct jobs *jobs, const struct tree_node *node)
{
	const struct option *option = option_find(SCOPE_ACCOUNT, "jobs_file");
	struct loader *l = jobs->l;
	cleanup(mem_free_p) char *path = NULL;
	char *text = NULL;
	size_t len;
	int r;

	if (!value_is_path(l, option, node) || (l->flags & LOADER_TEXT_ALONE))
		return;
	path = path_beside(l->sources[node->at.file].shown, node->text);
	r = path_read(path, JOBS_FILE_MAX_BYTES, true, &text, &len);
	problems_note(&l->problems, r);
	if (r < 0) {
		problems_add(&l->problems, node->at, "jobs_file: %s cannot be read: %s", path,
		        r == -ENODEV ? "not a regular file" : err_text(r));
		return;
	}
	config_strings_adopt(l->config->job_strings, text);
	jobs_parse_text(jobs, problems_file(&l->problems, path), text, len);
}

/* ---- the same job twice ---- */

/* Open addressing, made once in its final size: a table that grows would hash each id again. */
struct seen {
	struct hash_slot *slots; /* handles are indices of jobs */
	size_t mask;
};

/* The job of that id that was entered before, or HASH_NONE, and then this one is. */
static uint32_t seen_enter(struct seen *seen, const struct config_account *account, uint32_t job)
{
	const char *id = account->jobs[job].id;
	uint64_t hash = hash_bytes(id, strlen(id));
	uint32_t tag = (uint32_t)(hash >> 32);
	size_t i = hash & seen->mask;

	for (; seen->slots[i].handle != HASH_NONE; i = (i + 1) & seen->mask) {
		if (seen->slots[i].tag == tag &&
		        strcmp(account->jobs[seen->slots[i].handle].id, id) == 0)
			return seen->slots[i].handle;
	}
	seen->slots[i] = (struct hash_slot){.tag = tag, .handle = job};
	return HASH_NONE;
}

static void jobs_check_duplicates(struct jobs *jobs)
{
	const struct config_account *account = jobs->account;
	struct problems *problems = &jobs->l->problems;
	size_t n_slots = 16;
	struct seen seen;

	while (n_slots < account->n_jobs * 2)
		n_slots *= 2;
	seen = (struct seen){.slots = mem_new(n_slots, sizeof(*seen.slots)), .mask = n_slots - 1};
	memset(seen.slots, 0xff, n_slots * sizeof(*seen.slots));
	for (uint32_t i = 0; i < account->n_jobs; i++) {
		uint32_t first = seen_enter(&seen, account, i);

		if (first != HASH_NONE)
			problems_add(problems, jobs->places[i], "job %s stands at %s:%u already",
			        account->jobs[i].id,
			        problems_file_name(problems, jobs->places[first]),
			        jobs->places[first].line);
	}
	free(seen.slots);
}

void jobs_read(struct loader *l, struct config_account *account, const struct tree_node *list,
        const struct tree_node *file)
{
	struct jobs jobs = {.l = l, .account = account};

	if (list)
		jobs_read_list(&jobs, list);
	if (file)
		jobs_read_file(&jobs, file);
	jobs_check_duplicates(&jobs);
	free(jobs.places);
}

void jobs_read_text(
        struct loader *l, struct config_account *account, const char *shown, char *text, size_t len)
{
	struct jobs jobs = {.l = l, .account = account};

	config_strings_adopt(l->config->job_strings, text);
	jobs_parse_text(&jobs, problems_file(&l->problems, shown), text, len);
	jobs_check_duplicates(&jobs);
	free(jobs.places);
}

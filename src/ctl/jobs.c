#include "ctl/jobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/mem.h"
#include "util/str.h"

enum { NEAREST_PAGES = 10 };

void query_add(struct buf *path, const char *name, const char *value)
{
	if (!value)
		return;
	buf_addf(path, "%c%s=", strchr(buf_str(path), '?') ? '&' : '?', name);
	client_add_encoded(path, value);
}

void job_add_path(struct buf *path, const char *account, const char *id, const char *tail)
{
	buf_adds(path, "/v1/jobs/");
	client_add_encoded(path, account);
	buf_addc(path, '/');
	client_add_encoded(path, id);
	buf_adds(path, tail);
}

void jobs_pager_init(struct jobs_pager *pager, struct client *client)
{
	*pager = (struct jobs_pager){.client = client, .page = JOBS_PAGE};
	buf_adds(&pager->filter, "/v1/jobs");
}

void jobs_pager_deinit(struct jobs_pager *pager)
{
	pager->json = json_free(pager->json);
	answer_deinit(&pager->answer);
	buf_deinit(&pager->filter);
	free(pager->after);
}

static int jobs_pager_ask(struct jobs_pager *pager, int64_t limit)
{
	struct buf path = {0};
	char number[24];
	int code;

	buf_adds(&path, buf_str(&pager->filter));
	snprintf(number, sizeof(number), "%" PRId64, limit);
	query_add(&path, "limit", number);
	query_add(&path, "after", pager->after);
	struct client_request request = {.path = buf_str(&path), .timeout_ms = pager->timeout_ms};

	code = client_ask(pager->client, &request, &pager->answer);
	buf_deinit(&path);
	return code;
}

static int jobs_pager_take(struct jobs_pager *pager)
{
	const struct json_node *root = json_root(pager->json);
	const struct json_node *next = json_get(pager->json, root, "next");

	if (!json_get(pager->json, root, "jobs")) {
		ctl_say("the daemon's answer has no list of jobs");
		return CTL_OTHER;
	}
	pager->is_last = !next || !next->text;
	/* A page that says that another follows, but from where it began, would never end. */
	if (!pager->is_last && str_is_equal(pager->after, next->text)) {
		ctl_say("the daemon's list of jobs goes in circles");
		return CTL_OTHER;
	}
	free(pager->after);
	pager->after = pager->is_last ? NULL : mem_strdup(next->text);
	return CTL_OK;
}

int jobs_pager_next(struct jobs_pager *pager, int64_t most)
{
	for (;;) {
		int code = jobs_pager_ask(pager, pager->page < most ? pager->page : most);
		enum json_error error;

		pager->json = json_free(pager->json);
		if (code != CTL_OK)
			return code;
		if (pager->answer.status != 200)
			return answer_parse(&pager->answer, &pager->json);
		error = json_parse(buf_str(&pager->answer.body), pager->answer.body.len,
		        ANSWER_MAX_BYTES, &pager->json);
		if (error == JSON_OK)
			return jobs_pager_take(pager);
		/* Jobs with long queries: the parser's bound is on a page's values. */
		if (error != JSON_E_TOO_BIG || pager->page == 1) {
			ctl_say("the daemon's answer is %s", json_error_words(error));
			return CTL_OTHER;
		}
		pager->page = (pager->page < most ? pager->page : most) / 2;
		if (pager->page < 1)
			pager->page = 1;
	}
}

void found_job_deinit(struct found_job *job)
{
	job->json = json_free(job->json);
	answer_deinit(&job->answer);
	free(job->account);
	free(job->id);
	*job = (struct found_job){0};
}

/* What may be meant: account and id of each. */
struct candidates {
	char *accounts[JOBS_CANDIDATES_MAX];
	char *ids[JOBS_CANDIDATES_MAX];
	size_t n;
	bool has_more;
};

static void candidates_deinit(struct candidates *candidates)
{
	for (size_t i = 0; i < candidates->n; i++) {
		free(candidates->accounts[i]);
		free(candidates->ids[i]);
	}
}

static void candidates_add(struct candidates *candidates, const char *account, const char *id)
{
	if (!account || !id)
		return;
	if (candidates->n == JOBS_CANDIDATES_MAX) {
		candidates->has_more = true;
		return;
	}
	candidates->accounts[candidates->n] = mem_strdup(account);
	candidates->ids[candidates->n++] = mem_strdup(id);
}

static int find_by_name(
        struct client *client, const char *account, const char *name, struct candidates *candidates)
{
	struct jobs_pager pager;
	int code = CTL_OK;

	jobs_pager_init(&pager, client);
	query_add(&pager.filter, "account", account);
	query_add(&pager.filter, "name", name);
	while (code == CTL_OK && !pager.is_last && !candidates->has_more) {
		const struct json_node *jobs;

		code = jobs_pager_next(&pager, JOBS_PAGE);
		if (code != CTL_OK)
			break;
		jobs = json_get(pager.json, json_root(pager.json), "jobs");
		for (const struct json_node *job = json_first(pager.json, jobs); job;
		        job = json_next(pager.json, job)) {
			if (str_is_equal(json_get_string(pager.json, job, "name"), name))
				candidates_add(candidates,
				        json_get_string(pager.json, job, "account"),
				        json_get_string(pager.json, job, "id"));
		}
	}
	/* The daemon has said that there is no such account. */
	if (code == CTL_OTHER && pager.answer.status == 404)
		code = CTL_NO_JOB;
	jobs_pager_deinit(&pager);
	return code;
}

/* 404 is CTL_NO_JOB, unsaid. */
static int job_ask(
        struct client *client, const char *account, const char *id, struct found_job *job)
{
	struct buf path = {0};
	int code;

	found_job_deinit(job);
	job_add_path(&path, account, id, "");
	code = client_ask(client, &(struct client_request){.path = buf_str(&path)}, &job->answer);
	buf_deinit(&path);
	if (code == CTL_OK && job->answer.status == 404)
		code = CTL_NO_JOB;
	else if (code == CTL_OK)
		code = answer_parse(&job->answer, &job->json);
	if (code != CTL_OK)
		return code;
	job->account = mem_strdup(account);
	job->id = mem_strdup(id);
	return CTL_OK;
}

/*
 * An id alone: each account may have a job of that id. One that is watched goes before those that
 * once were.
 */
static int find_by_id(struct client *client, const char *id, struct candidates *candidates)
{
	struct candidates unwatched = {0};
	struct answer answer = {0};
	struct json *json = NULL;
	int code = answer_get(client, "/v1/status", &answer, &json);
	const struct json_node *accounts =
	        code == CTL_OK ? json_get(json, json_root(json), "accounts") : NULL;

	for (const struct json_node *account = json_first(json, accounts); account;
	        account = json_next(json, account)) {
		const char *name = json_get_string(json, account, "name");
		struct found_job job = {0};
		bool is_watched = true;

		if (!name)
			continue;
		code = job_ask(client, name, id, &job);
		if (code == CTL_OK)
			json_get_bool(job.json, json_root(job.json), "watched", &is_watched);
		if (code == CTL_OK)
			candidates_add(is_watched ? candidates : &unwatched, name, id);
		found_job_deinit(&job);
		if (code != CTL_OK && code != CTL_NO_JOB)
			break;
	}
	if (candidates->n == 0) {
		*candidates = unwatched;
		unwatched = (struct candidates){0};
	}
	candidates_deinit(&unwatched);
	json_free(json);
	answer_deinit(&answer);
	return code == CTL_NO_JOB ? CTL_OK : code;
}

/* The name most like it among the first thousands of jobs; owned by the caller, NULL if none is. */
static char *nearest_name(struct client *client, const char *account, const char *name)
{
	struct jobs_pager pager;
	char *best = NULL;

	jobs_pager_init(&pager, client);
	query_add(&pager.filter, "account", account);
	for (int i = 0; i < NEAREST_PAGES && !pager.is_last; i++) {
		const struct json_node *jobs;

		if (jobs_pager_next(&pager, JOBS_PAGE) != CTL_OK)
			break;
		jobs = json_get(pager.json, json_root(pager.json), "jobs");
		for (const struct json_node *job = json_first(pager.json, jobs); job;
		        job = json_next(pager.json, job)) {
			const char *other = json_get_string(pager.json, job, "name");
			const char *both[] = {best ? best : "", other};

			if (other && str_nearest(name, both, 2) == other) {
				free(best);
				best = mem_strdup(other);
			}
		}
	}
	jobs_pager_deinit(&pager);
	return best;
}

/* Of account/id: the same id in another account. */
static char *elsewhere(struct client *client, const char *id)
{
	struct candidates candidates = {0};
	char *path = NULL;

	if (find_by_id(client, id, &candidates) == CTL_OK && candidates.n > 0)
		path = mem_printf("%s/%s", candidates.accounts[0], id);
	candidates_deinit(&candidates);
	return path;
}

static int say_no_job(struct client *client, const char *account, const char *rest)
{
	bool is_id = str_is_digits(rest, 1, SIZE_MAX);
	cleanup(mem_free_p) char *other = !is_id    ? nearest_name(client, account, rest)
	                                  : account ? elsewhere(client, rest)
	                                            : NULL;
	cleanup(mem_free_p) char *meant =
	        other ? mem_printf("did you mean \"%s%s%s\"? ", account && !is_id ? account : "",
	                        account && !is_id ? "/" : "", other)
	              : NULL;

	ctl_say("there is no job \"%s%s%s\"; %s\"bulkwatch list\" shows all that are watched",
	        account ? account : "", account ? "/" : "", rest, meant ? meant : "");
	return CTL_NO_JOB;
}

/* CTL_NO_JOB is unsaid. */
static int job_choose(struct client *client, const char *text, const struct candidates *candidates,
        struct found_job *job)
{
	if (candidates->n == 0)
		return CTL_NO_JOB;
	if (candidates->n == 1)
		return job_ask(client, candidates->accounts[0], candidates->ids[0], job);
	ctl_say("\"%s\" may be one of several jobs; say which:", text);
	for (size_t i = 0; i < candidates->n; i++)
		ctl_say("  %s/%s", candidates->accounts[i], candidates->ids[i]);
	if (candidates->has_more)
		ctl_say("  and more");
	return CTL_USAGE;
}

int job_find(struct client *client, const char *text, struct found_job *job)
{
	const char *slash = strchr(text, '/');
	cleanup(mem_free_p) char *account =
	        slash ? mem_strndup(text, (size_t)(slash - text)) : NULL;
	const char *rest = slash ? slash + 1 : text;
	bool is_id = str_is_digits(rest, 1, SIZE_MAX), is_said = false;
	struct candidates candidates = {0};
	int code;

	*job = (struct found_job){0};
	if (!*rest || (account && !*account)) {
		ctl_say("a job is an id, a name or account/id; not \"%s\"", text);
		return CTL_USAGE;
	}
	if (account && is_id) {
		code = job_ask(client, account, rest, job);
	} else {
		code = is_id ? find_by_id(client, rest, &candidates)
		             : find_by_name(client, account, rest, &candidates);
		is_said = code == CTL_NO_JOB;
		if (code == CTL_OK)
			code = job_choose(client, text, &candidates, job);
	}
	candidates_deinit(&candidates);
	return code == CTL_NO_JOB && !is_said ? say_no_job(client, account, rest) : code;
}

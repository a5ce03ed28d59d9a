/*
 * Any bytes as a configuration, or (after a line "jobs") as a jobs file: no other file is touched.
 * What is taken is shown, and what is shown must be taken again and give the same.
 */
#include <string.h>

#include "config/loader.h"
#include "fuzz.h"
#include "util/mem.h"

enum { INPUT_MAX_BYTES = 64 * 1024 };

static const char fuzz_file[] = "/nowhere/fuzz.yaml";

static void fuzz_show_again(const struct config *config)
{
	cleanup(buf_deinit) struct buf first = {0}, second = {0};
	struct config_problems problems;
	struct config *again;

	config_show(config, &first);
	must(loader_load_text(fuzz_file, buf_str(&first), first.len,
	             LOADER_CHECK | LOADER_TEXT_ALONE, &again, &problems) == 0);
	config_show(again, &second);
	must(strcmp(buf_str(&first), buf_str(&second)) == 0);
	config_restart_keys(config, again, &second);
	config_problems_deinit(&problems);
	config_free(again);
}

static void fuzz_config(const char *text, size_t len)
{
	cleanup(buf_deinit) struct buf words = {0};
	struct config_problems problems;
	struct config *config;
	int r = loader_load_text(
	        fuzz_file, text, len, LOADER_CHECK | LOADER_TEXT_ALONE, &config, &problems);

	config_problems_print(&problems, &words);
	must((r == 0) == (problems.n_errors == 0));
	must((r == 0) == (config != NULL));
	if (config)
		fuzz_show_again(config);
	config_problems_deinit(&problems);
	config_free(config);
}

static void fuzz_jobs_file(const char *text, size_t len)
{
	struct config_account account = {0};
	struct loader l = {.config = MEM_NEW(struct config)};

	l.config->strings = config_strings_new();
	l.config->job_strings = config_strings_new();
	jobs_read_text(&l, &account, "/nowhere/fuzz.jobs", mem_strndup(text, len), len);
	for (size_t i = 0; i < account.n_jobs; i++) {
		const struct config_job *job = &account.jobs[i];

		must(l.problems.n_errors > 0 || !job->name || !config_job_name_problem(job->name));
	}
	problems_deinit(&l.problems);
	free(account.jobs);
	config_free(l.config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char jobs[] = "jobs\n";
	const char *text = (const char *)data;

	if (size > INPUT_MAX_BYTES)
		return 0;
	if (size >= strlen(jobs) && memcmp(text, jobs, strlen(jobs)) == 0)
		fuzz_jobs_file(text + strlen(jobs), size - strlen(jobs));
	else
		fuzz_config(text, size);
	return 0;
}

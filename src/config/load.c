/*
 * From a file to a struct config, or to all that is wrong with it.
 */
#include "config/loader.h"

#include <string.h>

#include "util/mem.h"
#include "util/str.h"

static void loader_init(struct loader *l, unsigned flags)
{
	*l = (struct loader){
	        .config = MEM_NEW(struct config),
	        .trees = config_strings_new(),
	        .flags = flags,
	};
	l->config->strings = config_strings_new();
	l->config->job_strings = config_strings_new();
}

static void loader_deinit(struct loader *l)
{
	for (size_t i = 0; i < l->n_sources; i++) {
		free(l->sources[i].shown);
		free(l->sources[i].dir);
	}
	free(l->sources);
	section_deinit(&l->datacenters);
	section_deinit(&l->hooks);
	section_deinit(&l->accounts);
	problems_deinit(&l->problems);
	config_strings_free(l->trees);
	config_free(l->config);
	*l = (struct loader){0};
}

/* The main file is there: reads all the rest, and hands out. */
static int loader_finish(struct loader *l, struct config **out, struct config_problems *problems)
{
	const char *slash = strrchr(l->sources[0].shown, '/');
	cleanup(mem_free_p) char *file =
	        path_resolve(l->sources[0].dir, slash ? slash + 1 : l->sources[0].shown);

	l->config->file = config_strings_add(l->config->strings, file, strlen(file));
	sections_read(l);
	problems_finish(&l->problems, problems);
	*out = NULL;
	if (problems->n_errors == 0) {
		*out = l->config;
		l->config = NULL;
	}
	return problems->n_errors == 0 ? 0 : CONFIG_E_INVALID;
}

int config_load(const char *file, enum config_use use, struct config **out,
        struct config_problems *problems)
{
	static const unsigned flags[] = {
	        [CONFIG_RUN] = 0,
	        [CONFIG_CHECK] = LOADER_CHECK,
	        [CONFIG_LOOK] = LOADER_CHECK | LOADER_BY_ANYBODY,
	};
	cleanup(loader_deinit) struct loader l;

	loader_init(&l, flags[use]);
	sources_add_file(&l, file);
	return loader_finish(&l, out, problems);
}

int loader_load_text(const char *file, const char *text, size_t len, unsigned flags,
        struct config **out, struct config_problems *problems)
{
	cleanup(loader_deinit) struct loader l;

	loader_init(&l, flags);
	sources_add_text(&l, file, text, len);
	return loader_finish(&l, out, problems);
}

void config_forget_jobs(struct config *config)
{
	for (size_t i = 0; i < config->n_accounts; i++) {
		free(config->accounts[i].jobs);
		config->accounts[i].jobs = NULL;
		config->accounts[i].n_jobs = 0;
	}
	config->job_strings = config_strings_free(config->job_strings);
}

struct config *config_free(struct config *config)
{
	if (!config)
		return NULL;
	config_forget_jobs(config);
	free(config->accounts);
	free(config->hooks);
	free(config->datacenters);
	config_strings_free(config->strings);
	free(config);
	return NULL;
}

const struct config_account *config_account_find(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_accounts; i++) {
		if (strcmp(config->accounts[i].name, name) == 0)
			return &config->accounts[i];
	}
	return NULL;
}

const struct config_hook *config_hook_find(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_hooks; i++) {
		if (strcmp(config->hooks[i].name, name) == 0)
			return &config->hooks[i];
	}
	return NULL;
}

const char *config_service_name(enum config_service service)
{
	return option_find(SCOPE_ACCOUNT, "service")->words[service];
}

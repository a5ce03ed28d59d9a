/* What is read and written: a configuration, JSON, a signature. The whole of it, or an end. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "config/config.h"
#include "scenario.h"
#include "util/buf.h"
#include "util/mem.h"
#include "wire/json.h"
#include "wire/sign.h"

static char *write_file(const struct world *world, const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", world->dir, name);
	FILE *file = fopen(path, "w");

	if (!file || fputs(text, file) < 0 || fclose(file) != 0 || chmod(path, 0600) < 0)
		scenario_wrong("%s cannot be written", path);
	return path;
}

static void run_config(const struct world *world, const struct fault_plan *fault)
{
	static const char text[] = "poll: {min_interval: 20s}\n"
	                           "accounts:\n"
	                           "  acme:\n"
	                           "    datacenter: eu\n"
	                           "    access_token_file: token\n"
	                           "    jobs: [1, {id: 2, name: contacts, hooks: [load]}]\n"
	                           "hooks:\n"
	                           "  load: {exec: [/bin/true, --table, contacts]}\n";
	cleanup(mem_free_p) char *file = write_file(world, "bulkwatchd.yaml", text);
	struct config_problems problems = {0};
	struct config *config = NULL;
	int r;

	free(write_file(world, "token", "1000.a.b\n"));
	scenario_arm(fault);
	r = config_load(file, true, &config, &problems);
	fault_disarm();
	if (r == 0 &&
	        (config->n_accounts != 1 || config->accounts[0].n_jobs != 2 ||
	                config->n_hooks != 1 || config->accounts[0].poll.min_interval_ms != 20000))
		scenario_wrong("another configuration was read");
	if ((r == 0) != (config != NULL) || (r == CONFIG_E_INVALID && problems.n == 0))
		scenario_wrong("error %d, %zu problems", r, problems.n);
	config_free(config);
	config_problems_deinit(&problems);
}

static void run_json(const struct world *world, const struct fault_plan *fault)
{
	static const char text[] =
	        "{\"data\":[{\"id\":\"1\",\"state\":\"COMPLETED\",\"n\":[1,2.5,true,null]}]}";
	cleanup(json_free_p) struct json *json = NULL;
	cleanup(buf_deinit) struct buf raw = {0}, signature = {0};
	struct json_out w;

	(void)world;
	scenario_arm(fault);
	if (json_parse(text, strlen(text), 4096, &json) != JSON_OK)
		scenario_wrong("what is well formed was refused");
	json_add_raw(json, json_root(json), &raw);
	json_out_init(&w, &raw, true);
	json_open_object(&w, NULL);
	json_put_string(&w, "a", "caf\xc3\xa9 \xff");
	json_close_object(&w);
	json_out_deinit(&w);
	if (sign_webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "i", "t", "b", 1, &signature) !=
	        0)
		scenario_wrong("a good secret was refused");
	fault_disarm();
	if (strncmp(buf_str(&raw), text, strlen(text)) != 0 ||
	        !strstr(buf_str(&raw), "caf\xc3\xa9 \xef\xbf\xbd"))
		scenario_wrong("%s", buf_str(&raw));
	if (strcmp(buf_str(&signature), "v1,TlQDEGmlbMKTJ7RHzKmFa8Z3v17H3TZJDuwQQSUzDwo=") != 0)
		scenario_wrong("signed %s", buf_str(&signature));
}

const struct scenario scenario_config = {.name = "config", .run = run_config, .is_offline = true};
const struct scenario scenario_json = {.name = "json", .run = run_json, .is_offline = true};

/* The configuration read anew: checked whole, then put in force or refused; the old one stays until
 * then. */
#include "daemon/apply.h"
#include "daemon/daemon_private.h"
#include "daemon/messages.h"
#include "util/err.h"
#include "util/log.h"
#include "util/mem.h"

void reload_report(const struct config_problems *problems)
{
	cleanup(buf_deinit) struct buf words = {0};

	for (size_t i = 0; i < problems->n; i++) {
		buf_clear(&words);
		config_problem_print(&problems->list[i], &words);
		log_at(problems->list[i].is_warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "%s",
		        words.data);
	}
}

static void write_problems(struct buf *out, const struct config_problems *problems,
        const char *title, int status, const char *detail)
{
	struct json_out w;

	json_out_init(&w, out, false);
	json_open_object(&w, NULL);
	json_put_string(&w, "type", "about:blank");
	json_put_string(&w, "title", title);
	json_put_integer(&w, "status", status);
	json_put_string(&w, "detail", detail);
	json_open_array(&w, "errors");
	for (size_t i = 0; i < problems->n; i++) {
		const struct config_problem *p = &problems->list[i];

		if (p->is_warning)
			continue;
		json_open_object(&w, NULL);
		json_put_string(&w, "file", p->file);
		json_put_integer(&w, "line", (int64_t)p->line);
		json_put_integer(&w, "column", (int64_t)p->column);
		json_put_string(&w, "detail", p->words);
		json_close_object(&w);
	}
	json_close_array(&w);
	json_close_object(&w);
	json_out_deinit(&w);
}

static void write_applied(struct buf *out, const struct apply_result *result)
{
	struct json_out w;

	json_out_init(&w, out, false);
	json_open_object(&w, NULL);
	json_put_string(&w, "result", "reloaded");
	json_put_integer(&w, "watched", (int64_t)result->n_watched);
	json_put_integer(&w, "unwatched", (int64_t)result->n_unwatched);
	json_put_integer(&w, "kept", (int64_t)result->n_kept);
	json_close_object(&w);
	json_out_deinit(&w);
}

/* Whatever paused an account may be mended by what was reloaded. */
static void probe_paused(struct daemon *daemon)
{
	int64_t mono_ms = loop_now(daemon->loop).mono_ms;

	for (size_t i = 0; i < accounts_count(daemon->accounts); i++) {
		struct account *account = accounts_get(daemon->accounts, (uint32_t)i);

		if (account->is_configured && account->gate.state == GATE_PAUSED) {
			gate_probe_now(&account->gate, mono_ms);
			queue_touch(&daemon->queue, account, mono_ms);
		}
	}
}

static int take_config(struct daemon *daemon, struct config *config, struct buf *result_json)
{
	static const struct config_problems none;
	static const char but_for_jobs[] = "the configuration is in force, but for jobs that come "
	                                   "or go; it is read again when there is room";
	cleanup(buf_deinit) struct buf words = {0};
	struct apply_result result = {0};
	int r = apply_places(&daemon->tracker, config, &words);

	daemon->tracker.has_account_news =
	        true; /* another token or place opens an account's gate */

	if (!r)
		r = apply_jobs(&daemon->tracker, config, &result);
	config_free(daemon->config);
	daemon->config = config;
	log_set_level(config->log_level);
	retention_set(&daemon->retention, config->retain_ms);
	if (r < 0 && r != ERR_FULL) {
		daemon_fail(daemon, r);
		return r;
	}
	probe_paused(daemon);
	textfile_set(daemon->textfile, config->metrics_textfile);
	daemon->is_reload_owed = r == ERR_FULL;
	if (daemon->is_reload_owed) {
		write_problems(result_json, &none, "The disk is full", control_reload_status(r),
		        but_for_jobs);
		log_error("the disk is full: %s", but_for_jobs);
		return r;
	}
	write_applied(result_json, &result);
	log_notice("configuration reloaded: %zu jobs watched, %zu no longer, %zu kept",
	        result.n_watched, result.n_unwatched, result.n_kept);
	return 0;
}

static int reload(struct daemon *daemon, struct buf *result_json)
{
	static const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_RELOAD_REFUSED}};
	struct config_problems problems = {0};
	cleanup(buf_deinit) struct buf keys = {0};
	struct config *config = NULL;
	int r = journal_is_full(daemon->journal)
	                ? ERR_FULL
	                : config_load(daemon->config_file, CONFIG_RUN, &config, &problems);

	if (r == 0)
		config_restart_keys(daemon->config, config, &keys);
	reload_report(&problems);
	if (r != 0 || keys.len > 0) {
		cleanup(mem_free_p) char *why =
		        keys.len > 0 ? mem_printf("these keys need a restart: %s", keys.data)
		                     : mem_strdup(r < 0 ? err_text(r) : "the file has errors");

		write_problems(result_json, &problems,
		        "The configuration was refused; the old one stays in force",
		        control_reload_status(r ? r : CONFIG_E_INVALID), why);
		log_with(LOG_LEVEL_ERROR, fields,
		        "reload refused, the old configuration stays in force: %s", why);
		config_free(config);
		config_problems_deinit(&problems);
		return r ? r : CONFIG_E_INVALID;
	}
	config_problems_deinit(&problems);
	return take_config(daemon, config, result_json);
}

void reload_owed(struct daemon *daemon)
{
	cleanup(buf_deinit) struct buf ignored = {0};

	if (!daemon->is_reload_owed || daemon->is_stopping || journal_is_full(daemon->journal))
		return;
	daemon->is_reload_owed = false; /* if the file is refused now, that is told as ever */
	reload_config(daemon, &ignored);
}

int reload_config(void *arg, struct buf *result_json)
{
	struct daemon *daemon = arg;

	service_reloading(&daemon->service);
	int r = reload(daemon, result_json);

	daemon->metrics.is_reload_refused = r != 0;
	daemon->metrics.n_refused_reloads += r != 0;
	daemon->metrics.n_reloads += r == 0;
	if (r == 0)
		daemon->metrics.reloaded_wall_ms = loop_now(daemon->loop).wall_ms;
	service_reloaded(&daemon->service);
	return r;
}

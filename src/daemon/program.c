#include "daemon/program.h"

#include "daemon/view.h"

void program_init(struct program *program, const struct hooks *hooks, const struct hook *hook,
        const struct store_event *event, uint64_t attempt, bool is_test)
{
	struct event_view view = view_of_event(journal_store(hooks->journal), event);
	struct event_attempt inherited = {
	        .hook = hook->name,
	        .attempt = attempt,
	        .is_test = is_test,
	        .path = hooks->path,
	        .lang = hooks->lang,
	        .home = hooks->home,
	        .tz = hooks->tz,
	};
	struct json_out w;

	*program = (struct program){0};
	event_environment_init(&program->env, &view, &inherited);
	json_out_init(&w, &program->input, false);
	event_write_cloud(&w, &view);
	json_out_deinit(&w);
	buf_addc(&program->input, '\n');
	program->spec = (struct child_spec){
	        .argv = (const char *const *)hook->config.exec,
	        .envp = (const char *const *)program->env.envp,
	        .input = program->input.data,
	        .input_len = program->input.len,
	        .timeout_ms = hook->config.timeout_ms,
	};
}

void program_deinit(struct program *program)
{
	event_environment_deinit(&program->env);
	buf_deinit(&program->input);
}

/* GET /v1/config: the configuration in force, and what it was read with. On admin.sock alone: a
 * webhook's address may be all that protects it. */
#include <stdlib.h>

#include "config/config.h"
#include "daemon/control_private.h"
#include "util/mem.h"

void control_get_config(struct call *call)
{
	/* Where the loader looks beside the file (bulkwatchd.yaml(5)). */
	static const char *const names[] = {
	        "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"};
	const struct config *config = *call->control->context.config;
	cleanup(buf_deinit) struct buf body = {0}, yaml = {0};
	struct json_out w;

	config_show(config, &yaml);
	json_out_init(&w, &body, false);
	json_open_object(&w, NULL);
	json_put_string(&w, "file", config->file);
	json_open_object(&w, "environment");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		json_put_string(&w, names[i], getenv(names[i]));
	json_close_object(&w);
	json_put_string(&w, "yaml", buf_str(&yaml));
	json_close_object(&w);
	json_out_deinit(&w);
	call_reply(call, 200, &body);
}

/* GET /v1/openapi.json. */
#include "daemon/control_private.h"
#include "daemon/openapi.h"

void control_get_openapi(struct call *call)
{
	listen_reply(call->request, 200, "application/json", openapi_json, openapi_json_len, NULL);
}

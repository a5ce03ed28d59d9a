#include "core/observe.h"

static const char *const names[ERROR_CLASSES] = {
        [ERROR_NONE] = "",
        [ERROR_DNS] = "dns",
        [ERROR_CONNECT] = "connect",
        [ERROR_TLS] = "tls",
        [ERROR_TIMEOUT] = "timeout",
        [ERROR_BROKEN] = "broken",
        [ERROR_SERVER] = "server",
        [ERROR_BAD_REPLY] = "bad_reply",
        [ERROR_HTTP] = "http",
        [ERROR_NOT_FOUND] = "not_found",
        [ERROR_THROTTLED] = "throttled",
        [ERROR_TOKEN] = "token",
        [ERROR_SCOPE] = "scope",
        [ERROR_PERMISSION] = "permission",
        [ERROR_PATH] = "path",
        [ERROR_ALL_LOST] = "all_lost",
        [ERROR_SECRET] = "secret",
        [ERROR_GRANT] = "grant",
        [ERROR_DOMAIN] = "api_domain",
};

const char *error_class_name(enum error_class error)
{
	return error < ERROR_CLASSES ? names[error] : "";
}

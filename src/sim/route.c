#include "sim/route.h"

#include <string.h>

#include "util/str.h"

/* Cuts the prefix off; false if the text does not begin with it. */
static bool route_skip(const char **p, const char *prefix)
{
	if (!str_has_prefix(*p, prefix))
		return false;
	*p += strlen(prefix);
	return true;
}

/* "v2/" to "v9/"; the CRM twin once had a v2.1. */
static bool route_skip_version(const char **p, char version[ROUTE_VERSION_SIZE])
{
	size_t len = strcspn(*p, "/");

	if (len >= ROUTE_VERSION_SIZE || (*p)[0] != 'v' || (*p)[1] < '2' || (*p)[1] > '9' ||
	        (*p)[len] != '/')
		return false;
	memcpy(version, *p, len);
	version[len] = '\0';
	*p += len + 1;
	return len == 2 || strcmp(version, "v2.1") == 0;
}

void route_parse(const char *path, struct route *out)
{
	const char *p = path;
	size_t len;

	*out = (struct route){.path = FAULT_PATH_ANY};
	if (strcmp(path, "/oauth/v2/token") == 0) {
		out->path = FAULT_PATH_TOKEN;
		return;
	}
	if (route_skip(&p, "/bigin/bulk/"))
		out->service = SERVICE_BIGIN;
	else if (route_skip(&p, "/crm/bulk/"))
		out->service = SERVICE_CRM;
	else
		return;
	if (!route_skip_version(&p, out->version) || !route_skip(&p, "read/"))
		return;
	len = strspn(p, "0123456789");
	if (len == 0 || len > JOB_ID_MAX)
		return;
	memcpy(out->id, p, len);
	out->id[len] = '\0';
	if (p[len] == '\0')
		out->path = FAULT_PATH_API;
	else if (strcmp(p + len, "/result") == 0)
		out->path = FAULT_PATH_RESULT;
	else
		out->id[0] = '\0';
}

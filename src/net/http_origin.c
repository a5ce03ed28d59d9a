/*
 * Whether a URL is of the host that a multi was made for. A token goes nowhere else, so whatever is
 * spelt in a way that leaves a doubt (a user, a fragment, a control character) is refused.
 *
 * The judge of the authority is libcurl's own parser, the one that will connect: a second opinion
 * could differ from it.
 */
#include "net/http_private.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "util/mem.h"
#include "util/str.h"

/* The part as a string that the caller frees; NULL if the URL has none. */
static char *http_origin_part(CURLU *url, CURLUPart part, unsigned int flags)
{
	char *text = NULL;
	CURLUcode code = curl_url_get(url, part, &text, flags);
	char *copy;

	/* Which must not pass for "there is no user". */
	if (code == CURLUE_OUT_OF_MEMORY)
		mem_exhausted();
	if (code != CURLUE_OK)
		return NULL;
	copy = mem_strdup(text);
	curl_free(text);
	return copy;
}

static bool http_origin_has_part(CURLU *url, CURLUPart part)
{
	cleanup(mem_free_p) char *text = http_origin_part(url, part, 0);

	return text != NULL;
}

static void http_origin_fold_host(char *host)
{
	size_t len = strlen(host);

	for (size_t i = 0; i < len; i++)
		host[i] = (char)tolower((unsigned char)host[i]);
	if (len > 1 && host[len - 1] == '.')
		host[len - 1] = '\0';
}

static int http_origin_read(struct http_origin *origin, CURLU *url)
{
	if (http_origin_has_part(url, CURLUPART_USER) ||
	        http_origin_has_part(url, CURLUPART_PASSWORD) ||
	        http_origin_has_part(url, CURLUPART_OPTIONS) ||
	        http_origin_has_part(url, CURLUPART_ZONEID) ||
	        http_origin_has_part(url, CURLUPART_FRAGMENT))
		return -EINVAL;
	origin->scheme = http_origin_part(url, CURLUPART_SCHEME, 0);
	origin->host = http_origin_part(url, CURLUPART_HOST, 0);
	if (!origin->scheme || !origin->host)
		return -EINVAL;
	if (strcmp(origin->scheme, "https") != 0 && strcmp(origin->scheme, "http") != 0)
		return -EINVAL;
	/* Of these two schemes it knows the usual one. */
	origin->port = http_origin_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	assert(origin->port);
	http_origin_fold_host(origin->host);
	return 0;
}

/* Everything but base. */
static int http_origin_parse(struct http_origin *origin, const char *url)
{
	CURLU *parsed;
	CURLUcode code;
	int error = -EINVAL;

	*origin = (struct http_origin){0};
	if (str_has_control(url, strlen(url)) || strchr(url, '#'))
		return -EINVAL;
	parsed = mem_must(curl_url());
	code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_PATH_AS_IS);
	if (code == CURLUE_OUT_OF_MEMORY)
		mem_exhausted();
	if (code == CURLUE_OK)
		error = http_origin_read(origin, parsed);
	curl_url_cleanup(parsed);
	if (error < 0)
		http_origin_deinit(origin);
	return error;
}

int http_origin_init(struct http_origin *origin, const char *base_url)
{
	const char *authority = strstr(base_url, "://");
	size_t len;
	int error = http_origin_parse(origin, base_url);

	if (error < 0)
		return error;
	if (!authority) {
		http_origin_deinit(origin);
		return -EINVAL;
	}
	authority += 3;
	len = (size_t)(authority - base_url) + strcspn(authority, "/?");
	if (strcmp(base_url + len, "") != 0 && strcmp(base_url + len, "/") != 0) {
		http_origin_deinit(origin);
		return -EINVAL;
	}
	origin->base = mem_strndup(base_url, len);
	return 0;
}

void http_origin_deinit(struct http_origin *origin)
{
	free(origin->base);
	free(origin->scheme);
	free(origin->host);
	free(origin->port);
	*origin = (struct http_origin){0};
}

bool http_origin_has(const struct http_origin *origin, const char *url)
{
	size_t len = strlen(origin->base);
	struct http_origin other;
	bool is_equal;

	/* The usual spelling needs no parser: a slash ends an authority. */
	if (strncmp(url, origin->base, len) == 0 && url[len] == '/')
		return !str_has_control(url, strlen(url)) && !strchr(url, '#') && !strchr(url, ' ');
	if (http_origin_parse(&other, url) < 0)
		return false;
	is_equal = strcmp(other.scheme, origin->scheme) == 0 &&
	           strcmp(other.host, origin->host) == 0 && strcmp(other.port, origin->port) == 0;
	http_origin_deinit(&other);
	return is_equal;
}

/*
 * Percent-decoding in place, strictly: a '%' without two digits, a NUL or bytes that are not UTF-8
 * make the piece unusable, and an encoded '/' never becomes a separator.
 */
#include "net/listen_uri.h"

#include <string.h>

#include "util/mem.h"
#include "util/str.h"

static int listen_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* In a query '+' is a space (the form encoding of the URL standard); in a path it is itself. */
static bool listen_decode(char *text, bool is_query)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		int high;
		int low;

		if (*from == '+' && is_query) {
			*to++ = ' ';
			continue;
		}
		if (*from != '%') {
			*to++ = *from;
			continue;
		}
		high = listen_hex(from[1]);
		low = high < 0 ? -1 : listen_hex(from[2]);
		if (low < 0 || high * 16 + low == 0)
			return false;
		*to++ = (char)(high * 16 + low);
		from += 2;
	}
	*to = '\0';
	return str_is_utf8(text, strlen(text), NULL);
}

static void listen_uri_cut_path(struct listen_uri *uri, char *path)
{
	char *next = *path == '/' ? path + 1 : path;

	if (!*next)
		return;
	while (next) {
		char *segment = strsep(&next, "/");

		if (uri->n_segments < LISTEN_SEGMENTS_MAX && listen_decode(segment, false) &&
		        !strchr(segment, '/'))
			uri->segments[uri->n_segments] = segment;
		uri->n_segments++;
	}
}

/* Whether the parameter could be added. */
static bool listen_uri_add_parameter(struct listen_uri *uri, char *text)
{
	char *value = text;
	char *name = strsep(&value, "=");

	if (!value)
		value = name + strlen(name);
	if (uri->n_query == LISTEN_QUERY_MAX || !listen_decode(name, true) ||
	        !listen_decode(value, true) || !*name)
		return false;
	for (int i = 0; i < uri->n_query; i++) {
		if (strcmp(uri->query[i].name, name) == 0)
			return false;
	}
	uri->query[uri->n_query++] = (struct listen_parameter){.name = name, .value = value};
	return true;
}

static void listen_uri_cut_query(struct listen_uri *uri, char *query)
{
	char *next = *query ? query : NULL;

	while (next) {
		if (!listen_uri_add_parameter(uri, strsep(&next, "&"))) {
			uri->n_query = -1;
			return;
		}
	}
}

void listen_uri_init(struct listen_uri *uri, const char *path, const char *query)
{
	size_t path_size = strlen(path) + 1;

	*uri = (struct listen_uri){.path = mem_strdup(path)};
	if (!query)
		query = "";
	uri->pieces = mem_new(path_size + strlen(query) + 1, 1);
	memcpy(uri->pieces, path, path_size);
	memcpy(uri->pieces + path_size, query, strlen(query) + 1);
	listen_uri_cut_path(uri, uri->pieces);
	listen_uri_cut_query(uri, uri->pieces + path_size);
}

void listen_uri_deinit(struct listen_uri *uri)
{
	free(uri->path);
	free(uri->pieces);
	*uri = (struct listen_uri){0};
}

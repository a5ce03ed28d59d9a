#include "sim/http.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "util/mem.h"
#include "util/str.h"

/* Cuts the next line off at CRLF and returns it; NULL at the end of the head. */
static char *http_next_line(char **cursor)
{
	char *line = *cursor, *end = strstr(line, "\r\n");

	if (!end || end == line)
		return NULL;
	*end = '\0';
	*cursor = end + 2;
	return line;
}

static int http_parse_target(char *target, struct http_request *request)
{
	char *query;

	if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0)
		target = strchr(strchr(target, ':') + 3, '/');
	if (!target || target[0] != '/' || str_has_control(target, strlen(target)))
		return 400;
	query = strchr(target, '?');
	if (query)
		*query++ = '\0';
	request->path = target;
	request->query = query ? query : "";
	return 0;
}

static int http_parse_request_line(char *line, struct http_request *request)
{
	char *target = line ? strchr(line, ' ') : NULL;
	char *version = target ? strchr(target + 1, ' ') : NULL;

	if (!version || target == line)
		return 400;
	*target++ = '\0';
	*version++ = '\0';
	if (strcmp(version, "HTTP/1.1") == 0)
		request->keep_alive = true;
	else if (strcmp(version, "HTTP/1.0") != 0)
		return 505;
	request->method = line;
	return http_parse_target(target, request);
}

static int http_parse_length(const char *value, struct http_request *request)
{
	int64_t length;

	if (!str_is_digits(value, 1, 18) || str_to_int(value, 0, INT64_MAX, &length) < 0)
		return 400;
	if (length > HTTP_BODY_MAX_BYTES)
		return 413;
	if (request->body_len != 0 && request->body_len != (size_t)length)
		return 400;
	request->body_len = (size_t)length;
	return 0;
}

static int http_parse_header(char *line, struct http_request *request)
{
	char *value = strchr(line, ':');
	size_t len;

	if (!value || value == line || strcspn(line, " \t") < (size_t)(value - line))
		return 400;
	*value++ = '\0';
	value += strspn(value, " \t");
	for (len = strlen(value); len > 0 && strchr(" \t", value[len - 1]); len--)
		value[len - 1] = '\0';
	if (strcasecmp(line, "Content-Length") == 0)
		return http_parse_length(value, request);
	if (strcasecmp(line, "Transfer-Encoding") == 0)
		return 501;
	if (strcasecmp(line, "Connection") == 0) {
		if (strcasecmp(value, "close") == 0)
			request->keep_alive = false;
		else if (strcasecmp(value, "keep-alive") == 0)
			request->keep_alive = true;
	} else if (strcasecmp(line, "Authorization") == 0) {
		if (request->authorization)
			return 400;
		request->authorization = value;
	}
	return 0;
}

int http_request_parse(char *head, size_t len, struct http_request *request)
{
	char *cursor = head, *line;
	int refusal;

	*request = (struct http_request){0};
	if (memchr(head, '\0', len))
		return 400;
	refusal = http_parse_request_line(http_next_line(&cursor), request);
	if (refusal)
		return refusal;
	while ((line = http_next_line(&cursor))) {
		refusal = http_parse_header(line, request);
		if (refusal)
			return refusal;
	}
	return 0;
}

static int http_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static void http_form_decode(const char *text, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '%' && i + 2 < len && http_hex(text[i + 1]) >= 0 &&
		        http_hex(text[i + 2]) >= 0) {
			buf_addc(out, (char)(http_hex(text[i + 1]) * 16 + http_hex(text[i + 2])));
			i += 2;
		} else {
			buf_addc(out, (char)(text[i] == '+' ? ' ' : text[i]));
		}
	}
}

bool http_form_get(const char *form, size_t len, const char *name, struct buf *value)
{
	size_t name_len = strlen(name);

	for (size_t at = 0; at < len;) {
		const char *pair = form + at, *end = memchr(pair, '&', len - at);
		size_t pair_len = end ? (size_t)(end - pair) : len - at;

		if (pair_len > name_len && pair[name_len] == '=' && !memcmp(pair, name, name_len)) {
			buf_clear(value);
			http_form_decode(pair + name_len + 1, pair_len - name_len - 1, value);
			return value->len == 0 || !memchr(value->data, '\0', value->len);
		}
		at += pair_len + 1;
	}
	return false;
}

static const struct {
	int status;
	const char *reason;
} http_reasons[] = {
        {100, "Continue"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Content Too Large"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
};

const char *http_reason(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(http_reasons); i++) {
		if (http_reasons[i].status == status)
			return http_reasons[i].reason;
	}
	return "Status";
}

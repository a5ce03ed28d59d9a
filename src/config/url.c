/*
 * URLs, strictly: what is not plainly a scheme, a host and a port (and a path, where one may
 * stand) is refused, because a token is sent there. No user, no fragment, no escapes in the host, a
 * query only where a path may stand, no numbers that only some programs take for an address (RFC
 * 3986; "0x7f.1").
 */
#include "config/loader.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "util/mem.h"
#include "util/str.h"

enum { URL_MAX_BYTES = 2048, HOST_MAX_BYTES = 253, LABEL_MAX_BYTES = 63 };

struct host {
	char text[HOST_MAX_BYTES + 8]; /* lower case, no trailing dot; brackets around IPv6 */
	bool is_loopback;
};

static const char host_words[] = "has a host that is neither a name nor an address";

static const char *host_parse_ipv6(const char *text, size_t len, struct host *host)
{
	struct in6_addr address;
	char inner[INET6_ADDRSTRLEN] = "", normal[INET6_ADDRSTRLEN];

	if (len < 4 || len - 2 >= sizeof(inner))
		return host_words;
	memcpy(inner, text + 1, len - 2);
	if (inet_pton(AF_INET6, inner, &address) != 1)
		return host_words;
	inet_ntop(AF_INET6, &address, normal, sizeof(normal));
	snprintf(host->text, sizeof(host->text), "[%s]", normal);
	host->is_loopback = IN6_IS_ADDR_LOOPBACK(&address);
	return NULL;
}

/* Letters, digits, "-", "_" between dots; at most 63 of them each. */
static bool host_labels_are_right(const char *host)
{
	for (;;) {
		size_t len = strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-_");

		if (len == 0 || len > LABEL_MAX_BYTES || host[0] == '-' || host[len - 1] == '-')
			return false;
		if (host[len] == '\0')
			return true;
		if (host[len] != '.')
			return false;
		host += len + 1;
	}
}

/* Resolvers take a name that ends in a number for an address, some in forms of their own. */
static bool host_looks_numeric(const char *host)
{
	const char *dot = strrchr(host, '.'), *last = dot ? dot + 1 : host;

	return str_is_digits(last, 1, HOST_MAX_BYTES) || str_has_prefix(last, "0x");
}

static const char *host_parse(const char *text, size_t len, struct host *host)
{
	struct in_addr address;

	if (len == 0)
		return "has no host";
	if (text[0] == '[')
		return text[len - 1] == ']' ? host_parse_ipv6(text, len, host) : host_words;
	if (text[len - 1] == '.')
		len--;
	if (len > HOST_MAX_BYTES)
		return "has a host of more than 253 characters";
	for (size_t i = 0; i < len; i++)
		host->text[i] = (char)tolower((unsigned char)text[i]);
	host->text[len] = '\0';
	if (!host_labels_are_right(host->text))
		return host_words;
	if (host_looks_numeric(host->text)) {
		if (inet_pton(AF_INET, host->text, &address) != 1)
			return "has an address that is not four decimal numbers";
		host->is_loopback = ntohl(address.s_addr) >> 24 == 127;
	} else {
		host->is_loopback = strcmp(host->text, "localhost") == 0;
	}
	return NULL;
}

/* Port of "host:port", or 0 if none stands there; -1 if it is none. */
static int port_parse(const char *text, size_t len)
{
	char digits[8] = "";
	int64_t port;

	if (len == 0)
		return 0;
	if (text[0] != ':' || len - 1 >= sizeof(digits))
		return -1;
	memcpy(digits, text + 1, len - 1);
	if (!str_is_digits(digits, 1, 5) || str_to_int(digits, 1, 65535, &port) < 0)
		return -1;
	return (int)port;
}

/* Unreserved and reserved characters and escapes, but "#" (RFC 3986, 3.3 and 3.4). */
static bool path_is_right(const char *path)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                              "0123456789-._~!$&'()*+,;=:@/%?";

	return path[strspn(path, allowed)] == '\0';
}

static const char *url_refuse_parts(const char *text, bool may_have_query)
{
	size_t len = strlen(text);

	if (len > URL_MAX_BYTES)
		return "is longer than 2048 characters";
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c <= 0x20 || c == 0x7f || c == '\\')
			return "holds a space, a backslash or a control character";
		if (c >= 0x80)
			return "holds characters beyond ASCII; write the host as xn--...";
	}
	if (!may_have_query && strchr(text, '?'))
		return "must not have a query (?...)";
	if (strchr(text, '#'))
		return "must not have a fragment (#...)";
	return NULL;
}

const char *url_parse(const char *text, bool may_have_path, struct buf *normal)
{
	const char *wrong = url_refuse_parts(text, may_have_path);
	struct host host = {0};
	const char *authority, *path;
	size_t len, host_len;
	bool is_https;
	int port;

	if (wrong)
		return wrong;
	is_https = strncasecmp(text, "https://", 8) == 0;
	if (!is_https && strncasecmp(text, "http://", 7) != 0)
		return "must begin with https://";
	authority = text + (is_https ? 8 : 7);
	len = strcspn(authority, "/?");
	path = authority + len;
	if (memchr(authority, '@', len))
		return "must not have a user (...@)";
	host_len = authority[0] == '[' ? strcspn(authority, "]") + 1 : strcspn(authority, ":/");
	if (host_len > len)
		return host_words;
	wrong = host_parse(authority, host_len, &host);
	if (wrong)
		return wrong;
	port = port_parse(authority + host_len, len - host_len);
	if (port < 0)
		return "has a port that is not a number from 1 to 65535";
	if (!is_https && !host.is_loopback)
		return "must begin with https://; plain http is for loopback alone (127.0.0.0/8, "
		       "[::1], localhost)";
	if (strcmp(path, "/") == 0)
		path = "";
	if (*path && !may_have_path)
		return "must not have a path";
	if (!path_is_right(path))
		return "has a path with characters that must be escaped";
	buf_addf(normal, "%s://%s", is_https ? "https" : "http", host.text);
	if (port > 0 && port != (is_https ? 443 : 80))
		buf_addf(normal, ":%d", port);
	buf_addf(normal, "%s%s", *path == '?' ? "/" : "", path);
	return NULL;
}

/*
 * The easy handle of an attempt: the options that never change, and libcurl's callbacks for
 * headers, body and sockets. The callbacks count and copy, nothing else; http_transfer.c judges at
 * the end.
 *
 * Each attempt has a handle of its own, although it would be a quarter cheaper to use one again:
 * before 8.1.1 (Debian 12 has 7.88.1) libcurl remembers the last header of a handle's last reply
 * when that has been freed, and appends to it a reply that begins with a folded line
 * (https://github.com/curl/curl/pull/11103). Connections and TLS sessions outlive the handle.
 */
#include "net/http_private.h"

#include <assert.h>
#include <ctype.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "util/mem.h"
#include "util/str.h"

static const char default_ca_file[] = "/etc/ssl/certs/ca-certificates.crt";

/*
 * Keeps n bytes more, without leaving copies of the old ones behind in freed memory as realloc
 * would. The first room is more than nearly every reply needs.
 */
static void http_keep(struct buf *to, const char *bytes, size_t n)
{
	if (to->len + n + 1 > to->cap) {
		struct buf larger = {0};

		buf_reserve(&larger, to->len + n < 4000 ? 4000 : (to->len + n) * 2);
		buf_add(&larger, buf_str(to), to->len);
		http_buf_wipe_free(to);
		*to = larger;
	}
	buf_add(to, bytes, n);
}

static size_t http_on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct http_transfer *transfer = arg;
	struct http_reply *reply = &transfer->reply;
	size_t len = size * n;

	if (len > HTTP_BODY_MAX_BYTES - reply->body.len) {
		reply->is_too_large = true;
		return CURL_WRITEFUNC_ERROR;
	}
	http_keep(&reply->body, bytes, len);
	return len;
}

/* The header's value without the white space around it, if it has this name; else NULL. */
static const char *http_header_value(
        const char *line, size_t len, const char *name, char *value, size_t size)
{
	size_t name_len = strlen(name);

	if (len <= name_len || line[name_len] != ':' || strncasecmp(line, name, name_len) != 0)
		return NULL;
	line += name_len + 1;
	len -= name_len + 1;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len > 0 && strchr(" \t\r\n", line[len - 1]))
		len--;
	if (len >= size)
		len = size - 1;
	memcpy(value, line, len);
	value[len] = '\0';
	return value;
}

/* Replies of one second have one Date; to read it costs more than all other headers. */
static int64_t http_read_date(struct http_host *host, const char *value)
{
	time_t date;

	if (strcmp(value, host->date) == 0)
		return host->date_wall_ms;
	date = curl_getdate(value, NULL);
	str_copy(host->date, sizeof(host->date), value);
	host->date_wall_ms = date < 0 ? -1 : (int64_t)date * 1000;
	return host->date_wall_ms;
}

/* Digits alone, or else a date; libcurl would take the 1 of 1e20 for a number. */
static bool is_retry_after(const char *value)
{
	size_t n_digits = strspn(value, "0123456789");

	return n_digits > 0 ? value[n_digits] == '\0' : isalpha((unsigned char)value[0]) != 0;
}

static void http_reply_read_header(
        struct http_host *host, struct http_reply *reply, const char *line, size_t len)
{
	char value[HTTP_CONTENT_TYPE_MAX_BYTES];

	switch (line[0] | 0x20) {
	case 'c':
		if (http_header_value(line, len, "Content-Type", value, sizeof(value)))
			str_copy(reply->content_type, sizeof(reply->content_type), value);
		break;
	case 'd':
		if (http_header_value(line, len, "Date", value, sizeof(value)))
			reply->date_wall_ms = http_read_date(host, value);
		break;
	case 'r':
		if (http_header_value(line, len, "Retry-After", value, sizeof(value))) {
			reply->has_retry_after = is_retry_after(value);
			reply->is_retry_after_zero = value[0] && value[strspn(value, "0")] == '\0';
		}
		break;
	case 'x':
		if (http_header_value(line, len, "X-API-CREDITS-REMAINING", value, sizeof(value)) &&
		        str_to_int(value, 0, INT64_MAX, &reply->credits_remaining) < 0)
			reply->credits_remaining = -1;
		break;
	default:
		break;
	}
}

/* A status line begins anew: what stood before it was an interim reply (1xx). */
static void http_reply_begin(struct http_reply *reply)
{
	buf_clear(&reply->headers);
	reply->content_type[0] = '\0';
	reply->credits_remaining = -1;
	reply->date_wall_ms = -1;
	reply->has_retry_after = reply->is_retry_after_zero = false;
}

static size_t http_on_header(char *line, size_t size, size_t n, void *arg)
{
	struct http_transfer *transfer = arg;
	struct http_reply *reply = &transfer->reply;
	size_t len = size * n;

	if (len > HTTP_HEADERS_MAX_BYTES - reply->header_bytes) {
		reply->is_too_large = true;
		return 0;
	}
	reply->header_bytes += len;
	if (len > 5 && strncasecmp(line, "HTTP/", 5) == 0)
		http_reply_begin(reply);
	if (transfer->wants_headers)
		http_keep(&reply->headers, line, len);
	if (len > 0)
		http_reply_read_header(transfer->host, reply, line, len);
	return len;
}

/* Called when the name is not in libcurl's cache: a thread of the resolver starts. */
static int http_on_resolve(void *resolver, void *reserved, void *arg)
{
	struct http_transfer *transfer = arg;

	(void)resolver;
	(void)reserved;
	transfer->is_resolving = true;
	return 0;
}

/*
 * TCP_USER_TIMEOUT finds out that the peer of a reused connection is gone, long before the
 * request's own time-out: then there is time left for a fresh connection.
 */
static curl_socket_t http_on_open_socket(
        void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_transfer *transfer = arg;
	unsigned int unacknowledged_ms = HTTP_UNACKNOWLEDGED_MS;
	int fd;

	(void)purpose;
	transfer->is_resolving = false;
	transfer->has_connected = true;
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	setsockopt(
	        fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof(unacknowledged_ms));
	return fd;
}

/* Called when the connection stands and the request is about to be written. */
static int http_on_send(void *arg, char *peer, char *local, int peer_port, int local_port)
{
	struct http_transfer *transfer = arg;

	(void)peer;
	(void)local;
	(void)peer_port;
	(void)local_port;
	transfer->is_resolving = false;
	transfer->is_reused = !transfer->has_connected;
	transfer->n_sent++;
	http_host_count_sent(transfer->host);
	return CURL_PREREQFUNC_OK;
}

/* ---- the handle ---- */

static const struct http_handle_option {
	CURLoption option;
	long value;
} http_handle_options[] = {
        {CURLOPT_NOSIGNAL, 1},
        /* Without it removing a handle joins its resolver's thread, and silent DNS stops the loop.
         */
        {CURLOPT_QUICK_EXIT, 1},
        {CURLOPT_CA_CACHE_TIMEOUT, 300},
        {CURLOPT_SSL_VERIFYPEER, 1},
        {CURLOPT_SSL_VERIFYHOST, 2},
        {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_NETRC, CURL_NETRC_IGNORED},
        {CURLOPT_PATH_AS_IS, 1},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
        {CURLOPT_HTTP09_ALLOWED, 0},
        {CURLOPT_LOW_SPEED_LIMIT, 1},
        {CURLOPT_LOW_SPEED_TIME, HTTP_LOW_SPEED_S},
        {CURLOPT_TCP_KEEPALIVE, 1},
        {CURLOPT_TCP_KEEPIDLE, 15},
        {CURLOPT_TCP_KEEPINTVL, 5},
        {CURLOPT_MAXAGE_CONN, HTTP_CONNECTION_IDLE_S},
        {CURLOPT_VERBOSE, 0},
};

/*
 * CURLOPT_CAPATH is NULL on purpose: with Debian's default libcurl reads the whole bundle anew for
 * each connection. The proxy is "" since NULL would let the environment choose one.
 */
static const struct http_handle_text {
	CURLoption option;
	const char *value;
} http_handle_texts[] = {
        {CURLOPT_CAPATH, NULL},
        {CURLOPT_PROXY, ""},
        {CURLOPT_PROTOCOLS_STR, "http,https"},
        {CURLOPT_ACCEPT_ENCODING, NULL},
        {CURLOPT_USERAGENT, "bulkwatch/" BULKWATCH_VERSION},
};

void http_must(CURLcode result)
{
	assert(result == CURLE_OK || result == CURLE_OUT_OF_MEMORY);
	if (result != CURLE_OK)
		mem_exhausted();
}

static void http_handle_set_callbacks(CURL *easy, struct http_transfer *transfer)
{
	http_must(curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer));
	http_must(curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->words));
	http_must(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, http_on_body));
	http_must(curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer));
	http_must(curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, http_on_header));
	http_must(curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer));
	http_must(curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, http_on_resolve));
	http_must(curl_easy_setopt(easy, CURLOPT_RESOLVER_START_DATA, transfer));
	http_must(curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, http_on_open_socket));
	http_must(curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer));
	http_must(curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, http_on_send));
	http_must(curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer));
}

CURL *http_handle_new_bare(const char *ca_file, CURLSH *share)
{
	CURL *easy = mem_must(curl_easy_init());

	/* In parentheses: the macro of that name checks types, which takes a constant option. */
	for (size_t i = 0; i < ARRAY_LEN(http_handle_options); i++)
		http_must((curl_easy_setopt)(easy, http_handle_options[i].option,
		        http_handle_options[i].value));
	for (size_t i = 0; i < ARRAY_LEN(http_handle_texts); i++)
		http_must((curl_easy_setopt)(easy, http_handle_texts[i].option,
		        http_handle_texts[i].value));
	http_must(curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file ? ca_file : default_ca_file));
	http_must(curl_easy_setopt(easy, CURLOPT_SHARE, share));
	return easy;
}

CURL *http_handle_new(struct http_transfer *transfer)
{
	CURL *easy = http_handle_new_bare(transfer->host->ca_file, transfer->host->share);

	http_handle_set_callbacks(easy, transfer);
	return easy;
}

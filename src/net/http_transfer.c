/*
 * One request: its copy, each attempt, and the translation of libcurl's results into struct
 * http_answer. What comes back meanwhile is counted and copied by http_handle.c.
 *
 * What libcurl and OpenSSL keep of a header in their own memory cannot be wiped from here; our own
 * copies are.
 */
#include "net/http_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "util/mem.h"
#include "util/str.h"

enum { HTTP_STATUS_LEAST = 100 };

/* ---- the request ---- */

void http_buf_wipe(struct buf *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->len);
	buf->len = 0;
}

void http_buf_wipe_free(struct buf *buf)
{
	http_buf_wipe(buf);
	buf_deinit(buf);
}

static void http_reply_clear(struct http_reply *reply)
{
	/* The reply to a token request holds the token. */
	http_buf_wipe(&reply->body);
	http_buf_wipe(&reply->headers);
	*reply = (struct http_reply){
	        .body = reply->body,
	        .headers = reply->headers,
	        .credits_remaining = -1,
	        .date_wall_ms = -1,
	        .retry_after_s = -1,
	};
}

static bool is_token_char(char c)
{
	char lower = (char)(c | 0x20);

	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* "Name: value" with a name of RFC 9110's token characters. */
static bool http_header_is_fit(const char *header)
{
	size_t name_len = 0;

	while (is_token_char(header[name_len]))
		name_len++;
	return name_len > 0 && header[name_len] == ':' && !str_has_control(header, strlen(header));
}

/*
 * libcurl's list over one buffer, which is as large as it must be before anything is in it: growing
 * would leave copies behind.
 */
static void http_transfer_copy_headers(
        struct http_transfer *transfer, const char *const *headers, size_t n)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += strlen(headers[i]) + 1;
	buf_reserve(&transfer->lines, size);
	for (size_t i = 0; i < n; i++) {
		transfer->headers[i].data = transfer->lines.data + transfer->lines.len;
		transfer->headers[i].next = i + 1 < n ? &transfer->headers[i + 1] : NULL;
		buf_add(&transfer->lines, headers[i], strlen(headers[i]) + 1);
	}
}

/* From those at rest if there is one. */
static struct http_transfer *http_transfer_blank(struct http *http)
{
	struct http_transfer *transfer = TAILQ_FIRST(&http->spare);

	if (!transfer)
		return MEM_NEW(struct http_transfer);
	TAILQ_REMOVE(&http->spare, transfer, link);
	http->n_spare--;
	return transfer;
}

struct http_transfer *http_transfer_take(struct http *http, const struct http_request *request)
{
	const char *headers[HTTP_HEADERS_MAX + 1];
	struct http_transfer *transfer;
	size_t n = 0;

	for (; n < HTTP_HEADERS_MAX && request->headers[n]; n++) {
		if (!http_header_is_fit(request->headers[n]))
			return NULL;
		headers[n] = request->headers[n];
	}
	/* Waiting for "100 Continue" would cost a second where the server knows none. */
	if (request->post_body)
		headers[n++] = "Expect:";
	transfer = http_transfer_blank(http);
	http_reply_clear(&transfer->reply);
	buf_adds(&transfer->url, request->url);
	http_transfer_copy_headers(transfer, headers, n);
	transfer->n_headers = n;
	if (request->post_body) {
		transfer->post_body = mem_strndup(request->post_body, request->post_len);
		transfer->post_len = request->post_len;
	}
	transfer->timeout_ms = request->timeout_ms;
	transfer->wants_headers = request->wants_headers;
	return transfer;
}

/* Nothing of the request or its reply is left. */
static void http_transfer_wipe(struct http_transfer *transfer)
{
	assert(!transfer->easy);
	if (transfer->post_body)
		explicit_bzero(transfer->post_body, transfer->post_len);
	free(transfer->post_body);
	http_buf_wipe(&transfer->lines);
	http_reply_clear(&transfer->reply);
	buf_clear(&transfer->url);
	*transfer = (struct http_transfer){
	        .url = transfer->url,
	        .lines = transfer->lines,
	        .reply.body = transfer->reply.body,
	        .reply.headers = transfer->reply.headers,
	};
}

struct http_transfer *http_transfer_free(struct http_transfer *transfer)
{
	if (!transfer)
		return NULL;
	http_transfer_wipe(transfer);
	buf_deinit(&transfer->url);
	buf_deinit(&transfer->lines);
	buf_deinit(&transfer->reply.body);
	buf_deinit(&transfer->reply.headers);
	free(transfer);
	return NULL;
}

void http_transfer_give(struct http *http, struct http_transfer *transfer)
{
	bool is_large =
	        transfer->reply.body.cap + transfer->reply.headers.cap > HTTP_SPARE_BODY_MAX_BYTES;

	if (is_large || http->n_spare == HTTP_SPARE_MAX) {
		http_transfer_free(transfer);
		return;
	}
	http_transfer_wipe(transfer);
	TAILQ_INSERT_HEAD(&http->spare, transfer, link);
	http->n_spare++;
}

/* ---- an attempt ---- */

static void http_transfer_set_timeouts(struct http_transfer *transfer)
{
	long timeout_ms = (long)(transfer->timeout_ms - transfer->spent_ms);
	long connect_ms =
	        timeout_ms < HTTP_CONNECT_TIMEOUT_MS ? timeout_ms : (long)HTTP_CONNECT_TIMEOUT_MS;

	http_must(curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, timeout_ms));
	http_must(curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms));
}

static void http_transfer_set_post(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;

	http_must(curl_easy_setopt(easy, CURLOPT_POST, 1L));
	http_must(curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->post_body));
	http_must(curl_easy_setopt(
	        easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)transfer->post_len));
}

void http_transfer_prepare(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy = http_handle_new(transfer);

	transfer->words[0] = '\0';
	http_must(curl_easy_setopt(easy, CURLOPT_URL, transfer->url.data));
	http_must(curl_easy_setopt(
	        easy, CURLOPT_HTTPHEADER, transfer->n_headers ? transfer->headers : NULL));
	http_must(curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)transfer->is_retry));
	http_transfer_set_timeouts(transfer);
	if (transfer->post_body)
		http_transfer_set_post(transfer);
}

void http_transfer_release(struct http_transfer *transfer)
{
	curl_easy_cleanup(transfer->easy);
	transfer->easy = NULL;
}

/* ---- the end ---- */

static void http_transfer_count_time(struct http_transfer *transfer)
{
	curl_off_t spent_us = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &spent_us);
	transfer->spent_ms += spent_us / 1000;
}

/* The results with which a connection that died while it was idle ends (docs/performance.md). */
static bool http_result_is_of_dead_connection(CURLcode result)
{
	switch ((int)result) {
	case CURLE_HTTP2:
	case CURLE_PARTIAL_FILE:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_HTTP2_STREAM:
		return true;
	default:
		return false;
	}
}

bool http_transfer_retry(struct http_transfer *transfer, CURLcode result)
{
	http_transfer_count_time(transfer);
	if (transfer->is_retry || !transfer->is_reused ||
	        transfer->spent_ms >= transfer->timeout_ms)
		return false;
	/* No body comes before a header; and what is too large has a result of its own. */
	if (transfer->reply.header_bytes > 0)
		return false;
	if (!http_result_is_of_dead_connection(result))
		return false;
	http_reply_clear(&transfer->reply);
	transfer->is_retry = true;
	transfer->is_resolving = transfer->has_connected = transfer->is_reused = false;
	return true;
}

static enum http_error http_error_of_result(CURLcode result)
{
	switch ((int)result) {
	case CURLE_OK:
		return HTTP_OK;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return HTTP_E_RESOLVE;
	case CURLE_COULDNT_CONNECT:
	case CURLE_INTERFACE_FAILED:
		return HTTP_E_CONNECT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_ENGINE_NOTFOUND:
	case CURLE_SSL_ENGINE_SETFAILED:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CRL_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return HTTP_E_TLS;
	case CURLE_OPERATION_TIMEDOUT:
		return HTTP_E_TIMEOUT;
	case CURLE_UNSUPPORTED_PROTOCOL: /* a reply without a status line */
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_BAD_FUNCTION_ARGUMENT: /* what 7.88.1 says of a header line that is none */
		return HTTP_E_BROKEN;
	case CURLE_FILESIZE_EXCEEDED:
	case CURLE_OUT_OF_MEMORY: /* what 7.88.1 says of one header line over its 100 KB */
		return HTTP_E_TOO_LARGE;
	default:
		return http_result_is_of_dead_connection(result) ? HTTP_E_BROKEN : HTTP_E_OTHER;
	}
}

/* One line, and nothing of a query: libcurl is not known to print one, but who knows. */
static void http_transfer_say(struct http_transfer *transfer, CURLcode result)
{
	const char *words = transfer->words;
	const char *hint = "";

	if (transfer->reply.is_too_large) {
		snprintf(transfer->message, sizeof(transfer->message),
		        "the reply is larger than %d bytes (or its headers than %d)",
		        HTTP_BODY_MAX_BYTES, HTTP_HEADERS_MAX_BYTES);
		return;
	}
	if (result == CURLE_PEER_FAILED_VERIFICATION)
		hint = " (a wrong clock on this machine looks the same)";
	if (!words[0])
		words = curl_easy_strerror(result);
	snprintf(transfer->message, sizeof(transfer->message), "%.*s%s", (int)strcspn(words, "?"),
	        words, hint);
	for (char *c = transfer->message; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	}
}

/*
 * libcurl's number is 0 for what it cannot read, and may be below 0 for a date in the past; -1 is
 * our word for "none", so that a date of one second ago becomes "now".
 */
static void http_transfer_read_retry_after(struct http_transfer *transfer)
{
	curl_off_t seconds = 0;

	if (!transfer->reply.has_retry_after)
		return;
	curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &seconds);
	if (seconds == 0)
		seconds = transfer->reply.is_retry_after_zero ? 0 : -1;
	else if (seconds == -1)
		seconds = 0;
	transfer->reply.retry_after_s = seconds;
}

void http_transfer_finish(struct http_transfer *transfer, CURLcode result)
{
	long status = 0;

	transfer->error = http_error_of_result(result);
	if (transfer->reply.is_too_large)
		transfer->error = HTTP_E_TOO_LARGE;
	else if (transfer->error == HTTP_E_TIMEOUT && transfer->is_resolving)
		transfer->error = HTTP_E_RESOLVE;
	if (transfer->error != HTTP_OK)
		http_transfer_say(transfer, result);
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	/* libcurl 7.88 takes "HTTP/21.1 503" for HTTP/2 with the status 1. */
	if (transfer->error == HTTP_OK && status < HTTP_STATUS_LEAST) {
		transfer->error = HTTP_E_BROKEN;
		str_copy(transfer->message, sizeof(transfer->message),
		        "the reply has no status that HTTP knows");
		status = 0;
	}
	transfer->reply.status = (int)status;
	http_transfer_read_retry_after(transfer);
}

void http_transfer_deliver(const struct http_transfer *transfer)
{
	const struct http_reply *reply = &transfer->reply;
	struct http_answer answer = {
	        .error = transfer->error,
	        .message = transfer->message,
	        .status = reply->status,
	        .body = buf_str(&reply->body),
	        .len = reply->body.len,
	        .content_type = reply->content_type,
	        .retry_after_s = reply->retry_after_s,
	        .credits_remaining = reply->credits_remaining,
	        .date_wall_ms = reply->date_wall_ms,
	        .duration_ms = transfer->spent_ms,
	        .headers = buf_str(&reply->headers),
	        .was_reused = transfer->is_reused,
	        .n_sent = transfer->n_sent,
	};

	transfer->fn(transfer->arg, transfer->owner, &answer);
}

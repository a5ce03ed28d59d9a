/*
 * What faults put into answers. The errors' bodies are those of Zoho's documentation and of public
 * reports; the tests compare them with the samples in tests/data/zoho.
 */
#include <assert.h>
#include <string.h>

#include "sim/fault.h"
#include "util/mem.h"

#define HTML_TYPE "text/html;charset=UTF-8"

#define API_ERROR(code, details, message)                                                          \
	"{\"code\":\"" code "\",\"details\":" details ",\"message\":\"" message                    \
	"\",\"status\":\"error\"}"
#define PROXY_PAGE(title)                                                                          \
	"<html>\r\n<head><title>" title "</title></head>\r\n<body>\r\n<center><h1>" title          \
	"</h1></center>\r\n</body>\r\n</html>\r\n"

enum {
	DEEP_LEVELS = 200000,
	DEEP_LEVELS_MAX = 16 << 20,
};

static const struct {
	int status;
	const char *content_type;
	const char *body;
} fault_bodies[FAULT_KINDS] = {
        [FAULT_INVALID_TOKEN] = {401, REPLY_TYPE_JSON,
                API_ERROR("INVALID_TOKEN", "{}", "invalid oauth token")},
        [FAULT_AUTHENTICATION_FAILURE] = {401, REPLY_TYPE_JSON,
                API_ERROR("AUTHENTICATION_FAILURE", "{}", "Authentication failed")},
        [FAULT_INVALID_OAUTHTOKEN] = {401, REPLY_TYPE_JSON,
                API_ERROR("INVALID_OAUTHTOKEN", "{}", "invalid oauth token")},
        [FAULT_SCOPE_MISMATCH] = {401, REPLY_TYPE_JSON,
                API_ERROR("OAUTH_SCOPE_MISMATCH", "{}", "Unauthorized")},
        [FAULT_NO_PERMISSION] = {403, REPLY_TYPE_JSON,
                API_ERROR("NO_PERMISSION", "{\"permissions\":[\"Crm_Implied_Api_Access\"]}",
                        "permission denied")},
        [FAULT_AUTHORIZATION_FAILED] = {400, REPLY_TYPE_JSON,
                API_ERROR("AUTHORIZATION_FAILED", "{}",
                        "User does not have sufficient privilege to read the module")},
        [FAULT_NOT_FOUND] = {404, REPLY_TYPE_JSON,
                API_ERROR("RESOURCE_NOT_FOUND", "{}", "The requested resource doesn't exist.")},
        [FAULT_INVALID_URL_PATTERN] = {404, REPLY_TYPE_JSON,
                API_ERROR("INVALID_URL_PATTERN", "{}",
                        "Please check if the URL trying to access is a correct one")},
        [FAULT_429] = {429, REPLY_TYPE_JSON,
                API_ERROR("TOO_MANY_REQUESTS", "{}",
                        "Many requests fired in concurrent than the allowed limit")},
        [FAULT_500] = {500, REPLY_TYPE_JSON,
                API_ERROR("INTERNAL_ERROR", "{}", "Internal Server Error")},
        [FAULT_502] = {502, HTML_TYPE, PROXY_PAGE("502 Bad Gateway")},
        [FAULT_503] = {503, HTML_TYPE, PROXY_PAGE("503 Service Temporarily Unavailable")},
        [FAULT_504] = {504, HTML_TYPE, PROXY_PAGE("504 Gateway Time-out")},
        [FAULT_204] = {204, NULL, ""},
        [FAULT_304] = {304, NULL, ""},
        [FAULT_302] = {302, HTML_TYPE, ""},
        [FAULT_STATUS] = {200, REPLY_TYPE_JSON, "{}"},
        [FAULT_HTML] = {200, HTML_TYPE,
                "<html><head><title>Zoho</title></head><body>We'll be back soon.</body></html>"},
        [FAULT_EMPTY] = {200, REPLY_TYPE_JSON, ""},
        [FAULT_GARBAGE] = {200, REPLY_TYPE_JSON, "}{\"data\":[,]\\ \x01\x02 not JSON at all"},
        [FAULT_DEEP] = {200, REPLY_TYPE_JSON, ""},
        [FAULT_ENDLESS_BODY] = {200, REPLY_TYPE_JSON, "{\"data\":["},
        [FAULT_ENDLESS_HEADERS] = {200, REPLY_TYPE_JSON, ""},
        [FAULT_THROTTLED] = {200, REPLY_TYPE_JSON,
                "{\"error\":\"Access Denied\",\"error_description\":\"You have made too many "
                "requests continuously. Please try again after some "
                "time.\",\"status\":\"failure\"}"},
        [FAULT_THROTTLED_TRANSLATED] = {200, REPLY_TYPE_JSON,
                "{\"error\":\"Zugriff verweigert\",\"error_description\":\"Sie haben zu viele "
                "Anfragen in Folge gestellt. Bitte versuchen Sie es sp\xc3\xa4ter "
                "erneut.\",\"status\":\"failure\"}"},
        [FAULT_INVALID_CODE] = {200, REPLY_TYPE_JSON, "{\"error\":\"invalid_code\"}"},
        [FAULT_INVALID_CLIENT] = {200, REPLY_TYPE_JSON, "{\"error\":\"invalid_client\"}"},
        [FAULT_INVALID_CLIENT_SECRET] = {200, REPLY_TYPE_JSON,
                "{\"error\":\"invalid_client_secret\"}"},
        [FAULT_NO_ACCESS_TOKEN] = {200, REPLY_TYPE_JSON,
                "{\"token_type\":\"Bearer\",\"expires_in\":3600}"},
};

static enum reply_manner fault_manner(enum fault_kind kind)
{
	switch (kind) {
	case FAULT_HANG:
		return REPLY_HANG;
	case FAULT_DROP:
	case FAULT_REFUSE: /* who asked meets the closing, who comes after it the refusal */
		return REPLY_DROP;
	case FAULT_RESET:
		return REPLY_RESET;
	case FAULT_ENDLESS_BODY:
		return REPLY_ENDLESS_BODY;
	case FAULT_ENDLESS_HEADERS:
		return REPLY_ENDLESS_HEADERS;
	default:
		return REPLY_WHOLE;
	}
}

static void fault_replace_body(const struct fault *fault, const char *id, struct reply *reply)
{
	const char *body = fault->body ? fault->body : fault_bodies[fault->kind].body;
	const char *type = fault_bodies[fault->kind].content_type;

	if (!body)
		return;
	reply_set_body(reply, fault->content_type ? fault->content_type : type, body, strlen(body));
	if (fault->kind == FAULT_NOT_FOUND && id[0] && !fault->body) {
		buf_clear(&reply->body);
		buf_addf(&reply->body,
		        API_ERROR("RESOURCE_NOT_FOUND", "{\"resource\":\"%s\"}",
		                "The requested resource doesn't exist."),
		        id);
	}
	if (fault->kind == FAULT_DEEP) {
		int64_t levels = fault->bytes >= 0 ? fault->bytes : DEEP_LEVELS;

		if (levels > DEEP_LEVELS_MAX)
			levels = DEEP_LEVELS_MAX;
		buf_reserve(&reply->body, (size_t)levels);
		memset(reply->body.data, '[', (size_t)levels);
		reply->body.len = (size_t)levels;
	}
}

void fault_replace(const struct fault *fault, const char *id, struct reply *reply)
{
	assert(fault_kind_class(fault->kind) == FAULT_REPLACES);
	reply->status = fault->status ? (int)fault->status : fault_bodies[fault->kind].status;
	reply->manner = fault_manner(fault->kind);
	reply->delay_ms = fault->delay_ms;
	fault_replace_body(fault, id, reply);
	if (reply->status == 204 || reply->status == 304)
		reply->framing = REPLY_BARE;
	if (fault->kind == FAULT_ENDLESS_BODY)
		reply->framing = REPLY_CHUNKED;
	if (fault->retry_after)
		reply_add_header(reply, "Retry-After", fault->retry_after);
	if (fault->kind == FAULT_302 || fault->location)
		reply_add_header(reply, "Location",
		        fault->location ? fault->location : "https://elsewhere.invalid/");
}

void fault_replace_plainly(enum fault_kind kind, const char *id, struct reply *reply)
{
	struct fault fault;

	fault_init(&fault);
	fault.kind = kind;
	fault_replace(&fault, id, reply);
}

static void fault_truncate(const struct fault *fault, struct reply *reply)
{
	reply->manner = REPLY_CUT;
	reply->cut_bytes = fault->bytes >= 0 ? (size_t)fault->bytes : reply->body.len / 2;
	if (fault->kind == FAULT_TRUNCATE_CLOSED)
		reply->framing = REPLY_CLOSED;
	else if (fault->kind == FAULT_TRUNCATE_CHUNKED)
		reply->framing = REPLY_CHUNKED;
}

void fault_spoil(const struct fault *fault, struct reply *reply)
{
	const char *text = fault->body;

	switch (fault->kind) {
	case FAULT_TRUNCATE:
	case FAULT_TRUNCATE_CLOSED:
	case FAULT_TRUNCATE_CHUNKED:
		fault_truncate(fault, reply);
		break;
	case FAULT_TRAILING_GARBAGE:
		buf_adds(&reply->body, text ? text : "\n{\"data\":[]} and more");
		break;
	case FAULT_WRONG_CONTENT_TYPE:
		reply->content_type = fault->content_type ? fault->content_type : HTML_TYPE;
		break;
	case FAULT_DELAY:
		reply->delay_ms += fault->delay_ms;
		break;
	case FAULT_SLOW:
		reply->interval_ms = fault->delay_ms;
		break;
	case FAULT_HTTP10:
		reply->is_http10 = true;
		reply->framing = REPLY_CLOSED;
		break;
	default:
		break;
	}
}

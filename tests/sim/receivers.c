#include "receivers.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "scenario.h"
#include "util/mem.h"
#include "util/str.h"

enum {
	DIGEST_BYTES = 32,
	DIGEST_BASE64_BYTES = 44,
	KEY_MAX_BYTES = 64,
	LATENCY_MAX_MS = 500,
	/* Far beyond retry_max, and over well before a history must be. */
	RETRY_AFTER_MAX_S = 3600,
	/* More than is kept of an answer. */
	MUCH_BYTES = 70 * 1000,
};

static const char home[] = "https://receivers.example", other[] = "https://other.example";

/* ---- addresses ---- */

bool receivers_is_call(const struct http_request *request)
{
	return str_has_prefix(request->url, home) || str_has_prefix(request->url, other);
}

int receivers_hook_of(const char *url)
{
	const char *path = strchr(url + strlen("https://"), '/');
	char name[32];

	return path && sscanf(path, "/%31[a-z]/", name) == 1 ? world_find_hook(name) : -1;
}

char *receivers_url(int number, int variant)
{
	const struct world_hook *hook = &world->hooks[number];
	bool is_moved = hook->moved_in >> variant & 1;

	return mem_printf("%s/%s/" WORLD_CANARY, is_moved ? other : home, hook->name);
}

/* ---- keys ---- */

/* Of every other hook in base64: sixteen digits of it, twelve bytes. */
static bool is_base64(int hook)
{
	return hook % 2 == 1;
}

char *receivers_key(int hook, int number)
{
	if (is_base64(hook))
		return mem_printf("whsec_" WORLD_CANARY "h%dn%03d", hook, number);
	return mem_printf(WORLD_CANARY " of hook %d, number %d", hook, number);
}

static void add_signature(int hook, int number, const struct buf *text, struct buf *out)
{
	cleanup(mem_free_p) char *key = receivers_key(hook, number);
	unsigned char bytes[KEY_MAX_BYTES], digest[DIGEST_BYTES], base64[DIGEST_BASE64_BYTES + 1];
	const unsigned char *digits = (const unsigned char *)key + strlen("whsec_");
	unsigned n = sizeof(digest);
	int len;

	if (is_base64(hook)) {
		len = EVP_DecodeBlock(bytes, digits, (int)strlen((const char *)digits));
	} else {
		len = (int)strlen(key);
		memcpy(bytes, key, (size_t)len);
	}
	if (len <= 0 || !HMAC(EVP_sha256(), bytes, len, (const unsigned char *)text->data,
	                        text->len, digest, &n))
		world_fail("a receiver cannot sign with its own key");
	EVP_EncodeBlock(base64, digest, sizeof(digest));
	buf_addf(out, "%sv1,%s", out->len > 0 ? " " : "", (const char *)base64);
}

void receivers_sign(int hook, const char *id, const char *timestamp, const char *body, size_t len,
        struct buf *out)
{
	cleanup(buf_deinit) struct buf text = {0};
	int newest = world->hooks[hook].key;

	buf_addf(&text, "%s.%s.", id, timestamp);
	buf_add(&text, body, len);
	add_signature(hook, newest, &text, out);
	if (newest > 0)
		add_signature(hook, newest - 1, &text, out);
}

void receivers_renew_key(int hook)
{
	world->hooks[hook].key++;
	world->hooks[hook].is_key_spoilt = false;
	scenario_write_keys(hook);
	world_happened(HAPPENED_KEY_CHANGED);
}

void receivers_spoil_key(int hook)
{
	world->hooks[hook].is_key_spoilt = true;
	scenario_write_keys(hook);
}

/* ---- answers ---- */

static int any_of(const int *statuses, size_t n)
{
	return statuses[world_below(DICE_RECEIVERS, n)];
}

static void accept(struct zoho_saying *saying)
{
	static const int statuses[] = {200, 200, 201, 202, 204, 299};

	saying->status = any_of(statuses, ARRAY_LEN(statuses));
	world_happened(HAPPENED_CALL_ACCEPTED);
	if (saying->status != 204)
		buf_adds(&saying->body, "{\"ok\":true}");
}

static void refuse(struct zoho_saying *saying)
{
	static const int errors[] = {HTTP_E_CONNECT, HTTP_E_RESOLVE, HTTP_E_TLS};

	saying->error = (enum http_error)any_of(errors, ARRAY_LEN(errors));
	saying->status = 0;
	world_happened(HAPPENED_CALL_REFUSED);
}

static void cut(struct zoho_saying *saying)
{
	saying->error = world_chance(DICE_RECEIVERS, 0.8) ? HTTP_E_BROKEN : HTTP_E_OTHER;
	saying->status = 0;
	world_happened(HAPPENED_CALL_CUT);
}

/* Accepted, for all that the receiver knows; but nobody waits for the answer any more. */
static void be_late(struct zoho_saying *saying, int64_t timeout_ms)
{
	saying->after_ms = timeout_ms + world_between(DICE_RECEIVERS, 1, 60 * 1000);
	world_happened(HAPPENED_CALL_LATE);
}

static int64_t some_retry_after_s(void)
{
	if (world_chance(DICE_RECEIVERS, 0.2))
		return world_between(DICE_RECEIVERS, -5, 0); /* which says nothing */
	return world_between(
	        DICE_RECEIVERS, 1, world_chance(DICE_RECEIVERS, 0.3) ? RETRY_AFTER_MAX_S : 100);
}

static void fail(struct zoho_saying *saying)
{
	static const int statuses[] = {500, 501, 502, 503, 504, 599};

	saying->status = any_of(statuses, ARRAY_LEN(statuses));
	if (world_chance(DICE_RECEIVERS, 0.2))
		saying->retry_after_s = some_retry_after_s();
	buf_adds(&saying->body, "<html><body>Sorry</body></html>");
	world_happened(HAPPENED_CALL_FAILED);
}

static void reject(struct zoho_saying *saying)
{
	static const int statuses[] = {400, 401, 403, 404, 408, 413, 422, 429, 499};

	saying->status = any_of(statuses, ARRAY_LEN(statuses));
	if (world_chance(DICE_RECEIVERS, 0.1))
		saying->retry_after_s = some_retry_after_s();
	world_happened(HAPPENED_CALL_REJECTED);
}

static void be_gone(struct zoho_saying *saying)
{
	saying->status = 410;
	if (world_chance(DICE_RECEIVERS, 0.2))
		saying->retry_after_s = some_retry_after_s();
	world_happened(HAPPENED_CALL_GONE);
}

static void throttle(struct zoho_saying *saying)
{
	saying->status = world_chance(DICE_RECEIVERS, 0.5) ? 429 : 503;
	saying->retry_after_s = some_retry_after_s();
	world_happened(HAPPENED_CALL_THROTTLED);
}

static void redirect(struct zoho_saying *saying)
{
	static const int statuses[] = {301, 302, 303, 307, 308};

	saying->status = any_of(statuses, ARRAY_LEN(statuses));
	world_happened(HAPPENED_CALL_REDIRECTED);
}

/* Its status stands if a body came at all; bytes are any. */
static void say_too_much(struct zoho_saying *saying)
{
	saying->error = HTTP_E_TOO_LARGE;
	saying->status = world_chance(DICE_RECEIVERS, 0.7) ? 200 : 500;
	for (size_t i = world_chance(DICE_RECEIVERS, 0.3) ? MUCH_BYTES : 0; i < MUCH_BYTES; i++)
		buf_addc(&saying->body, (char)(i * 37 % 256));
	world_happened(HAPPENED_CALL_HUGE);
}

static void be_odd(struct zoho_saying *saying)
{
	static const int statuses[] = {100, 101, 199, 300, 304, 600, 700, 999};

	saying->status = any_of(statuses, ARRAY_LEN(statuses));
	saying->content_type = "text/html";
	world_happened(HAPPENED_CALL_ODD);
}

static void say_of_trouble(struct zoho_saying *saying, enum trouble_kind kind, int64_t timeout_ms)
{
	switch (kind) {
	case TROUBLE_REFUSES:
	case TROUBLE_DNS:
	case TROUBLE_TLS:
		refuse(saying);
		break;
	case TROUBLE_STALLS:
		be_late(saying, timeout_ms);
		break;
	case TROUBLE_DROPS:
		cut(saying);
		break;
	case TROUBLE_SERVER:
		fail(saying);
		break;
	case TROUBLE_THROTTLED:
		throttle(saying);
		break;
	default:
		be_odd(saying);
	}
}

/* One call in four meets something of its own. */
static void say_any(struct zoho_saying *saying, int64_t timeout_ms)
{
	uint64_t dice = world_may(KIND_RECEIVERS) ? world_below(DICE_RECEIVERS, 100) : 99;

	if (dice < 3)
		refuse(saying);
	else if (dice < 6)
		cut(saying);
	else if (dice < 9)
		be_late(saying, timeout_ms);
	else if (dice < 12)
		fail(saying);
	else if (dice < 15)
		reject(saying);
	else if (dice < 17)
		be_gone(saying);
	else if (dice < 20)
		throttle(saying);
	else if (dice < 22)
		redirect(saying);
	else if (dice < 24)
		say_too_much(saying);
	else if (dice < 26)
		be_odd(saying);
	else
		accept(saying);
}

void receivers_say(int number, int64_t timeout_ms, struct zoho_saying *saying)
{
	const struct world_hook *hook = &world->hooks[number];
	const struct trouble *trouble =
	        world_trouble(hook->troubles, hook->n_troubles, world->mono_ms);

	saying->content_type = "application/json";
	saying->retry_after_s = -1;
	saying->after_ms = world_between(DICE_RECEIVERS, 1,
	        world_chance(DICE_RECEIVERS, 0.05) ? 8 * LATENCY_MAX_MS : LATENCY_MAX_MS);
	if (trouble)
		say_of_trouble(saying, trouble->kind, timeout_ms);
	else
		say_any(saying, timeout_ms);
}

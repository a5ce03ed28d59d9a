#include "sim/fault.h"

#include <string.h>

#include "util/mem.h"
#include "util/str.h"

enum { API = 1 << FAULT_PATH_API, RESULT = 1 << FAULT_PATH_RESULT, TOKEN = 1 << FAULT_PATH_TOKEN };
enum { EVERYWHERE = API | RESULT | TOKEN | 1 << FAULT_PATH_ANY };

static const struct {
	const char *name;
	enum fault_class class;
	unsigned paths; /* where it makes sense; the first of API and TOKEN is the default */
} fault_kinds[FAULT_KINDS] = {
        [FAULT_INVALID_TOKEN] = {"invalid_token", FAULT_REPLACES, API | RESULT},
        [FAULT_AUTHENTICATION_FAILURE] = {"authentication_failure", FAULT_REPLACES, API | RESULT},
        [FAULT_INVALID_OAUTHTOKEN] = {"invalid_oauthtoken", FAULT_REPLACES, API | RESULT},
        [FAULT_SCOPE_MISMATCH] = {"scope_mismatch", FAULT_REPLACES, API | RESULT},
        [FAULT_NO_PERMISSION] = {"no_permission", FAULT_REPLACES, API | RESULT},
        [FAULT_AUTHORIZATION_FAILED] = {"authorization_failed", FAULT_REPLACES, API | RESULT},
        [FAULT_NOT_FOUND] = {"not_found", FAULT_REPLACES, API | RESULT},
        [FAULT_INVALID_URL_PATTERN] = {"invalid_url_pattern", FAULT_REPLACES, API | RESULT},
        [FAULT_429] = {"429", FAULT_REPLACES, EVERYWHERE},
        [FAULT_500] = {"500", FAULT_REPLACES, EVERYWHERE},
        [FAULT_502] = {"502", FAULT_REPLACES, EVERYWHERE},
        [FAULT_503] = {"503", FAULT_REPLACES, EVERYWHERE},
        [FAULT_504] = {"504", FAULT_REPLACES, EVERYWHERE},
        [FAULT_204] = {"204", FAULT_REPLACES, EVERYWHERE},
        [FAULT_304] = {"304", FAULT_REPLACES, EVERYWHERE},
        [FAULT_302] = {"302", FAULT_REPLACES, EVERYWHERE},
        [FAULT_STATUS] = {"status", FAULT_REPLACES, EVERYWHERE},
        [FAULT_HTML] = {"html", FAULT_REPLACES, EVERYWHERE},
        [FAULT_EMPTY] = {"empty", FAULT_REPLACES, EVERYWHERE},
        [FAULT_GARBAGE] = {"garbage", FAULT_REPLACES, EVERYWHERE},
        [FAULT_DEEP] = {"deep", FAULT_REPLACES, EVERYWHERE},
        [FAULT_ENDLESS_BODY] = {"endless_body", FAULT_REPLACES, EVERYWHERE},
        [FAULT_ENDLESS_HEADERS] = {"endless_headers", FAULT_REPLACES, EVERYWHERE},
        [FAULT_HANG] = {"hang", FAULT_REPLACES, EVERYWHERE},
        [FAULT_DROP] = {"drop", FAULT_REPLACES, EVERYWHERE},
        [FAULT_RESET] = {"reset", FAULT_REPLACES, EVERYWHERE},
        [FAULT_REFUSE] = {"refuse", FAULT_REPLACES, EVERYWHERE},
        [FAULT_THROTTLED] = {"throttled", FAULT_REPLACES, TOKEN},
        [FAULT_THROTTLED_TRANSLATED] = {"throttled_translated", FAULT_REPLACES, TOKEN},
        [FAULT_INVALID_CODE] = {"invalid_code", FAULT_REPLACES, TOKEN},
        [FAULT_INVALID_CLIENT] = {"invalid_client", FAULT_REPLACES, TOKEN},
        [FAULT_INVALID_CLIENT_SECRET] = {"invalid_client_secret", FAULT_REPLACES, TOKEN},
        [FAULT_NO_ACCESS_TOKEN] = {"no_access_token", FAULT_REPLACES, TOKEN},
        [FAULT_LEGACY_MILLISECONDS] = {"legacy_milliseconds", FAULT_OF_TOKEN, TOKEN},
        [FAULT_FOREIGN_API_DOMAIN] = {"foreign_api_domain", FAULT_OF_TOKEN, TOKEN},
        [FAULT_WRONG_ID] = {"wrong_id", FAULT_OF_DOCUMENT, API},
        [FAULT_NUL_STATE] = {"nul_state", FAULT_OF_DOCUMENT, API},
        [FAULT_NUMBER_STATE] = {"number_state", FAULT_OF_DOCUMENT, API},
        [FAULT_LONG_STATE] = {"long_state", FAULT_OF_DOCUMENT, API},
        [FAULT_DUPLICATE_KEYS] = {"duplicate_keys", FAULT_OF_DOCUMENT, API},
        [FAULT_BAD_UTF8] = {"bad_utf8", FAULT_OF_DOCUMENT, API},
        [FAULT_BIG_BODY] = {"big_body", FAULT_OF_DOCUMENT, API},
        [FAULT_TRUNCATE] = {"truncate", FAULT_ON_WIRE, EVERYWHERE},
        [FAULT_TRUNCATE_CLOSED] = {"truncate_closed", FAULT_ON_WIRE, EVERYWHERE},
        [FAULT_TRUNCATE_CHUNKED] = {"truncate_chunked", FAULT_ON_WIRE, EVERYWHERE},
        [FAULT_TRAILING_GARBAGE] = {"trailing_garbage", FAULT_ON_WIRE, EVERYWHERE},
        [FAULT_WRONG_CONTENT_TYPE] = {"wrong_content_type", FAULT_ON_WIRE, EVERYWHERE},
        [FAULT_DELAY] = {"delay", FAULT_ON_WIRE, EVERYWHERE},
        [FAULT_SLOW] = {"slow", FAULT_ON_WIRE, EVERYWHERE},
        [FAULT_HTTP10] = {"http10", FAULT_ON_WIRE, EVERYWHERE},
};

void fault_init(struct fault *fault)
{
	*fault = (struct fault){.times = -1, .every = 1, .probability = 1, .bytes = -1};
}

const char *fault_kind_name(enum fault_kind kind)
{
	return fault_kinds[kind].name;
}

enum fault_kind fault_kind_by_name(const char *name)
{
	for (enum fault_kind kind = FAULT_NONE + 1; kind < FAULT_KINDS; kind++) {
		if (strcmp(fault_kinds[kind].name, name) == 0)
			return kind;
	}
	return FAULT_NONE;
}

enum fault_class fault_kind_class(enum fault_kind kind)
{
	return fault_kinds[kind].class;
}

bool fault_kind_is_harmless(enum fault_kind kind)
{
	return kind == FAULT_NONE || kind == FAULT_DELAY || kind == FAULT_SLOW ||
	       kind == FAULT_HTTP10;
}

bool fault_settle_path(struct fault *fault)
{
	unsigned paths = fault_kinds[fault->kind].paths;

	if (fault->path == FAULT_PATH_DEFAULT)
		fault->path = paths & API ? FAULT_PATH_API : FAULT_PATH_TOKEN;
	return paths & (1u << fault->path);
}

bool fault_is_immediate(const struct fault *fault)
{
	return fault->kind == FAULT_REFUSE && fault->after == 0 && fault->every == 1 &&
	       fault->probability >= 1 && fault->ids.kind == IDS_ALL;
}

static bool fault_fits(const struct fault *fault, const struct fault_target *target)
{
	if (fault->path != FAULT_PATH_ANY && fault->path != target->path)
		return false;
	if (fault->dc && strcmp(fault->dc, target->dc) != 0)
		return false;
	return fault->ids.kind == IDS_ALL || (target->id[0] && ids_has(&fault->ids, target->id));
}

bool fault_strikes(struct fault *fault, const struct fault_target *target, struct rng *rng)
{
	if (!fault_fits(fault, target))
		return false;
	if (fault->times >= 0 && fault->n_strikes >= fault->times)
		return false;
	/* Of a refusal it is the length of each. */
	if (fault->kind != FAULT_REFUSE && fault->for_ms > 0 && fault->n_strikes > 0 &&
	        target->mono_ms - fault->first_strike_mono_ms >= fault->for_ms)
		return false;
	if (fault->n_fitting++ < fault->after)
		return false;
	if ((fault->n_fitting - fault->after - 1) % fault->every != 0)
		return false;
	if (fault->probability < 1 && rng_unit(rng) >= fault->probability)
		return false;
	if (fault->n_strikes++ == 0)
		fault->first_strike_mono_ms = target->mono_ms;
	return true;
}

void fault_reset(struct fault *fault)
{
	fault->n_fitting = fault->n_strikes = 0;
	fault->first_strike_mono_ms = 0;
}

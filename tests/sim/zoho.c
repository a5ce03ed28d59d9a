#include "zoho.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crowd.h"
#include "tokens.h"
#include "util/mem.h"

enum { LATENCY_MAX_MS = 800 };

void zoho_saying_deinit(struct zoho_saying *saying)
{
	buf_deinit(&saying->body);
}

enum word zoho_word_at(const struct world_job *job, int64_t mono_ms)
{
	int i = job->n_phases - 1;

	while (i > 0 && job->phases[i].from_mono_ms > mono_ms)
		i--;
	return job->phases[i].word;
}

static void say_nothing(struct zoho_saying *saying, enum http_error error, int64_t after_ms)
{
	saying->error = error;
	saying->status = 0;
	saying->after_ms = after_ms;
	saying->kind = OBSERVED_UNREACHABLE;
}

static void say_error(
        struct zoho_saying *saying, int status, const char *code, enum observation_kind kind)
{
	saying->status = status;
	saying->kind = kind;
	buf_clear(&saying->body);
	buf_addf(&saying->body,
	        "{\"code\":\"%s\",\"details\":{},\"message\":\"in so many "
	        "words\",\"status\":\"error\"}",
	        code);
}

static void say_job(
        struct zoho_saying *saying, const struct world_job *job, const char *id, const char *state)
{
	bool is_of_crm = world->accounts[job->account].is_of_crm;

	buf_clear(&saying->body);
	buf_addf(&saying->body, "{\"data\":[{\"id\":\"%s\",\"operation\":\"read\",\"state\":%s,",
	        id, state);
	if (strcmp(state, "\"COMPLETED\"") == 0)
		buf_addf(&saying->body,
		        "\"result\":{\"page\":1,\"count\":20,\"download_url\":\"/%s/read/%s/"
		        "result\","
		        "\"per_page\":200000,\"more_records\":false},",
		        is_of_crm ? WORLD_PATH_CRM : WORLD_PATH_BIGIN, id);
	buf_addf(&saying->body,
	        "\"query\":{\"module\":%s,\"page\":1},\"created_by\":{\"id\":"
	        "\"3652397000000186017\","
	        "\"name\":\"Patricia Boyle\"},\"created_time\":\"2019-04-01T14:24:04+05:30\"}]}",
	        is_of_crm ? "{\"api_name\":\"Contacts\"}" : "\"Contacts\"");
}

static void say_status(struct zoho_saying *saying, const struct world_job *job)
{
	char state[32];

	saying->status = 200;
	saying->kind = OBSERVED_STATUS;
	saying->word = zoho_word_at(job, world->mono_ms + saying->after_ms / 2);
	snprintf(state, sizeof(state), "\"%s\"", word_text(saying->word));
	say_job(saying, job, job->id, state);
}

static void say_huge(struct zoho_saying *saying)
{
	saying->error = HTTP_E_TOO_LARGE;
	saying->status = 200;
	world_happened(HAPPENED_HUGE_BODY);
}

static void say_odd_state(struct zoho_saying *saying, const struct world_job *job)
{
	static const char *const states[] = {"17", "null", "\"\"", "\"LOST\"", "\"PENDING\"",
	        "\"COMPLETED\\u0000\"", "[\"COMPLETED\"]",
	        "\"A STATE THAT GOES ON AND ON AND ON, WELL "
	        "BEYOND THE SIXTY-FOUR CHARACTERS ALLOWED\""};

	say_job(saying, job, job->id, states[world_below(DICE_ZOHO, ARRAY_LEN(states))]);
}

/* An answer that nobody can use; each of them is one that was seen, or that a library lets pass. */
static void garble(struct zoho_saying *saying, const struct world_job *job)
{
	static const enum happening lies[] = {HAPPENED_CUT_BODY, HAPPENED_OTHER_ID,
	        HAPPENED_ODD_STATE, HAPPENED_STATE_TWICE, HAPPENED_CONTENT_TYPE, HAPPENED_REDIRECT,
	        HAPPENED_EMPTY_BODY, HAPPENED_TRAILING_BYTES, HAPPENED_STRANGE_CODE,
	        HAPPENED_HUGE_BODY, HAPPENED_HTML};
	enum happening lie = lies[world_below(DICE_ZOHO, ARRAY_LEN(lies))];

	saying->status = 200;
	saying->kind = OBSERVED_GARBLED;
	say_job(saying, job, job->id, "\"COMPLETED\"");
	switch (lie) {
	case HAPPENED_CUT_BODY:
		saying->body.len = world_below(DICE_ZOHO, saying->body.len);
		saying->body.data[saying->body.len] = '\0';
		break;
	case HAPPENED_OTHER_ID:
		say_job(saying, job, "3652397000000646004", "\"COMPLETED\"");
		break;
	case HAPPENED_ODD_STATE:
		say_odd_state(saying, job);
		break;
	case HAPPENED_STATE_TWICE:
		say_job(saying, job, job->id, "\"COMPLETED\",\"state\":\"ADDED\"");
		break;
	case HAPPENED_CONTENT_TYPE:
		saying->content_type = "text/plain";
		break;
	case HAPPENED_REDIRECT:
		saying->status = 302;
		break;
	case HAPPENED_EMPTY_BODY:
		buf_clear(&saying->body);
		break;
	case HAPPENED_TRAILING_BYTES:
		buf_adds(&saying->body, "{}");
		break;
	case HAPPENED_HUGE_BODY:
		say_huge(saying);
		return;
	case HAPPENED_HTML:
		saying->content_type = "text/html";
		buf_clear(&saying->body);
		buf_adds(&saying->body, "<html><body>COMPLETED</body></html>");
		break;
	default:
		say_error(saying, 418, "I_AM_A_TEAPOT", OBSERVED_GARBLED);
	}
	world_happened(lie);
}

static void say_server_error(struct zoho_saying *saying)
{
	static const int statuses[] = {500, 502, 503, 504};

	saying->status = statuses[world_below(DICE_ZOHO, ARRAY_LEN(statuses))];
	saying->kind = OBSERVED_UNREACHABLE;
	buf_clear(&saying->body);
	if (saying->status == 500)
		say_error(saying, 500, "INTERNAL_ERROR", OBSERVED_UNREACHABLE);
	else
		saying->content_type = "text/html";
	if (saying->status == 503 && world_chance(DICE_ZOHO, 0.5))
		saying->retry_after_s = world_between(DICE_ZOHO, -5, 100);
}

/* True: that is all that will be said. */
static bool say_datacenter_trouble(struct zoho_saying *saying, enum trouble_kind kind,
        const struct world_job *job, int64_t timeout_ms)
{
	switch (kind) {
	case TROUBLE_REFUSES:
		say_nothing(saying, HTTP_E_CONNECT, world_between(DICE_ZOHO, 0, 5));
		world_happened(HAPPENED_REFUSED_CONNECTION);
		return true;
	case TROUBLE_STALLS:
		say_nothing(saying, HTTP_E_TIMEOUT, timeout_ms);
		world_happened(HAPPENED_STALL);
		return true;
	case TROUBLE_DROPS:
		say_nothing(saying, HTTP_E_BROKEN, saying->after_ms);
		world_happened(HAPPENED_DROP);
		return true;
	case TROUBLE_DNS:
		say_nothing(saying, HTTP_E_RESOLVE, world_between(DICE_ZOHO, 0, timeout_ms));
		world_happened(HAPPENED_NO_NAME);
		return true;
	case TROUBLE_TLS:
		say_nothing(saying, HTTP_E_TLS, saying->after_ms);
		world_happened(HAPPENED_BAD_TLS);
		return true;
	case TROUBLE_SERVER:
		say_server_error(saying);
		world_happened(HAPPENED_SERVER_ERROR);
		return true;
	case TROUBLE_GARBLES:
		garble(saying, job);
		return true;
	default:
		return false;
	}
}

static bool say_account_trouble(
        struct zoho_saying *saying, const struct world_account *account, int token)
{
	const struct trouble *trouble =
	        world_trouble(account->troubles, account->n_troubles, world->mono_ms);

	if (trouble && trouble->kind == TROUBLE_THROTTLED) {
		say_error(saying, 429, "TOO_MANY_REQUESTS", OBSERVED_THROTTLED);
		bool has_time = world_chance(DICE_ZOHO, 0.5);

		if (has_time)
			saying->retry_after_s = world_between(DICE_ZOHO, -100, 200);
		world_happened(has_time ? HAPPENED_429_RETRY_AFTER : HAPPENED_429);
	} else if (trouble && trouble->kind == TROUBLE_SCOPE) {
		say_error(saying, 401, "OAUTH_SCOPE_MISMATCH", OBSERVED_REFUSED);
		world_happened(HAPPENED_SCOPE);
	} else if (trouble) {
		say_error(saying, 403, "NO_PERMISSION", OBSERVED_REFUSED);
		world_happened(HAPPENED_PERMISSION);
	} else if (account->grant >= 0 ? !tokens_is_good(account->grant, token)
	                               : world->mono_ms >= account->token_ends_mono_ms[token]) {
		say_error(saying, 401, "INVALID_TOKEN", OBSERVED_REFUSED);
		world_happened(HAPPENED_TOKEN_ENDED);
	} else {
		return false;
	}
	return true;
}

/* One in thirty requests meets something of its own. */
static enum trouble_kind choose_mishap(void)
{
	enum trouble_kind kind =
	        (enum trouble_kind)world_between(DICE_ZOHO, TROUBLE_REFUSES, TROUBLE_GARBLES);

	if (!world_chance(DICE_ZOHO, 0.03) ||
	        !world_may(kind == TROUBLE_GARBLES ? KIND_LIES : KIND_OUTAGES))
		return TROUBLE_NONE;
	return kind;
}

static void say_of_job(struct zoho_saying *saying, struct world_job *job)
{
	bool is_unknown = job->unknown_from_mono_ms <= world->mono_ms &&
	                  world->mono_ms < job->unknown_to_mono_ms;

	if (is_unknown) {
		say_error(saying, 404, "RESOURCE_NOT_FOUND", OBSERVED_NOT_FOUND);
		saying->status = world_chance(DICE_ZOHO, 0.2) ? 204 : 404;
		world_happened(saying->status == 204 ? HAPPENED_204 : HAPPENED_404);
	} else {
		say_status(saying, job);
		if (job->is_unknown)
			world_happened(HAPPENED_BACK_FROM_404);
	}
	job->is_unknown = is_unknown;
}

/* One in twenty takes some time, and another one up to all that it has: more often of a job that
 * has ended, where a late answer is the last. */
static int64_t latency_ms(const struct world_job *job, int64_t timeout_ms)
{
	bool has_ended = word_is_final(zoho_word_at(job, world->mono_ms));
	int64_t most_ms = LATENCY_MAX_MS;

	if (world_chance(DICE_ZOHO, has_ended ? 0.4 : 0.1))
		most_ms = world_chance(DICE_ZOHO, 0.5) ? timeout_ms - 1 : 10 * LATENCY_MAX_MS;
	return world_between(DICE_ZOHO, 5, most_ms);
}

void zoho_say(const struct poll *poll, int64_t timeout_ms, struct zoho_saying *saying)
{
	const struct world_account *a = &world->accounts[poll->account];
	const struct world_datacenter *dc = &world->datacenters[a->datacenter];
	struct world_job *j = &world->jobs[poll->job];
	const struct trouble *trouble = world_trouble(dc->troubles, dc->n_troubles, world->mono_ms);
	enum trouble_kind kind = trouble ? trouble->kind : TROUBLE_NONE;

	saying->content_type = "application/json;charset=UTF-8";
	saying->retry_after_s = -1;
	saying->after_ms = world->is_crowd ? crowd_latency_ms() : latency_ms(j, timeout_ms);
	if (!trouble)
		kind = choose_mishap();
	else if (trouble->is_flapping)
		world_happened(HAPPENED_FLAP);
	if (say_datacenter_trouble(saying, kind, j, timeout_ms) ||
	        say_account_trouble(saying, a, poll->token))
		return;
	say_of_job(saying, j);
}

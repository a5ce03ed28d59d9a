#include "zoho.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

static void say_job(struct zoho_saying *saying, const char *id, const char *state)
{
	buf_clear(&saying->body);
	buf_addf(&saying->body, "{\"data\":[{\"id\":\"%s\",\"operation\":\"read\",\"state\":%s,",
	        id, state);
	if (strcmp(state, "\"COMPLETED\"") == 0)
		buf_addf(&saying->body,
		        "\"result\":{\"page\":1,\"count\":20,"
		        "\"download_url\":\"/bigin/bulk/v2/read/%s/result\","
		        "\"per_page\":200000,\"more_records\":false},",
		        id);
	buf_adds(&saying->body,
	        "\"query\":{\"module\":\"Contacts\",\"page\":1},\"created_by\":{\"id\":"
	        "\"3652397000000186017\","
	        "\"name\":\"Patricia Boyle\"},\"created_time\":\"2019-04-01T14:24:04+05:30\"}]}");
}

static void say_status(struct zoho_saying *saying, const struct world_job *job)
{
	char state[32];

	saying->status = 200;
	saying->kind = OBSERVED_STATUS;
	saying->word = zoho_word_at(job, world->mono_ms + saying->after_ms / 2);
	snprintf(state, sizeof(state), "\"%s\"", word_text(saying->word));
	say_job(saying, job->id, state);
}

/* An answer that nobody can use; each of them is one that was seen, or that a library lets pass. */
static void garble(struct zoho_saying *saying, const struct world_job *job)
{
	static const char *const states[] = {"17", "null", "\"\"", "\"LOST\"", "\"PENDING\"",
	        "\"COMPLETED\\u0000\"", "[\"COMPLETED\"]",
	        "\"A STATE THAT GOES ON AND ON AND ON, WELL "
	        "BEYOND THE SIXTY-FOUR CHARACTERS ALLOWED\""};

	saying->status = 200;
	saying->kind = OBSERVED_GARBLED;
	switch (world_below(9)) {
	case 0:
		say_job(saying, job->id, "\"COMPLETED\"");
		buf_consume(&saying->body, 1);
		break;
	case 1:
		say_job(saying, "3652397000000646004", "\"COMPLETED\"");
		break;
	case 2:
		say_job(saying, job->id, states[world_below(ARRAY_LEN(states))]);
		break;
	case 3:
		say_job(saying, job->id, "\"COMPLETED\",\"state\":\"ADDED\"");
		break;
	case 4:
		say_job(saying, job->id, "\"COMPLETED\"");
		saying->content_type = "text/html";
		break;
	case 5:
		saying->status = 302;
		break;
	case 6:
		buf_clear(&saying->body);
		break;
	case 7:
		say_job(saying, job->id, "\"COMPLETED\"");
		buf_adds(&saying->body, "{}");
		break;
	default:
		say_error(saying, 418, "I_AM_A_TEAPOT", OBSERVED_GARBLED);
		break;
	}
}

static void say_server_error(struct zoho_saying *saying)
{
	static const int statuses[] = {500, 502, 503, 504};

	saying->status = statuses[world_below(ARRAY_LEN(statuses))];
	saying->kind = OBSERVED_UNREACHABLE;
	buf_clear(&saying->body);
	if (saying->status == 500)
		say_error(saying, 500, "INTERNAL_ERROR", OBSERVED_UNREACHABLE);
	else
		saying->content_type = "text/html";
	if (saying->status == 503 && world_chance(0.5))
		saying->retry_after_s = world_between(-5, 100);
}

/* True: that is all that will be said. */
static bool say_datacenter_trouble(struct zoho_saying *saying, enum trouble_kind kind,
        const struct world_job *job, int64_t timeout_ms)
{
	switch (kind) {
	case TROUBLE_REFUSES:
		say_nothing(saying, HTTP_E_CONNECT, world_between(0, 5));
		return true;
	case TROUBLE_STALLS:
		say_nothing(saying, HTTP_E_TIMEOUT, timeout_ms);
		return true;
	case TROUBLE_DROPS:
		say_nothing(saying, HTTP_E_BROKEN, saying->after_ms);
		return true;
	case TROUBLE_DNS:
		say_nothing(saying, HTTP_E_RESOLVE, world_between(0, timeout_ms));
		return true;
	case TROUBLE_TLS:
		say_nothing(saying, HTTP_E_TLS, saying->after_ms);
		return true;
	case TROUBLE_SERVER:
		say_server_error(saying);
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
		if (world_chance(0.5))
			saying->retry_after_s = world_between(-100, 200);
	} else if (trouble && trouble->kind == TROUBLE_SCOPE) {
		say_error(saying, 401, "OAUTH_SCOPE_MISMATCH", OBSERVED_REFUSED);
	} else if (trouble) {
		say_error(saying, 403, "NO_PERMISSION", OBSERVED_REFUSED);
	} else if (world->mono_ms >= account->token_ends_mono_ms[token]) {
		say_error(saying, 401, "INVALID_TOKEN", OBSERVED_REFUSED);
	} else {
		return false;
	}
	return true;
}

void zoho_say(const struct poll *poll, int64_t timeout_ms, struct zoho_saying *saying)
{
	const struct world_account *a = &world->accounts[poll->account];
	const struct world_datacenter *dc = &world->datacenters[a->datacenter];
	const struct world_job *j = &world->jobs[poll->job];
	const struct trouble *trouble = world_trouble(dc->troubles, dc->n_troubles, world->mono_ms);
	enum trouble_kind kind = trouble ? trouble->kind : TROUBLE_NONE;

	saying->content_type = "application/json;charset=UTF-8";
	saying->retry_after_s = -1;
	saying->after_ms =
	        world_between(5, world_chance(0.05) ? 10 * LATENCY_MAX_MS : LATENCY_MAX_MS);
	if (!trouble && world->has_faults && world->mono_ms < world->trouble_until_mono_ms &&
	        world_chance(0.03))
		kind = (enum trouble_kind)world_between(TROUBLE_REFUSES, TROUBLE_GARBLES);
	if (say_datacenter_trouble(saying, kind, j, timeout_ms) ||
	        say_account_trouble(saying, a, poll->token))
		return;
	if (j->unknown_from_mono_ms <= world->mono_ms && world->mono_ms < j->unknown_to_mono_ms) {
		say_error(saying, 404, "RESOURCE_NOT_FOUND", OBSERVED_NOT_FOUND);
		saying->status = world_chance(0.2) ? 204 : 404;
	} else {
		say_status(saying, j);
	}
}

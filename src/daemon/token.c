#include "daemon/token.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/refresh.h"
#include "daemon/secret.h"
#include "daemon/token_file.h"
#include "util/err.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/token.h"

enum {
	REQUEST_TIMEOUT_MS = 30 * 1000,
	HOST_MAX_IN_FLIGHT = 8,
	DOUBT_AFTER_MS = REFRESH_WINDOW_MS, /* so that doubt alone never spends the window's asks */
};

struct grant_host {
	char *accounts_url, *ca_file; /* owned */
	struct http_host *host;       /* owned */
};

struct grant {
	struct grants *grants;
	uint64_t id;
	size_t n_users;
	char *accounts_url, *ca_file, *client_id;           /* owned */
	char *client_secret, *refresh_token, *access_token; /* owned, secret_text_dup */
	char file_name[TOKEN_FILE_NAME_SIZE];
	char domain[TOKEN_DOMAIN_MAX_BYTES + 1];
	uint32_t generation; /* 0 = no token */
	bool is_accepted;
	bool was_dropped, is_second; /* the last one, and so the present one stands in its place */
	struct refresh refresh;
	struct http_host *asking; /* where a request is on its way; NULL = none */
	char problem[MESSAGE_MAX_BYTES];
};

struct grants {
	struct loop *loop;
	struct http *http;
	struct rng *rng;
	struct grant **list; /* owned */
	size_t n;
	struct grant_host **hosts; /* owned */
	size_t n_hosts;
	size_t n_in_flight;
	uint64_t last_id;
	uint32_t last_generation;
	char *state_dir; /* owned */
	int dir_fd;      /* of its tokens/, opened for the first grant; -1 = tokens are not kept */
	bool is_dir_tried;
	bool is_write_problem_told;
	grant_news_fn *news;
	void *news_arg;
};

struct grants *grants_new(
        struct loop *loop, struct http *http, struct rng *rng, const char *state_dir)
{
	struct grants *grants = MEM_NEW(struct grants);

	*grants = (struct grants){
	        .loop = loop,
	        .http = http,
	        .rng = rng,
	        .state_dir = mem_strdup(state_dir),
	        .dir_fd = -1,
	};
	return grants;
}

struct grants *grants_free(struct grants *grants)
{
	if (!grants)
		return NULL;
	assert(grants->n == 0);
	for (size_t i = 0; i < grants->n_hosts; i++) {
		http_host_free(grants->hosts[i]->host);
		free(grants->hosts[i]->accounts_url);
		free(grants->hosts[i]->ca_file);
		free(grants->hosts[i]);
	}
	free(grants->hosts);
	free(grants->list);
	free(grants->state_dir);
	mem_close_p(&grants->dir_fd);
	free(grants);
	return NULL;
}

void grants_set_news(struct grants *grants, grant_news_fn *news, void *arg)
{
	grants->news = news;
	grants->news_arg = arg;
}

size_t grants_in_flight(const struct grants *grants)
{
	return grants->n_in_flight;
}

/* ---- connections to accounts servers ---- */

static bool host_is_of(const struct grant_host *host, const struct grant *grant)
{
	return strcmp(host->accounts_url, grant->accounts_url) == 0 &&
	       str_is_equal(host->ca_file, grant->ca_file);
}

static int find_or_add_host(const struct grant *grant, struct http_host **out)
{
	struct grants *grants = grant->grants;
	struct http_host_options options = {
	        .ca_file = grant->ca_file, .max_in_flight = HOST_MAX_IN_FLIGHT};

	for (size_t i = 0; i < grants->n_hosts; i++) {
		if (host_is_of(grants->hosts[i], grant)) {
			*out = grants->hosts[i]->host;
			return 0;
		}
	}
	int r = http_host_new(grants->http, grant->accounts_url, &options, out);

	if (r < 0)
		return r;
	struct grant_host *host = MEM_NEW(struct grant_host);

	*host = (struct grant_host){
	        .accounts_url = mem_strdup(grant->accounts_url),
	        .ca_file = grant->ca_file ? mem_strdup(grant->ca_file) : NULL,
	        .host = *out,
	};
	grants->hosts = mem_resize(grants->hosts, grants->n_hosts + 1, sizeof(*grants->hosts));
	grants->hosts[grants->n_hosts++] = host;
	return 0;
}

static bool host_is_used(const struct grants *grants, const struct grant_host *host)
{
	for (size_t i = 0; i < grants->n; i++) {
		if (host_is_of(host, grants->list[i]) || grants->list[i]->asking == host->host)
			return true;
	}
	return false;
}

void grants_drop_unused_hosts(struct grants *grants)
{
	size_t n = 0;

	for (size_t i = 0; i < grants->n_hosts; i++) {
		struct grant_host *host = grants->hosts[i];

		if (host_is_used(grants, host)) {
			grants->hosts[n++] = host;
			continue;
		}
		http_host_free(host->host);
		free(host->accounts_url);
		free(host->ca_file);
		free(host);
	}
	grants->n_hosts = n;
}

/* ---- what is kept on disk ---- */

static int64_t to_wall(int64_t mono_ms, struct now now)
{
	return mono_ms - now.mono_ms + now.wall_ms;
}

/* The wall clock may have been set since: nothing is later than it could have become. */
static int64_t to_mono(int64_t wall_ms, int64_t ahead_max_ms, struct now now)
{
	int64_t ahead = wall_ms - now.wall_ms;

	return now.mono_ms + (ahead < ahead_max_ms ? ahead : ahead_max_ms);
}

static void save(struct grant *grant, struct now now)
{
	struct grants *grants = grant->grants;
	const struct refresh *refresh = &grant->refresh;
	struct token_record record = {
	        .held_until_wall_ms =
	                refresh->is_throttled ? to_wall(refresh->held_until_mono_ms, now) : 0,
	        .n_asked = refresh->n_asked,
	        .throttled_level = refresh->throttled_level,
	};

	if (grants->dir_fd < 0)
		return;
	if (refresh_is_alive(refresh, now.mono_ms)) {
		str_copy(record.access_token, sizeof(record.access_token), grant->access_token);
		str_copy(record.api_domain, sizeof(record.api_domain), grant->domain);
		record.got_wall_ms = to_wall(refresh->got_mono_ms, now);
		record.expires_wall_ms = to_wall(refresh->expires_mono_ms, now);
	}
	for (size_t i = 0; i < refresh->n_asked; i++)
		record.asked_wall_ms[i] = to_wall(refresh->asked_mono_ms[i], now);
	int r = token_file_write(grants->dir_fd, grant->file_name, &record);

	explicit_bzero(&record, sizeof(record));
	if (r < 0 && !grants->is_write_problem_told)
		log_warning(
		        "an access token could not be kept for the next start: %s", err_text(r));
	grants->is_write_problem_told = r < 0;
}

static void take_record(struct grant *grant, const struct token_record *record, struct now now)
{
	struct refresh *refresh = &grant->refresh;
	int64_t left = record->expires_wall_ms - now.wall_ms;

	refresh->n_asked = record->n_asked;
	for (size_t i = 0; i < record->n_asked; i++)
		refresh->asked_mono_ms[i] = to_mono(record->asked_wall_ms[i], 0, now);
	refresh->throttled_level = record->throttled_level;
	refresh->is_throttled = record->held_until_wall_ms > 0;
	if (refresh->is_throttled)
		refresh->held_until_mono_ms =
		        to_mono(record->held_until_wall_ms, REFRESH_THROTTLED_MAX_MS, now);
	if (!record->access_token[0] || left <= 0)
		return;
	bool was_throttled = refresh->is_throttled;
	int64_t held_until = refresh->held_until_mono_ms;

	refresh_granted(refresh, left < TOKEN_LIFE_MAX_MS ? left : TOKEN_LIFE_MAX_MS, now.mono_ms,
	        rng_next(grant->grants->rng));
	refresh->got_mono_ms = to_mono(record->got_wall_ms, 0, now);
	refresh->is_throttled = was_throttled;
	refresh->held_until_mono_ms = held_until;
	refresh->throttled_level = record->throttled_level;
	grant->access_token = secret_text_dup(record->access_token);
	grant->generation = ++grant->grants->last_generation;
	str_copy(grant->domain, sizeof(grant->domain), record->api_domain);
}

/* Where no tokens are made, no directory is either. */
static void open_dir(struct grants *grants, struct now now)
{
	if (grants->is_dir_tried)
		return;
	grants->is_dir_tried = true;
	int fd = token_dir_open(grants->state_dir, now.wall_ms);

	if (fd >= 0)
		grants->dir_fd = fd;
	else
		log_warning("%s/tokens: %s: access tokens are not kept over a restart",
		        grants->state_dir, err_text(fd));
}

static void restore(struct grant *grant, struct now now)
{
	struct token_record record;

	open_dir(grant->grants, now);
	if (grant->grants->dir_fd < 0)
		return;
	int r = token_file_read(grant->grants->dir_fd, grant->file_name, &record);

	if (r == 0)
		take_record(grant, &record, now);
	else if (r != -ENOENT)
		log_warning("tokens/%s: %s: not used", grant->file_name,
		        r == -EBADMSG ? "damaged, or not ours alone" : err_text(r));
	explicit_bzero(&record, sizeof(record));
}

/* ---- grants ---- */

static bool grant_is_of(const struct grant *grant, const struct grant_source *source)
{
	return strcmp(grant->accounts_url, source->accounts_url) == 0 &&
	       strcmp(grant->client_id, source->client_id) == 0 &&
	       strcmp(grant->refresh_token, source->refresh_token) == 0;
}

static void take_rest_of_source(struct grant *grant, const struct grant_source *source)
{
	if (strcmp(grant->client_secret, source->client_secret) == 0 &&
	        str_is_equal(grant->ca_file, source->ca_file))
		return;
	secret_text_free(grant->client_secret);
	grant->client_secret = secret_text_dup(source->client_secret);
	free(grant->ca_file);
	grant->ca_file = source->ca_file ? mem_strdup(source->ca_file) : NULL;
	grant_forgive(grant);
}

struct grant *grants_get(struct grants *grants, const struct grant_source *source)
{
	for (size_t i = 0; i < grants->n; i++) {
		if (grant_is_of(grants->list[i], source)) {
			grants->list[i]->n_users++;
			take_rest_of_source(grants->list[i], source);
			return grants->list[i];
		}
	}
	struct grant *grant = MEM_NEW(struct grant);

	*grant = (struct grant){
	        .grants = grants,
	        .id = ++grants->last_id,
	        .n_users = 1,
	        .accounts_url = mem_strdup(source->accounts_url),
	        .ca_file = source->ca_file ? mem_strdup(source->ca_file) : NULL,
	        .client_id = mem_strdup(source->client_id),
	        .client_secret = secret_text_dup(source->client_secret),
	        .refresh_token = secret_text_dup(source->refresh_token),
	};
	token_file_name(
	        grant->file_name, grant->accounts_url, grant->client_id, grant->refresh_token);
	restore(grant, loop_now(grants->loop));
	grants->list = mem_resize(grants->list, grants->n + 1, sizeof(*grants->list));
	grants->list[grants->n++] = grant;
	return grant;
}

struct grant *grant_put(struct grant *grant)
{
	struct grants *grants = grant ? grant->grants : NULL;

	if (!grant || --grant->n_users > 0)
		return NULL;
	if (grant->asking) {
		http_cancel(grant->asking, grants, grant->id);
		grants->n_in_flight--;
	}
	for (size_t i = 0; i < grants->n; i++) {
		if (grants->list[i] == grant) {
			grants->list[i] = grants->list[--grants->n];
			break;
		}
	}
	secret_text_free(grant->access_token);
	secret_text_free(grant->refresh_token);
	secret_text_free(grant->client_secret);
	free(grant->accounts_url);
	free(grant->ca_file);
	free(grant->client_id);
	free(grant);
	return NULL;
}

static struct grant *grant_by_id(const struct grants *grants, uint64_t id)
{
	for (size_t i = 0; i < grants->n; i++) {
		if (grants->list[i]->id == id)
			return grants->list[i];
	}
	return NULL;
}

/* ---- the answer ---- */

/* Told once, not at every try. */
static void set_problem(struct grant *grant, enum log_level level, const char *words)
{
	if (strcmp(grant->problem, words) == 0)
		return;
	str_copy(grant->problem, sizeof(grant->problem), words);
	log_at(level, "no new access token for client %s from %s: %s", grant->client_id,
	        grant->accounts_url, words);
}

static void take_token(struct grant *grant, const struct token_reply *reply, struct now now)
{
	refresh_granted(&grant->refresh, reply->life_ms, now.mono_ms, rng_next(grant->grants->rng));
	secret_text_free(grant->access_token);
	grant->access_token = secret_text_dup(reply->access_token);
	grant->generation = ++grant->grants->last_generation;
	grant->is_accepted = false;
	grant->is_second = grant->was_dropped;
	grant->was_dropped = false;
	str_copy(grant->domain, sizeof(grant->domain), reply->api_domain);
	log_at(grant->problem[0] ? LOG_LEVEL_NOTICE : LOG_LEVEL_INFO,
	        "new access token for client %s from %s", grant->client_id, grant->accounts_url);
	grant->problem[0] = '\0';
}

static void take_reply(struct grant *grant, const struct token_reply *reply, struct now now)
{
	uint64_t random = rng_next(grant->grants->rng);

	switch (reply->kind) {
	case TOKEN_REPLY_GRANTED:
		take_token(grant, reply, now);
		return;
	case TOKEN_REPLY_REFUSED:
		refresh_refused(&grant->refresh);
		set_problem(grant, LOG_LEVEL_ERROR, reply->message);
		return;
	case TOKEN_REPLY_THROTTLED:
		refresh_throttled(&grant->refresh, now.mono_ms, random);
		break;
	case TOKEN_REPLY_PASSING:
		refresh_failed(&grant->refresh, true, now.mono_ms, random);
		break;
	}
	set_problem(grant, LOG_LEVEL_WARNING, reply->message);
}

static void grants_on_answer(void *arg, uint64_t id, const struct http_answer *answer)
{
	struct grants *grants = arg;
	struct grant *grant = grant_by_id(grants, id);
	struct now now = loop_now(grants->loop);
	struct token_reply reply;

	assert(grant && grant->asking);
	grants->n_in_flight--;
	grant->asking = NULL;
	if (answer->error) {
		refresh_failed(
		        &grant->refresh, answer->n_sent > 0, now.mono_ms, rng_next(grants->rng));
		set_problem(grant, LOG_LEVEL_WARNING, answer->message);
	} else {
		struct token_answer question = {
		        .http_status = answer->status,
		        .body = answer->body,
		        .len = answer->len,
		        .secrets = {grant->refresh_token, grant->client_secret},
		};

		token_reply_read(&question, &reply);
		take_reply(grant, &reply, now);
		token_reply_wipe(&reply);
	}
	save(grant, now);
	grants->news(grants->news_arg, grant);
}

/* ---- the question ---- */

/* application/x-www-form-urlencoded; all but unreserved characters escaped (RFC 3986, 2.3). */
static void add_field(struct buf *body, const char *name, const char *value)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                            "0123456789-._~";

	buf_addf(body, "%s%s=", body->len > 0 ? "&" : "", name);
	for (const char *c = value; *c; c++) {
		if (strchr(plain, *c))
			buf_addc(body, *c);
		else
			buf_addf(body, "%%%02X", (unsigned char)*c);
	}
}

static int submit(struct grant *grant, struct http_host *host)
{
	cleanup(mem_free_p) char *url = mem_printf("%s/oauth/v2/token", grant->accounts_url);
	cleanup(buf_deinit) struct buf body = {0};

	/* At once, so that no part of it stays behind where it grew. */
	buf_reserve(&body, 128 + 3 * (strlen(grant->client_id) + strlen(grant->client_secret) +
	                                     strlen(grant->refresh_token)));
	add_field(&body, "grant_type", "refresh_token");
	add_field(&body, "client_id", grant->client_id);
	add_field(&body, "client_secret", grant->client_secret);
	add_field(&body, "refresh_token", grant->refresh_token);
	struct http_request request = {
	        .url = url,
	        .post_body = body.data,
	        .post_len = body.len,
	        .headers = {"Content-Type: application/x-www-form-urlencoded",
	                "Accept: application/json"},
	        .timeout_ms = REQUEST_TIMEOUT_MS,
	};
	int r = http_submit(host, &request, grants_on_answer, grant->grants, grant->id);

	explicit_bzero(body.data, body.cap);
	return r;
}

static void ask(struct grant *grant, struct now now)
{
	struct http_host *host = NULL;

	refresh_ask(&grant->refresh, now.mono_ms);
	save(grant, now); /* counted before it is sent: a crash in between asks no more often */
	int r = find_or_add_host(grant, &host);

	if (!r)
		r = submit(grant, host);
	if (!r) {
		grant->asking = host;
		grant->grants->n_in_flight++;
		return;
	}
	refresh_failed(&grant->refresh, false, now.mono_ms, rng_next(grant->grants->rng));
	set_problem(grant, LOG_LEVEL_ERROR, r < 0 ? err_text(r) : "the request cannot be sent");
}

int64_t grant_want(struct grant *grant, struct now now)
{
	if (refresh_is_due(&grant->refresh, now.mono_ms) &&
	        refresh_closed_until_mono(&grant->refresh, now.mono_ms) == 0)
		ask(grant, now);
	if (refresh_is_alive(&grant->refresh, now.mono_ms))
		return 0;
	return refresh_closed_until_mono(&grant->refresh, now.mono_ms);
}

/* ---- what others see ---- */

const char *grant_token(const struct grant *grant, int64_t mono_ms)
{
	return refresh_is_alive(&grant->refresh, mono_ms) ? grant->access_token : NULL;
}

const char *grant_name(const struct grant *grant)
{
	return grant->file_name;
}

uint32_t grant_generation(const struct grant *grant)
{
	return grant->generation;
}

const char *grant_domain(const struct grant *grant)
{
	return grant->domain;
}

bool grant_is_refused(const struct grant *grant)
{
	return grant->refresh.is_refused;
}

const char *grant_problem(const struct grant *grant)
{
	return grant->problem;
}

void grant_accept(struct grant *grant, uint32_t generation)
{
	if (generation == grant->generation)
		grant->is_accepted = true;
}

void grant_drop(struct grant *grant)
{
	refresh_drop(&grant->refresh);
	grant->access_token = secret_text_free(grant->access_token);
	grant->generation = 0;
	grant->is_accepted = false;
	grant->was_dropped = true;
}

bool grant_is_second_try(const struct grant *grant)
{
	return grant->is_second && !grant->is_accepted;
}

bool grant_is_doubtful(const struct grant *grant, int64_t mono_ms)
{
	return grant->generation && !grant->is_accepted &&
	       mono_ms - grant->refresh.got_mono_ms >= DOUBT_AFTER_MS;
}

void grant_forgive(struct grant *grant)
{
	refresh_forgive(&grant->refresh);
	if (!grant->refresh.is_throttled)
		grant->problem[0] = '\0';
}

static const char *state_word(const struct grant *grant, int64_t mono_ms)
{
	if (refresh_is_alive(&grant->refresh, mono_ms))
		return "ok";
	if (grant->refresh.is_asking)
		return "asking";
	if (grant->refresh.is_refused)
		return "refused";
	if (refresh_closed_until_mono(&grant->refresh, mono_ms) > 0)
		return "held";
	return "missing"; /* asked for with the next poll */
}

int64_t grant_expires_wall_ms(const struct grant *grant, struct now now)
{
	const struct refresh *refresh = &grant->refresh;

	return refresh_is_alive(refresh, now.mono_ms) ? to_wall(refresh->expires_mono_ms, now) : 0;
}

void grant_write(
        struct json_out *w, const struct grant *grant, const char *file_problem, struct now now)
{
	const char *problem = grant->problem[0] ? grant->problem : file_problem;
	const struct refresh *refresh = &grant->refresh;
	bool is_alive = refresh_is_alive(refresh, now.mono_ms);
	int64_t until = refresh_closed_until_mono(refresh, now.mono_ms);

	json_put_string(w, "state", state_word(grant, now.mono_ms));
	json_put_time(w, "expires", grant_expires_wall_ms(grant, now));
	json_put_time(w, "renewed_after", is_alive ? to_wall(refresh->renew_mono_ms, now) : 0);
	json_put_time(w, "held_until", until > 0 && until < INT64_MAX ? to_wall(until, now) : 0);
	json_put_integer(w, "accounts", (int64_t)grant->n_users);
	json_put_string(w, "problem", problem[0] ? problem : NULL);
}

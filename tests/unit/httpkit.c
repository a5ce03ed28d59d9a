#include "httpkit.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "util/mem.h"

void httpkit_on_answer(void *arg, uint64_t owner, const struct http_answer *answer)
{
	struct httpkit *kit = arg;
	struct httpkit_got *got = &kit->got[kit->n];

	ck_assert_uint_lt(kit->n, HTTPKIT_ANSWERS_MAX);
	kit->n++;
	got->owner = owner;
	got->answer = *answer;
	got->answer.body = mem_strndup(answer->body, answer->len);
	got->answer.message = mem_strdup(answer->message);
	got->answer.content_type = mem_strdup(answer->content_type);
	got->answer.headers = mem_strdup(answer->headers);
	if (kit->submit_to) {
		kit->submit_to = NULL;
		httpkit_submit(kit, "/ok", owner + 100);
	}
	if (kit->does_cancel) {
		kit->does_cancel = false;
		http_cancel(kit->host, kit, owner + 1);
	}
	if (kit->free_host) {
		kit->free_host = NULL;
		kit->host = http_host_free(kit->host);
	}
}

bool httpkit_has_answers(void *arg)
{
	struct httpkit *kit = arg;

	return kit->n >= kit->until;
}

struct http_host *httpkit_host_new(struct httpkit *kit, const char *base, int max_in_flight)
{
	struct http_host_options options = {.max_in_flight = max_in_flight};
	struct http_host *host;

	ck_assert_int_eq(http_host_new(kit->net.http, base, &options, &host), 0);
	return host;
}

void httpkit_init_with(struct httpkit *kit, int max_in_flight)
{
	*kit = (struct httpkit){0};
	netkit_init(&kit->net);
	ck_assert_int_eq(http_new(kit->net.loop, &kit->net.http), 0);
	rawserver_init(&kit->server, NULL);
	kit->base = mem_printf("http://127.0.0.1:%u", kit->server.port);
	kit->host = httpkit_host_new(kit, kit->base, max_in_flight);
}

void httpkit_init(struct httpkit *kit)
{
	httpkit_init_with(kit, 4);
}

void httpkit_deinit(struct httpkit *kit)
{
	for (size_t i = 0; i < kit->n; i++) {
		free((char *)(uintptr_t)kit->got[i].answer.body);
		free((char *)(uintptr_t)kit->got[i].answer.message);
		free((char *)(uintptr_t)kit->got[i].answer.content_type);
		free((char *)(uintptr_t)kit->got[i].answer.headers);
	}
	http_host_free(kit->host);
	netkit_deinit(&kit->net);
	rawserver_deinit(&kit->server);
	free(kit->base);
}

int httpkit_submit_to(struct httpkit *kit, struct http_host *host, const char *url,
        const char *header, int64_t timeout_ms, uint64_t owner)
{
	struct http_request request = {
	        .url = url,
	        .headers = {"Accept: application/json", header},
	        .timeout_ms = timeout_ms,
	};

	return http_submit(host, &request, httpkit_on_answer, kit, owner);
}

void httpkit_submit(struct httpkit *kit, const char *path, uint64_t owner)
{
	cleanup(mem_free_p) char *url = mem_printf("%s%s", kit->base, path);

	ck_assert_int_eq(httpkit_submit_to(kit, kit->host, url,
	                         "Authorization: Zoho-oauthtoken 1000.canary", 10000, owner),
	        0);
}

const struct http_answer *httpkit_ask(struct httpkit *kit, const char *path)
{
	httpkit_submit(kit, path, kit->n + 1);
	kit->until = kit->n + 1;
	ck_assert(netkit_run(&kit->net, httpkit_has_answers, kit));
	ck_assert_uint_eq(kit->got[kit->n - 1].owner, kit->n);
	return &kit->got[kit->n - 1].answer;
}

struct http_answer httpkit_json(int status, const char *body)
{
	return (struct http_answer){
	        .status = status,
	        .message = "",
	        .body = body,
	        .len = strlen(body),
	        .content_type = "application/json;charset=UTF-8",
	        .retry_after_s = -1,
	        .credits_remaining = -1,
	        .date_wall_ms = -1,
	        .headers = "",
	        .n_sent = 1,
	};
}

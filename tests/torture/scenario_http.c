/* Requests over net/http: plain and TLS, a body, headers that are wanted, one refused, one
 * cancelled. */
#include <stdio.h>
#include <string.h>

#include "net/http.h"
#include "scenario.h"
#include "unit/netkit.h"
#include "util/mem.h"

struct got {
	unsigned n;
	bool is_good;
};

static void on_answer(void *arg, uint64_t owner, const struct http_answer *answer)
{
	struct got *got = arg;

	(void)owner;
	got->n++;
	if (answer->error == HTTP_OK && answer->status != 200)
		scenario_wrong("a good answer with status %d", answer->status);
	if (answer->error != HTTP_OK && answer->message[0] == '\0')
		scenario_wrong("error %d without words", (int)answer->error);
}

static bool has_two(void *arg)
{
	struct got *got = arg;

	return got->n >= 2;
}

/* Without any memory OpenSSL takes nothing from a socket and asks to be called again for what lies
 * there: it turns until the time is up. */
enum { PATIENCE_MS = 500 };

static int submit(
        struct http_host *host, const char *url, const char *body, struct got *got, uint64_t owner)
{
	struct http_request request = {.url = url,
	        .post_body = body,
	        .post_len = body ? strlen(body) : 0,
	        .headers = {"Accept: application/json", "Authorization: Zoho-oauthtoken 1000.x"},
	        .timeout_ms = PATIENCE_MS,
	        .wants_headers = true};

	return http_submit(host, &request, on_answer, got, owner);
}

/* Two requests, of which each that was taken is answered; the loop lives on whatever fails. */
static void ask(const struct fault_plan *fault, const char *base, const char *ca_file)
{
	cleanup(mem_free_p) char *url = mem_printf("%s/ok", base);
	struct http_host_options options = {.ca_file = ca_file, .max_in_flight = 2};
	struct http_host *host = NULL;
	struct netkit kit = {0};
	struct got got = {0};
	struct http *http;
	struct loop *loop;

	scenario_arm(fault);
	if (loop_new(&loop) < 0)
		return;
	if (http_new(loop, &http) < 0) {
		loop_free(loop);
		return;
	}
	if (http_host_new(http, base, &options, &host) == 0) {
		netkit_adopt(&kit, loop, http);
		got.n += submit(host, url, NULL, &got, 1) != 0;
		got.n += submit(host, url, "a=b", &got, 2) != 0;
		if (submit(host, "https://user@other.example/", NULL, &got, 3) == 0)
			scenario_wrong("a URL of another host was taken");
		if (!netkit_run(&kit, has_two, &got))
			scenario_wrong("%u of 2 requests were answered", got.n);
		if (submit(host, url, NULL, &got, 4) == 0)
			http_cancel(host, &got, 4);
		http_host_free(host);
		netkit_deinit(&kit);
		return;
	}
	http_free(http);
	loop_free(loop);
}

static void run_http(const struct world *world, const struct fault_plan *fault)
{
	cleanup(mem_free_p) char *base = mem_printf("http://127.0.0.1:%u", world->port);

	ask(fault, base, NULL);
}

static void run_tls(const struct world *world, const struct fault_plan *fault)
{
	cleanup(mem_free_p) char *base = mem_printf("https://127.0.0.1:%u", world->tls_port);

	ask(fault, base, world->ca_file);
}

const struct scenario scenario_http = {.name = "http", .run = run_http, .n_variants = 2};
const struct scenario scenario_tls = {.name = "tls", .run = run_tls};

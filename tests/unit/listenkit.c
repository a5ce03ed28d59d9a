#include "listenkit.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/buf.h"
#include "util/mem.h"

void listenkit_on_gone(void *arg)
{
	struct listenkit *kit = arg;

	kit->n_gone++;
}

/* In words: the tests compare them whole. */
static void describe(struct listenkit *kit, struct listen_request *request)
{
	struct buf words = {0};
	size_t len;
	size_t n;
	const char *body = listen_body(request, &len);
	const char *header = listen_header(request, "x-test");
	uid_t uid;
	pid_t pid;

	buf_addf(&words, "%d %s %s", (int)listen_method(request), listen_method_name(request),
	        listen_path(request));
	for (size_t i = 0; i < listen_path_segments(request); i++)
		buf_addf(&words, " [%s]",
		        listen_path_segment(request, i) ? listen_path_segment(request, i) : "-");
	for (int i = 0; i < listen_query_count(request); i++)
		buf_addf(&words, " %s=%s", listen_query_name(request, (size_t)i),
		        listen_query_value(request, (size_t)i));
	n = listen_query_count(request) > 0 ? (size_t)listen_query_count(request) : 0;
	ck_assert_ptr_null(listen_query_name(request, n));
	ck_assert_ptr_null(listen_query_value(request, n));
	buf_addf(&words, " test=%s body=%zu:%s", header ? header : "-", len, body);
	ck_assert_ptr_eq(listen_body(request, &len), body);
	if (listen_peer(request, &uid, &pid)) {
		ck_assert_uint_eq(uid, geteuid());
		ck_assert_int_eq(pid, getpid());
		buf_adds(&words, " peer");
	}
	free(kit->last);
	kit->last = buf_steal(&words);
}

void listenkit_on_request(void *arg, struct listen_request *request)
{
	struct listenkit *kit = arg;
	static const char *const headers[] = {"Cache-Control: no-store", "X-Empty:", NULL};
	const char *what = listen_path_segment(request, 0);

	kit->n_requests++;
	describe(kit, request);
	if (what && strcmp(what, "hold") == 0) {
		ck_assert_uint_lt(kit->n_held, LISTENKIT_HELD_MAX);
		kit->held[kit->n_held++] = request;
		listen_hold(request, listenkit_on_gone, kit);
	} else if (what && strcmp(what, "defer") == 0) {
		kit->held[kit->n_held++] = request;
		listen_defer(request, listenkit_on_gone, kit);
	} else if (what && strcmp(what, "stream") == 0) {
		kit->held[kit->n_held++] = request;
		listen_stream_begin(request, 200, "application/x-ndjson", listenkit_on_gone, kit);
	} else if (what && strcmp(what, "nothing") == 0) {
		listen_reply(request, 204, NULL, "never", 5, NULL);
	} else if (what && strcmp(what, "unchanged") == 0) {
		listen_reply(request, 304, "text/plain", "never", 5, NULL);
	} else if (what && strcmp(what, "untyped") == 0) {
		listen_reply(request, 200, NULL, "bytes", 5, NULL);
	} else {
		listen_reply(request, 200, "application/json", "{\"a\":1}\n", 8, headers);
	}
}

void listenkit_init_with(struct listenkit *kit, int max_clients)
{
	char words[256];

	*kit = (struct listenkit){0};
	netkit_init(&kit->net);
	kit->dir = netkit_make_dir();
	kit->path = mem_printf("%s/query.sock", kit->dir);
	ck_assert_int_eq(listen_group_new(kit->net.loop, max_clients, &kit->group), 0);
	ck_assert_int_eq(listen_unix_new(kit->group, kit->path, 0600, listenkit_on_request, kit,
	                         &kit->listen, words, sizeof(words)),
	        0);
}

void listenkit_init(struct listenkit *kit)
{
	listenkit_init_with(kit, 64);
}

void listenkit_deinit(struct listenkit *kit)
{
	listen_free(kit->listen);
	listen_group_free(kit->group);
	netkit_deinit(&kit->net);
	netkit_remove_dir(kit->dir);
	free(kit->path);
	free(kit->last);
}

struct count {
	struct listenkit *kit;
	size_t n;
};

bool listenkit_held(void *arg)
{
	struct count *count = arg;

	return count->kit->n_held == count->n;
}

bool listenkit_gone(void *arg)
{
	struct count *count = arg;

	return count->kit->n_gone == count->n;
}

bool listenkit_clients(void *arg)
{
	struct count *count = arg;

	return listen_group_clients(count->kit->group) == count->n;
}

void listenkit_expect(struct listenkit *kit, bool (*holds)(void *), size_t n)
{
	struct count count = {.kit = kit, .n = n};

	ck_assert(netkit_run(&kit->net, holds, &count));
}

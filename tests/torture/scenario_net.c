/* Sockets and programs: one that meets the fault, and a second, without one, that must go well. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/listen.h"
#include "scenario.h"
#include "unit/netkit.h"
#include "util/mem.h"

/* ---- programs ---- */

struct outcome {
	unsigned n, n_good;
};

static void on_done(void *arg, uint64_t owner, const struct child_result *result)
{
	struct outcome *outcome = arg;
	bool is_good = result->end == CHILD_EXITED && result->code == 0 &&
	               result->output_len == 5 && memcmp(result->output, "hello", 5) == 0;

	(void)owner;
	outcome->n++;
	outcome->n_good += is_good;
	if (!is_good && (result->end != CHILD_NOT_STARTED || result->code == 0))
		scenario_wrong("ended as %d with %d", (int)result->end, result->code);
}

static bool has_one(void *arg)
{
	struct outcome *outcome = arg;

	return outcome->n > 0;
}

static void run_program(struct netkit *kit, struct outcome *outcome)
{
	static const char *const argv[] = {"/bin/cat", NULL}, *const envp[] = {NULL};
	const struct child_spec spec = {
	        .argv = argv, .envp = envp, .input = "hello", .input_len = 5, .timeout_ms = 10000};

	*outcome = (struct outcome){0};
	child_start(kit->children, &spec, on_done, outcome, 1);
	if (!netkit_run(kit, has_one, outcome))
		scenario_wrong("nobody was told of the program's end");
}

static void run_child(const struct world *world, const struct fault_plan *fault)
{
	size_t n_fds = netkit_count_fds();
	struct netkit kit = {0};
	struct outcome outcome;
	struct loop *loop;

	(void)world;
	scenario_arm(fault);
	if (loop_new(&loop) < 0)
		return;
	netkit_adopt(&kit, loop, NULL);
	if (children_new(loop, &kit.children) == 0) {
		run_program(&kit, &outcome);
		fault_disarm();
		run_program(&kit, &outcome);
		if (outcome.n_good != 1)
			scenario_wrong("the next program went wrong, too");
	}
	fault_disarm();
	netkit_deinit(&kit);
	if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
		scenario_wrong("a child was left");
	if (netkit_count_fds() != n_fds)
		scenario_wrong("%zu descriptors became %zu", n_fds, netkit_count_fds());
}

/* ---- sockets ---- */

/* The whole life of a client, in a process of its own: 0 if all was as it should be. */
static _Noreturn void be_client(const char *path)
{
	static const char asking[] =
	        "GET /ok HTTP/1.1\r\nHost: x\r\n\r\nGET /stream HTTP/1.1\r\nHost: "
	        "x\r\n\r\n";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char got[4096];
	size_t len = 0;
	ssize_t n;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	alarm(20);
	signal(SIGPIPE, SIG_IGN);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	        write(fd, asking, sizeof(asking) - 1) < 0)
		_exit(1);
	while (len < sizeof(got) - 1 && (n = read(fd, got + len, sizeof(got) - 1 - len)) > 0)
		len += (size_t)n;
	got[len] = '\0';
	_exit(strstr(got, "{\"a\":1}") && strstr(got, "streamed") ? 0 : 2);
}

struct visit {
	pid_t pid;
	int status;
};

static bool is_over(void *arg)
{
	struct visit *visit = arg;

	return waitpid(visit->pid, &visit->status, WNOHANG) == visit->pid;
}

static void on_gone(void *arg)
{
	(void)arg;
}

static void on_request(void *arg, struct listen_request *request)
{
	static const char *const headers[] = {"Cache-Control: no-store", NULL};
	uid_t uid;
	pid_t pid;

	(void)arg;
	if (listen_peer(request, &uid, &pid) && (uid != geteuid() || pid <= 1))
		scenario_wrong("somebody else asks: user %u, process %d", uid, (int)pid);
	if (strcmp(listen_path(request), "/stream") == 0) {
		listen_stream_begin(request, 200, "text/plain", on_gone, NULL);
		listen_stream_add(request, "streamed", 8);
		listen_stream_end(request);
	} else {
		listen_reply(request, 200, "application/json", "{\"a\":1}", 7, headers);
	}
}

/* -1: the client was cut off by us, or hung for so long that it gave up. */
static int visit(struct netkit *kit, const char *path)
{
	struct visit visit = {.pid = fork()};

	if (visit.pid < 0)
		abort();
	if (visit.pid == 0) {
		fault_disarm();
		be_client(path);
	}
	if (!netkit_run(kit, is_over, &visit))
		scenario_wrong("a client waits for ever");
	return WIFEXITED(visit.status) ? WEXITSTATUS(visit.status) : -1;
}

static void serve(struct netkit *kit, const struct world *world)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/query.sock", world->dir);
	struct listen_group *group;
	struct listen *listen;
	char words[256] = "";
	int r;

	if (listen_group_new(kit->loop, 8, &group) < 0)
		return;
	r = listen_unix_new(group, path, 0600, on_request, NULL, &listen, words, sizeof(words));
	if (r == 0) {
		visit(kit, path);
		fault_disarm();
		r = visit(kit, path);
		if (r != 0)
			scenario_wrong("the next client is not served: %d", r);
		listen_free(listen);
	} else if (words[0] == '\0') {
		scenario_wrong("no words");
	}
	fault_disarm();
	listen_group_free(group);
}

static void run_listen(const struct world *world, const struct fault_plan *fault)
{
	struct netkit kit = {0};
	struct loop *loop;

	scenario_arm(fault);
	if (loop_new(&loop) < 0)
		return;
	netkit_adopt(&kit, loop, NULL);
	serve(&kit, world);
	fault_disarm();
	netkit_deinit(&kit);
}

const struct scenario scenario_child = {.name = "child", .run = run_child, .n_variants = 2};
const struct scenario scenario_listen = {.name = "listen", .run = run_listen, .n_variants = 2};

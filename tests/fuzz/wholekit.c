#include "wholekit.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "peers.h"
#include "util/log.h"
#include "util/mem.h"

enum {
	PEERS_MAX = 256,
	SETTLE_MINUTES = 20, /* of its clock, until what is due at first has been done */
	SETTLE_TURNS = 20,
	TURNS_MAX = 20 * 1000,
};

static const int64_t START_MONO_MS = 1000 * 1000;
static const int64_t START_WALL_MS = INT64_C(1764018000000);

const char wholekit_token[] = "1000.c4naryc4nary.c4nary";

/* What everybody outside answers, whatever was asked. */
static const char zoho_body[] =
        "{\"data\":["
        "{\"id\":\"1\",\"operation\":\"read\",\"state\":\"COMPLETED\",\"created_by\":{\"id\":\"7\","
        "\"name\":\"A\"},\"created_time\":\"2026-11-24T05:00:00Z\",\"query\":{\"module\":\"Deals\"}"
        ","
        "\"result\":{\"page\":1,\"count\":3,\"download_url\":\"/bigin/bulk/v2/read/1/result\","
        "\"more_records\":false}},"
        "{\"id\":\"2\",\"operation\":\"read\",\"state\":\"IN PROGRESS\",\"more\":[1]},"
        "{\"id\":\"3\",\"operation\":\"read\",\"state\":\"FAILURE\",\"result\":{\"error_message\":"
        "\"no\"}},"
        "{\"id\":\"4\",\"operation\":\"read\",\"state\":\"BAKING\"},"
        "{\"code\":\"RESOURCE_NOT_FOUND\",\"message\":\"no such "
        "job\",\"status\":\"error\",\"details\":{}}"
        "]}";

static struct wholekit kit;
static int64_t late_ms; /* by how much its clock was moved on */
static int peers[PEERS_MAX];
static size_t n_peers;
static bool (*turn_goes_on)(void *arg);
static void *turn_arg;

/* ---- between the daemon and the machine ---- */

struct now __wrap_clock_now(void);
ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags);
int __wrap_posix_fallocate(int fd, off_t offset, off_t len);
int __real_store_commit(struct store *store);
int __wrap_store_commit(struct store *store);
void __wrap_log_at(enum log_level level, const char *format, ...);
void __wrap_log_fields(
        enum log_level level, const struct log_field *fields, size_t n, const char *format, ...);
int __real_service_turn(struct service *service);
int __wrap_service_turn(struct service *service);

struct now __wrap_clock_now(void)
{
	return (struct now){START_MONO_MS + late_ms, START_WALL_MS + late_ms};
}

ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags)
{
	(void)flags;
	memset(bytes, 7, len);
	return (ssize_t)len;
}

/* The ballast is for real disks. */
int __wrap_posix_fallocate(int fd, off_t offset, off_t len)
{
	(void)fd, (void)offset, (void)len;
	return 0;
}

int __wrap_store_commit(struct store *store)
{
	kit.n_commits++;
	return __real_store_commit(store);
}

/* Whoever may read the log learns no secret of it. */
static void look_at_log(const char *format, va_list args)
{
	cleanup(buf_deinit) struct buf line = {0};

	buf_addv(&line, format, args);
	must(!strstr(buf_str(&line), wholekit_token));
}

void __wrap_log_at(enum log_level level, const char *format, ...)
{
	va_list args;

	(void)level;
	va_start(args, format);
	look_at_log(format, args);
	va_end(args);
}

void __wrap_log_fields(
        enum log_level level, const struct log_field *fields, size_t n, const char *format, ...)
{
	va_list args;

	(void)level, (void)fields, (void)n;
	va_start(args, format);
	look_at_log(format, args);
	va_end(args);
}

int __wrap_service_turn(struct service *service)
{
	int r = __real_service_turn(service);

	if (turn_goes_on && !turn_goes_on(turn_arg))
		loop_stop(kit.daemon->loop);
	loop_wake(kit.daemon->loop);
	return r;
}

/* ---- outside ---- */

static bool zoho_on_connect(void *arg, int fd)
{
	cleanup(mem_free_p) char *answer = mem_printf(
	        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
	        "X-API-CREDITS-REMAINING: 4999\r\nContent-Length: %zu\r\n\r\n%s",
	        strlen(zoho_body), zoho_body);
	ssize_t len = (ssize_t)strlen(answer);

	(void)arg;
	must(n_peers < PEERS_MAX);
	must(send(fd, answer, (size_t)len, MSG_NOSIGNAL) == len);
	peers[n_peers++] = fd;
	return true;
}

/* Reads what was asked, and hangs up where the other side did. */
static void zoho_turn(void)
{
	char bytes[16 * 1024];
	size_t n = 0;

	for (size_t i = 0; i < n_peers; i++) {
		if (recv(peers[i], bytes, sizeof(bytes), MSG_DONTWAIT) == 0)
			close(peers[i]);
		else
			peers[n++] = peers[i];
	}
	n_peers = n;
}

/* ---- its life ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void remove_dir(void)
{
	nftw(kit.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *name, const char *text)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/%s", kit.dir, name);
	cleanup(mem_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void make_files(void)
{
	cleanup(mem_free_p) char *config = mem_printf(
	        "state_dir: %s\nruntime_dir: %s\nlog_level: error\n"
	        "datacenters:\n  here: {api_url: 'http://127.0.0.1:9', accounts_url: "
	        "'http://127.0.0.1:9'}\n"
	        "accounts:\n"
	        "  acme: {datacenter: here, access_token_file: %s/token, jobs: [1, 2, 3,"
	        " {id: 4, name: nightly}]}\n"
	        "  idle: {datacenter: here, service: crm, access_token_file: %s/token, jobs: [5]}\n"
	        "hooks:\n  call: {url: 'http://127.0.0.1:9/hook'}\n"
	        "  run: {exec: [/nowhere/hook], attempts: 2, retry_first: 1s}\n",
	        kit.dir, kit.dir, kit.dir, kit.dir);

	write_file("token", wholekit_token);
	write_file("bulkwatchd.yaml", config);
}

static bool settle(void *arg)
{
	unsigned *n_quiet = arg;

	zoho_turn();
	*n_quiet = wholekit_is_busy(&kit) ? 0 : *n_quiet + 1;
	return *n_quiet < SETTLE_TURNS;
}

/* Something is written that waits for its commit, which is due when some time has passed. */
static bool owes_a_commit(void)
{
	return store_is_dirty(journal_store(kit.daemon->journal));
}

static void make_daemon(void)
{
	cleanup(mem_free_p) char *config = mem_printf("%s/bulkwatchd.yaml", kit.dir);

	must(mkdir(kit.dir, 0700) == 0);
	make_files();
	late_ms = 0;
	peers_set(NULL, NULL, false);
	must(daemon_new(config, &kit.daemon) == 0);
	peers_set(zoho_on_connect, NULL, false);
	for (int i = 0; i < SETTLE_MINUTES || owes_a_commit(); i++) {
		unsigned n_quiet = 0;

		late_ms += 60 * 1000;
		wholekit_run(&kit, settle, &n_quiet);
	}
	kit.n_commits = 0;
}

static void end_daemon(void)
{
	kit.daemon = daemon_free(kit.daemon);
	for (size_t i = 0; i < n_peers; i++)
		close(peers[i]);
	n_peers = 0;
	remove_dir();
}

static void choose_dir(void)
{
	const char *base = getenv("TMPDIR");

	kit.dir = mem_printf("%s/bulkwatch-fuzz-XXXXXX", base && *base ? base : "/tmp");
	must(mkdtemp(kit.dir) != NULL);
	remove_dir();
	atexit(end_daemon);
}

struct wholekit *wholekit_get(void)
{
	if (!kit.dir)
		choose_dir();
	if (kit.daemon && (kit.n_commits > 0 || owes_a_commit()))
		end_daemon();
	if (!kit.daemon)
		make_daemon();
	return &kit;
}

struct turns {
	bool (*goes_on)(void *arg);
	void *arg;
	unsigned n;
};

static bool count_turn(void *arg)
{
	struct turns *turns = arg;

	must(turns->n++ < TURNS_MAX);
	zoho_turn();
	return turns->goes_on(turns->arg);
}

void wholekit_run(struct wholekit *whole, bool (*goes_on)(void *arg), void *arg)
{
	struct turns turns = {.goes_on = goes_on, .arg = arg};

	turn_goes_on = count_turn;
	turn_arg = &turns;
	loop_wake(whole->daemon->loop);
	must(loop_run(whole->daemon->loop) == 0);
	must(whole->daemon->exit_code == 0);
	turn_goes_on = NULL;
}

void wholekit_wait(int64_t ms)
{
	late_ms += ms;
}

bool wholekit_is_busy(const struct wholekit *whole)
{
	return poller_in_flight(whole->daemon->poller) > 0 ||
	       hooks_running(whole->daemon->hooks) > 0 || n_peers > 0;
}

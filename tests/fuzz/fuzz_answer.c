/*
 * Any bytes as what a daemon answers bulkwatch(1): through libcurl and whole verbs, what they print
 * included. The first byte says how, the second which verb; the rest is answers, one a connection.
 * Whatever comes, the verb ends with one of its exit codes, and what it prints is UTF-8 that moves
 * no cursor.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "fuzz.h"
#include "peers.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"

/* Bits of the first byte, below '@'. */
enum {
	IS_RAW = 1, /* answers with their heads; else bodies of 200 */
	IS_JSON = 2,
	IS_TERMINAL = 4,
};

enum {
	INPUT_MAX_BYTES = 64 * 1024, /* an answer fits into a socket's buffer */
	ARGUMENTS_MAX = 8,
	CONNECTIONS_MAX = 1000,
};

/* In the order of '@', 'A', 'B' and so on. */
static const char *const verbs_asked[][ARGUMENTS_MAX] = {
        {"status"},
        {"list"},
        {"list", "--account", "acme", "--limit", "3"},
        {"show", "acme/1"},
        {"history", "acme/1"},
        {"why", "acme/1"},
        {"events"},
        {"events", "--type", "job.*", "--limit", "2"},
        {"wait", "--timeout", "10s", "acme/1", "acme/2"},
        {"watch", "acme/1"},
        {"add", "acme", "7"},
        {"remove", "acme/1"},
        {"poll", "acme/1"},
        {"hooks"},
        {"hooks", "test", "call"},
        {"deliveries"},
        {"deliveries", "show", "1"},
        {"deliveries", "retry", "--all-dead"},
        {"deliveries", "replay", "--hook", "call", "--since", "1"},
        {"plan"},
        {"doctor"},
        {"reload"},
        {"show", "nightly"},
};

struct daemon_side {
	struct fuzz_piece rest;
	unsigned n_connections;
	bool is_raw;
	int fds[CONNECTIONS_MAX]; /* open until the verb has ended */
};

static bool is_terminal;
static int64_t passed_ms;

/* ---- between the program and the machine ---- */

int __wrap_isatty(int fd);
struct now __wrap_clock_now(void);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);

int __wrap_isatty(int fd)
{
	return fd == STDOUT_FILENO && is_terminal;
}

struct now __wrap_clock_now(void)
{
	passed_ms++;
	return (struct now){1000000 + passed_ms, INT64_C(1764018000000) + passed_ms};
}

/* Pauses take no time. */
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	(void)fds, (void)n;
	passed_ms += timeout_ms;
	return 0;
}

/* ---- the daemon's side ---- */

static bool say(int fd, const char *bytes, size_t len)
{
	return len == 0 || send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* All of the answer lies there before the request is written. Without one left: nobody answers. */
static bool daemon_on_connect(void *arg, int fd)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
	struct daemon_side *side = arg;

	must(side->n_connections < CONNECTIONS_MAX);
	if (side->rest.len == 0)
		return false;
	struct fuzz_piece answer = fuzz_piece_next(&side->rest);

	must(side->is_raw || say(fd, head, sizeof(head) - 1));
	must(say(fd, answer.bytes, answer.len));
	must(shutdown(fd, SHUT_WR) == 0);
	side->fds[side->n_connections++] = fd;
	return true;
}

/* ---- what was printed ---- */

static void check_printed(const char *text, size_t len)
{
	must(str_is_utf8(text, len, NULL));
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		must(c >= 0x20 || c == '\n' || c == '\t');
		must(c != 0x7f);
		/* C1 in UTF-8 */
		must(c != 0xc2 || (unsigned char)text[i + 1] >= 0xa0);
	}
}

static bool is_exit_code(int code)
{
	return code == CTL_OK || code == CTL_OTHER || code == CTL_USAGE || code == CTL_FAILED ||
	       code == CTL_NO_JOB || code == CTL_UNREACHABLE || code == CTL_NOT_PERMITTED ||
	       code == CTL_CONFIG || code == CTL_TIMED_OUT;
}

static void run_verb(const char *const *verb, bool is_json)
{
	char *argv[ARGUMENTS_MAX + 2] = {(char *)(uintptr_t) "bulkwatch"};
	FILE *out = stdout, *err = stderr;
	char *printed = NULL, *said = NULL;
	size_t printed_len = 0, said_len = 0;
	int argc = 1;

	for (size_t i = 0; i < ARGUMENTS_MAX && verb[i]; i++)
		argv[argc++] = (char *)(uintptr_t)verb[i];
	if (is_json)
		argv[argc++] = (char *)(uintptr_t) "--json";
	stdout = open_memstream(&printed, &printed_len);
	stderr = open_memstream(&said, &said_len);
	must(stdout && stderr);
	int code = ctl_main(argc, argv);

	fclose(stdout);
	fclose(stderr);
	stdout = out;
	stderr = err;
	must(is_exit_code(code));
	/* A terminal gets colours, which are ours. */
	if (!is_terminal)
		check_printed(printed, printed_len);
	check_printed(said, said_len);
	free(printed);
	free(said);
}

static void set_environment(void)
{
	setenv("LC_ALL", "C.UTF-8", 1);
	setenv("TERM", "xterm", 1);
	setenv("COLUMNS", "100", 1);
	setenv("BULKWATCH_RUNTIME_DIR", "/nowhere", 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct daemon_side side;

	if (size < 2 || size > INPUT_MAX_BYTES)
		return 0;
	set_environment();
	passed_ms = 0;
	is_terminal = data[0] & IS_TERMINAL;
	side = (struct daemon_side){
	        .rest = {(const char *)data + 2, size - 2}, .is_raw = data[0] & IS_RAW};
	peers_set(daemon_on_connect, &side, true);
	run_verb(verbs_asked[(data[1] ^ 0x40) % ARRAY_LEN(verbs_asked)], data[0] & IS_JSON);
	peers_set(NULL, NULL, false);
	for (size_t i = 0; i < side.n_connections; i++)
		close(side.fds[i]);
	return 0;
}

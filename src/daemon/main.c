/* bulkwatchd: arguments, and what a process must be before it holds secrets and starts programs. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "daemon/daemon.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/standard.h"

#define CONFIG_FILE "/etc/bulkwatch/bulkwatchd.yaml"

/* 2020-01-01 and 9999-12-31: outside, certificates fail and time stamps lie. */
static const int64_t CLOCK_LEAST_WALL_MS = INT64_C(1577836800000);
static const int64_t CLOCK_MOST_WALL_MS = INT64_C(253402214400000);

static const char usage[] =
        "Usage: bulkwatchd [-c FILE] [--check]\n"
        "\n"
        "Watches Zoho bulk read jobs until they finish, keeps every transition, fires hooks.\n"
        "Runs in the foreground and logs to stderr; ask it with bulkwatch(1).\n"
        "\n"
        "  -c, --config FILE  the configuration (default " CONFIG_FILE ")\n"
        "      --check        print every problem of the configuration and exit (0 or 78)\n"
        "      --version      print the version and exit\n"
        "  -h, --help         print this and exit\n"
        "\n"
        "SIGTERM and SIGINT drain and stop, SIGHUP reloads. See bulkwatchd(8), "
        "bulkwatchd.yaml(5).\n";

struct arguments {
	const char *config_file;
	bool is_check;
};

/* -1: go on; else the exit code. */
static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
	enum { CHECK = 1000, VERSION };
	static const struct option options[] = {
	        {"config", required_argument, NULL, 'c'},
	        {"check", no_argument, NULL, CHECK},
	        {"version", no_argument, NULL, VERSION},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	int option;

	arguments->config_file = CONFIG_FILE;
	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			arguments->config_file = optarg;
			break;
		case CHECK:
			arguments->is_check = true;
			break;
		case VERSION:
			puts("bulkwatchd " BULKWATCH_VERSION);
			return DAEMON_OK;
		case 'h':
			fputs(usage, stdout);
			return DAEMON_OK;
		default:
			fputs("Try bulkwatchd --help.\n", stderr);
			return DAEMON_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "bulkwatchd: unexpected argument %s\nTry bulkwatchd --help.\n",
	        argv[optind]);
	return DAEMON_USAGE;
}

static int check(const char *file)
{
	struct config_problems problems = {0};
	cleanup(buf_deinit) struct buf words = {0};
	struct config *config = NULL;
	int r = config_load(file, CONFIG_CHECK, &config, &problems);

	config_problems_print(&problems, &words);
	fputs(buf_str(&words), stderr);
	if (r == 0)
		printf("%s: ok\n", file);
	else if (r < 0)
		fprintf(stderr, "%s: %s\n", file, strerror(-r));
	config_free(config);
	config_problems_deinit(&problems);
	return r == 0 ? DAEMON_OK : DAEMON_CONFIG;
}

/*
 * A poll takes some 20 KB and gives them back. Where they lie at the heap's end, libc's default
 * hands the pages to the kernel and asks for them again at every turn, which is slower than the
 * poll.
 */
enum { KEPT_FREE_BYTES = 8 * 1024 * 1024 };

/* Hooks inherit umask, limits and directory; secrets must not reach a core file. */
static void prepare_process(void)
{
	struct rlimit none = {0, 0};

	umask(077);
	mallopt(M_TRIM_THRESHOLD, KEPT_FREE_BYTES);
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

/* The exit code of what only prints. */
static int printed(int code)
{
	return standard_flush("bulkwatchd") || code != DAEMON_OK ? code : DAEMON_OTHER;
}

static bool is_clock_absurd(void)
{
	struct now now = clock_now();

	return now.wall_ms < CLOCK_LEAST_WALL_MS || now.wall_ms > CLOCK_MOST_WALL_MS;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {0};
	struct daemon *daemon = NULL;
	standard_open();

	int code = read_arguments(argc, argv, &arguments);

	if (code >= 0)
		return printed(code);
	prepare_process();
	if (arguments.is_check)
		return printed(check(arguments.config_file));
	if (is_clock_absurd()) {
		char text[CLOCK_TEXT_SIZE];

		log_error("the clock says %s: set it first (time stamps and certificates depend on "
		          "it)",
		        clock_format(clock_now().wall_ms, text));
		return DAEMON_OTHER;
	}
	code = daemon_new(arguments.config_file, &daemon);
	if (code == 0)
		code = daemon_run(daemon);
	daemon_free(daemon);
	return code;
}

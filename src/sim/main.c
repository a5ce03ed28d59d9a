/* bulkwatch-sim: Zoho on loopback, for rehearsals and tests (docs: bulkwatch-sim(1)). */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/port_file.h"
#include "sim/sim.h"
#include "sim/tls.h"
#include "util/err.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/standard.h"
#include "util/str.h"

enum { EXIT_OK = 0, EXIT_OTHER = 1, EXIT_USAGE = 2, EXIT_CONFIG = 78 };

enum {
	OPT_FIRST = 256,
	OPT_SCRIPT,
	OPT_DC,
	OPT_TLS,
	OPT_SELF_SIGNED,
	OPT_PORT_FILE,
	OPT_LOG,
	OPT_ADMIN,
	OPT_SEED,
	OPT_SPEED,
	OPT_VERSION,
	OPT_HELP
};

static const struct option main_options[] = {
        {"script", required_argument, NULL, OPT_SCRIPT},
        {"dc", required_argument, NULL, OPT_DC},
        {"tls", required_argument, NULL, OPT_TLS},
        {"tls-self-signed", required_argument, NULL, OPT_SELF_SIGNED},
        {"port-file", required_argument, NULL, OPT_PORT_FILE},
        {"log", required_argument, NULL, OPT_LOG},
        {"admin", no_argument, NULL, OPT_ADMIN},
        {"seed", required_argument, NULL, OPT_SEED},
        {"speed", required_argument, NULL, OPT_SPEED},
        {"version", no_argument, NULL, OPT_VERSION},
        {"help", no_argument, NULL, OPT_HELP},
        {NULL, 0, NULL, 0},
};

static const char main_help[] =
        "usage: bulkwatch-sim [OPTION]...\n"
        "Plays Zoho's API and accounts servers of every data center on 127.0.0.1.\n"
        "\n"
        "  --script FILE          lives of jobs, clients, limits and faults (YAML)\n"
        "  --dc NAME[=PORT]       a data center, instead of us eu au in cn jp; may be repeated\n"
        "  --tls CERT KEY         serve TLS with these PEM files\n"
        "  --tls-self-signed DIR  make ca.pem, cert.pem and key.pem in DIR, and serve TLS with "
        "them\n"
        "  --port-file FILE       write a datacenters: section for bulkwatchd once all listen\n"
        "  --log FILE             one JSON line a request\n"
        "  --admin                a further port: statistics, and changes while it runs\n"
        "  --seed N               repeat what is random\n"
        "  --speed X              pass the times of jobs' lives X times as fast\n"
        "  --version, --help\n"
        "\n"
        "It runs until SIGTERM or SIGINT. See bulkwatch-sim(1).\n";

/* What the command line says, beside what goes into struct sim_options as it is. */
struct command {
	struct sim_options options;
	const char *self_signed_dir;
	char *names[SIM_DATACENTERS_MAX];     /* owned */
	char *cert_file, *key_file, *ca_file; /* owned: of self_signed_dir */
	int exit_code;                        /* if it ends here; -1 = it does not */
};

static void command_refuse(struct command *c, const char *words, const char *value)
{
	fprintf(stderr, "bulkwatch-sim: %s%s%s\nTry bulkwatch-sim --help.\n", words,
	        value ? ": " : "", value ? value : "");
	c->exit_code = EXIT_USAGE;
}

static void command_add_dc(struct command *c, const char *text)
{
	struct sim_options *o = &c->options;
	const char *equals = strchr(text, '=');
	char *name = equals ? mem_strndup(text, (size_t)(equals - text)) : mem_strdup(text);
	size_t n = o->n_datacenters;
	int64_t port = 0;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(c->names[i], name) == 0)
			command_refuse(c, "the same data center twice", name);
	}
	if (n == SIM_DATACENTERS_MAX)
		command_refuse(c, "too many data centers", NULL);
	else if (!script_name_is_valid(name))
		command_refuse(c, "no name of a data center", name);
	else if (equals && str_to_int(equals + 1, 1, 65535, &port) < 0)
		command_refuse(c, "no port", equals + 1);
	if (c->exit_code >= 0) {
		free(name);
		return;
	}
	c->names[n] = name;
	o->datacenters[n] = (struct sim_datacenter_option){.name = name, .port = (uint16_t)port};
	o->n_datacenters++;
}

static void command_set_speed(struct command *c, const char *text)
{
	char *end;
	double speed = strtod(text, &end);

	if (strspn(text, "0123456789.") != strlen(text) || end == text || *end != '\0' ||
	        !(speed >= 0.001 && speed <= 1e6))
		command_refuse(c, "no speed from 0.001 to 1000000", text);
	c->options.speed = speed;
}

static void command_set_seed(struct command *c, const char *text)
{
	int64_t seed = 0;

	if (str_to_int(text, 0, INT64_MAX, &seed) < 0)
		command_refuse(c, "no seed", text);
	c->options.seed = (uint64_t)seed;
}

static void command_option(struct command *c, int option, int argc, char **argv)
{
	struct sim_options *o = &c->options;

	switch (option) {
	case OPT_SCRIPT:
		o->script_file = optarg;
		break;
	case OPT_DC:
		command_add_dc(c, optarg);
		break;
	case OPT_TLS: /* two arguments, of which getopt knows the first */
		o->cert_file = optarg;
		if (optind >= argc)
			command_refuse(c, "--tls needs two files, CERT and KEY", NULL);
		else
			o->key_file = argv[optind++];
		break;
	case OPT_SELF_SIGNED:
		c->self_signed_dir = optarg;
		break;
	case OPT_PORT_FILE:
		o->port_file = optarg;
		break;
	case OPT_LOG:
		o->log_file = optarg;
		break;
	case OPT_ADMIN:
		o->has_admin = true;
		break;
	case OPT_SEED:
		command_set_seed(c, optarg);
		break;
	case OPT_SPEED:
		command_set_speed(c, optarg);
		break;
	case OPT_VERSION:
		printf("bulkwatch-sim %s\n", BULKWATCH_VERSION);
		c->exit_code = EXIT_OK;
		break;
	case OPT_HELP:
		fputs(main_help, stdout);
		c->exit_code = EXIT_OK;
		break;
	default:
		command_refuse(c, "unknown option, or its argument is missing", argv[optind - 1]);
		break;
	}
}

static void command_parse(struct command *c, int argc, char **argv)
{
	uint64_t seed = 0;
	int option;

	*c = (struct command){.options.speed = 1, .exit_code = -1};
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
		seed = (uint64_t)getpid();
	c->options.seed = seed >> 1; /* one that --seed can repeat */
	opterr = 0;
	while (c->exit_code < 0 &&
	        (option = getopt_long(argc, argv, "+", main_options, NULL)) != -1)
		command_option(c, option, argc, argv);
	if (c->exit_code >= 0)
		return;
	if (optind < argc)
		command_refuse(c, "it takes options only", argv[optind]);
	else if (c->self_signed_dir && c->options.cert_file)
		command_refuse(c, "--tls and --tls-self-signed exclude one another", NULL);
}

static void command_deinit(struct command *c)
{
	for (size_t i = 0; i < c->options.n_datacenters; i++)
		free(c->names[i]);
	free(c->cert_file);
	free(c->key_file);
	free(c->ca_file);
}

static int command_make_certificates(struct command *c)
{
	cleanup(mem_free_p) char *why = NULL;
	cleanup(mem_free_p) char *dir = NULL;
	int r = tls_make_self_signed(c->self_signed_dir, &why);

	if (r < 0) {
		log_error("%s", why);
		return r;
	}
	dir = realpath(c->self_signed_dir, NULL);
	if (!dir) {
		r = -errno;
		log_error("%s: %s", c->self_signed_dir, err_text(r));
		return r;
	}
	c->options.cert_file = c->cert_file = mem_printf("%s/cert.pem", dir);
	c->options.key_file = c->key_file = mem_printf("%s/key.pem", dir);
	c->ca_file = mem_printf("%s/ca.pem", dir);
	return 0;
}

/* Every line of the problems is a line of the log. */
static void log_problems(struct buf *problems)
{
	char *save = NULL;

	for (char *line = strtok_r(problems->data, "\n", &save); line;
	        line = strtok_r(NULL, "\n", &save))
		fprintf(stderr, "%s\n", line);
}

/*
 * One that is left from an earlier run would tell the wrong ports until ours is written. What is no
 * file (/dev/stdout, say) is not ours to replace.
 */
static void command_clear_port_file(struct command *c)
{
	const char *path = c->options.port_file;
	struct stat st;
	bool is_there = lstat(path, &st) == 0;

	if (!is_there && errno == ENOENT)
		return;
	if (is_there && !S_ISREG(st.st_mode))
		log_error("%s is there and is not a regular file", path);
	else if (unlink(path) < 0)
		log_error("%s: %m", path);
	else
		return;
	c->exit_code = EXIT_OTHER;
}

static int command_run(struct command *c)
{
	cleanup(buf_deinit) struct buf problems = {0};
	const char *port_file = c->options.port_file;
	struct sim *sim;
	int r = sim_new(&c->options, &sim, &problems);

	if (r != 0) {
		log_problems(&problems);
		return r == SCRIPT_E_INVALID ? EXIT_CONFIG : EXIT_OTHER;
	}
	for (size_t i = 0; i < sim->n_datacenters; i++)
		log_info("%s listens on %s", sim->datacenters[i].name, sim->datacenters[i].url);
	if (sim->admin)
		log_info("admin listens on http://127.0.0.1:%u", server_port(sim->admin));
	log_info("seed %llu", (unsigned long long)c->options.seed);
	r = port_file ? port_file_write(sim, c->ca_file, port_file) : 0;
	if (r < 0)
		log_error("%s: %s", port_file, err_text(r));
	else
		r = sim_run(sim);
	sim_free(sim);
	return r < 0 ? EXIT_OTHER : EXIT_OK;
}

int main(int argc, char **argv)
{
	struct command command;

	standard_open();
	signal(SIGPIPE, SIG_IGN);
	command_parse(&command, argc, argv);
	if (command.exit_code == EXIT_OK && !standard_flush("bulkwatch-sim"))
		command.exit_code = EXIT_OTHER;
	if (command.exit_code < 0 && command.options.port_file)
		command_clear_port_file(&command);
	if (command.exit_code < 0 && command.self_signed_dir &&
	        command_make_certificates(&command) < 0)
		command.exit_code = EXIT_OTHER;
	if (command.exit_code < 0)
		command.exit_code = command_run(&command);
	command_deinit(&command);
	return command.exit_code;
}

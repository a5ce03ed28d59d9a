#include "ctl/ctl.h"

#include <curl/curl.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/args.h"
#include "ctl/verbs.h"

#define RUNTIME_DIR_DEFAULT "/run/bulkwatch"

void ctl_say(const char *format, ...)
{
	struct buf words = {0}, safe = {0};
	va_list args;

	va_start(args, format);
	buf_addv(&words, format, args);
	va_end(args);
	text_add_safe(&safe, buf_str(&words), true);
	/* What was printed so far comes before what is said about it. */
	fflush(stdout);
	fprintf(stderr, "bulkwatch: %s\n", buf_str(&safe));
	buf_deinit(&words);
	buf_deinit(&safe);
}

static void ctl_init(struct ctl *ctl, const struct args *args)
{
	const char *environment = getenv("BULKWATCH_RUNTIME_DIR");
	const char *option = args_global(args, "runtime-dir");

	*ctl = (struct ctl){
	        .runtime_dir = option                        ? option
	                       : environment && *environment ? environment
	                                                     : RUNTIME_DIR_DEFAULT,
	        .is_json = args_global(args, "json"),
	};
	term_init(&ctl->term, STDOUT_FILENO);
}

static int ctl_run(const struct args *args)
{
	struct ctl ctl;
	int code;

	if (args_global(args, "version")) {
		printf("bulkwatch %s\n", BULKWATCH_VERSION);
		return CTL_OK;
	}
	if (args_global(args, "help")) {
		if (args->verb)
			verb_print_help(args->verb);
		else
			verbs_print_help();
		return CTL_OK;
	}
	if (!args->verb)
		return args_refuse(args, "what shall it do? A verb is missing");
	ctl_init(&ctl, args);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		ctl_say("libcurl does not start");
		return CTL_OTHER;
	}
	code = args->verb->run(&ctl, args);
	curl_global_cleanup();
	return code;
}

int ctl_main(int argc, char **argv)
{
	struct args args;
	int code;

	setlocale(LC_CTYPE, "");
	code = args_parse(&args, argc, (const char *const *)argv);
	if (code == CTL_OK)
		code = ctl_run(&args);
	args_deinit(&args);
	return code;
}

/* --help: of the program and of each verb, made from the table of verbs. */
#include <stdio.h>
#include <string.h>

#include "ctl/verbs.h"
#include "util/buf.h"

enum { HELP_VERB_WIDTH = 12, HELP_OPTION_WIDTH = 24 };

static void print_options(const struct option_spec *options)
{
	for (; options && options->name; options++) {
		struct buf left = {0};

		if (options->letter)
			buf_addf(&left, "-%c, ", options->letter);
		buf_addf(&left, "--%s", options->name);
		if (options->argument)
			buf_addf(&left, " %s", options->argument);
		printf("  %-*s  %s\n", HELP_OPTION_WIDTH, buf_str(&left), options->help);
		buf_deinit(&left);
	}
}

void verbs_print_help(void)
{
	printf("usage: bulkwatch [--runtime-dir DIR] [--json] VERB ...\n\n"
	       "Asks bulkwatchd about the bulk read jobs that it watches.\n\n"
	       "Verbs:\n");
	for (size_t i = 0; i < n_verbs; i++)
		printf("  %-*s  %s\n", HELP_VERB_WIDTH, verbs[i].name, verbs[i].summary);
	printf("\nOptions:\n");
	print_options(global_options);
	printf("\nA JOB is its id, its name or account/id.\n"
	       "\"bulkwatch VERB --help\" tells more of a verb, bulkwatch(1) of all.\n");
}

void verb_print_help(const struct verb *verb)
{
	printf("usage: bulkwatch %s%s%s%s\n\n", verb->name, verb->options ? " [OPTION]..." : "",
	        *verb->operands ? " " : "", verb->operands);
	printf("%s.\n", verb->summary);
	if (verb->about)
		printf("%s\n", verb->about);
	if (verb->options) {
		printf("\nOptions:\n");
		print_options(verb->options);
	}
	printf("\nOptions of every verb:\n");
	print_options(global_options);
}

/*
 * bulkwatch completion: the scripts of bash, zsh and fish, made from the table of verbs. What it
 * prints is what stands in completions/ (a test compares them).
 *
 * Jobs and accounts are completed by asking the daemon, in silence when there is none.
 */
#include <stdio.h>
#include <string.h>

#include "core/event.h"
#include "ctl/commands.h"
#include "ctl/verbs.h"
#include "util/buf.h"
#include "util/mem.h"

#define LIST_COMMAND     "bulkwatch list --limit 1000 2>/dev/null"
#define JOBS_COMMAND     LIST_COMMAND " | cut -f 1,2 | tr '\\t' '/'"
#define ACCOUNTS_COMMAND LIST_COMMAND " | cut -f 1 | sort -u"

/* Where the values of an option come from: told by the name of its argument. */
enum source {
	SOURCE_NONE,
	SOURCE_DIR,
	SOURCE_FILE,
	SOURCE_ACCOUNT,
	SOURCE_JOB,
	SOURCE_TYPE,
	SOURCE_WORDS
};

static enum source source_of_option(const struct option_spec *option)
{
	static const struct {
		const char *argument;
		enum source source;
	} sources[] = {{"DIR", SOURCE_DIR}, {"FILE", SOURCE_FILE}, {"ACCOUNT", SOURCE_ACCOUNT},
	        {"JOB", SOURCE_JOB}, {"TYPE", SOURCE_TYPE}};

	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		if (strcmp(option->argument, sources[i].argument) == 0)
			return sources[i].source;
	}
	return option->words ? SOURCE_WORDS : SOURCE_NONE;
}

static enum source source_of_verb(const struct verb *verb)
{
	switch (verb->operand) {
	case OPERAND_JOB:
		return SOURCE_JOB;
	case OPERAND_ACCOUNT:
		return SOURCE_ACCOUNT;
	case OPERAND_FILE:
		return SOURCE_FILE;
	case OPERAND_WORD:
	case OPERAND_WORD_FILE:
		return SOURCE_WORDS;
	case OPERAND_NONE:
		break;
	}
	return SOURCE_NONE;
}

static void print_event_types(void)
{
	for (int type = EVENT_NONE + 1; type < EVENT_TYPES; type++)
		printf("%s%s", type > EVENT_NONE + 1 ? " " : "",
		        event_type_name((enum event_type)type));
}

/* In single quotes; quote is how the shell writes one within them. */
static void print_quoted(const char *text, const char *quote)
{
	putchar('\'');
	for (; *text; text++) {
		if (*text == '\'')
			fputs(quote, stdout);
		else
			putchar(*text);
	}
	putchar('\'');
}

#define QUOTE_POSIX "'\\''"
#define QUOTE_FISH  "\\'"

static void print_functions(void)
{
	printf("_bulkwatch_jobs() {\n\t" JOBS_COMMAND "\n}\n\n"
	       "_bulkwatch_accounts() {\n\t" ACCOUNTS_COMMAND "\n}\n\n");
}

static void print_case_label(const struct option_spec *option)
{
	printf("\t\t--%s", option->name);
	if (option->letter)
		printf(" | -%c", option->letter);
	printf(")");
}

/* ---- bash ---- */

static void print_bash_source(enum source source, const char *words)
{
	switch (source) {
	case SOURCE_NONE:
		break;
	case SOURCE_DIR:
		printf(" compopt -o dirnames");
		break;
	case SOURCE_FILE:
		printf(" compopt -o default");
		break;
	case SOURCE_ACCOUNT:
		printf(" words=$(_bulkwatch_accounts)");
		break;
	case SOURCE_JOB:
		printf(" words=$(_bulkwatch_jobs)");
		break;
	case SOURCE_TYPE:
		printf(" words='");
		print_event_types();
		printf("'");
		break;
	case SOURCE_WORDS:
		printf(" words='%s'", words);
		break;
	}
}

static void print_bash_values(const struct option_spec *options)
{
	for (; options && options->name; options++) {
		if (!options->argument)
			continue;
		print_case_label(options);
		print_bash_source(source_of_option(options), options->words);
		printf(" ;;\n");
	}
}

static void print_option_names(const struct option_spec *options)
{
	for (; options && options->name; options++)
		printf(" --%s", options->name);
}

static void print_bash_verb(const struct verb *verb)
{
	printf("\t%s)\n\t\tcase $prev in\n", verb->name);
	print_bash_values(verb->options);
	print_bash_values(global_options);
	printf("\t\t*)\n\t\t\t");
	if (verb->operand == OPERAND_WORD_FILE)
		printf("[[ $prev == \"$verb\" ]] || compopt -o default\n\t\t\t");
	printf("case $cur in\n\t\t\t-*) words='");
	print_option_names(verb->options);
	print_option_names(global_options);
	printf("' ;;\n\t\t\t*)");
	print_bash_source(source_of_verb(verb), verb->words);
	printf(" ;;\n\t\t\tesac\n\t\t\t;;\n\t\tesac\n\t\t;;\n");
}

static void print_bash(void)
{
	printf("# bash completion of bulkwatch, made by \"bulkwatch completion bash\"\n\n");
	print_functions();
	printf("_bulkwatch() {\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	       "\tlocal verb='' words='' i\n"
	       "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	       "\t\tcase ${COMP_WORDS[i]} in\n"
	       "\t\t--runtime-dir) ((i++)) ;;\n"
	       "\t\t-*) ;;\n"
	       "\t\t*)\n\t\t\tverb=${COMP_WORDS[i]}\n\t\t\tbreak\n\t\t\t;;\n"
	       "\t\tesac\n"
	       "\tdone\n"
	       "\tcase $verb in\n"
	       "\t'')\n\t\tcase $prev in\n");
	print_bash_values(global_options);
	printf("\t\t*) words='");
	for (size_t i = 0; i < n_verbs; i++)
		printf("%s%s", i > 0 ? " " : "", verbs[i].name);
	print_option_names(global_options);
	printf("' ;;\n\t\tesac\n\t\t;;\n");
	for (size_t i = 0; i < n_verbs; i++)
		print_bash_verb(&verbs[i]);
	printf("\tesac\n"
	       "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
	       "}\n\n"
	       "complete -F _bulkwatch bulkwatch\n");
}

/* ---- zsh ---- */

static void print_zsh_source(enum source source, const char *words)
{
	switch (source) {
	case SOURCE_NONE:
		break;
	case SOURCE_DIR:
		printf(" _files -/");
		break;
	case SOURCE_FILE:
		printf(" _files");
		break;
	case SOURCE_ACCOUNT:
		printf(" compadd -- ${(f)\"$(_bulkwatch_accounts)\"}");
		break;
	case SOURCE_JOB:
		printf(" compadd -- ${(f)\"$(_bulkwatch_jobs)\"}");
		break;
	case SOURCE_TYPE:
		printf(" compadd -- ");
		print_event_types();
		break;
	case SOURCE_WORDS:
		printf(" compadd -- %s", words);
		break;
	}
}

static void print_zsh_values(const struct option_spec *options)
{
	for (; options && options->name; options++) {
		if (!options->argument)
			continue;
		print_case_label(options);
		print_zsh_source(source_of_option(options), options->words);
		printf(" ;;\n");
	}
}

static void print_zsh_options(const char *indent, const struct option_spec *options)
{
	for (; options && options->name; options++) {
		cleanup(mem_free_p) char *item =
		        mem_printf("--%s:%s", options->name, options->help);

		printf("%s", indent);
		print_quoted(item, QUOTE_POSIX);
		printf("\n");
	}
}

static void print_zsh_verb(const struct verb *verb)
{
	printf("\t%s)\n\t\tcase ${words[CURRENT-1]} in\n", verb->name);
	print_zsh_values(verb->options);
	print_zsh_values(global_options);
	printf("\t\t*)\n\t\t\toptions=(\n");
	print_zsh_options("\t\t\t\t", verb->options);
	print_zsh_options("\t\t\t\t", global_options);
	printf("\t\t\t)\n\t\t\t_describe -o option options\n\t\t\t");
	if (verb->operand == OPERAND_WORD_FILE)
		printf("[[ ${words[CURRENT-1]} == $verb ]] || _files\n\t\t\t");
	print_zsh_source(source_of_verb(verb), verb->words);
	printf("\n\t\t\t;;\n\t\tesac\n\t\t;;\n");
}

static void print_zsh(void)
{
	printf("#compdef bulkwatch\n"
	       "# zsh completion of bulkwatch, made by \"bulkwatch completion zsh\"\n\n");
	print_functions();
	printf("_bulkwatch() {\n\tlocal verb i\n\tlocal -a verbs options\n\tverbs=(\n");
	for (size_t i = 0; i < n_verbs; i++) {
		cleanup(mem_free_p) char *item =
		        mem_printf("%s:%s", verbs[i].name, verbs[i].summary);

		printf("\t\t");
		print_quoted(item, QUOTE_POSIX);
		printf("\n");
	}
	printf("\t)\n\toptions=(\n");
	print_zsh_options("\t\t", global_options);
	printf("\t)\n"
	       "\tfor ((i = 2; i < CURRENT; i++)); do\n"
	       "\t\tcase ${words[i]} in\n"
	       "\t\t--runtime-dir) ((i++)) ;;\n"
	       "\t\t-*) ;;\n"
	       "\t\t*)\n\t\t\tverb=${words[i]}\n\t\t\tbreak\n\t\t\t;;\n"
	       "\t\tesac\n"
	       "\tdone\n"
	       "\tcase $verb in\n"
	       "\t'')\n\t\tcase ${words[CURRENT-1]} in\n");
	print_zsh_values(global_options);
	printf("\t\t*)\n\t\t\t_describe verb verbs\n\t\t\t_describe -o option options\n\t\t\t;;\n"
	       "\t\tesac\n\t\t;;\n");
	for (size_t i = 0; i < n_verbs; i++)
		print_zsh_verb(&verbs[i]);
	printf("\tesac\n}\n\n"
	       "if [[ ${funcstack[1]} == _bulkwatch ]]; then\n\t_bulkwatch \"$@\"\n"
	       "else\n\tcompdef _bulkwatch bulkwatch\nfi\n");
}

/* ---- fish ---- */

static void print_fish_source(enum source source, const char *words)
{
	switch (source) {
	case SOURCE_NONE:
		break;
	case SOURCE_DIR:
		printf(" -a '(__fish_complete_directories)'");
		break;
	case SOURCE_FILE:
		printf(" -F");
		break;
	case SOURCE_ACCOUNT:
		printf(" -a '(__bulkwatch_accounts)'");
		break;
	case SOURCE_JOB:
		printf(" -a '(__bulkwatch_jobs)'");
		break;
	case SOURCE_TYPE:
		printf(" -a '");
		print_event_types();
		printf("'");
		break;
	case SOURCE_WORDS:
		printf(" -a '%s'", words);
		break;
	}
}

static void print_fish_options(const char *condition, const struct option_spec *options)
{
	for (; options && options->name; options++) {
		printf("complete -c bulkwatch%s -l %s", condition, options->name);
		if (options->letter)
			printf(" -s %c", options->letter);
		if (options->argument) {
			enum source source = source_of_option(options);

			printf(source == SOURCE_FILE ? " -r" : " -x");
			print_fish_source(source, options->words);
		}
		printf(" -d ");
		print_quoted(options->help, QUOTE_FISH);
		printf("\n");
	}
}

static void print_fish(void)
{
	printf("# fish completion of bulkwatch, made by \"bulkwatch completion fish\"\n\n"
	       "function __bulkwatch_jobs\n\t" JOBS_COMMAND "\nend\n\n"
	       "function __bulkwatch_accounts\n\t" ACCOUNTS_COMMAND "\nend\n\n"
	       "complete -c bulkwatch -f\n");
	print_fish_options("", global_options);
	for (size_t i = 0; i < n_verbs; i++) {
		const struct verb *verb = &verbs[i];
		enum source source = source_of_verb(verb);
		cleanup(mem_free_p) char *condition =
		        mem_printf(" -n '__fish_seen_subcommand_from %s'", verb->name);

		printf("complete -c bulkwatch -n __fish_use_subcommand -a %s -d ", verb->name);
		print_quoted(verb->summary, QUOTE_FISH);
		printf("\n");
		print_fish_options(condition, verb->options);
		if (source != SOURCE_NONE) {
			printf("complete -c bulkwatch%s", condition);
			print_fish_source(source, verb->words);
			printf("%s\n", verb->operand == OPERAND_WORD_FILE ? " -F" : "");
		}
	}
}

int cmd_completion(struct ctl *ctl, const struct args *args)
{
	static const struct {
		const char *shell;
		void (*print)(void);
	} shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};

	(void)ctl;
	for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
		if (strcmp(args->operands[0], shells[i].shell) == 0) {
			shells[i].print();
			return CTL_OK;
		}
	}
	/* The table of verbs lets nothing else through, but this one must name the same shells. */
	return args_refuse(args, "no completion for \"%s\"", args->operands[0]);
}

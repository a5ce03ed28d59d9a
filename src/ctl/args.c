#include "ctl/args.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "ctl/verbs.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"

int args_refuse(const struct args *args, const char *format, ...)
{
	struct buf words = {0};
	va_list list;

	va_start(list, format);
	buf_addv(&words, format, list);
	va_end(list);
	if (args->verb)
		ctl_say("%s (see \"bulkwatch %s --help\")", buf_str(&words), args->verb->name);
	else
		ctl_say("%s (see \"bulkwatch --help\")", buf_str(&words));
	buf_deinit(&words);
	return CTL_USAGE;
}

/* Index in the table, or -1. */
static int option_index(const struct option_spec *table, const char *name, size_t len)
{
	for (int i = 0; table && table[i].name; i++) {
		if (strlen(table[i].name) == len && strncmp(table[i].name, name, len) == 0)
			return i;
	}
	return -1;
}

static int letter_index(const struct option_spec *table, char letter)
{
	for (int i = 0; table && table[i].name; i++) {
		if (table[i].letter == letter)
			return i;
	}
	return -1;
}

const struct option_spec *args_find_option(const struct verb *verb, const char *name, size_t len)
{
	const struct option_spec *own = verb ? verb->options : NULL;
	int i = option_index(own, name, len);

	if (i >= 0)
		return &own[i];
	i = option_index(global_options, name, len);
	return i >= 0 ? &global_options[i] : NULL;
}

const struct option_spec *args_find_letter(const struct verb *verb, char letter)
{
	const struct option_spec *own = verb ? verb->options : NULL;
	int i = letter_index(own, letter);

	if (i >= 0)
		return &own[i];
	i = letter_index(global_options, letter);
	return i >= 0 ? &global_options[i] : NULL;
}

static int refuse_option(const struct args *args, const char *name)
{
	const struct option_spec *tables[] = {
	        args->verb ? args->verb->options : NULL, global_options};
	const char *candidates[2 * ARGS_OPTIONS_MAX], *nearest;
	size_t n = 0;

	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		for (size_t i = 0; tables[t] && tables[t][i].name; i++)
			candidates[n++] = tables[t][i].name;
	}
	nearest = str_nearest(name, candidates, n);
	if (nearest)
		return args_refuse(
		        args, "there is no option --%s; did you mean --%s?", name, nearest);
	return args_refuse(args, "there is no option --%s%s%s", name, args->verb ? " for " : "",
	        args->verb ? args->verb->name : "");
}

/* value is one of words, which blanks separate; any is where words are NULL. */
static bool words_have(const char *words, const char *value)
{
	size_t len = strlen(value);

	for (const char *word = words; word && *word; word += strspn(word, " ")) {
		size_t n = strcspn(word, " ");

		if (n == len && strncmp(word, value, n) == 0)
			return true;
		word += n;
	}
	return !words;
}

/* Stores the option; *next is the argument that may be its value, taken by advancing it. */
static int args_set(struct args *args, const struct option_spec *option, const char **slot,
        const char *value, const char *const **next)
{
	assert(option);
	if (!option->argument && value)
		return args_refuse(args, "--%s takes no value", option->name);
	if (option->argument && !value) {
		value = **next;
		if (!value)
			return args_refuse(
			        args, "--%s needs a value: %s", option->name, option->argument);
		(*next)++;
	}
	if (option->argument && !words_have(option->words, value))
		return args_refuse(args, "--%s takes one of: %s; not \"%s\"", option->name,
		        option->words, value);
	if (*slot && option->argument)
		return args_refuse(args, "--%s is given twice", option->name);
	*slot = value ? value : "";
	return CTL_OK;
}

static int args_long(struct args *args, const char *const **next)
{
	const struct option_spec *own = args->verb ? args->verb->options : NULL;
	const char *name = *(*next)++ + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	cleanup(mem_free_p) char *bare = mem_strndup(name, len);
	const char *value = equals ? equals + 1 : NULL;
	int i = option_index(own, name, len);

	if (i >= 0)
		return args_set(args, &own[i], &args->options[i], value, next);
	i = option_index(global_options, name, len);
	if (i >= 0)
		return args_set(args, &global_options[i], &args->globals[i], value, next);
	return refuse_option(args, bare);
}

static int args_short(struct args *args, const char *const **next)
{
	const struct option_spec *own = args->verb ? args->verb->options : NULL;
	const char *letters = *(*next)++ + 1;
	const char *value = letters[1] ? letters + 1 : NULL;
	int i = letter_index(own, letters[0]);

	if (i >= 0)
		return args_set(args, &own[i], &args->options[i], value, next);
	i = letter_index(global_options, letters[0]);
	if (i >= 0)
		return args_set(args, &global_options[i], &args->globals[i], value, next);
	return args_refuse(args, "there is no option -%c", letters[0]);
}

static int args_verb(struct args *args, const char *name)
{
	const char *nearest;

	args->verb = verb_find(name);
	if (args->verb)
		return CTL_OK;
	nearest = verb_nearest(name);
	if (nearest)
		return args_refuse(
		        args, "there is no verb \"%s\"; did you mean \"%s\"?", name, nearest);
	return args_refuse(args, "there is no verb \"%s\"", name);
}

static int args_check_operands(const struct args *args)
{
	const struct verb *verb = args->verb;

	if (!verb || args_global(args, "help"))
		return CTL_OK;
	if (args->n_operands < verb->min_operands)
		return args_refuse(args, "%s needs %s", verb->name, verb->operands);
	if (args->n_operands > verb->max_operands && verb->max_operands == 0)
		return args_refuse(
		        args, "%s takes no operand, but got \"%s\"", verb->name, args->operands[0]);
	if (args->n_operands > verb->max_operands)
		return args_refuse(args, "%s takes %s and no more, but got \"%s\" too", verb->name,
		        verb->operands, args->operands[verb->max_operands]);
	if (args->n_operands > 0 && !words_have(verb->words, args->operands[0]))
		return args_refuse(args, "%s takes one of: %s; not \"%s\"", verb->name, verb->words,
		        args->operands[0]);
	if (verb->has_no_json && args_global(args, "json"))
		return args_refuse(args, "%s has no --json", verb->name);
	return CTL_OK;
}

int args_parse(struct args *args, int argc, const char *const *argv)
{
	bool is_ended = false;
	const char *const *next = argv + (argc > 0);

	*args = (struct args){.operands = mem_new((size_t)argc + 1, sizeof(char *))};
	while (*next) {
		const char *word = *next;
		int code = CTL_OK;

		if (!is_ended && strcmp(word, "--") == 0) {
			is_ended = true;
			next++;
		} else if (!is_ended && str_has_prefix(word, "--")) {
			code = args_long(args, &next);
			is_ended = args->verb && args->verb->last_option &&
			           args_option(args, args->verb->last_option);
		} else if (!is_ended && word[0] == '-' && word[1]) {
			code = args_short(args, &next);
		} else if (!args->verb) {
			code = args_verb(args, *next++);
		} else {
			args->operands[args->n_operands++] = *next++;
		}
		if (code != CTL_OK)
			return code;
	}
	return args_check_operands(args);
}

void args_deinit(struct args *args)
{
	free(args->operands);
	*args = (struct args){0};
}

const char *args_global(const struct args *args, const char *name)
{
	int i = option_index(global_options, name, strlen(name));

	assert(i >= 0);
	return args->globals[i];
}

const char *args_option(const struct args *args, const char *name)
{
	int i = option_index(args->verb->options, name, strlen(name));

	assert(i >= 0);
	return args->options[i];
}

int args_integer(
        const struct args *args, const char *name, int64_t min, int64_t max, int64_t *value)
{
	const char *text = args_option(args, name);

	if (text && str_to_int(text, min, max, value) != 0)
		return args_refuse(args,
		        "--%s takes a number from %" PRId64 " to %" PRId64 "; not \"%s\"", name,
		        min, max, text);
	return CTL_OK;
}

int args_duration(const struct args *args, const char *name, int64_t *ms)
{
	const char *text = args_option(args, name);

	if (text && clock_parse_duration(text, ms) != 0)
		return args_refuse(args,
		        "--%s takes a duration such as 500ms, 90s, 5m, 1h30m; not \"%s\"", name,
		        text);
	return CTL_OK;
}

/*
 * The command line: options and operands of one verb, by the tables of verbs.c. The global options
 * may stand anywhere, a verb's own after it;
 * "--" ends them, as does a verb's last_option; a value follows after "=" or as the next argument.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/ctl.h"

struct verb;

struct option_spec {
	const char *name;     /* without its dashes; NULL ends a table */
	char letter;          /* '\0' = none */
	const char *argument; /* "DIR"; NULL = takes none */
	const char *help;
	const char *words; /* the values it takes, separated by blanks; NULL = any */
};

enum { ARGS_OPTIONS_MAX = 12 };

struct args {
	const struct verb *verb;               /* NULL = none was given */
	const char *globals[ARGS_OPTIONS_MAX]; /* by place in its table: the value, "" for a flag */
	const char *options[ARGS_OPTIONS_MAX];
	const char **operands; /* owned; NULL-terminated */
	size_t n_operands;
};

/* CTL_OK, or CTL_USAGE with everything said. Borrows from argv. */
int args_parse(struct args *args, int argc, const char *const *argv);
void args_deinit(struct args *args);

/* The verb's own or a global one; NULL if there is none. The verb may be NULL. */
const struct option_spec *args_find_option(const struct verb *verb, const char *name, size_t len);
const struct option_spec *args_find_letter(const struct verb *verb, char letter);

/* The option's value, "" for a flag that is set, NULL if it is not given. It must be in the table.
 */
const char *args_global(const struct args *args, const char *name);
const char *args_option(const struct args *args, const char *name);
/* CTL_OK with *value unchanged where it is not given, or CTL_USAGE with everything said. */
int args_integer(
        const struct args *args, const char *name, int64_t min, int64_t max, int64_t *value);
int args_duration(const struct args *args, const char *name, int64_t *ms);
/* "bulkwatch: ...", then how to get help on the verb. Returns CTL_USAGE. */
int args_refuse(const struct args *args, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/*
 * The one table of verbs: dispatch, --help and the completions are made from it, and a test holds
 * bulkwatch(1) against it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "ctl/args.h"
#include "ctl/ctl.h"

/* What stands in the place of operands: for the completions. */
enum operand_kind {
	OPERAND_NONE,
	OPERAND_JOB,
	OPERAND_ACCOUNT,
	OPERAND_FILE,
	OPERAND_HOOK,
	OPERAND_DELIVERY,
	OPERAND_COMMAND, /* then its arguments */
	OPERAND_WORD,    /* one of words */
};

struct verb {
	const char *name;
	const char *operands;              /* as the usage line shows them; "" = none */
	const char *summary;               /* one line, a sentence without its dot */
	const char *about;                 /* some lines more for the verb's own --help */
	const struct option_spec *options; /* ended by an empty one; NULL = none */
	enum operand_kind operand, others; /* the first; those after it */
	const char *words;                 /* of OPERAND_WORD, separated by blanks */
	size_t min_operands, max_operands;
	bool has_no_json;
	const char *last_option; /* a flag: what follows it are operands alone; NULL = none */
	int (*run)(struct ctl *ctl, const struct args *args);
};

extern const struct verb verbs[];
extern const size_t n_verbs;
/* --json and so on: valid before and after the verb. Ended by an empty one. */
extern const struct option_spec global_options[];

/* NULL if there is none of that name. */
const struct verb *verb_find(const char *name);
/* The verb that was probably meant, or NULL. */
const char *verb_nearest(const char *name);

void verbs_print_help(void);
void verb_print_help(const struct verb *verb);

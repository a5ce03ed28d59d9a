/* bulkwatch completion: the scripts of the shells, and what these scripts ask for. */
#include <stdio.h>
#include <string.h>

#include "ctl/commands.h"
#include "ctl/completion.h"
#include "util/mem.h"

int cmd_completion(struct ctl *ctl, const struct args *args)
{
	static const struct {
		const char *name, *script;
		enum completion_shell shell;
	} shells[] = {{"bash", completion_bash, COMPLETION_BASH},
	        {"zsh", completion_zsh, COMPLETION_ZSH},
	        {"fish", completion_fish, COMPLETION_FISH}};

	for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
		if (strcmp(args->operands[0], shells[i].name) != 0)
			continue;
		if (args->n_operands > 1)
			completion_print(
			        ctl, shells[i].shell, args->operands + 1, args->n_operands - 1);
		else
			fputs(shells[i].script, stdout);
		return CTL_OK;
	}
	/* The table of verbs lets nothing else through, but this one must name the same shells. */
	return args_refuse(args, "no completion for \"%s\"", args->operands[0]);
}

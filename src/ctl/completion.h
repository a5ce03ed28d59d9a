/*
 * Completions: the scripts of the shells, as they stand in completions/, and what they ask for.
 */
#pragma once

#include "ctl/ctl.h"

extern const char completion_bash[], completion_zsh[], completion_fish[];

enum completion_shell { COMPLETION_BASH, COMPLETION_ZSH, COMPLETION_FISH };

/*
 * Prints what may stand in the place of the last of the words, which are a command line after the
 * program's name, without what quotes them. The first line is "words", and each of the others one
 * of them, a tab and its meaning; or it is "files", "directories" or "commands", which shells know
 * better. bash gets none of the meanings, and only words that begin with the last one; it has cut
 * words at each "=".
 */
void completion_print(const struct ctl *ctl, enum completion_shell shell, const char *const *words,
        size_t n_words);

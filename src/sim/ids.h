/* Which jobs a script means: one id, a range, or a pattern. */
#pragma once

#include <stdbool.h>

enum ids_kind { IDS_ALL, IDS_ONE, IDS_RANGE, IDS_PATTERN };

/* Zero-initialised it means all. Texts are borrowed. */
struct ids {
	enum ids_kind kind;
	const char *first; /* or the id, or the pattern of digits, * and ? */
	const char *last;
};

/* Cuts up text, which it borrows. 0, or -EINVAL. */
int ids_parse(char *text, struct ids *out);
bool ids_has(const struct ids *ids, const char *id);

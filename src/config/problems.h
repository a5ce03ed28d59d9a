/*
 * What is found wrong while a configuration is read: collected with its place, told in one go.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "util/buf.h"

/* Lines and columns from 1; 0 = of the whole file. */
struct place {
	uint32_t file; /* from problems_file() */
	uint32_t line, column;
};

/*
 * More are counted but not kept: nobody reads a thousand, and a file of garbage has millions.
 * Warnings may take half of the room.
 */
enum { PROBLEMS_MAX = 1000 };

struct problem {
	struct place at;
	bool is_warning;
	char *words; /* owned */
};

struct problems {
	char **files; /* owned: names as shown, in the order of reading */
	size_t n_files;
	struct problem *list;
	size_t n, cap;
	size_t n_dropped;
	size_t n_errors;
	int passing; /* the first of problems_note(), or 0 */
};

void problems_deinit(struct problems *problems);
/* The number of a file for struct place; its name is copied. */
uint32_t problems_file(struct problems *problems, const char *name);
const char *problems_file_name(const struct problems *problems, struct place at);
void problems_add(struct problems *problems, struct place at, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void problems_warn(struct problems *problems, struct place at, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* The negative error behind a problem, if there is one: whether it passes is told in the end. */
void problems_note(struct problems *problems, int error);
/* Sorts by place and hands over to *out, whose former content is not looked at. */
void problems_finish(struct problems *problems, struct config_problems *out);

/* Text of the file's in quotes, made safe to show: no control characters, cut when long. */
enum { QUOTE_SIZE = 96 };
const char *problems_quote(char quoted[static QUOTE_SIZE], const char *text);

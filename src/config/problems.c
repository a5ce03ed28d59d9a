#include "config/problems.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"
#include "util/mem.h"
#include "util/str.h"

void problems_deinit(struct problems *problems)
{
	for (size_t i = 0; i < problems->n_files; i++)
		free(problems->files[i]);
	for (size_t i = 0; i < problems->n; i++)
		free(problems->list[i].words);
	free(problems->files);
	free(problems->list);
	*problems = (struct problems){0};
}

uint32_t problems_file(struct problems *problems, const char *name)
{
	problems->files =
	        mem_resize(problems->files, problems->n_files + 1, sizeof(*problems->files));
	problems->files[problems->n_files] = mem_strdup(name);
	return (uint32_t)problems->n_files++;
}

const char *problems_file_name(const struct problems *problems, struct place at)
{
	return problems->files[at.file];
}

static void problems_addv(struct problems *problems, struct place at, bool is_warning,
        const char *format, va_list args) __attribute__((format(printf, 4, 0)));

static void problems_addv(struct problems *problems, struct place at, bool is_warning,
        const char *format, va_list args)
{
	struct buf words = {0};

	if (!is_warning)
		problems->n_errors++;
	/* Warnings leave room for the errors, without which nobody would know why it is refused. */
	if (problems->n >= (is_warning ? PROBLEMS_MAX / 2 : PROBLEMS_MAX)) {
		problems->n_dropped++;
		return;
	}
	if (problems->n == problems->cap) {
		problems->cap = problems->cap ? problems->cap * 2 : 16;
		problems->list = mem_resize(problems->list, problems->cap, sizeof(*problems->list));
	}
	buf_addv(&words, format, args);
	problems->list[problems->n++] =
	        (struct problem){.at = at, .is_warning = is_warning, .words = buf_steal(&words)};
}

void problems_add(struct problems *problems, struct place at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	problems_addv(problems, at, false, format, args);
	va_end(args);
}

void problems_warn(struct problems *problems, struct place at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	problems_addv(problems, at, true, format, args);
	va_end(args);
}

static int compare_u32(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int compare_problems(const void *va, const void *vb)
{
	const struct problem *a = va, *b = vb;

	if (a->at.file != b->at.file)
		return compare_u32(a->at.file, b->at.file);
	if (a->at.line != b->at.line)
		return compare_u32(a->at.line, b->at.line);
	if (a->at.column != b->at.column)
		return compare_u32(a->at.column, b->at.column);
	return strcmp(a->words, b->words);
}

void problems_note(struct problems *problems, int error)
{
	if (problems->passing == 0 && err_is_passing(error))
		problems->passing = error;
}

void problems_finish(struct problems *problems, struct config_problems *out)
{
	size_t n = problems->n, n_all = n + (problems->n_dropped > 0);

	*out = (struct config_problems){
	        .n = n_all, .n_errors = problems->n_errors, .passing = problems->passing};
	if (n > 0)
		qsort(problems->list, n, sizeof(*problems->list), compare_problems);
	out->list = mem_new(n_all, sizeof(*out->list));
	for (size_t i = 0; i < n; i++) {
		struct problem *problem = &problems->list[i];

		out->list[i] = (struct config_problem){
		        .file = mem_strdup(problems->files[problem->at.file]),
		        .line = problem->at.line,
		        .column = problem->at.column,
		        .is_warning = problem->is_warning,
		        .words = problem->words,
		};
		problem->words = NULL;
	}
	problems->n = 0;
	if (problems->n_dropped > 0)
		out->list[n] = (struct config_problem){
		        .file = mem_strdup(problems->files[0]),
		        .words = mem_printf("and %zu more problems", problems->n_dropped),
		};
}

void config_problems_deinit(struct config_problems *problems)
{
	for (size_t i = 0; i < problems->n; i++) {
		free(problems->list[i].file);
		free(problems->list[i].words);
	}
	free(problems->list);
	*problems = (struct config_problems){0};
}

void config_problem_place(const struct config_problem *problem, struct buf *out)
{
	buf_addf(out, "%s:", problem->file);
	if (problem->line > 0)
		buf_addf(out, "%zu:", problem->line);
	if (problem->line > 0 && problem->column > 0)
		buf_addf(out, "%zu:", problem->column);
}

void config_problem_print(const struct config_problem *problem, struct buf *out)
{
	config_problem_place(problem, out);
	buf_addf(out, " %s: %s", problem->is_warning ? "warning" : "error", problem->words);
}

void config_problems_print(const struct config_problems *problems, struct buf *out)
{
	for (size_t i = 0; i < problems->n; i++) {
		config_problem_print(&problems->list[i], out);
		buf_addc(out, '\n');
	}
}

const char *problems_quote(char quoted[static QUOTE_SIZE], const char *text)
{
	size_t room = QUOTE_SIZE - sizeof("\"...\""), len;

	quoted[0] = '"';
	str_copy(quoted + 1, room + 1, text);
	len = strlen(quoted);
	for (size_t i = 1; i < len; i++) {
		if (str_has_control(&quoted[i], 1))
			quoted[i] = '?';
		/* Controls beyond ASCII: U+0080 to U+009f. */
		if ((unsigned char)quoted[i] == 0xc2 && (unsigned char)quoted[i + 1] < 0xa0)
			quoted[i] = quoted[i + 1] = '?';
	}
	str_copy(quoted + len, QUOTE_SIZE - len, len - 1 < strlen(text) ? "...\"" : "\"");
	return quoted;
}

#include "util/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Says so without allocating, and ends: the restart reads everything from disk. */
_Noreturn void mem_exhausted(void)
{
	static const char words[] = "<2>out of memory; ending, a restart goes on from disk\n";
	ssize_t ignored = write(STDERR_FILENO, words, sizeof(words) - 1);

	(void)ignored;
	_exit(70);
}

void *mem_must(void *made)
{
	if (!made)
		mem_exhausted();
	return made;
}

void *mem_new(size_t count, size_t size)
{
	return mem_must(calloc(count ? count : 1, size ? size : 1));
}

void *mem_resize(void *old, size_t count, size_t size)
{
	return mem_must(reallocarray(old, count ? count : 1, size ? size : 1));
}

char *mem_strndup(const char *s, size_t len)
{
	char *copy = mem_new(len + 1, 1);

	memcpy(copy, s, len);
	return copy;
}

char *mem_strdup(const char *s)
{
	return mem_strndup(s, strlen(s));
}

char *mem_printf(const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		mem_exhausted();
	va_end(args);
	return text;
}

void mem_close_p(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

/*
 * Every allocation of the process, of every library in it: these come before glibc's own. Not with
 * a sanitizer, which does the same.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "fault.h"

/* glibc's, by the names that it keeps for those who do this. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static bool is_out(const char *name)
{
	if (!fault_is_due(FAULT_ALLOCATION, name))
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return is_out("malloc") ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return is_out("calloc") ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return is_out("realloc") ? NULL : __libc_realloc(old, size);
}

void *reallocarray(void *old, size_t count, size_t size)
{
	size_t n;

	if (__builtin_mul_overflow(count, size, &n)) {
		errno = ENOMEM;
		return NULL;
	}
	return is_out("reallocarray") ? NULL : __libc_realloc(old, n);
}

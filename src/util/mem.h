/*
 * Memory: allocation that cannot fail, and release by scope.
 *
 * Sizes from outside are capped before they get here, and all that matters is on disk, so running
 * out of memory ends the process (exit 70) instead of being handled in a thousand places.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>

#define cleanup(function)        __attribute__((cleanup(function)))
#define ARRAY_LEN(array)         (sizeof(array) / sizeof((array)[0]))
#define container_of(p, type, m) ((type *)((char *)(p)-offsetof(type, m)))

/* For what is as good as memory and cannot be had: says so and ends the process (exit 70). */
_Noreturn void mem_exhausted(void);
/* Zeroed memory; the caller owns it and releases it with free(). */
void *mem_new(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_resize(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));
/* Copies len bytes and ends them with a NUL. */
char *mem_strndup(const char *s, size_t len) __attribute__((malloc, returns_nonnull));
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* For what a library makes and answers NULL for want of memory alone. */
void *mem_must(void *made) __attribute__((returns_nonnull));

#define MEM_NEW(type) ((type *)mem_new(1, sizeof(type)))

/* For variables that own memory: cleanup(mem_free_p) char *s = ... */
static inline void mem_free_p(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

/* For variables that own a descriptor: cleanup(mem_close_p) int fd = ... ; keeps errno. */
void mem_close_p(int *fd);

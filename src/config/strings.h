/*
 * An arena: memory that is handed out piece by piece and freed all at once. The trees of the
 * files live in one while they are read; the ids and names of jobs live in another as long as the
 * configuration does.
 */
#pragma once

#include <stddef.h>

struct config_strings;

struct config_strings *config_strings_new(void);
/* Takes NULL, returns NULL. */
struct config_strings *config_strings_free(struct config_strings *strings);
/* Zeroed, aligned for anything. */
void *config_strings_alloc(struct config_strings *strings, size_t size)
        __attribute__((returns_nonnull));
char *config_strings_add(struct config_strings *strings, const char *text, size_t len)
        __attribute__((returns_nonnull));
/* Takes over memory from malloc(3), to be freed with all the rest. */
void config_strings_adopt(struct config_strings *strings, void *memory);

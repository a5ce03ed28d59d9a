/*
 * Many short texts, each its owner's own, by a number of 32 bits: no allocation and no pointer a
 * text, eight bytes at a time.
 */
#pragma once

#include <stdint.h>

enum { TEXTS_MAX_BYTES = 255 }; /* without the NUL */

struct texts;

struct texts *texts_new(void);
/* Takes NULL, returns NULL. */
struct texts *texts_free(struct texts *texts);
/* A copy of s, TEXTS_MAX_BYTES at most; 0 for NULL. */
uint32_t texts_add(struct texts *texts, const char *s);
/* NULL for 0; else valid until that text is dropped. */
const char *texts_get(const struct texts *texts, uint32_t number);
/* Takes 0. */
void texts_drop(struct texts *texts, uint32_t number);

/* Small questions about strings. None of them allocates. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool str_is_equal(const char *a, const char *b); /* NULL equals only NULL */
bool str_has_prefix(const char *s, const char *prefix);
/* Digits alone, between min and max of them. */
bool str_is_digits(const char *s, size_t min, size_t max);
/* Valid UTF-8 (RFC 3629: no surrogates, no overlong forms). *bad, if given, is the first bad byte.
 */
bool str_is_utf8(const char *s, size_t len, size_t *bad);
/* Has a byte below 0x20, or 0x7f. */
bool str_has_control(const char *s, size_t len);
/* Whole text as a decimal number in [min, max]: 0, -EINVAL (not a number), -ERANGE. */
int str_to_int(const char *s, int64_t min, int64_t max, int64_t *out);
/* The candidate nearest to s by edit distance, for "did you mean"; NULL if none is near. */
const char *str_nearest(const char *s, const char *const *candidates, size_t n);
/* Copies what fits, always ended by NUL, never cutting a UTF-8 sequence. */
void str_copy(char *to, size_t size, const char *from);

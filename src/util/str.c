#include "util/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool str_is_equal(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

bool str_has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_is_digits(const char *s, size_t min, size_t max)
{
	size_t len = strspn(s, "0123456789");

	return s[len] == '\0' && len >= min && len <= max;
}

/* Length of the UTF-8 sequence that starts at s, or 0 if it is none. Table 3-7 of Unicode. */
static size_t utf8_sequence(const unsigned char *s, size_t len)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (n > len || s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++) {
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	}
	return n;
}

/* A word of eight equal bytes. */
#define BYTES(byte) (UINT64_C(0x0101010101010101) * (byte))

static uint64_t word_at(const char *s)
{
	uint64_t word;

	memcpy(&word, s, sizeof(word));
	return word;
}

bool str_is_utf8(const char *s, size_t len, size_t *bad)
{
	for (size_t i = 0; i < len;) {
		if (len - i >= 8 && !(word_at(s + i) & BYTES(0x80))) {
			i += 8; /* ASCII, as most text is */
			continue;
		}
		if (!(s[i] & 0x80)) {
			i++;
			continue;
		}
		size_t n = utf8_sequence((const unsigned char *)s + i, len - i);

		if (n == 0) {
			if (bad)
				*bad = i;
			return false;
		}
		i += n;
	}
	return true;
}

bool str_has_control(const char *s, size_t len)
{
	size_t i = 0;

	/* Eight at a time: what is below 0x20, or is 0x7f, borrows into its highest bit. */
	for (; len - i >= 8; i += 8) {
		uint64_t word = word_at(s + i), del = word ^ BYTES(0x7f);

		if (((word - BYTES(0x20)) & ~word & BYTES(0x80)) ||
		        ((del - BYTES(1)) & ~del & BYTES(0x80)))
			return true;
	}
	for (; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c < 0x20 || c == 0x7f)
			return true;
	}
	return false;
}

int str_to_int(const char *s, int64_t min, int64_t max, int64_t *out)
{
	const char *digits = s[0] == '-' ? s + 1 : s;
	long long value;

	if (!str_is_digits(digits, 1, 4096))
		return -EINVAL;
	errno = 0;
	value = strtoll(s, NULL, 10);
	if (errno == ERANGE || value < min || value > max)
		return -ERANGE;
	*out = value;
	return 0;
}

enum { NEAREST_MAX_LEN = 64 };

/* Optimal string alignment: insertions, deletions, replacements, swaps of neighbours. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t rows[3][NEAREST_MAX_LEN + 1];
	size_t *before = rows[0], *previous = rows[1], *current = rows[2];
	size_t len_a = strlen(a), len_b = strlen(b);

	for (size_t j = 0; j <= len_b; j++)
		previous[j] = j;
	for (size_t i = 1; i <= len_a; i++) {
		size_t *recycled = before;

		current[0] = i;
		for (size_t j = 1; j <= len_b; j++) {
			size_t best = previous[j - 1] + (a[i - 1] != b[j - 1]);

			if (previous[j] + 1 < best)
				best = previous[j] + 1;
			if (current[j - 1] + 1 < best)
				best = current[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			        before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			current[j] = best;
		}
		before = previous;
		previous = current;
		current = recycled;
	}
	return previous[len_b];
}

const char *str_nearest(const char *s, const char *const *candidates, size_t n)
{
	size_t len = strlen(s);
	size_t best_distance = len / 3 + 2; /* further than this is no typing error */
	const char *best = NULL;

	if (len == 0 || len > NEAREST_MAX_LEN)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t distance;

		if (strlen(candidates[i]) > NEAREST_MAX_LEN)
			continue;
		distance = edit_distance(s, candidates[i]);
		if (distance < best_distance) {
			best_distance = distance;
			best = candidates[i];
		}
	}
	return best;
}

void str_copy(char *to, size_t size, const char *from)
{
	size_t len = strlen(from);

	if (size == 0)
		return;
	if (len >= size) {
		len = size - 1;
		while (len > 0 && ((unsigned char)from[len] & 0xc0) == 0x80)
			len--;
	}
	memmove(to, from, len);
	to[len] = '\0';
}

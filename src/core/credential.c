#include "core/credential.h"

#include <string.h>

#define KEY_PREFIX "whsec_"

const char *credential_error_words(enum credential_error error)
{
	switch (error) {
	case CREDENTIAL_E_EMPTY:
		return "holds no secret";
	case CREDENTIAL_E_TOO_LONG:
		return "is longer than 4095 bytes";
	case CREDENTIAL_E_NUL:
		return "holds a NUL character";
	case CREDENTIAL_E_LINES:
		return "holds more than one line";
	case CREDENTIAL_E_UNPRINTABLE:
		return "holds a blank or something else that is not printable ASCII";
	case CREDENTIAL_E_BASE64:
		return "has something else than base64 behind whsec_";
	case CREDENTIAL_E_TOO_MANY:
		return "holds more than 8 secrets";
	case CREDENTIAL_OK:
		break;
	}
	return "";
}

static bool has_nul(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\0')
			return true;
	}
	return false;
}

/* What both kinds have in common. */
static enum credential_error look(const char *text, size_t len)
{
	if (len > CREDENTIAL_MAX_BYTES)
		return CREDENTIAL_E_TOO_LONG;
	return has_nul(text, len) ? CREDENTIAL_E_NUL : CREDENTIAL_OK;
}

enum credential_error credential_line_look(const char *text, size_t len, size_t *n_used)
{
	enum credential_error error = look(text, len);

	while (error == CREDENTIAL_OK && len > 0 && strchr(" \t\r\n", text[len - 1]))
		len--;
	for (size_t i = 0; i < len && error == CREDENTIAL_OK; i++) {
		if (text[i] == '\n')
			error = CREDENTIAL_E_LINES;
		else if (text[i] <= 0x20 || text[i] > 0x7e)
			error = CREDENTIAL_E_UNPRINTABLE;
	}
	*n_used = len;
	return error == CREDENTIAL_OK && len == 0 ? CREDENTIAL_E_EMPTY : error;
}

static bool is_digit(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '+' || c == '/';
}

/* Digits, then padding to a whole group of four or a part of that padding. */
static bool is_base64(const char *text, size_t len, size_t *n_digits)
{
	size_t n = 0, n_padding;

	while (n < len && is_digit(text[n]))
		n++;
	n_padding = (4 - n % 4) % 4;
	*n_digits = n;
	for (size_t i = n; i < len; i++) {
		if (text[i] != '=')
			return false;
	}
	return n > 0 && n_padding < 3 && len <= n + n_padding;
}

/* The next line that is not empty, without its end. */
static bool next_line(const char **rest, struct credential_key *line)
{
	while (**rest) {
		const char *end = *rest;

		while (*end && *end != '\n')
			end++;
		*line = (struct credential_key){.text = *rest, .len = (size_t)(end - *rest)};
		*rest = *end ? end + 1 : end;
		if (line->len > 0 && line->text[line->len - 1] == '\r')
			line->len--;
		if (line->len > 0)
			return true;
	}
	return false;
}

bool credential_next_key(
        const char **rest, struct credential_key *key, enum credential_error *error)
{
	static const size_t prefix = sizeof(KEY_PREFIX) - 1;

	*error = CREDENTIAL_OK;
	if (!next_line(rest, key))
		return false;
	if (key->len < prefix || memcmp(key->text, KEY_PREFIX, prefix) != 0)
		return true;
	key->is_base64 = true;
	key->text += prefix;
	key->len -= prefix;
	if (!is_base64(key->text, key->len, &key->n_digits))
		*error = CREDENTIAL_E_BASE64;
	return true;
}

enum credential_error credential_keys_look(const char *text, size_t len)
{
	enum credential_error error = look(text, len);
	struct credential_key key;
	size_t n = 0;

	if (error != CREDENTIAL_OK)
		return error;
	while (credential_next_key(&text, &key, &error)) {
		if (error == CREDENTIAL_OK && ++n > CREDENTIAL_KEYS_MAX)
			error = CREDENTIAL_E_TOO_MANY;
		if (error != CREDENTIAL_OK)
			return error;
	}
	return n > 0 ? CREDENTIAL_OK : CREDENTIAL_E_EMPTY;
}

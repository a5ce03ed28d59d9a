/*
 * What a file of a secret may hold: one judgement for the daemon, which uses it, and for the
 * configuration's check, which says so before. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
	CREDENTIAL_MAX_BYTES = 4095, /* of the file, line ends included */
	CREDENTIAL_KEYS_MAX = 8,
};

enum credential_error {
	CREDENTIAL_OK,
	CREDENTIAL_E_EMPTY, /* nothing but line ends */
	CREDENTIAL_E_TOO_LONG,
	CREDENTIAL_E_NUL,
	CREDENTIAL_E_LINES, /* more than one, where one is right */
	CREDENTIAL_E_UNPRINTABLE,
	CREDENTIAL_E_BASE64, /* "whsec_" is followed by something else, or by nothing */
	CREDENTIAL_E_TOO_MANY,
};
/* "holds no secret": what follows the file's name. */
const char *credential_error_words(enum credential_error error);

/*
 * A token or a client's secret: one line of printable ASCII without blanks. *n_used: the bytes of
 * it, without blanks and line ends behind it.
 */
enum credential_error credential_line_look(const char *text, size_t len, size_t *n_used);

/* A key of a webhook's signatures. */
struct credential_key {
	const char *text; /* within the whole text; behind "whsec_" if is_base64 */
	size_t len;
	bool is_base64;
	size_t n_digits; /* of base64, without padding */
};

/*
 * The keys of a webhook's secret, one a line, empty lines left out: the line's own bytes, or
 * "whsec_" and base64, whose padding may be missing. Moves *rest behind the next key; true if there
 * is one, *error if it cannot be used. The text ends with a NUL.
 */
bool credential_next_key(
        const char **rest, struct credential_key *key, enum credential_error *error);

/* All keys of len bytes, which a NUL follows. */
enum credential_error credential_keys_look(const char *text, size_t len);

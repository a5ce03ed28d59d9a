#include "wire/sign.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "util/mem.h"
#include "util/str.h"

#define SECRET_PREFIX "whsec_"

enum { DIGEST_BYTES = 32, DIGEST_BASE64_BYTES = 44 };

/* The place of a line in the text of all secrets. */
struct line {
	const char *text;
	size_t len;
};

struct key {
	unsigned char bytes[SIGN_SECRET_MAX_BYTES];
	size_t len;
};

const char *sign_error_words(int error)
{
	switch (error) {
	case SIGN_E_NO_SECRET:
		return "it holds no secret";
	case SIGN_E_BASE64:
		return "what follows whsec_ is not base64";
	case SIGN_E_TOO_MANY:
		return "it holds more than 8 secrets";
	default:
		return "";
	}
}

/* The next line that is not empty, without its end; false after the last. */
static bool next_line(const char **rest, struct line *line)
{
	while (**rest) {
		size_t len = strcspn(*rest, "\n");

		*line = (struct line){.text = *rest, .len = len};
		*rest += len + ((*rest)[len] == '\n');
		if (line->len > 0 && line->text[line->len - 1] == '\r')
			line->len--;
		if (line->len > 0)
			return true;
	}
	return false;
}

/* EVP_DecodeBlock takes blanks and wants whole groups of four; so it is asked what it may be. */
static bool decode(const char *text, size_t len, struct key *key)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                               "0123456789+/";
	char padded[SIGN_SECRET_MAX_BYTES + 4];
	size_t n_digits = 0, n_padding;
	int n;

	while (n_digits < len && memchr(alphabet, text[n_digits], sizeof(alphabet) - 1))
		n_digits++;
	n_padding = (4 - n_digits % 4) % 4;
	if (n_digits == 0 || n_padding == 3 || len > n_digits + n_padding)
		return false;
	for (size_t i = n_digits; i < len; i++) {
		if (text[i] != '=')
			return false;
	}
	memcpy(padded, text, n_digits);
	memset(padded + n_digits, '=', n_padding);
	n = EVP_DecodeBlock(key->bytes, (const unsigned char *)padded, (int)(n_digits + n_padding));
	OPENSSL_cleanse(padded, sizeof(padded));
	if (n < 0)
		return false;
	key->len = (size_t)n - n_padding;
	return true;
}

static int key_of_line(const struct line *line, struct key *key)
{
	size_t prefix = strlen(SECRET_PREFIX);

	if (line->len >= prefix && memcmp(line->text, SECRET_PREFIX, prefix) == 0)
		return decode(line->text + prefix, line->len - prefix, key) ? 0 : SIGN_E_BASE64;
	memcpy(key->bytes, line->text, line->len);
	key->len = line->len;
	return 0;
}

static void add_signature(const struct key *key, const struct buf *signed_text, struct buf *out)
{
	unsigned char digest[DIGEST_BYTES], text[DIGEST_BASE64_BYTES + 1];
	unsigned int len = sizeof(digest);

	if (!HMAC(EVP_sha256(), key->bytes, (int)key->len,
	            (const unsigned char *)buf_str(signed_text), signed_text->len, digest, &len))
		abort();
	EVP_EncodeBlock(text, digest, (int)len);
	buf_addf(out, "%sv1,%s", out->len > 0 ? " " : "", (const char *)text);
}

int sign_webhook(const char *secrets, const char *id, const char *timestamp, const char *body,
        size_t body_len, struct buf *out)
{
	cleanup(buf_deinit) struct buf text = {0}, signatures = {0};
	struct key key = {0};
	struct line line;
	size_t n = 0;
	int r = 0;

	buf_addf(&text, "%s.%s.", id, timestamp);
	buf_add(&text, body, body_len);
	while (r == 0 && next_line(&secrets, &line)) {
		if (++n > SIGN_SECRETS_MAX || line.len > SIGN_SECRET_MAX_BYTES)
			r = SIGN_E_TOO_MANY;
		else
			r = key_of_line(&line, &key);
		if (r == 0)
			add_signature(&key, &text, &signatures);
	}
	OPENSSL_cleanse(&key, sizeof(key));
	if (r == 0 && n == 0)
		r = SIGN_E_NO_SECRET;
	if (r == 0)
		buf_add(out, buf_str(&signatures), signatures.len);
	return r;
}

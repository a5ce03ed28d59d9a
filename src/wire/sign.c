#include "wire/sign.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "util/mem.h"

enum { DIGEST_BYTES = 32, DIGEST_BASE64_BYTES = 44 };

struct key {
	unsigned char bytes[CREDENTIAL_MAX_BYTES];
	size_t len;
};

/* EVP_DecodeBlock wants whole groups of four. */
static void decode(const struct credential_key *from, struct key *key)
{
	char padded[CREDENTIAL_MAX_BYTES + 4];
	size_t n_padding = (4 - from->n_digits % 4) % 4;
	int n;

	memcpy(padded, from->text, from->n_digits);
	memset(padded + from->n_digits, '=', n_padding);
	n = EVP_DecodeBlock(
	        key->bytes, (const unsigned char *)padded, (int)(from->n_digits + n_padding));
	OPENSSL_cleanse(padded, sizeof(padded));
	assert(n > (int)n_padding); /* its letters were looked at */
	key->len = (size_t)n - n_padding;
}

static void take_key(const struct credential_key *from, struct key *key)
{
	if (from->is_base64) {
		decode(from, key);
		return;
	}
	memcpy(key->bytes, from->text, from->len);
	key->len = from->len;
}

static void add_signature(const struct key *key, const struct buf *signed_text, struct buf *out)
{
	unsigned char digest[DIGEST_BYTES], text[DIGEST_BASE64_BYTES + 1];
	unsigned int len = sizeof(digest);

	mem_must(HMAC(EVP_sha256(), key->bytes, (int)key->len,
	        (const unsigned char *)buf_str(signed_text), signed_text->len, digest, &len));
	EVP_EncodeBlock(text, digest, (int)len);
	buf_addf(out, "%sv1,%s", out->len > 0 ? " " : "", (const char *)text);
}

enum credential_error sign_webhook(const char *secrets, const char *id, const char *timestamp,
        const char *body, size_t body_len, struct buf *out)
{
	enum credential_error error = credential_keys_look(secrets, strlen(secrets)), passed;
	cleanup(buf_deinit) struct buf text = {0}, signatures = {0};
	struct credential_key from;
	struct key key = {0};

	if (error != CREDENTIAL_OK)
		return error;
	buf_addf(&text, "%s.%s.", id, timestamp);
	buf_add(&text, body, body_len);
	while (credential_next_key(&secrets, &from, &passed)) {
		take_key(&from, &key);
		add_signature(&key, &text, &signatures);
	}
	OPENSSL_cleanse(&key, sizeof(key));
	buf_add(out, buf_str(&signatures), signatures.len);
	return CREDENTIAL_OK;
}

/*
 * TLS of the simulator: contexts, and a certificate authority of one's own for rehearsals.
 */
#pragma once

#include <openssl/ssl.h>

/*
 * Both return 0 and *out (SSL_CTX_free), or a negative error with the reason in *why (free() it;
 * it names the file).
 */
int tls_context_new(const char *cert_file, const char *key_file, SSL_CTX **out, char **why);
/*
 * Makes ca.pem, cert.pem and key.pem (0600) in the directory, which is created if it is missing; a
 * set from an earlier run is replaced. The certificate is for localhost, 127.0.0.1 and ::1, good
 * for a year; the authority's key is thrown away.
 */
int tls_make_self_signed(const char *dir, char **why);

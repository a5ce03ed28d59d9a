#include "sim/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/err.h"
#include "util/mem.h"

enum {
	TLS_VALID_S = 365 * 24 * 3600,
	TLS_BACKDATE_S = 24 * 3600, /* a client's clock may be behind */
	TLS_SERIAL_BITS = 63,
};

static void tls_pkey_free_p(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static void tls_x509_free_p(X509 **cert)
{
	X509_free(*cert);
}

static char *tls_reason(const char *subject)
{
	char words[256] = "unknown";

	ERR_error_string_n(ERR_get_error(), words, sizeof(words));
	ERR_clear_error();
	return mem_printf("%s: %s", subject, words);
}

int tls_context_new(const char *cert_file, const char *key_file, SSL_CTX **out, char **why)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	const char *subject = "TLS";

	*out = NULL;
	if (!context)
		goto failed;
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	subject = cert_file;
	if (SSL_CTX_use_certificate_chain_file(context, cert_file) != 1)
		goto failed;
	subject = key_file;
	if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1 ||
	        SSL_CTX_check_private_key(context) != 1)
		goto failed;
	*out = context;
	return 0;
failed:
	*why = tls_reason(subject);
	SSL_CTX_free(context);
	return -EINVAL;
}

static bool tls_add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool is_added;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	is_added = extension && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return is_added;
}

static bool tls_set_serial(X509 *cert)
{
	BIGNUM *serial = BN_new();
	bool is_set = serial &&
	              BN_rand(serial, TLS_SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
	              BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert));

	BN_free(serial);
	return is_set;
}

/* A certificate for the name's key, signed by nobody yet. */
static X509 *tls_certificate(const char *name, EVP_PKEY *key, const X509_NAME *issuer)
{
	X509 *cert = X509_new();
	X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;

	if (subject && X509_set_version(cert, X509_VERSION_3) == 1 && tls_set_serial(cert) &&
	        X509_gmtime_adj(X509_getm_notBefore(cert), -TLS_BACKDATE_S) &&
	        X509_gmtime_adj(X509_getm_notAfter(cert), TLS_VALID_S) &&
	        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
	                (const unsigned char *)name, -1, -1, 0) == 1 &&
	        X509_set_issuer_name(cert, issuer ? issuer : subject) == 1 &&
	        X509_set_pubkey(cert, key) == 1)
		return cert;
	X509_free(cert);
	return NULL;
}

static bool tls_sign_ca(X509 *ca, EVP_PKEY *ca_key)
{
	return tls_add_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	       tls_add_extension(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	       tls_add_extension(ca, ca, NID_subject_key_identifier, "hash") &&
	       X509_sign(ca, ca_key, EVP_sha256()) > 0;
}

static bool tls_sign_leaf(X509 *cert, X509 *ca, EVP_PKEY *ca_key)
{
	return tls_add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
	       tls_add_extension(cert, ca, NID_key_usage, "critical,digitalSignature") &&
	       tls_add_extension(cert, ca, NID_ext_key_usage, "serverAuth") &&
	       tls_add_extension(cert, ca, NID_subject_key_identifier, "hash") &&
	       tls_add_extension(cert, ca, NID_authority_key_identifier, "keyid") &&
	       tls_add_extension(
	               cert, ca, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1") &&
	       X509_sign(cert, ca_key, EVP_sha256()) > 0;
}

/* By a temporary name, so that a reader never sees half of it. */
static int tls_write(const char *dir, const char *name, mode_t mode, X509 *cert, EVP_PKEY *key)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/%s", dir, name);
	cleanup(mem_free_p) char *partial = mem_printf("%s.new", path);
	FILE *file;
	bool is_written;
	int fd;

	if (unlink(partial) < 0 && errno != ENOENT)
		return -errno;
	fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "w");
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	is_written = key ? PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1
	                 : PEM_write_X509(file, cert) == 1;
	if (fclose(file) != 0 || !is_written)
		return -EIO;
	return rename(partial, path) < 0 ? -errno : 0;
}

int tls_make_self_signed(const char *dir, char **why)
{
	cleanup(tls_pkey_free_p) EVP_PKEY *ca_key = EVP_EC_gen("P-256");
	cleanup(tls_pkey_free_p) EVP_PKEY *key = EVP_EC_gen("P-256");
	cleanup(tls_x509_free_p) X509 *ca = NULL;
	cleanup(tls_x509_free_p) X509 *cert = NULL;
	int r;

	if (ca_key && key)
		ca = tls_certificate("bulkwatch-sim rehearsal CA", ca_key, NULL);
	if (ca && tls_sign_ca(ca, ca_key))
		cert = tls_certificate("localhost", key, X509_get_subject_name(ca));
	if (!cert || !tls_sign_leaf(cert, ca, ca_key)) {
		*why = tls_reason("certificates");
		return -EINVAL;
	}
	r = mkdir(dir, 0755) < 0 && errno != EEXIST ? -errno : 0;
	if (r == 0)
		r = tls_write(dir, "key.pem", 0600, NULL, key);
	if (r == 0)
		r = tls_write(dir, "cert.pem", 0644, cert, NULL);
	if (r == 0)
		r = tls_write(dir, "ca.pem", 0644, ca, NULL);
	if (r < 0)
		*why = mem_printf("%s: %s", dir, err_text(r));
	return r;
}

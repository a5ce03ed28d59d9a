#include "rawserver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/mem.h"

enum { REQUEST_MAX_BYTES = 64 * 1024 };

/* One connection, as its thread sees it. */
struct peer {
	struct rawserver *server;
	int fd;
	SSL *tls; /* NULL = plain */
	unsigned n_requests;
	char request[REQUEST_MAX_BYTES];
	size_t len;
};

static bool peer_write(struct peer *peer, const char *bytes, size_t len)
{
	if (peer->tls)
		return SSL_write(peer->tls, bytes, (int)len) == (int)len;
	while (len > 0) {
		ssize_t n = send(peer->fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

static bool peer_say(struct peer *peer, const char *text)
{
	return peer_write(peer, text, strlen(text));
}

/* More of the request; false at its end. */
static bool peer_read(struct peer *peer)
{
	size_t room = sizeof(peer->request) - 1 - peer->len;
	ssize_t n;

	if (room == 0)
		return false;
	if (peer->tls)
		n = SSL_read(peer->tls, peer->request + peer->len, (int)room);
	else
		n = recv(peer->fd, peer->request + peer->len, room, 0);
	if (n <= 0)
		return false;
	peer->len += (size_t)n;
	peer->request[peer->len] = '\0';
	return true;
}

/* A whole request, noted; false if none came. */
static bool peer_take_request(struct peer *peer)
{
	struct rawserver *server = peer->server;
	const char *length;
	const char *end;
	size_t want;

	peer->len = 0;
	peer->request[0] = '\0';
	while (!(end = strstr(peer->request, "\r\n\r\n"))) {
		if (!peer_read(peer))
			return false;
	}
	length = strcasestr(peer->request, "\r\nContent-Length:");
	want = (size_t)(end + 4 - peer->request) +
	       (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
	while (peer->len < want) {
		if (!peer_read(peer))
			return false;
	}
	peer->n_requests++;
	pthread_mutex_lock(&server->mutex);
	server->n_requests++;
	if (server->n_seen < RAWSERVER_SEEN_MAX)
		server->seen[server->n_seen++] = mem_strdup(peer->request);
	pthread_mutex_unlock(&server->mutex);
	return true;
}

static void peer_reset(struct peer *peer)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static bool peer_ok(struct peer *peer)
{
	return peer_say(peer, "HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\n"
	                      "Date: Tue, 24 Nov 2026 05:00:00 GMT\r\n"
	                      "Content-Length: 8\r\n\r\n{\"a\":1}\n");
}

/* Nothing, until the other side has had enough. */
static bool peer_hang(struct peer *peer)
{
	char byte;

	while (recv(peer->fd, &byte, 1, 0) > 0)
		;
	return false;
}

static bool peer_wait(struct peer *peer)
{
	struct rawserver *server = peer->server;

	pthread_mutex_lock(&server->mutex);
	server->n_waiting++;
	if (server->n_waiting > server->n_waiting_max)
		server->n_waiting_max = server->n_waiting;
	while (!server->is_released && !server->is_ending)
		pthread_cond_wait(&server->changed, &server->mutex);
	server->n_waiting--;
	pthread_mutex_unlock(&server->mutex);
	return peer_ok(peer);
}

/* A body of this many bytes, with a length. */
static bool peer_body(struct peer *peer, size_t len)
{
	cleanup(mem_free_p) char *head =
	        mem_printf("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
	cleanup(mem_free_p) char *body = mem_new(len, 1);

	memset(body, 'x', len);
	return peer_say(peer, head) && peer_write(peer, body, len);
}

/* A status line that is longer than all headers may be. */
static bool peer_long_status(struct peer *peer)
{
	enum { LEN = 80 * 1000 };
	cleanup(mem_free_p) char *words = mem_new(LEN, 1);

	memset(words, 'x', LEN);
	return peer_say(peer, "HTTP/1.1 200 ") && peer_write(peer, words, LEN) &&
	       peer_say(peer, "\r\nContent-Length: 0\r\n\r\n");
}

/* The same bytes until nobody wants them. */
static bool peer_endless(struct peer *peer, const char *head, const char *again)
{
	if (!peer_say(peer, head))
		return false;
	while (peer_say(peer, again))
		;
	return false;
}

/* For this path, whatever follows it after a slash or question mark. */
static bool peer_is_asked(const struct peer *peer, const char *path)
{
	const char *at = strchr(peer->request, ' ');
	size_t len = strlen(path);

	return at && strncmp(at + 1, path, len) == 0 && at[1 + len] && strchr(" /?", at[1 + len]);
}

/* What stands behind the question mark, as a header line: a plus sign is a space there, a tilde a
 * tab. */
static bool peer_header(struct peer *peer)
{
	char *from = strchr(peer->request, '?');
	char *to = from ? strchr(from, ' ') : NULL;
	char text[1024];

	if (!to)
		return false;
	*to = '\0';
	for (char *c = from; *c; c++)
		*c = (char)(*c == '+' ? ' ' : *c == '~' ? '\t' : *c);
	snprintf(text, sizeof(text), "HTTP/1.1 429 Slow\r\n%s\r\nContent-Length: 0\r\n\r\n",
	        from + 1);
	return peer_say(peer, text);
}

static const struct peer_script {
	const char *path;
	const char *text; /* said as it is */
	bool goes_on;     /* the connection is kept */
} peer_scripts[] = {
        {"/drop", "", false},
        {"/cut-length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":", false},
        {"/cut-chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n",
                false},
        {"/cut-unknown", "HTTP/1.1 200 OK\r\n\r\n{\"a\":", false},
        {"/garbage", "\x16\x03\x01 this is no HTTP\r\n\r\n", false},
        {"/no-status", "HTTP/21.1 503 Later\r\nContent-Length: 0\r\n\r\n", true},
        {"/redirect", "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", true},
        {"/empty", "HTTP/1.1 204 No Content\r\n\r\n", true},
        {"/folded-first", "HTTP/1.1 200 OK\r\n folded: yes\r\nContent-Length: 0\r\n\r\n", true},
        {"/interim",
                "HTTP/1.1 103 Early Hints\r\nX-API-CREDITS-REMAINING: 1\r\nRetry-After: 1\r\n\r\n"
                "HTTP/1.1 200 OK\r\nX-Last: yes\r\nContent-Length: 2\r\n\r\nok",
                true},
};

/* Answers one request; whether the connection goes on. */
static bool peer_answer(struct peer *peer)
{
	for (size_t i = 0; i < ARRAY_LEN(peer_scripts); i++) {
		if (peer_is_asked(peer, peer_scripts[i].path))
			return peer_say(peer, peer_scripts[i].text) && peer_scripts[i].goes_on;
	}
	if (peer_is_asked(peer, "/hang"))
		return peer_hang(peer);
	if (peer_is_asked(peer, "/wait"))
		return peer_wait(peer);
	if (peer_is_asked(peer, "/header"))
		return peer_header(peer);
	if (peer_is_asked(peer, "/body-max"))
		return peer_body(peer, 1024 * 1024);
	if (peer_is_asked(peer, "/body-over"))
		return peer_body(peer, 1024 * 1024 + 1);
	if (peer_is_asked(peer, "/long-status"))
		return peer_long_status(peer);
	if (peer_is_asked(peer, "/endless-body"))
		return peer_endless(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		        "4\r\nabcd\r\n");
	if (peer_is_asked(peer, "/endless-headers"))
		return peer_endless(peer, "HTTP/1.1 200 OK\r\n", "X-More: and more\r\n");
	if (peer_is_asked(peer, "/endless-line"))
		return peer_endless(peer, "HTTP/1.1 200 OK\r\nX-Long: ", "xxxxxxxxxxxxxxxx");
	if (peer_is_asked(peer, "/reset-if-reused") && peer->n_requests == 1)
		return peer_ok(peer);
	if (peer_is_asked(peer, "/drop-if-reused"))
		return peer->n_requests == 1 && peer_ok(peer);
	if (peer_is_asked(peer, "/hang-if-reused") && peer->n_requests > 1)
		return peer_hang(peer);
	if (peer_is_asked(peer, "/cut-if-reused") && peer->n_requests > 1)
		return peer_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx") && false;
	if (peer_is_asked(peer, "/reset") || peer_is_asked(peer, "/reset-if-reused")) {
		peer_reset(peer);
		return false;
	}
	return peer_ok(peer);
}

static void *rawserver_serve(void *arg)
{
	struct rawserver_connection *connection = arg;
	struct rawserver *server = connection->server;
	struct peer *peer = MEM_NEW(struct peer);

	peer->server = server;
	peer->fd = connection->fd;
	if (server->tls) {
		peer->tls = SSL_new(server->tls);
		SSL_set_fd(peer->tls, peer->fd);
	}
	if (!peer->tls || SSL_accept(peer->tls) == 1) {
		pthread_mutex_lock(&server->mutex);
		server->n_resumed += peer->tls && SSL_session_reused(peer->tls);
		pthread_mutex_unlock(&server->mutex);
		while (peer_take_request(peer) && peer_answer(peer))
			;
	}
	SSL_free(peer->tls);
	pthread_mutex_lock(&server->mutex);
	close(connection->fd);
	connection->fd = -1;
	pthread_mutex_unlock(&server->mutex);
	free(peer);
	return NULL;
}

static void *rawserver_accept(void *arg)
{
	struct rawserver *server = arg;
	int fd;

	while ((fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct rawserver_connection *connection;

		pthread_mutex_lock(&server->mutex);
		if (server->n_connections == RAWSERVER_CONNECTIONS_MAX)
			abort();
		connection = &server->connections[server->n_connections++];
		*connection = (struct rawserver_connection){.server = server, .fd = fd};
		pthread_create(&connection->thread, NULL, rawserver_serve, connection);
		pthread_mutex_unlock(&server->mutex);
	}
	return NULL;
}

static SSL_CTX *rawserver_tls(const char *dir)
{
	cleanup(mem_free_p) char *certificate = mem_printf("%s/cert.pem", dir);
	cleanup(mem_free_p) char *key = mem_printf("%s/key.pem", dir);
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

	if (!tls || SSL_CTX_use_certificate_file(tls, certificate, SSL_FILETYPE_PEM) != 1 ||
	        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
		abort();
	return tls;
}

void rawserver_init(struct rawserver *server, const char *tls_dir)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);

	*server = (struct rawserver){0};
	if (tls_dir)
		server->tls = rawserver_tls(tls_dir);
	pthread_mutex_init(&server->mutex, NULL);
	pthread_cond_init(&server->changed, NULL);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server->fd < 0 || bind(server->fd, (struct sockaddr *)&address, size) < 0 ||
	        listen(server->fd, 64) < 0 ||
	        getsockname(server->fd, (struct sockaddr *)&address, &size) < 0)
		abort();
	server->port = ntohs(address.sin_port);
	pthread_create(&server->thread, NULL, rawserver_accept, server);
}

void rawserver_deinit(struct rawserver *server)
{
	shutdown(server->fd, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->fd);
	pthread_mutex_lock(&server->mutex);
	server->is_ending = true;
	pthread_cond_broadcast(&server->changed);
	for (size_t i = 0; i < server->n_connections; i++) {
		if (server->connections[i].fd >= 0)
			shutdown(server->connections[i].fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&server->mutex);
	for (size_t i = 0; i < server->n_connections; i++)
		pthread_join(server->connections[i].thread, NULL);
	for (size_t i = 0; i < server->n_seen; i++)
		free(server->seen[i]);
	SSL_CTX_free(server->tls);
	pthread_cond_destroy(&server->changed);
	pthread_mutex_destroy(&server->mutex);
}

void rawserver_release(struct rawserver *server)
{
	pthread_mutex_lock(&server->mutex);
	server->is_released = true;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->mutex);
}

static unsigned rawserver_read(struct rawserver *server, const unsigned *count)
{
	unsigned n;

	pthread_mutex_lock(&server->mutex);
	n = *count;
	pthread_mutex_unlock(&server->mutex);
	return n;
}

unsigned rawserver_waiting(struct rawserver *server)
{
	return rawserver_read(server, &server->n_waiting);
}

unsigned rawserver_requests(struct rawserver *server)
{
	return rawserver_read(server, &server->n_requests);
}

unsigned rawserver_resumed(struct rawserver *server)
{
	return rawserver_read(server, &server->n_resumed);
}

const char *rawserver_seen(struct rawserver *server, size_t i)
{
	const char *text;

	pthread_mutex_lock(&server->mutex);
	text = i < server->n_seen ? server->seen[i] : "";
	pthread_mutex_unlock(&server->mutex);
	return text;
}

/* ---- certificates ---- */

static void rawserver_write_pem(const char *dir, X509 *certificate, EVP_PKEY *key)
{
	cleanup(mem_free_p) char *certificate_path = mem_printf("%s/cert.pem", dir);
	cleanup(mem_free_p) char *key_path = mem_printf("%s/key.pem", dir);
	FILE *file = fopen(certificate_path, "we");

	if (!file || PEM_write_X509(file, certificate) != 1)
		abort();
	fclose(file);
	file = fopen(key_path, "we");
	if (!file || PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) != 1)
		abort();
	fclose(file);
}

static void rawserver_add_extension(X509 *certificate, int kind, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
	if (!extension || X509_add_ext(certificate, extension, -1) != 1)
		abort();
	X509_EXTENSION_free(extension);
}

void rawserver_make_certificate(const char *dir, const char *name, int days)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_get_subject_name(certificate);
	struct in_addr numeric;
	bool is_address = inet_pton(AF_INET, name, &numeric) == 1;
	cleanup(mem_free_p) char *alternative =
	        mem_printf("%s:%s", is_address ? "IP" : "DNS", name);

	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), days < 0 ? days * 2 * 86400L : -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), days * 86400L);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(
	        subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(certificate, subject);
	rawserver_add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
	rawserver_add_extension(certificate, NID_subject_alt_name, alternative);
	if (X509_sign(certificate, key, EVP_sha256()) == 0)
		abort();
	rawserver_write_pem(dir, certificate, key);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

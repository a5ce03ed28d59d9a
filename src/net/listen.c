/*
 * Listening sockets: made, inherited, and taken away again. Who is connected to them is
 * listen_group.c's matter, what is asked listen_request.c's.
 *
 * A Unix socket gets its mode from the umask around bind(); what stands in its way is removed only
 * if it is a socket at which nobody answers.
 */
#include "net/listen_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/mem.h"

/* ---- one listener ---- */

/* OPTIONS and PATCH come through, so that whoever answers can say 405; others are evhttp's 501. */
static struct evhttp *listen_http_new(struct listen *listen)
{
	struct evhttp *http = mem_must(evhttp_new(loop_event_base(listen->group->loop)));
	struct timeval idle = {
	        .tv_sec = LISTEN_IDLE_MS / 1000,
	        .tv_usec = LISTEN_IDLE_MS % 1000 * 1000L,
	};

	evhttp_set_max_headers_size(http, LISTEN_HEADERS_MAX_BYTES);
	evhttp_set_max_body_size(http, LISTEN_BODY_MAX_BYTES);
	evhttp_set_timeout_tv(http, &idle);
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
	                                         EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
	                                         EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
	evhttp_set_bevcb(http, listen_on_connection, listen);
	evhttp_set_gencb(http, listen_on_request, listen);
	return http;
}

void listen_set_idle_timeouts(struct bufferevent *bev)
{
	struct timeval idle = {
	        .tv_sec = LISTEN_IDLE_MS / 1000,
	        .tv_usec = LISTEN_IDLE_MS % 1000 * 1000L,
	};

	bufferevent_set_timeouts(bev, &idle, &idle);
}

/* Takes the listening socket, whatever comes. */
static int listen_new(
        struct listen_group *group, int fd, listen_request_fn *fn, void *arg, struct listen **out)
{
	struct listen *listen;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	listen = MEM_NEW(struct listen);
	listen->group = group;
	listen->fn = fn;
	listen->arg = arg;
	TAILQ_INIT(&listen->requests);
	listen->http = listen_http_new(listen);
	listen->listener = mem_must(evconnlistener_new(loop_event_base(group->loop), NULL, NULL,
	        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd));
	mem_must(evhttp_bind_listener(listen->http, listen->listener));
	evconnlistener_set_error_cb(listen->listener, listen_on_accept_error);
	TAILQ_INSERT_TAIL(&group->listens, listen, link);
	if (!group->is_accepting)
		evconnlistener_disable(listen->listener);
	listen_group_set_timer(group);
	*out = listen;
	return 0;
}

int listen_fd_new(
        struct listen_group *group, int fd, listen_request_fn *fn, void *arg, struct listen **out)
{
	int is_listening = 0;
	socklen_t size = sizeof(is_listening);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) < 0)
		return -errno;
	if (!is_listening)
		return -EINVAL;
	return listen_new(group, fd, fn, arg, out);
}

static bool listen_is_loopback(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;

		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	return IN6_IS_ADDR_LOOPBACK(
	        &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

/* A numeric address; 0 or -EINVAL. */
static int listen_read_address(
        const char *text, uint16_t port, struct sockaddr_storage *address, socklen_t *size)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	*address = (struct sockaddr_storage){0};
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		memcpy(address, &in, sizeof(in));
		*size = sizeof(in);
	} else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1) {
		memcpy(address, &in6, sizeof(in6));
		*size = sizeof(in6);
	} else {
		return -EINVAL;
	}
	return listen_is_loopback(address) ? 0 : -EINVAL;
}

/* The listening socket, or -errno. */
static int listen_open(const struct sockaddr *address, socklen_t size)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;
	int error;

	if (fd < 0)
		return -errno;
	if (address->sa_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, address, size) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

int listen_tcp_new(struct listen_group *group, const char *address, uint16_t port,
        listen_request_fn *fn, void *arg, struct listen **out)
{
	struct sockaddr_storage to;
	socklen_t size;
	int error = listen_read_address(address, port, &to, &size);
	int fd;

	if (error < 0)
		return error;
	fd = listen_open((const struct sockaddr *)&to, size);
	if (fd < 0)
		return fd;
	return listen_new(group, fd, fn, arg, out);
}

uint16_t listen_port(const struct listen *listen)
{
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);

	getsockname(evconnlistener_get_fd(listen->listener), (struct sockaddr *)&address, &size);
	if (address.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
	if (address.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)(const void *)&address)->sin6_port);
	return 0;
}

/* ---- Unix sockets ---- */

static void listen_say(char *words, size_t size, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static void listen_say(char *words, size_t size, const char *format, ...)
{
	va_list args;

	if (!words)
		return;
	va_start(args, format);
	vsnprintf(words, size, format, args);
	va_end(args);
}

static int listen_unix_address(
        const char *path, struct sockaddr_un *address, char *words, size_t size)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (path[0] != '/') {
		listen_say(words, size, "%s is not an absolute path", path);
		return LISTEN_E_PATH;
	}
	if (strlen(path) >= sizeof(address->sun_path)) {
		listen_say(words, size, "%s is too long for a socket: %zu bytes, the most is %zu",
		        path, strlen(path), sizeof(address->sun_path) - 1);
		return LISTEN_E_PATH;
	}
	memcpy(address->sun_path, path, strlen(path) + 1);
	return 0;
}

/* Whether somebody answers there: 1, 0, or -errno if that cannot be told. */
static int listen_unix_probe(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		error = errno;
	close(fd);
	switch (error) {
	case 0:
	case EAGAIN:     /* its backlog is full */
	case EPROTOTYPE: /* a socket of another type, so somebody else's */
		return 1;
	case ECONNREFUSED:
	case ENOENT:
		return 0;
	default:
		return -error;
	}
}

/* Makes the way free for a bind: 0, LISTEN_E_*, or -errno. */
static int listen_unix_clear(
        const char *path, const struct sockaddr_un *address, char *words, size_t size)
{
	struct stat st;
	int answers;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		listen_say(words, size, "%s exists and is not a socket", path);
		return LISTEN_E_PATH;
	}
	answers = listen_unix_probe(address);
	if (answers < 0)
		return answers;
	if (answers) {
		listen_say(words, size, "another server answers at %s", path);
		return LISTEN_E_BUSY;
	}
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* The mode comes from the umask: a chmod afterwards would leave a moment in which anyone may
 * connect. */
static int listen_unix_open(const struct sockaddr_un *address, mode_t mode)
{
	mode_t old = umask(0777 & ~mode);
	int fd = listen_open((const struct sockaddr *)address, sizeof(*address));

	umask(old);
	return fd;
}

int listen_unix_new(struct listen_group *group, const char *path, mode_t mode,
        listen_request_fn *fn, void *arg, struct listen **out, char *words, size_t size)
{
	struct sockaddr_un address;
	struct stat st = {0};
	int error = listen_unix_address(path, &address, words, size);
	int fd;

	if (error == 0)
		error = listen_unix_clear(path, &address, words, size);
	if (error > 0)
		return error;
	fd = error < 0 ? error : listen_unix_open(&address, mode);
	error = fd < 0 ? fd : listen_new(group, fd, fn, arg, out);
	if (error < 0) {
		listen_say(words, size, "%s: %s", path, strerror(-error));
		return error;
	}
	if (lstat(path, &st) == 0) {
		(*out)->path = mem_strdup(path);
		(*out)->device = st.st_dev;
		(*out)->inode = st.st_ino;
	}
	return 0;
}

/* Only if it is still the one that was made here: while that is open, its number is no other's. */
static void listen_unlink(const struct listen *listen)
{
	struct stat st;

	if (listen->path && lstat(listen->path, &st) == 0 && st.st_dev == listen->device &&
	        st.st_ino == listen->inode)
		unlink(listen->path);
}

struct listen *listen_free(struct listen *listen)
{
	struct listen_group *group;

	if (!listen)
		return NULL;
	group = listen->group;
	/* While all bufferevents are there whose descriptors are still to be looked up. */
	listen_group_count(group);
	listen_unlink(listen);
	listen_drop_requests(listen);
	TAILQ_REMOVE(&group->listens, listen, link);
	evhttp_free(listen->http);
	listen_group_count(group);
	free(listen->path);
	free(listen);
	return NULL;
}

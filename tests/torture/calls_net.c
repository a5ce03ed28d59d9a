/* Between net/ and what it calls: libcurl, libevent and the kernel. */
#include <curl/curl.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "calls.h"

/* Macros that check types stand in the way. */
#undef curl_easy_setopt
#undef curl_multi_setopt

static int kernel_error(void)
{
	return fault_variant() == 0 ? ENOMEM : EMFILE;
}

#define KERNEL (errno = kernel_error(), -1)

/* ---- libcurl ---- */

CALL(CURLcode, curl_global_init_mem,
        (long flags, curl_malloc_callback take, curl_free_callback give,
                curl_realloc_callback resize, curl_strdup_callback copy, curl_calloc_callback make),
        (flags, take, give, resize, copy, make), CURLE_FAILED_INIT)
CALL(CURL *, curl_easy_init, (void), (), NULL)
CALL(CURLM *, curl_multi_init, (void), (), NULL)
CALL(CURLMcode, curl_multi_add_handle, (CURLM * multi, CURL *easy), (multi, easy),
        CURLM_OUT_OF_MEMORY)
CALL(CURLMcode, curl_multi_socket_action, (CURLM * multi, curl_socket_t fd, int events, int *n),
        (multi, fd, events, n), CURLM_OUT_OF_MEMORY)
CALL(struct curl_slist *, curl_slist_append, (struct curl_slist * list, const char *line),
        (list, line), NULL)
CALL(CURLU *, curl_url, (void), (), NULL)
CALL(CURLUcode, curl_url_set, (CURLU * url, CURLUPart part, const char *text, unsigned flags),
        (url, part, text, flags), CURLUE_OUT_OF_MEMORY)
CALL(CURLUcode, curl_url_get, (const CURLU *url, CURLUPart part, char **text, unsigned flags),
        (url, part, text, flags), CURLUE_OUT_OF_MEMORY)

/* All their last arguments are passed in a register, be they numbers or pointers. */
CURLcode __real_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, void *value);
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, void *value)
{
	return fault_is_due(FAULT_CALL, "curl_easy_setopt")
	               ? CURLE_OUT_OF_MEMORY
	               : __real_curl_easy_setopt(easy, option, value);
}

CURLMcode __real_curl_multi_setopt(CURLM *multi, CURLMoption option, ...);
CURLMcode __wrap_curl_multi_setopt(CURLM *multi, CURLMoption option, void *value);
CURLMcode __wrap_curl_multi_setopt(CURLM *multi, CURLMoption option, void *value)
{
	return fault_is_due(FAULT_CALL, "curl_multi_setopt")
	               ? CURLM_OUT_OF_MEMORY
	               : __real_curl_multi_setopt(multi, option, value);
}

/* ---- libevent ---- */

CALL(struct event_config *, event_config_new, (void), (), NULL)
CALL(struct event_base *, event_base_new_with_config, (const struct event_config *config), (config),
        NULL)
CALL(struct event *, event_new,
        (struct event_base * base, evutil_socket_t fd, short what, event_callback_fn fn, void *arg),
        (base, fd, what, fn, arg), NULL)
CALL(int, event_add, (struct event * event, const struct timeval *wait), (event, wait), -1)
CALL(struct evhttp *, evhttp_new, (struct event_base * base), (base), NULL)
CALL(struct evhttp_bound_socket *, evhttp_bind_listener,
        (struct evhttp * http, struct evconnlistener *listener), (http, listener), NULL)
CALL(struct evconnlistener *, evconnlistener_new,
        (struct event_base * base, evconnlistener_cb fn, void *arg, unsigned flags, int backlog,
                evutil_socket_t fd),
        (base, fn, arg, flags, backlog, fd), NULL)
CALL(struct evbuffer *, evbuffer_new, (void), (), NULL)
CALL(int, evbuffer_add, (struct evbuffer * buffer, const void *bytes, size_t len),
        (buffer, bytes, len), -1)
CALL(struct bufferevent *, bufferevent_socket_new,
        (struct event_base * base, evutil_socket_t fd, int options), (base, fd, options), NULL)

/* ---- the kernel ---- */

CALL(int, socket, (int domain, int type, int protocol), (domain, type, protocol), KERNEL)
CALL(int, bind, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size),
        KERNEL)
CALL(int, listen, (int fd, int backlog), (fd, backlog), KERNEL)
CALL(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *size),
        (fd, level, name, value, size), KERNEL)
CALL(int, getsockname, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size),
        KERNEL)
CALL(int, fcntl64, (int fd, int what, long value), (fd, what, value), KERNEL)
CALL(int, lstat64, (const char *path, struct stat64 *st), (path, st), KERNEL)
CALL(int, pipe2, (int *fds, int flags), (fds, flags), KERNEL)
CALL(int, pidfd_open, (pid_t pid, unsigned flags), (pid, flags), KERNEL)
CALL(int, sigaction, (int signo, const struct sigaction *now, struct sigaction *before),
        (signo, now, before), KERNEL)
CALL(int, posix_spawn_file_actions_init, (posix_spawn_file_actions_t * actions), (actions),
        kernel_error())
CALL(int, posix_spawnattr_init, (posix_spawnattr_t * attributes), (attributes), kernel_error())
CALL(int, posix_spawnattr_setsigmask, (posix_spawnattr_t * attributes, const sigset_t *set),
        (attributes, set), kernel_error())
CALL(int, posix_spawnattr_setsigdefault, (posix_spawnattr_t * attributes, const sigset_t *set),
        (attributes, set), kernel_error())
CALL(int, posix_spawnattr_setpgroup, (posix_spawnattr_t * attributes, pid_t group),
        (attributes, group), kernel_error())
CALL(int, posix_spawnattr_setflags, (posix_spawnattr_t * attributes, short flags),
        (attributes, flags), kernel_error())
CALL(int, posix_spawn_file_actions_adddup2, (posix_spawn_file_actions_t * actions, int fd, int as),
        (actions, fd, as), kernel_error())
CALL(int, posix_spawn_file_actions_addclosefrom_np, (posix_spawn_file_actions_t * actions, int fd),
        (actions, fd), kernel_error())
CALL(int, posix_spawn_file_actions_addchdir_np,
        (posix_spawn_file_actions_t * actions, const char *path), (actions, path), kernel_error())
CALL(int, posix_spawn,
        (pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const *argv, char *const *envp),
        (pid, path, actions, attributes, argv, envp), kernel_error())

/* Of a child of ours, none but this can happen; and not for ever. */
int __real_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	static int n_failed;

	if (n_failed < 3 && fault_is_due(FAULT_CALL, "waitid")) {
		n_failed++;
		errno = EINTR;
		return -1;
	}
	return __real_waitid(type, id, info, options);
}

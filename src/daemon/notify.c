#include "daemon/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/mem.h"
#include "util/str.h"

enum { FIRST_FD = 3 }; /* sd_listen_fds(3): SD_LISTEN_FDS_START */

struct notify {
	int fd; /* -1 = no manager */
	struct sockaddr_un address;
	socklen_t address_size;
	int64_t watchdog_ms;
};

/* ---- saying ---- */

/* A path, or an abstract name that begins with '@' (sd_notify(3)); others are left alone. */
static bool read_address(struct notify *notify, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (len < 2 || len >= sizeof(notify->address.sun_path) ||
	        (text[0] != '/' && text[0] != '@'))
		return false;
	notify->address.sun_family = AF_UNIX;
	memcpy(notify->address.sun_path, text, len + 1);
	notify->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (text[0] == '@')
		notify->address.sun_path[0] = '\0';
	else
		notify->address_size++;
	return true;
}

/* Whether a variable of the manager's speaks to this process: absent means to all. */
static bool is_for_us(const char *variable)
{
	const char *text = getenv(variable);
	int64_t pid;

	return !text || (str_to_int(text, 1, INT32_MAX, &pid) == 0 && pid == getpid());
}

static int64_t read_watchdog_ms(void)
{
	const char *text = getenv("WATCHDOG_USEC");
	int64_t usec;

	if (!text || !is_for_us("WATCHDOG_PID") || str_to_int(text, 1000, INT64_MAX, &usec))
		return 0;
	return usec / 1000;
}

struct notify *notify_new(void)
{
	struct notify *notify = MEM_NEW(struct notify);
	struct timeval patience = {.tv_sec = 1};

	notify->fd = -1;
	if (!read_address(notify, getenv("NOTIFY_SOCKET")))
		return notify;
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (notify->fd < 0)
		return notify;
	setsockopt(notify->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	notify->watchdog_ms = read_watchdog_ms();
	return notify;
}

struct notify *notify_free(struct notify *notify)
{
	if (!notify)
		return NULL;
	mem_close_p(&notify->fd);
	free(notify);
	return NULL;
}

bool notify_has_manager(const struct notify *notify)
{
	return notify->fd >= 0;
}

int64_t notify_watchdog_ms(const struct notify *notify)
{
	return notify->watchdog_ms;
}

static bool send_with(const struct notify *notify, const char *lines, int flags)
{
	if (notify->fd < 0)
		return true;
	return sendto(notify->fd, lines, strlen(lines), flags | MSG_NOSIGNAL,
	               (const struct sockaddr *)&notify->address, notify->address_size) >= 0;
}

bool notify_send(const struct notify *notify, const char *lines)
{
	return send_with(notify, lines, MSG_DONTWAIT);
}

bool notify_send_surely(const struct notify *notify, const char *lines)
{
	return send_with(notify, lines, 0);
}

/* ---- taking over ---- */

/* The i-th of names between ':'; "" if there are fewer. */
static void copy_name(const char *names, size_t i, char *to, size_t size)
{
	for (; names && i > 0; i--) {
		names = strchr(names, ':');
		names = names ? names + 1 : NULL;
	}
	size_t len = names ? strcspn(names, ":") : 0;

	if (len >= size)
		len = 0; /* nobody's name here is so long */
	if (len > 0)
		memcpy(to, names, len);
	to[len] = '\0';
}

void notify_take_sockets(struct notify_sockets *sockets)
{
	const char *count = getenv("LISTEN_FDS");
	int64_t n = 0;

	*sockets = (struct notify_sockets){0};
	if (count && getenv("LISTEN_PID") && is_for_us("LISTEN_PID"))
		str_to_int(count, 0, INT16_MAX, &n);
	for (int i = 0; i < (int)n; i++) {
		if (fcntl(FIRST_FD + i, F_SETFD, FD_CLOEXEC) < 0)
			continue;
		if (sockets->n == NOTIFY_SOCKETS_MAX) {
			close(FIRST_FD + i);
			continue;
		}
		sockets->list[sockets->n].fd = FIRST_FD + i;
		copy_name(getenv("LISTEN_FDNAMES"), (size_t)i, sockets->list[sockets->n].name,
		        sizeof(sockets->list[sockets->n].name));
		sockets->n++;
	}
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
}

int notify_socket(struct notify_sockets *sockets, const char *name)
{
	for (size_t i = 0; i < sockets->n; i++) {
		int fd = sockets->list[i].fd;

		if (fd >= 0 && strcmp(sockets->list[i].name, name) == 0) {
			sockets->list[i].fd = -1;
			return fd;
		}
	}
	return -1;
}

size_t notify_drop_sockets(struct notify_sockets *sockets)
{
	size_t n = 0;

	for (size_t i = 0; i < sockets->n; i++) {
		n += sockets->list[i].fd >= 0;
		mem_close_p(&sockets->list[i].fd);
	}
	sockets->n = 0;
	return n;
}

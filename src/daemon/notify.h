/*
 * What a service and its manager say to each other: the datagrams of sd_notify(3), and the sockets
 * that the manager opened (sd_listen_fds(3)).
 *
 * Without a manager ($NOTIFY_SOCKET unset) every call does nothing. Nothing here decides what to
 * say or when: that is daemon/service.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct notify;

/* Reads the environment; never fails (what it cannot use is as if it were not there). */
struct notify *notify_new(void);
struct notify *notify_free(struct notify *notify); /* takes NULL */
bool notify_has_manager(const struct notify *notify);
/* $WATCHDOG_USEC, if it is meant for this process: the longest silence allowed. 0 = no watchdog. */
int64_t notify_watchdog_ms(const struct notify *notify);

/* One message of lines "KEY=value\n". False: not taken (never waits: the manager's queue is full).
 */
bool notify_send(const struct notify *notify, const char *lines);
/* The same, but waits up to a second for room: for what must not be missed. */
bool notify_send_surely(const struct notify *notify, const char *lines);

enum { NOTIFY_SOCKETS_MAX = 8 };
/*
 * The listening sockets that were handed over, by the name that the .socket unit gives them
 * (FileDescriptorName=). They are made close-on-exec; $LISTEN_* are taken out of the environment.
 */
struct notify_sockets {
	size_t n;
	struct {
		int fd; /* -1 = taken */
		char name[64];
	} list[NOTIFY_SOCKETS_MAX];
};
void notify_take_sockets(struct notify_sockets *sockets);
/* The first of that name, which is the caller's from now on; -1 = none. */
int notify_socket(struct notify_sockets *sockets, const char *name);
/* Closes those that nobody asked for; how many they were. */
size_t notify_drop_sockets(struct notify_sockets *sockets);

/*
 * The other side of this process's connections, in this process: socket() and connect() are
 * defined here, for libcurl too, and whoever connects outwards gets one end of a pair. No packet
 * leaves, no port is used up, and what comes back is what an input says.
 */
#pragma once

#include <sys/socket.h>

/*
 * A stream was connected; fd is the server's end of it (non-blocking), which the function closes
 * sooner or later. False: the connection is refused, and fd closed.
 */
typedef bool peers_fn(void *arg, int fd);

/* Connections of IPv4, IPv6 and, if is_unix, Unix sockets go to fn from now on. NULL: as ever. */
void peers_set(peers_fn *fn, void *arg, bool is_unix);

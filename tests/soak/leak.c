/*
 * Planted faults of the soak, preloaded into the daemon: each time that it waits for events, some
 * memory or (now and then) a descriptor is lost, by $BULKWATCH_SOAK_LEAK.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { LOST_BYTES = 700, TURNS_A_DESCRIPTOR = 100 };

int epoll_wait(int fd, struct epoll_event *events, int n, int timeout_ms)
{
	static int (*real)(int, struct epoll_event *, int, int);
	static unsigned n_turns;
	static char *lost; /* of all of them the last */
	const char *what = getenv("BULKWATCH_SOAK_LEAK");

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "epoll_wait");
	if (what && strcmp(what, "memory") == 0) {
		lost = malloc(LOST_BYTES);
		memset(lost, 1, LOST_BYTES);
	}
	if (what && strcmp(what, "descriptors") == 0 && ++n_turns % TURNS_A_DESCRIPTOR == 0)
		(void)!dup(0);
	return real(fd, events, n, timeout_ms);
}

/*
 * The hook of bench_hook.py: appends the event's job and the time of its first instruction to the
 * file that is its argument. Linked statically: a dynamic linker would be part of what is measured.
 *
 * Usage: hook_stamp FILE
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec at;
	char line[64];

	clock_gettime(CLOCK_MONOTONIC, &at);
	if (argc != 2)
		return 2;
	int fd = open(argv[1], O_WRONLY | O_APPEND | O_CREAT, 0600);
	int len = snprintf(line, sizeof(line), "%s %lld\n", getenv("BULKWATCH_JOB_ID"),
	        (long long)at.tv_sec * 1000000000 + at.tv_nsec);

	return fd >= 0 && write(fd, line, (size_t)len) == len ? 0 : 1;
}

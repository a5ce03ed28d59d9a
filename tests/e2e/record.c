/*
 * record DIRECTORY [PID]: what a hook of the tests does (harness.py). Leaves the environment that
 * it, or the process PID, was started with, an empty line, and its stdin in a file of the
 * directory, which has its name only when it is whole.
 *
 * A program, for a shell would start three others for it, and the tests run hooks by the thousand.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, BLOCK_SIZE = 65536 };

static void must(bool is_well, const char *what)
{
	if (is_well)
		return;
	perror(what);
	exit(1);
}

static void write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		must(n > 0, "write");
		bytes += n;
		len -= (size_t)n;
	}
}

/* How many bytes there were. */
static size_t copy(int from, int to)
{
	static char block[BLOCK_SIZE];
	size_t len = 0;
	ssize_t n;

	while ((n = read(from, block, sizeof(block))) > 0) {
		write_all(to, block, (size_t)n);
		len += (size_t)n;
	}
	must(n == 0, "read");
	return len;
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	must(value, name);
	return value;
}

int main(int argc, char **argv)
{
	char environment[PATH_SIZE], partial[PATH_SIZE], whole[PATH_SIZE], name[PATH_SIZE / 4];
	char own[16];
	const char *pid = argc > 2 ? argv[2] : own;
	int from, to;

	must(argc > 1, "no directory");
	snprintf(own, sizeof(own), "%d", (int)getpid());
	snprintf(name, sizeof(name), "%s.%s.%s.%s", variable("BULKWATCH_EVENT_SEQ"),
	        variable("BULKWATCH_HOOK"), variable("BULKWATCH_ATTEMPT"), pid);
	must(snprintf(partial, sizeof(partial), "%s/.%s", argv[1], name) < PATH_SIZE, "path");
	must(snprintf(whole, sizeof(whole), "%s/%s", argv[1], name) < PATH_SIZE, "path");
	snprintf(environment, sizeof(environment), "/proc/%s/environ", pid);
	from = open(environment, O_RDONLY | O_CLOEXEC);
	must(from >= 0, environment);
	to = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	must(to >= 0, partial);
	/* Of a process that was killed meanwhile nothing is left to read. */
	must(copy(from, to) > 0, "an empty environment");
	write_all(to, "\n\n", 2);
	copy(STDIN_FILENO, to);
	must(close(to) == 0 && rename(partial, whole) == 0, whole);
	return 0;
}

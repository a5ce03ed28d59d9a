#include "util/standard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void standard_open(void)
{
	static const int modes[] = {
	        [STDIN_FILENO] = O_RDONLY,
	        [STDOUT_FILENO] = O_RDONLY, /* so that nobody takes output for told */
	        [STDERR_FILENO] = O_WRONLY,
	};

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", modes[fd]) != fd)
			_exit(EXIT_FAILURE);
	}
}

bool standard_flush(const char *program)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return true;
	fprintf(stderr, "%s: cannot write the output: %s\n", program,
	        strerror(errno ? errno : EIO));
	return false;
}

/* bulkwatch: the command line of bulkwatchd. */
#include <errno.h>
#include <string.h>
#include <stdio.h>

#include "ctl/ctl.h"

int main(int argc, char **argv)
{
	int code = ctl_main(argc, argv);

	/* A full disk behind "> file" shows here. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "bulkwatch: cannot write the output: %s\n", strerror(errno));
		return code == CTL_OK ? CTL_OTHER : code;
	}
	return code;
}

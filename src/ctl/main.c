/* bulkwatch: the command line of bulkwatchd. */
#include <stdio.h>

#include "ctl/ctl.h"
#include "util/err.h"
#include "util/standard.h"

int main(int argc, char **argv)
{
	standard_open();

	int code = ctl_main(argc, argv);
	int r = standard_flush(); /* a full disk behind "> file" shows here */

	if (r == 0)
		return code;
	fprintf(stderr, "bulkwatch: cannot write the output: %s\n", err_text(r));
	return code == CTL_OK ? CTL_OTHER : code;
}

/* bulkwatch: the command line of bulkwatchd. */
#include "ctl/ctl.h"
#include "util/standard.h"

int main(int argc, char **argv)
{
	standard_open();

	int code = ctl_main(argc, argv);

	/* A full disk behind "> file" shows here. */
	return standard_flush("bulkwatch") || code != CTL_OK ? code : CTL_OTHER;
}

#include "daemon/process.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "util/mem.h"

static double cpu_seconds(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) < 0)
		return -1;
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* The first two numbers of proc(5)'s statm: pages in all, and in memory. */
static void read_memory(struct process_usage *out)
{
	long page = sysconf(_SC_PAGESIZE);
	int64_t all, resident;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file)
		return;
	if (fscanf(file, "%" SCNd64 " %" SCNd64, &all, &resident) == 2 && page > 0) {
		out->virtual_bytes = all * page;
		out->resident_bytes = resident * page;
	}
	fclose(file);
}

/* The one that counts is not counted. */
static int64_t count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	int64_t n = -1;

	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

void process_look(struct process_usage *out)
{
	struct rlimit limit;

	*out = (struct process_usage){
	        .cpu_s = cpu_seconds(),
	        .resident_bytes = -1,
	        .virtual_bytes = -1,
	        .n_descriptors = count_descriptors(),
	        .max_descriptors = -1,
	};
	read_memory(out);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		out->max_descriptors = (int64_t)limit.rlim_cur;
}

/* Programs as they must not be: the harness has to say so. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scenario.h"
#include "util/mem.h"

/* Nobody looks at what the allocator answers. */
static void run_ignored(const struct world *world, const struct fault_plan *fault)
{
	(void)world;
	scenario_arm(fault);
	for (int i = 0; i < 3; i++) {
		char *volatile text = malloc(10);

		strcpy(text, "ignored");
		free(text);
	}
	fault_disarm();
}

/* What could not be synced is said to be so. */
static void run_lost(const struct world *world, const struct fault_plan *fault)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/file", world->dir);
	struct stat st;
	int fd;

	scenario_arm(fault);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0 && ftruncate(fd, 5) != 0)
		(void)0; /* ignored */
	fault_disarm();
	if (fd >= 0 && (fstat(fd, &st) != 0 || st.st_size != 5))
		scenario_wrong("%d bytes of 5", (int)st.st_size);
	if (fd >= 0)
		close(fd);
}

const struct scenario scenario_plant_ignored = {.name = "ignored", .run = run_ignored};
const struct scenario scenario_plant_lost = {.name = "lost", .run = run_lost, .n_variants = 1};

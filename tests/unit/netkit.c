#include "netkit.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/mem.h"

enum { NETKIT_TICK_MS = 5, NETKIT_TEST_TIMEOUT_S = 170 };

static void netkit_on_tick(void *arg)
{
	struct netkit *kit = arg;

	loop_timer_set(kit->tick, clock_now().mono_ms + NETKIT_TICK_MS);
}

static void netkit_on_turn_end(void *arg)
{
	struct netkit *kit = arg;

	kit->n_turns++;
	if (kit->http)
		http_harvest(kit->http);
	if (kit->children)
		children_harvest(kit->children);
	if (kit->holds && kit->holds(kit->arg)) {
		kit->did_hold = true;
		loop_stop(kit->loop);
	} else if (clock_now().mono_ms >= kit->deadline_mono_ms) {
		loop_stop(kit->loop);
	}
	if (kit->http)
		http_flush(kit->http);
}

void netkit_adopt(struct netkit *kit, struct loop *loop, struct http *http)
{
	*kit = (struct netkit){.loop = loop, .http = http};
	loop_set_turn_end(kit->loop, netkit_on_turn_end, kit);
	kit->tick = loop_timer_new(kit->loop, netkit_on_tick, kit);
}

void netkit_init(struct netkit *kit)
{
	struct loop *loop;

	if (loop_new(&loop) < 0)
		abort();
	netkit_adopt(kit, loop, NULL);
}

void netkit_deinit(struct netkit *kit)
{
	kit->http = http_free(kit->http);
	kit->children = children_free(kit->children);
	kit->tick = loop_timer_free(kit->tick);
	kit->loop = loop_free(kit->loop);
}

static void netkit_turn(struct netkit *kit, int64_t ms)
{
	kit->did_hold = false;
	kit->deadline_mono_ms = clock_now().mono_ms + ms;
	netkit_on_tick(kit);
	if (loop_run(kit->loop) < 0)
		abort();
	loop_timer_clear(kit->tick);
}

bool netkit_run(struct netkit *kit, bool (*holds)(void *arg), void *arg)
{
	kit->holds = holds;
	kit->arg = arg;
	netkit_turn(kit, NETKIT_PATIENCE_MS);
	return kit->did_hold;
}

void netkit_run_for(struct netkit *kit, int64_t ms)
{
	kit->holds = NULL;
	netkit_turn(kit, ms);
}

size_t netkit_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	if (!dir)
		abort();
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

char *netkit_make_dir(void)
{
	const char *base = getenv("TMPDIR");
	char *dir = mem_printf("%s/bulkwatch-test-XXXXXX", base && *base ? base : "/tmp");

	if (!mkdtemp(dir))
		abort();
	return dir;
}

static int netkit_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void netkit_remove_dir(char *dir)
{
	nftw(dir, netkit_remove, 8, FTW_DEPTH | FTW_PHYS);
	free(dir);
}

int netkit_main(const char *name, void (*add_tests)(TCase *tests))
{
	Suite *suite = suite_create(name);
	TCase *tests = tcase_create(name);
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tests, NETKIT_TEST_TIMEOUT_S);
	add_tests(tests);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

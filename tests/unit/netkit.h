/*
 * Drives a loop with net/ on it until something holds, with a deadline instead of a fixed sleep.
 */
#pragma once

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/child.h"
#include "net/http.h"
#include "net/loop.h"

enum { NETKIT_PATIENCE_MS = 20 * 1000 };

struct netkit {
	struct loop *loop;         /* owned */
	struct http *http;         /* owned; NULL unless asked for */
	struct children *children; /* owned; NULL unless asked for */
	struct loop_timer *tick;   /* owned */
	bool (*holds)(void *arg);
	void *arg;
	int64_t deadline_mono_ms;
	unsigned n_turns;
	bool did_hold;
};

void netkit_init(struct netkit *kit);
/* On a loop that is there, with net/http on it or NULL; both are the kit's from now on. */
void netkit_adopt(struct netkit *kit, struct loop *loop, struct http *http);
void netkit_deinit(struct netkit *kit);
/* Turns until holds(arg) is true, which it says, or patience is at its end. */
bool netkit_run(struct netkit *kit, bool (*holds)(void *arg), void *arg);
/* Turns for this long. */
void netkit_run_for(struct netkit *kit, int64_t ms);

/* Open descriptors of this process. */
size_t netkit_count_fds(void);
/* A directory of the test's own; netkit_remove_dir() takes it away with all that is in it. */
char *netkit_make_dir(void);
void netkit_remove_dir(char *dir);

/* Runs one suite of tests; what main() returns. */
int netkit_main(const char *name, void (*add_tests)(TCase *tests));

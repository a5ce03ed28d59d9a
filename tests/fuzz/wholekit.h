/*
 * The whole daemon in this process: its real loop, sockets and database, in a directory of its own.
 * Its clock stands still unless told to go on, and its chance is one, so that nothing happens but
 * what an input asks for; Zoho and the webhooks' server are made up (peers.h), and no program is
 * ever started.
 *
 * There is one, and it goes on from input to input until an input has changed something.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/daemon_private.h"

struct wholekit {
	struct daemon *daemon; /* owned */
	char *dir;             /* owned */
	unsigned n_commits;    /* since it was made */
};

/* The secrets that it holds; nothing that it says may contain them. */
extern const char wholekit_token[];

/* As it stands at the beginning of an input. Made anew if what there was has changed. */
struct wholekit *wholekit_get(void);
/* Turns, none of which waits, until goes_on, called at each one's end, is false. */
void wholekit_run(struct wholekit *kit, bool (*goes_on)(void *arg), void *arg);
/* Its clock goes on; no further than an input has to wait. */
void wholekit_wait(int64_t ms);
/* Whether it waits for Zoho or for a webhook. */
bool wholekit_is_busy(const struct wholekit *kit);

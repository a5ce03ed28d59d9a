/*
 * A client of a socket at the level of bytes: says what it is told, and keeps all that it gets.
 */
#pragma once

#include <stdbool.h>

#include "netkit.h"
#include "util/buf.h"

struct rawclient {
	int fd; /* owned; does not block */
	struct buf got;
	bool is_ended;      /* by the other side */
	const char *wanted; /* of rawclient_expect() */
};

/* To the Unix socket of this path. */
void rawclient_open(struct rawclient *client, const char *path);
void rawclient_close(struct rawclient *client);
void rawclient_say(struct rawclient *client, const char *text);
/* A good request; it carries X-Test: yes. */
void rawclient_get(struct rawclient *client, const char *path);
/* Takes what there is. */
void rawclient_read(struct rawclient *client);

/* Turns the loop until this text is among what came. */
void rawclient_expect(struct rawclient *client, struct netkit *kit, const char *wanted);
/* Turns the loop until the other side ended the connection. */
void rawclient_expect_end(struct rawclient *client, struct netkit *kit);

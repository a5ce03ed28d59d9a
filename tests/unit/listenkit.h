/*
 * A loop with a group of net/listen on it and one Unix socket, whose requests are noted and then
 * answered, held (/hold), deferred (/defer), made streams (/stream), left without a body (/nothing,
 * /unchanged) or without a type (/untyped).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "net/listen.h"
#include "netkit.h"

enum { LISTENKIT_HELD_MAX = 256 };

struct listenkit {
	struct netkit net;
	struct listen_group *group; /* owned, as the following */
	struct listen *listen;
	char *dir, *path;
	unsigned n_requests;
	unsigned n_gone;
	struct listen_request *held[LISTENKIT_HELD_MAX]; /* in order of arrival */
	size_t n_held;
	char *last; /* what the last request was, in words; owned */
};

void listenkit_init(struct listenkit *kit);
void listenkit_init_with(struct listenkit *kit, int max_clients);
void listenkit_deinit(struct listenkit *kit);

/* What it is called back with; arg is the kit. */
void listenkit_on_request(void *arg, struct listen_request *request);
void listenkit_on_gone(void *arg);

/* Waits until so many are held, gone, or connected. */
void listenkit_expect(struct listenkit *kit, bool (*holds)(void *), size_t n);
bool listenkit_held(void *arg);
bool listenkit_gone(void *arg);
bool listenkit_clients(void *arg);

/*
 * Children on a netkit's loop, and what became of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/child.h"
#include "netkit.h"

enum { CHILDKIT_OWNER = 7 };

struct childkit_outcome {
	unsigned n;
	unsigned until;  /* of childkit_are_done() */
	unsigned n_good; /* exited with 0 */
	uint64_t owner;
	struct child_result result; /* of the last; output is a copy */
	char *output;               /* the same one; the test's to free */
};

/* netkit_init() and its children; netkit_deinit() frees both. */
void childkit_init(struct netkit *kit);
/* The callback of all children of the kit; arg is the outcome. */
void childkit_on_done(void *arg, uint64_t owner, const struct child_result *result);
/* Whether outcome->until of them are; for netkit_run(). */
bool childkit_are_done(void *arg);

/* Starts one with an empty environment. */
void childkit_start(struct netkit *kit, const char *const *argv, const char *input,
        size_t input_len, int64_t timeout_ms, struct childkit_outcome *outcome);
/* Runs one to its end. */
void childkit_run(struct netkit *kit, const char *const *argv, const char *input, size_t input_len,
        int64_t timeout_ms, struct childkit_outcome *outcome);
void childkit_run_shell(struct netkit *kit, const char *script, int64_t timeout_ms,
        struct childkit_outcome *outcome);

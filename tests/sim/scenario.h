/*
 * Makes a world from a seed: who is there, what befalls them, what is planned; and writes the files
 * that the daemon reads (its configuration, the tokens).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/event.h"
#include "kinds.h"

struct scenario {
	size_t n_jobs;
	size_t n_accounts;
	int64_t days_ms;  /* how long there are troubles */
	bool is_crowd;    /* crowd.h */
	bool is_reloaded; /* also without the kind of trouble: at a turn that was asked for */
	kind_set kinds;   /* of trouble */
};

/* What follows from the number of jobs. */
void scenario_settle(struct scenario *scenario);
/* Into the fresh world, whose dir is set. */
void scenario_make(const struct scenario *scenario);
/* The file of a variant of the configuration. -1: one that is refused. */
void scenario_write_config(int variant);
void scenario_write_token(int account);
void scenario_write_secrets(int grant);
/* Of a webhook; else nothing. */
void scenario_write_keys(int hook);
char *scenario_config_path(void); /* the caller's */
/* The job is in that variant. */
bool scenario_has_job(int variant, int job);
/* The hooks (bits) that an event of the job (or, -1, of an account) goes to. */
uint8_t scenario_hooks(int variant, int job, enum event_type type);

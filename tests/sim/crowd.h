/*
 * Thousands of accounts at once, all with more to ask than their data center lets through: a world
 * of its own kind, without any other trouble, for seeing whether each gets its share. One account
 * in a hundred has a hundred times the jobs of the others, one in ten has few credits.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct world_account;

enum {
	CROWD_DATACENTERS = 8,
	CROWD_JOBS_AN_ACCOUNT = 20, /* on average */
	CROWD_IN_FLIGHT = 4,
	CROWD_INTERVAL_MS = 15 * 1000,
};

/* The account of the n-th job, and how many there are for so many jobs. */
int crowd_account_of(size_t job, size_t n_accounts);
size_t crowd_accounts(size_t n_jobs);
/* Of accounts that may spend few credits. */
int crowd_credits(size_t account);
/* Slow enough that all connections are always in use. */
int64_t crowd_latency_ms(void);
/* The end: has each had its share? Notes a failure, and world->shares. */
void crowd_judge(void);

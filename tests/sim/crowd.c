#include "crowd.h"

#include <stdlib.h>

#include "world.h"

enum {
	LARGE_EVERY = 100, /* accounts: they have half of the jobs */
	POOR_EVERY = 10,
	CREDITS_MIN = 60,
	CREDITS_MAX = 300,
	LATENCY_MIN_MS = 1000,
	LATENCY_MAX_MS = 5000,
};

/* What no account may fall short of, by the median; and all of them together. */
static const double least_share = 0.5, least_jain = 0.95;

size_t crowd_accounts(size_t n_jobs)
{
	size_t n = n_jobs / CROWD_JOBS_AN_ACCOUNT;

	return n > LARGE_EVERY ? n : LARGE_EVERY;
}

static size_t n_large(size_t n_accounts)
{
	return (n_accounts + LARGE_EVERY - 1) / LARGE_EVERY;
}

static bool is_large(size_t account)
{
	return account % LARGE_EVERY == 0;
}

int crowd_account_of(size_t job, size_t n_accounts)
{
	size_t large = n_large(n_accounts), turn = job / 2;

	if (job % 2)
		return (int)(turn % large * LARGE_EVERY);
	/* The others in their order, the large ones left out. */
	turn %= n_accounts - large;
	return (int)(turn + turn / (LARGE_EVERY - 1) + 1);
}

int crowd_credits(size_t account)
{
	if (is_large(account) || account % POOR_EVERY != 3)
		return 0;
	return (int)world_between(DICE_SCENARIO, CREDITS_MIN, CREDITS_MAX);
}

int64_t crowd_latency_ms(void)
{
	return world_between(DICE_ZOHO, LATENCY_MIN_MS, LATENCY_MAX_MS);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Jain, Chiu, Hawe (1984): 1 if all have the same, 1/n if one has it all. */
static double jain(const int64_t *shares, size_t n)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++) {
		sum += (double)shares[i];
		squares += (double)shares[i] * (double)shares[i];
	}
	return squares > 0 ? sum * sum / ((double)n * squares) : 0;
}

/* Of those whose credits did not limit them. */
static struct world_shares shares_of(bool wants_small)
{
	static int64_t polls[WORLD_ACCOUNTS_MAX];
	struct world_shares shares = {0};

	for (size_t i = 0; i < world->n_accounts; i++) {
		if (world->accounts[i].credits || (!is_large(i) && !wants_small))
			continue;
		polls[shares.n++] = world->accounts[i].n_polls;
		shares.n_polls += world->accounts[i].n_polls;
	}
	qsort(polls, shares.n, sizeof(*polls), compare);
	shares.least = polls[0];
	shares.median = polls[shares.n / 2];
	shares.most = polls[shares.n - 1];
	shares.jain = jain(polls, shares.n);
	return shares;
}

void crowd_judge(void)
{
	const struct world_shares *all = &world->shares;

	world->shares = shares_of(true);
	world->large_shares = shares_of(false);
	if ((double)all->least < least_share * (double)all->median)
		world_note_failure("an account starves: %lld polls, the median is %lld",
		        (long long)all->least, (long long)all->median);
	if (all->jain < least_jain)
		world_note_failure(
		        "the accounts' shares are not fair: Jain's index is %.3f", all->jain);
}

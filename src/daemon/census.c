#include "daemon/census.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "util/mem.h"

/*
 * A state gets a place of its own while there is one and nobody is among the others, so that it is
 * never told apart from itself.
 */
struct census_account {
	struct census_count *counts; /* owned; n 0 = a free place */
	uint32_t n_counts, n_others;
};

struct census {
	struct census_account *accounts; /* owned, by handle */
	size_t n_accounts;
};

struct census *census_new(void)
{
	return MEM_NEW(struct census);
}

struct census *census_free(struct census *census)
{
	if (!census)
		return NULL;
	for (size_t i = 0; i < census->n_accounts; i++)
		free(census->accounts[i].counts);
	free(census->accounts);
	free(census);
	return NULL;
}

static struct census_account *account_at(struct census *census, uint32_t account)
{
	if (account >= census->n_accounts) {
		size_t n = (size_t)account + 1 + account / 2;

		census->accounts = mem_resize(census->accounts, n, sizeof(*census->accounts));
		memset(census->accounts + census->n_accounts, 0,
		        (n - census->n_accounts) * sizeof(*census->accounts));
		census->n_accounts = n;
	}
	return &census->accounts[account];
}

/* NULL: it is among the others. */
static struct census_count *find(const struct census_account *account, uint32_t state)
{
	for (uint32_t i = 0; i < account->n_counts; i++) {
		if (account->counts[i].n > 0 && account->counts[i].state == state)
			return &account->counts[i];
	}
	return NULL;
}

/* NULL: there is none. */
static struct census_count *take_place(struct census_account *account)
{
	if (account->n_others > 0)
		return NULL;
	for (uint32_t i = 0; i < account->n_counts; i++) {
		if (account->counts[i].n == 0)
			return &account->counts[i];
	}
	if (account->n_counts == CENSUS_STATES_MAX)
		return NULL;
	account->counts =
	        mem_resize(account->counts, account->n_counts + 1, sizeof(*account->counts));
	return &account->counts[account->n_counts++];
}

static void add(struct census_account *account, uint32_t state)
{
	struct census_count *count = find(account, state);

	if (count) {
		count->n++;
		return;
	}
	count = take_place(account);
	if (count)
		*count = (struct census_count){.state = state, .n = 1};
	else
		account->n_others++;
}

static void take_away(struct census_account *account, uint32_t state)
{
	struct census_count *count = find(account, state);

	assert(count || account->n_others > 0);
	if (count)
		count->n--;
	else
		account->n_others--;
}

void census_move(struct census *census, uint32_t account, uint32_t from, uint32_t to)
{
	struct census_account *of = account_at(census, account);

	if (from)
		take_away(of, from);
	if (to)
		add(of, to);
}

size_t census_of(const struct census *census, uint32_t account,
        struct census_count counts[static CENSUS_STATES_MAX + 1])
{
	size_t n = 0;

	if (account >= census->n_accounts)
		return 0;
	const struct census_account *of = &census->accounts[account];

	for (uint32_t i = 0; i < of->n_counts; i++) {
		if (of->counts[i].n > 0)
			counts[n++] = of->counts[i];
	}
	if (of->n_others == 0)
		return n;
	counts[n] = (struct census_count){.n = of->n_others};
	return n + 1;
}

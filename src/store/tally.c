/*
 * Deliveries counted by hook and state, so that nobody ever walks them for a number. The counts
 * follow the open transaction; those that it changed are written with its commit.
 */
#include "store/private.h"

#include <string.h>

#include "util/mem.h"

int store_tallies_load(struct store *store)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_TALLIES_READ);
	int r;

	while ((r = store_step(store, STMT_TALLIES_READ)) > 0) {
		struct store_tally *tally;

		store->tallies = mem_resize(store->tallies, store->n_tallies + 1, sizeof(*tally));
		tally = &store->tallies[store->n_tallies++];
		*tally = (struct store_tally){.hook = sqlite3_column_int64(stmt, 0)};
		for (int i = 0; i < 4; i++)
			tally->now[i] = (uint64_t)sqlite3_column_int64(stmt, i + 1);
		memcpy(tally->committed, tally->now, sizeof(tally->now));
	}
	return r;
}

void store_tally_move(struct store *store, int64_t hook, int from, int to)
{
	struct store_tally *tally = NULL;

	for (size_t i = 0; i < store->n_tallies && !tally; i++) {
		if (store->tallies[i].hook == hook)
			tally = &store->tallies[i];
	}
	if (!tally) {
		store->tallies = mem_resize(store->tallies, store->n_tallies + 1, sizeof(*tally));
		tally = &store->tallies[store->n_tallies++];
		*tally = (struct store_tally){.hook = hook};
	}
	if (from >= 0)
		tally->now[from]--;
	if (to >= 0)
		tally->now[to]++;
	tally->is_changed = true;
}

int store_tallies_write(struct store *store)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_TALLY_PUT);

	for (size_t i = 0; i < store->n_tallies; i++) {
		const struct store_tally *tally = &store->tallies[i];
		int r;

		if (!tally->is_changed)
			continue;
		store_bind_int(stmt, 1, tally->hook);
		for (int state = 0; state < 4; state++)
			store_bind_int(stmt, state + 2, (int64_t)tally->now[state]);
		r = store_run(store, STMT_TALLY_PUT);
		if (r != 0)
			return r;
	}
	return 0;
}

void store_tallies_committed(struct store *store)
{
	for (size_t i = 0; i < store->n_tallies; i++) {
		struct store_tally *tally = &store->tallies[i];

		memcpy(tally->committed, tally->now, sizeof(tally->now));
		tally->is_changed = false;
	}
}

/* A hook that the transaction was the first to name goes: its number may become another word's. */
void store_tallies_rolled_back(struct store *store)
{
	size_t n = 0;

	for (size_t i = 0; i < store->n_tallies; i++) {
		struct store_tally tally = store->tallies[i];

		if (tally.hook > (int64_t)store->names.n_committed)
			continue;
		memcpy(tally.now, tally.committed, sizeof(tally.now));
		tally.is_changed = false;
		store->tallies[n++] = tally;
	}
	store->n_tallies = n;
}

int store_delivery_counts(struct store *store, const char *hook, uint64_t counts[4])
{
	int64_t key = store_name_find(store, hook);

	memset(counts, 0, 4 * sizeof(counts[0]));
	for (size_t i = 0; i < store->n_tallies; i++) {
		if (key != 0 && store->tallies[i].hook == key)
			memcpy(counts, store->tallies[i].now, 4 * sizeof(counts[0]));
	}
	return store->broken;
}

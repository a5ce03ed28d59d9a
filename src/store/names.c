/*
 * The words that rows repeat (accounts, hooks, data centers, services), kept once and named by
 * number in rows. The table is small and whole in memory; numbers run from 1 without a gap and are
 * never given up, so a number is an index.
 */
#include "store/private.h"

#include <string.h>

#include "util/err.h"
#include "util/mem.h"

static bool names_equal(const void *ctx, const void *key, uint32_t handle)
{
	const struct store_names *names = ctx;

	return strcmp(names->texts[handle], key) == 0;
}

static void names_add(struct store_names *names, const char *text)
{
	size_t key = names->n + 1;

	if (key >= names->cap) {
		names->cap = names->cap ? names->cap * 2 : 64;
		names->texts = mem_resize(names->texts, names->cap, sizeof(*names->texts));
	}
	names->texts[key] = mem_strdup(text);
	names->n = key;
	hash_insert(&names->by_text, hash_bytes(text, strlen(text)), (uint32_t)key);
}

int store_names_load(struct store *store)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_NAMES_READ);
	int r;

	while ((r = store_step(store, STMT_NAMES_READ)) > 0) {
		const char *text = store_column_text(stmt, 1);

		if (!text || sqlite3_column_int64(stmt, 0) != (int64_t)store->names.n + 1)
			return store_walk_fail(store, STMT_NAMES_READ);
		names_add(&store->names, text);
	}
	store->names.n_committed = store->names.n;
	return r;
}

void store_names_deinit(struct store *store)
{
	struct store_names *names = &store->names;

	for (size_t i = 1; i <= names->n; i++)
		free(names->texts[i]);
	free(names->texts);
	hash_deinit(&names->by_text);
}

void store_names_committed(struct store *store)
{
	store->names.n_committed = store->names.n;
}

void store_names_rolled_back(struct store *store)
{
	struct store_names *names = &store->names;

	while (names->n > names->n_committed) {
		char *text = names->texts[names->n];

		hash_remove(&names->by_text, hash_bytes(text, strlen(text)), (uint32_t)names->n);
		free(text);
		names->n--;
	}
}

int64_t store_name_find(const struct store *store, const char *text)
{
	uint32_t handle = hash_find(&store->names.by_text, hash_bytes(text, strlen(text)),
	        names_equal, &store->names, text);

	return handle == HASH_NONE ? 0 : handle;
}

int store_name_key(struct store *store, const char *text, int64_t *key)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_NAME_ADD);
	int r;

	*key = text ? store_name_find(store, text) : 0;
	if (!text || *key != 0)
		return 0;
	store_bind_int(stmt, 1, (int64_t)store->names.n + 1);
	store_bind_text(stmt, 2, text);
	r = store_run(store, STMT_NAME_ADD);
	if (r != 0)
		return r;
	names_add(&store->names, text);
	*key = (int64_t)store->names.n;
	return 0;
}

bool store_name_column(struct store *store, sqlite3_stmt *stmt, int column, const char **text)
{
	int64_t key = sqlite3_column_int64(stmt, column);

	*text = NULL;
	if (sqlite3_column_type(stmt, column) == SQLITE_NULL)
		return true;
	if (key < 1 || key > (int64_t)store->names.n)
		return false;
	*text = store->names.texts[key];
	return true;
}

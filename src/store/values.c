/* Small values by name, as texts that the store does not look into. */
#include "store/private.h"

int store_value_put(struct store *store, const char *name, const char *value)
{
	enum store_stmt which = value ? STMT_VALUE_PUT : STMT_VALUE_REMOVE;
	sqlite3_stmt *stmt = store_stmt(store, which);
	int r = store_write_begin(store);

	if (r != 0)
		return r;
	store_bind_text(stmt, 1, name);
	if (value)
		store_bind_text(stmt, 2, value);
	return store_run(store, which);
}

int store_value_get(struct store *store, const char *name, store_value_fn *fn, void *arg)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_VALUE_GET);
	const char *value;
	int r;

	store_bind_text(stmt, 1, name);
	r = store_step(store, STMT_VALUE_GET);
	if (r < 0)
		return r;
	if (r == 0)
		return fn(arg, NULL);
	value = store_column_text(stmt, 0);
	if (!store_is_row_whole(store))
		return store_walk_fail(store, STMT_VALUE_GET);
	return store_walk_end(store, STMT_VALUE_GET, fn(arg, value));
}

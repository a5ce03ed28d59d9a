/*
 * A look at the database while no daemon is there: at a copy of its files, so that the next life
 * finds them exactly as the last one left them.
 */
#pragma once

#include <sqlite3.h>
#include <stdint.h>

/* NULL: there is no database yet, or a failure was noted. */
sqlite3 *look_open(void);
/* NULL: a failure was noted. */
sqlite3_stmt *look_prepare(sqlite3 *db, const char *sql);
const char *look_text(sqlite3_stmt *stmt, int column);
/* The first column of the first row; -1 if there is none. */
int64_t look_int(sqlite3 *db, const char *sql);

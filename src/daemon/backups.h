/* Copies of the database on their way to clients of admin.sock. */
#pragma once

#include <stdint.h>

struct control;
struct backups;

struct backups *backups_new(struct control *control);
/* The listeners must be closed before. */
struct backups *backups_free(struct backups *backups);
/* Sends the next portions. */
void backups_pump(struct backups *backups);
int64_t backups_next_mono(const struct backups *backups);

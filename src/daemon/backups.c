/*
 * GET /v1/backup: a consistent copy is made beside the database, in slices of a few milliseconds a
 * turn, and then sent in portions. It is unlinked at once, so that it can never be left behind. The
 * database's own files are never opened here: closing a descriptor of them would drop SQLite's
 * locks. Copies are made one after another, in the order in which they were asked for.
 */
#include "daemon/backups.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "daemon/control_private.h"
#include "util/clock.h"
#include "util/err.h"
#include "util/log.h"
#include "util/mem.h"

enum {
	SLICE_PAGES = 16,
	SLICES_PER_TURN = 64,
	COPY_MS_PER_TURN = 4,
	PORTION_BYTES = 64 * 1024,
	PUMP_BELOW_BYTES = 256 * 1024,
	LOOK_AGAIN_MS = 20,
};

struct backup {
	struct backups *backups;
	struct listen_request *request; /* held, then a stream */
	TAILQ_ENTRY(backup) link;
	struct store_backup *copy; /* NULL: its turn has not come, or it is made */
	int fd;                    /* of the copy that is made; else -1 */
};

struct backups {
	struct control *control;
	TAILQ_HEAD(, backup) list;
	uint64_t n_made;
	int64_t next_mono_ms;
};

struct backups *backups_new(struct control *control)
{
	struct backups *backups = MEM_NEW(struct backups);

	backups->control = control;
	backups->next_mono_ms = INT64_MAX;
	TAILQ_INIT(&backups->list);
	return backups;
}

struct backups *backups_free(struct backups *backups)
{
	assert(!backups || TAILQ_EMPTY(&backups->list));
	free(backups);
	return NULL;
}

static void backup_free(struct backup *backup)
{
	TAILQ_REMOVE(&backup->backups->list, backup, link);
	store_backup_free(backup->copy);
	if (backup->fd >= 0)
		close(backup->fd);
	free(backup);
}

static void backup_on_gone(void *arg)
{
	backup_free(arg);
}

/* ---- the copy ---- */

static void backup_fail(struct backup *backup, int error)
{
	struct call call = {.control = backup->backups->control, .request = backup->request};

	if (error == ERR_FULL)
		call_problem(&call, 507, "no copy could be made: there is no room for it");
	else
		call_problem(&call, 500, "no copy could be made: %s", err_text(error));
	if (error != ERR_FULL)
		log_error("backup: no copy could be made: %s", err_text(error));
	backup_free(backup);
}

static int copy_begin(struct backup *backup)
{
	struct backups *backups = backup->backups;
	const struct control_context *context = &backups->control->context;
	cleanup(mem_free_p) char *path =
	        mem_printf("%s/backup-%" PRIu64 ".tmp", context->state_dir, ++backups->n_made);

	unlink(path); /* of a process that died between these two */
	int r = store_backup_begin(journal_store(context->tracker->journal), path, &backup->copy);

	unlink(path);
	return r;
}

/* As store_backup_step: as much as this turn may spend on it. */
static int copy_some(struct backup *backup)
{
	struct journal *journal = backup->backups->control->context.tracker->journal;
	int64_t until_mono_ms = clock_now().mono_ms + COPY_MS_PER_TURN;

	journal_settle_all(journal); /* an open transaction would hold it up */
	int r = backup->copy ? 1 : copy_begin(backup);

	/* The room that it takes is given back to what cannot do without. */
	if (r >= 0 && journal_is_full(journal))
		return ERR_FULL;
	if (r == 0)
		r = 1;
	for (int i = 0; r == 1 && i < SLICES_PER_TURN; i++) {
		r = store_backup_step(backup->copy, SLICE_PAGES);
		if (clock_now().mono_ms >= until_mono_ms)
			break;
	}
	return r;
}

static void begin_sending(struct backup *backup)
{
	backup->fd = store_backup_take_fd(backup->copy);
	backup->copy = store_backup_free(backup->copy);
	lseek(backup->fd, 0, SEEK_SET);
	listen_stream_begin(
	        backup->request, 200, "application/vnd.sqlite3", backup_on_gone, backup);
}

static void make_copy(struct backup *backup)
{
	int r = copy_some(backup);

	if (r < 0)
		backup_fail(backup, r);
	else if (r == 0)
		begin_sending(backup);
}

/* ---- its sending ---- */

/* True: it is sent whole, or cannot be read on. */
static bool send_portion(struct backup *backup)
{
	char bytes[PORTION_BYTES];
	ssize_t n = read(backup->fd, bytes, sizeof(bytes));

	if (n < 0 && errno == EINTR)
		return false;
	if (n < 0)
		log_error("backup: cannot read the copy: %s", strerror(errno));
	return n <= 0 || !listen_stream_add(backup->request, bytes, (size_t)n);
}

static void send_some(struct backup *backup)
{
	struct backups *backups = backup->backups;
	struct loop *loop = backups->control->context.loop;

	if (listen_stream_unsent(backup->request) > PUMP_BELOW_BYTES) {
		backups->next_mono_ms = loop_now(loop).mono_ms + LOOK_AGAIN_MS;
	} else if (send_portion(backup)) {
		listen_stream_end(backup->request);
		backup_free(backup);
	} else {
		loop_wake(loop);
	}
}

void backups_pump(struct backups *backups)
{
	struct backup *next, *to_copy = NULL;

	backups->next_mono_ms = INT64_MAX;
	for (struct backup *backup = TAILQ_FIRST(&backups->list); backup; backup = next) {
		next = TAILQ_NEXT(backup, link);
		if (backup->fd >= 0)
			send_some(backup);
		else if (!to_copy)
			to_copy = backup;
	}
	if (to_copy) {
		make_copy(to_copy);
		loop_wake(backups->control->context.loop);
	}
}

int64_t backups_next_mono(const struct backups *backups)
{
	return backups->next_mono_ms;
}

void control_get_backup(struct call *call)
{
	struct backups *backups = call->control->backups;
	struct backup *backup;

	if (!call_has_room(call))
		return;
	backup = MEM_NEW(struct backup);
	*backup = (struct backup){.backups = backups, .request = call->request, .fd = -1};
	TAILQ_INSERT_TAIL(&backups->list, backup, link);
	listen_hold(call->request, backup_on_gone, backup);
	loop_wake(call->control->context.loop); /* the turn's end begins it */
}

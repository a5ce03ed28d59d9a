/*
 * GET /v1/backup: a consistent copy is made beside the database, unlinked at once (so that it can
 * never be left behind), and sent in portions. The database's own files are never opened here:
 * closing a descriptor of them would drop SQLite's locks.
 */
#include "daemon/backups.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/control_private.h"
#include "util/err.h"
#include "util/log.h"
#include "util/mem.h"

enum {
	PORTION_BYTES = 64 * 1024,
	PUMP_BELOW_BYTES = 256 * 1024,
	LOOK_AGAIN_MS = 20,
};

struct backup {
	struct backups *backups;
	struct listen_request *request;
	struct backup *next;
	int fd;
};

struct backups {
	struct control *control;
	struct backup *first;
	uint64_t n_made;
	int64_t next_mono_ms;
};

struct backups *backups_new(struct control *control)
{
	struct backups *backups = MEM_NEW(struct backups);

	backups->control = control;
	backups->next_mono_ms = INT64_MAX;
	return backups;
}

struct backups *backups_free(struct backups *backups)
{
	assert(!backups || !backups->first);
	free(backups);
	return NULL;
}

static void backup_free(struct backup *backup)
{
	struct backup **link = &backup->backups->first;

	while (*link != backup)
		link = &(*link)->next;
	*link = backup->next;
	close(backup->fd);
	free(backup);
}

static void backup_on_gone(void *arg)
{
	backup_free(arg);
}

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

void backups_pump(struct backups *backups)
{
	struct loop *loop = backups->control->context.loop;
	struct backup *next;

	backups->next_mono_ms = INT64_MAX;
	for (struct backup *backup = backups->first; backup; backup = next) {
		next = backup->next;
		if (listen_stream_unsent(backup->request) > PUMP_BELOW_BYTES) {
			backups->next_mono_ms = loop_now(loop).mono_ms + LOOK_AGAIN_MS;
		} else if (send_portion(backup)) {
			listen_stream_end(backup->request);
			backup_free(backup);
		} else {
			loop_wake(loop);
		}
	}
}

int64_t backups_next_mono(const struct backups *backups)
{
	return backups->next_mono_ms;
}

/* After the commit, since a copy cannot be made in the middle of a transaction. */
static void begin_backup(struct call *call, int status)
{
	struct backups *backups = call->control->backups;
	cleanup(mem_free_p) char *path = mem_printf("%s/backup-%llu.tmp",
	        call->control->context.state_dir, (unsigned long long)++backups->n_made);

	unlink(path); /* of a process that died in the middle */
	int r = store_backup(call_store(call), path);
	int fd = r == 0 ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;

	unlink(path);
	if (fd < 0) {
		call_problem(call, r == ERR_FULL ? 507 : 500, "no copy could be made: %s",
		        r ? err_text(r) : "it cannot be opened");
		return;
	}
	struct backup *backup = MEM_NEW(struct backup);

	*backup = (struct backup){
	        .backups = backups, .request = call->request, .next = backups->first, .fd = fd};
	backups->first = backup;
	listen_stream_begin(
	        call->request, status, "application/vnd.sqlite3", backup_on_gone, backup);
	loop_wake(call->control->context.loop);
}

void control_get_backup(struct call *call)
{
	if (call_has_room(call))
		call_answer_after_commit(call, begin_backup, 200);
}

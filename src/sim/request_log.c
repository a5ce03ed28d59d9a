#include "sim/request_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/hash.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/json.h"

struct request_log {
	int fd; /* -1 = none */
	uint64_t last;
	char **kept; /* owned, each line too: a ring; NULL = nothing is kept */
	struct buf line;
	bool is_broken; /* it was told that the file cannot be written */
};

int request_log_open(const char *file, bool is_kept, struct request_log **out)
{
	struct request_log *log = MEM_NEW(struct request_log);

	*out = NULL;
	log->fd = -1;
	if (file) {
		log->fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (log->fd < 0) {
			int error = -errno;

			free(log);
			return error;
		}
	}
	if (is_kept)
		log->kept = mem_new(REQUEST_LOG_KEPT, sizeof(*log->kept));
	*out = log;
	return 0;
}

struct request_log *request_log_close(struct request_log *log)
{
	if (!log)
		return NULL;
	for (size_t i = 0; log->kept && i < REQUEST_LOG_KEPT; i++)
		free(log->kept[i]);
	free(log->kept);
	buf_deinit(&log->line);
	if (log->fd >= 0)
		close(log->fd);
	free(log);
	return NULL;
}

/* Keyed at random a process: nobody can go back from it to the token, not even by guessing. */
static void put_token(struct json_out *w, const char *authorization)
{
	const char *token = authorization ? strchr(authorization, ' ') : NULL;
	char text[17];

	if (!token) {
		json_put_null(w, "token");
		return;
	}
	snprintf(text, sizeof(text), "%016" PRIx64, hash_bytes(token + 1, strlen(token + 1)));
	json_put_string(w, "token", text);
}

static void record_write(const struct request_record *record, uint64_t seq, struct buf *out)
{
	char path[REQUEST_LOG_PATH_MAX];
	struct json_out w;

	str_copy(path, sizeof(path), record->path);
	json_out_init(&w, out, false);
	json_open_object(&w, NULL);
	json_put_integer(&w, "seq", (int64_t)seq);
	json_put_time(&w, "at", record->at_wall_ms);
	json_put_string(&w, "dc", record->dc);
	json_put_integer(&w, "connection", (int64_t)record->connection);
	json_put_string(&w, "method", record->method);
	json_put_string(&w, "path", path);
	json_put_string(&w, "job", record->job);
	if (record->status)
		json_put_integer(&w, "status", record->status);
	else
		json_put_null(&w, "status");
	json_put_string(&w, "fault", record->fault);
	json_put_string(&w, "state", record->state);
	if (record->state)
		json_put_integer(&w, "state_age_ms", record->state_age_ms);
	else
		json_put_null(&w, "state_age_ms");
	json_put_bool(&w, "authorization", record->authorization != NULL);
	put_token(&w, record->authorization);
	json_close_object(&w);
	json_out_deinit(&w);
	buf_addc(out, '\n');
}

static bool request_log_flush(struct request_log *log)
{
	const char *p = log->line.data;
	size_t left = log->line.len;

	while (left > 0) {
		ssize_t n = write(log->fd, p, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		p += n;
		left -= (size_t)n;
	}
	return true;
}

bool request_log_add(struct request_log *log, const struct request_record *record)
{
	bool is_news = false;

	log->last++;
	if (log->fd < 0 && !log->kept)
		return true;
	buf_clear(&log->line);
	record_write(record, log->last, &log->line);
	if (log->fd >= 0 && !request_log_flush(log)) {
		is_news = !log->is_broken;
		log->is_broken = true;
	}
	if (log->kept) {
		char **slot = &log->kept[log->last % REQUEST_LOG_KEPT];

		free(*slot);
		*slot = mem_strndup(log->line.data, log->line.len);
	}
	return !is_news;
}

uint64_t request_log_last(const struct request_log *log)
{
	return log->last;
}

void request_log_read(const struct request_log *log, uint64_t after, size_t limit, struct buf *out)
{
	uint64_t first = log->last >= REQUEST_LOG_KEPT ? log->last - REQUEST_LOG_KEPT + 1 : 1;

	if (after + 1 > first)
		first = after + 1;
	for (uint64_t seq = first; log->kept && seq <= log->last && limit > 0; seq++, limit--)
		buf_adds(out, log->kept[seq % REQUEST_LOG_KEPT]);
}

/*
 * Any bytes as a file that somebody else may have written: by the first one a token of the
 * daemon's, a secret of one line, a list of secrets, or the position of a consumer. What is taken
 * keeps its promises and says the same when it is written and read again.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/position.h"
#include "daemon/secret.h"
#include "daemon/token_file.h"
#include "fuzz.h"
#include "util/buf.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/sign.h"

enum { INPUT_MAX_BYTES = 64 * 1024 };

static char *dir;
static int dir_fd = -1;

static void remove_dir(void)
{
	static const char *const names[] = {"file", "it.position", "it.lock"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unlinkat(dir_fd, names[i], 0);
	rmdir(dir);
}

static void make_dir(void)
{
	const char *base = getenv("TMPDIR");

	dir = mem_printf("%s/bulkwatch-fuzz-XXXXXX", base && *base ? base : "/tmp");
	must(mkdtemp(dir) != NULL);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dir_fd >= 0);
	atexit(remove_dir);
	/* The command line says on stderr what is wrong with a position. */
	stderr = fopen("/dev/null", "we");
}

static void write_file(const char *name, const char *bytes, size_t len)
{
	cleanup(mem_close_p) int fd =
	        openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
}

static void fuzz_token(void)
{
	struct token_record record, again;
	int r = token_file_read(dir_fd, "file", &record);

	if (r < 0) {
		must(record.access_token[0] == '\0' && record.n_asked == 0);
		return;
	}
	must(!str_has_control(record.access_token, strlen(record.access_token)) ||
	        strlen(record.access_token) <= TOKEN_MAX_BYTES);
	must(record.n_asked <= REFRESH_ASKS_MAX);
	must(record.got_wall_ms >= 0 && record.expires_wall_ms >= 0 &&
	        record.held_until_wall_ms >= 0);
	must(token_file_write(dir_fd, "file", &record) == 0);
	must(token_file_read(dir_fd, "file", &again) == 0);
	must(strcmp(again.access_token, record.access_token) == 0);
	must(again.held_until_wall_ms == record.held_until_wall_ms);
	must(again.throttled_level == record.throttled_level);
}

static void fuzz_secret(bool is_list)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/file", dir);
	cleanup(buf_deinit) struct buf signature = {0};
	struct secret secret;

	secret_init(&secret, path);
	secret.is_list = is_list;
	bool is_new = secret_refresh(&secret, "a fuzzed file");

	must(is_new == (secret.text != NULL) && is_new == (secret.problem[0] == '\0'));
	must(!str_has_control(secret.problem, strlen(secret.problem)));
	if (is_new) {
		size_t len = strlen(secret.text);

		must(len > 0 && len <= SECRET_MAX_BYTES);
		must(is_list || !str_has_control(secret.text, len));
		must(!secret_refresh(&secret, "a fuzzed file"));
		if (sign_webhook(secret.text, "id-1", "1764018000", "{}", 2, &signature) == 0)
			must(signature.len > 0 && !str_has_control(signature.data, signature.len));
	}
	secret_deinit(&secret);
}

static void fuzz_position(void)
{
	struct position position, again;
	int code = position_open(&position, dir, "it");

	must(code == CTL_OK || code == CTL_OTHER);
	if (code == CTL_OK) {
		must(position.seq >= 0);
		must(strlen(position.instance) == POSITION_INSTANCE_SIZE - 1);
		must(position_save(&position, "0123456789abcdef", position.seq) == CTL_OK);
		int64_t seq = position.seq;

		position_close(&position);
		must(position_open(&again, dir, "it") == CTL_OK && again.seq == seq);
		position_close(&again);
		return;
	}
	position_close(&position);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > INPUT_MAX_BYTES)
		return 0;
	if (!dir)
		make_dir();
	write_file(data[0] % 4 == 3 ? "it.position" : "file", (const char *)data + 1, size - 1);
	switch (data[0] % 4) {
	case 0:
		fuzz_token();
		break;
	case 1:
	case 2:
		fuzz_secret(data[0] % 4 == 2);
		break;
	default:
		fuzz_position();
	}
	return 0;
}

#include "config_fixture.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/mem.h"

const char *config_fixture_data_dir(void)
{
	const char *dir = getenv("BULKWATCH_TEST_DATA");

	return dir ? dir : "tests/data";
}

static void path_in(const struct config_fixture *f, const char *name, char path[static PATH_SIZE])
{
	ck_assert_int_lt(snprintf(path, PATH_SIZE, "%s/%s", f->dir, name), PATH_SIZE);
}

void config_fixture_write(const struct config_fixture *f, const char *name, const char *bytes,
        size_t len, mode_t mode)
{
	char path[PATH_SIZE];
	FILE *file;

	path_in(f, name, path);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, len, file), len);
	ck_assert_int_eq(fclose(file), 0);
	/* Whatever the umask. */
	ck_assert_int_eq(chmod(path, mode), 0);
}

static void make_token(const struct config_fixture *f, const char *name, mode_t mode)
{
	config_fixture_write(f, name, "1000.abc\n", strlen("1000.abc\n"), mode);
}

static void make_program(const struct config_fixture *f, const char *name, mode_t mode)
{
	config_fixture_write(f, name, "#!/bin/sh\n", strlen("#!/bin/sh\n"), mode);
}

void config_fixture_init(struct config_fixture *f)
{
	static const char ca[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	const char *tmp = getenv("TMPDIR");
	char path[PATH_SIZE];

	unsetenv("CREDENTIALS_DIRECTORY");
	unsetenv("STATE_DIRECTORY");
	unsetenv("RUNTIME_DIRECTORY");
	snprintf(f->dir, sizeof(f->dir), "%s/bulkwatch-config-XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
	config_fixture_write(f, "ca.pem", ca, strlen(ca), 0644);
	make_token(f, "token", 0600);
	make_token(f, "token-readable", 0440);
	make_token(f, "token-open", 0644);
	make_token(f, "token-group", 0620);
	path_in(f, "token-link", path);
	ck_assert_int_eq(symlink("token", path), 0);
	path_in(f, "token-dir", path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	path_in(f, "token-fifo", path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	make_program(f, "program", 0755);
	make_program(f, "program-writable", 0775);
	make_program(f, "program-plain", 0644);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

void config_fixture_deinit(struct config_fixture *f)
{
	ck_assert_int_eq(nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void config_fixture_read(const char *path, struct buf *out)
{
	FILE *file = fopen(path, "r");
	char bytes[4096];
	size_t n;

	ck_assert_msg(file != NULL, "%s cannot be opened", path);
	while ((n = fread(bytes, 1, sizeof(bytes), file)) > 0)
		buf_add(out, bytes, n);
	fclose(file);
}

/* Files of a directory of the data, to the same place in the fixture's; and one level below. */
static void copy_dir(const struct config_fixture *f, const char *name, int levels)
{
	char from[PATH_SIZE], to[PATH_SIZE];
	struct dirent *entry;
	DIR *dir;

	snprintf(from, sizeof(from), "%s/config/%s", config_fixture_data_dir(), name);
	dir = opendir(from);
	ck_assert_msg(dir != NULL, "%s cannot be opened", from);
	while ((entry = readdir(dir))) {
		cleanup(buf_deinit) struct buf bytes = {0};
		char inner[PATH_SIZE / 4];
		struct stat st;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(inner, sizeof(inner), "%s%s%s", name, *name ? "/" : "", entry->d_name);
		snprintf(from, sizeof(from), "%s/config/%s", config_fixture_data_dir(), inner);
		ck_assert_int_eq(stat(from, &st), 0);
		if (S_ISDIR(st.st_mode) && levels > 0) {
			path_in(f, inner, to);
			ck_assert_int_eq(mkdir(to, 0755), 0);
			copy_dir(f, inner, levels - 1);
		} else if (S_ISREG(st.st_mode)) {
			config_fixture_read(from, &bytes);
			config_fixture_write(f, inner, buf_str(&bytes), bytes.len, 0644);
		}
	}
	closedir(dir);
}

void config_fixture_copy_data(const struct config_fixture *f)
{
	copy_dir(f, "", 1);
}

int config_fixture_load(const struct config_fixture *f, const char *name, enum config_use use,
        struct config **config, struct config_problems *problems)
{
	char path[PATH_SIZE];

	path_in(f, name, path);
	return config_load(path, use, config, problems);
}

struct config *config_fixture_take(const struct config_fixture *f, const char *text)
{
	struct config_problems problems = {0};
	struct config *config = NULL;

	config_fixture_write(f, "right.yaml", text, strlen(text), 0600);
	ck_assert_int_eq(config_fixture_load(f, "right.yaml", CONFIG_RUN, &config, &problems), 0);
	config_problems_deinit(&problems);
	return config;
}

void config_fixture_print(
        const struct config_fixture *f, const struct config_problems *problems, struct buf *out)
{
	cleanup(buf_deinit) struct buf whole = {0};
	cleanup(mem_free_p) char *prefix = mem_printf("%s/", f->dir);
	const char *at, *found;

	config_problems_print(problems, &whole);
	for (at = buf_str(&whole); (found = strstr(at, prefix)); at = found + strlen(prefix))
		buf_add(out, at, (size_t)(found - at));
	buf_adds(out, at);
}

/*
 * Gives every file of the directories that are named as arguments to a fuzz target, so that what a
 * fuzzer once found stays found without one. Ends with 1 if there was no file; a finding ends the
 * process as the target does.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "util/buf.h"
#include "util/mem.h"

static int read_file(const char *path, struct buf *out)
{
	char bytes[8192];
	size_t n;
	FILE *file = fopen(path, "rb");

	if (!file)
		return -errno;
	buf_clear(out);
	while ((n = fread(bytes, 1, sizeof(bytes), file)) > 0)
		buf_add(out, bytes, n);
	int r = ferror(file) ? -EIO : 0;

	fclose(file);
	return r;
}

/* From a copy of the exact size, so that a sanitizer sees a look beyond it. */
static void replay(const struct buf *input)
{
	cleanup(mem_free_p) uint8_t *copy = malloc(input->len ? input->len : 1);

	if (!copy)
		abort();
	if (input->len > 0)
		memcpy(copy, input->data, input->len);
	LLVMFuzzerTestOneInput(copy, input->len);
}

/* The number of files that were replayed, or a negative error. */
static int replay_directory(const char *path)
{
	cleanup(buf_deinit) struct buf input = {0};
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort), n_files = 0, r = 0;

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		cleanup(mem_free_p) char *file = mem_printf("%s/%s", path, entries[i]->d_name);
		struct stat st;

		free(entries[i]);
		if (r < 0 || stat(file, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		r = read_file(file, &input);
		if (r < 0) {
			fprintf(stderr, "%s: %s\n", file, strerror(-r));
			continue;
		}
		/* Before, so that the last line names the file that ended it. */
		printf("%s\n", file);
		fflush(stdout);
		replay(&input);
		n_files++;
	}
	free(entries);
	return r < 0 ? r : n_files;
}

int main(int argc, char **argv)
{
	int n_files = 0;

	for (int i = 1; i < argc; i++) {
		int n = replay_directory(argv[i]);

		if (n < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-n));
			return 1;
		}
		n_files += n;
	}
	printf("%d files replayed\n", n_files);
	return n_files > 0 ? 0 : 1;
}

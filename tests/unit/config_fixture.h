/*
 * What the tests of the configuration share: a private directory with secrets and programs of all
 * kinds, into which configurations are written or copied, and from which they are loaded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "config/config.h"
#include "util/buf.h"

enum { PATH_SIZE = 4096 };

struct config_fixture {
	char dir[PATH_SIZE / 4]; /* absolute */
};

/*
 * In it: token (0600), token-readable (0440), token-open, token-group, token-link, token-dir,
 * token-fifo, program (0755), program-writable, program-plain. The variables of the environment
 * that the loader looks at are unset.
 */
void config_fixture_init(struct config_fixture *f);
void config_fixture_deinit(struct config_fixture *f);
void config_fixture_write(const struct config_fixture *f, const char *name, const char *bytes,
        size_t len, mode_t mode);
/* All files of tests/data/config, and those of its directories. */
void config_fixture_copy_data(const struct config_fixture *f);
/* config_load() of a file of the directory, named by its whole path. */
int config_fixture_load(const struct config_fixture *f, const char *name, enum config_use use,
        struct config **config, struct config_problems *problems);
/* A configuration of this text, which has no problem: config_free() it. */
struct config *config_fixture_take(const struct config_fixture *f, const char *text);
/* The messages, with paths relative to the directory. */
void config_fixture_print(
        const struct config_fixture *f, const struct config_problems *problems, struct buf *out);
/* The whole file, which must be there. */
void config_fixture_read(const char *path, struct buf *out);
/* The directory of the tests' data. */
const char *config_fixture_data_dir(void);

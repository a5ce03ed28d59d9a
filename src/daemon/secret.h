/*
 * Secrets in files: read with every check, kept in memory that does not reach core files or swap as
 * far as we can help it, wiped when replaced.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/credential.h"

enum { SECRET_MAX_BYTES = CREDENTIAL_MAX_BYTES + 1 }; /* one more shows that it is too long */

/* Zero-initialised, then secret_init. */
struct secret {
	char *path; /* owned */
	char *text; /* owned, locked in memory; NULL = not read yet, or cannot be read */
	dev_t device;
	ino_t inode;
	off_t size;
	int64_t changed_ns;  /* ctime */
	uint32_t generation; /* counts the texts that were read; 0 = none yet */
	char problem[256];   /* why the file cannot be used; "" = all is well. text, if there is
	                      * one, is what was read before */
	bool is_list;        /* the keys of a webhook, one a line */
};

void secret_init(struct secret *secret, const char *path);
void secret_deinit(struct secret *secret);

/*
 * Reads the file if it was never read or has changed since (by inode, size, ctime). True if the
 * text is a new one. The file must be a regular one (no symbolic link at the end), of root or of
 * us, mode & 027 == 0, with what core/credential.h asks for; else text stays what it was and
 * problem says why. That an old text stays in use is logged, once a problem; whose: "account acme".
 */
bool secret_refresh(struct secret *secret, const char *whose);

/* A copy kept as safely; at most SECRET_MAX_BYTES of it. Freed, and wiped, by secret_text_free,
 * which takes NULL and returns NULL. */
char *secret_text_dup(const char *from);
char *secret_text_free(char *text);

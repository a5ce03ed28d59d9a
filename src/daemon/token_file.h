/*
 * What of a grant outlives the daemon: the token, its end, and how often and when it was asked for,
 * so that neither a restart nor a loop of crashes asks for more tokens than Zoho gives.
 *
 * STATE_DIR/tokens/<hash>.token, mode 0600, replaced whole (written beside, fsync, rename, fsync of
 * the directory):
 *
 *   bulkwatch-token 1
 *   access_token 1000.xxx.yyy
 *   api_domain https://www.zohoapis.eu
 *   got 1764018000000
 *   expires 1764021600000
 *   held_until 0
 *   throttled 0
 *   asked 1764018000000
 *
 * Times are Unix time in milliseconds; a line that has nothing to say is left out. A file that is
 * damaged counts as none.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/refresh.h"
#include "wire/token.h"

enum { TOKEN_FILE_NAME_SIZE = 48 };

struct token_record {
	char access_token[TOKEN_MAX_BYTES + 1]; /* "" = none */
	char api_domain[TOKEN_DOMAIN_MAX_BYTES + 1];
	int64_t got_wall_ms, expires_wall_ms, held_until_wall_ms;
	int64_t asked_wall_ms[REFRESH_ASKS_MAX];
	uint8_t n_asked, throttled_level;
};

/* The directory's descriptor, made if need be, swept of files too old to matter; or -errno. */
int token_dir_open(const char *state_dir, int64_t wall_ms);

/* The name under which a grant is kept: says nothing of what it was made from. */
void token_file_name(char name[static TOKEN_FILE_NAME_SIZE], const char *accounts_url,
        const char *client_id, const char *refresh_token);
/* 0, or -errno: -ENOENT if there is none, -EBADMSG if it is damaged or not ours alone. */
int token_file_read(int dir_fd, const char *name, struct token_record *out);
/* 0 or -errno. */
int token_file_write(int dir_fd, const char *name, const struct token_record *record);

#include "daemon/marks.h"

#include <string.h>

#include "util/hash.h"

/* Where each stands. */
enum {
	NAME_BITS = 16,
	ACCOUNT_AT = NAME_BITS,
	ACCOUNT_BITS = 9,
	STATE_AT = ACCOUNT_AT + ACCOUNT_BITS,
	STATE_BITS = 6,
	FINISHED_AT = STATE_AT + STATE_BITS,
};
_Static_assert(FINISHED_AT == 31, "a mark has 32 bits");

static void put(struct mark *mark, int at, int n_bits, uint32_t value)
{
	uint32_t mask = (UINT32_C(1) << n_bits) - 1;

	mark->mask |= mask << at;
	mark->bits |= (value & mask) << at;
}

void mark_account(struct mark *mark, uint32_t account)
{
	put(mark, ACCOUNT_AT, ACCOUNT_BITS, account);
}

void mark_state(struct mark *mark, uint32_t state)
{
	put(mark, STATE_AT, STATE_BITS, state);
}

void mark_finished(struct mark *mark, bool is_finished)
{
	put(mark, FINISHED_AT, 1, is_finished);
}

void mark_name(struct mark *mark, const char *name)
{
	put(mark, 0, NAME_BITS, name ? (uint32_t)hash_bytes(name, strlen(name)) : 0);
}

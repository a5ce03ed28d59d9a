/*
 * Which account uses which ledger of credits: those with one grant (the same accounts server,
 * client and refresh token) are one user of one organisation and share one, at the lowest
 * credits_per_day of them; an account with a ready token has its own.
 *
 * What was spent goes with an account that moves: it never spends more than its ceiling in any 24
 * hours, whichever ledgers it used in them. So that this holds over a restart too, the store says
 * which one an account used last ("ledger_of.NAME"; nothing = its own).
 */
#pragma once

#include "daemon/tracker.h"

/* After the configuration was applied: looks at the accounts' secrets, which say who shares, and
 * moves everybody to where they belong. A store error is the next commit's. */
void sharing_apply(struct tracker *tracker);
/* The account's ledger; if its grant has changed, everybody is moved first. NULL: the store failed,
 * or the account's secrets cannot be read. */
struct ledger *sharing_ledger(struct tracker *tracker, struct account *account);
/* All that use the ledger look anew whether they may poll. */
void sharing_touch(struct tracker *tracker, const struct ledger *ledger);
/* Who uses the ledger, with the ledger itself: 0 or a store error. sharing_unwritten: that came to
 * nothing. */
int sharing_write(struct ledger *ledger, struct store *store);
void sharing_unwritten(struct ledger *ledger);

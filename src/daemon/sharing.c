#include "daemon/sharing.h"

#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "daemon/ledger.h"
#include "daemon/token_file.h"
#include "util/mem.h"
#include "util/str.h"

/* No account is called so: their names have no dots. */
#define OF_A_GRANT "grant."

/* An account's name (63 bytes at most), or that of a grant on disk. */
enum { NAME_SIZE = sizeof(OF_A_GRANT) + TOKEN_FILE_NAME_SIZE + 16 };

/* Where the account belongs; false: nobody knows, for its secrets cannot be read. */
static bool name_of(const struct account *account, char name[static NAME_SIZE])
{
	if (account->grant)
		snprintf(name, NAME_SIZE, OF_A_GRANT "%s", grant_name(account->grant));
	else
		str_copy(name, NAME_SIZE, account->name);
	return account->grant || !account->client_id;
}

static bool is_in_place(const struct account *account)
{
	char name[NAME_SIZE];

	return !name_of(account, name) ||
	       (account->ledger && strcmp(account->ledger->name, name) == 0);
}

/* ---- where it was before ---- */

static char *link_name(const struct account *account)
{
	return mem_printf("ledger_of.%s", account->name);
}

static int take_name(void *arg, const char *value)
{
	if (value)
		str_copy(arg, NAME_SIZE, value);
	return 0;
}

static int last_ledger(struct tracker *tracker, struct account *account, struct ledger **out)
{
	struct store *store = journal_store(tracker->journal);
	char name[NAME_SIZE];

	if (account->ledger) {
		*out = ledger_reference(account->ledger);
		return 0;
	}
	cleanup(mem_free_p) char *link = link_name(account);

	str_copy(name, sizeof(name), account->name);
	int r = store_value_get(store, link, take_name, name);

	return r ? r
	         : ledgers_get(accounts_ledgers(tracker->accounts), store, name,
	                   loop_now(tracker->loop), out);
}

/* ---- moving ---- */

/*
 * Accounts that bring their own spending into a ledger that begins now have spent apart from each
 * other. Otherwise what an account brings may be there already: by another that came from the same
 * ledger, or from the last time that it was here.
 */
static int move(struct tracker *tracker, struct account *account, const char *name)
{
	struct now now = loop_now(tracker->loop);
	struct ledger *to = NULL, *from = NULL;
	int r = ledgers_get(accounts_ledgers(tracker->accounts), journal_store(tracker->journal),
	        name, now, &to);

	if (!r)
		r = last_ledger(tracker, account, &from);
	if (!r && to != from) {
		bool is_apart = to->is_fresh && strcmp(from->name, account->name) == 0;

		ledger_take_over(to, from, is_apart, now);
		account->is_ledger_new = true;
		tracker->wants_credits = true;
	}
	if (!r) {
		ledger_leave(account);
		ledger_join(to, account);
	}
	ledger_put(from);
	ledger_put(to);
	return r;
}

static void place(struct tracker *tracker, struct account *account)
{
	char name[NAME_SIZE];

	if (!account->is_configured)
		ledger_leave(account);
	else if (!is_in_place(account) && name_of(account, name))
		journal_wrote(tracker->journal, move(tracker, account, name));
}

/* A secret that is found to be new here is nobody else's news any more. */
static void look_at_secrets(struct tracker *tracker, struct account *account)
{
	struct now now = loop_now(tracker->loop);

	if (account_look_at_secrets(account, now) && account->gate.state == GATE_PAUSED)
		gate_probe_now(&account->gate, now.mono_ms);
}

void sharing_apply(struct tracker *tracker)
{
	struct accounts *accounts = tracker->accounts;
	struct ledgers *ledgers = accounts_ledgers(accounts);
	int64_t mono_ms = loop_now(tracker->loop).mono_ms;

	for (size_t i = 0; i < accounts_count(accounts); i++) {
		if (accounts_get(accounts, (uint32_t)i)->is_configured)
			look_at_secrets(tracker, accounts_get(accounts, (uint32_t)i));
	}
	for (size_t i = 0; i < accounts_count(accounts); i++)
		place(tracker, accounts_get(accounts, (uint32_t)i));
	for (size_t i = 0; i < ledgers_count(ledgers); i++) {
		struct ledger *ledger = ledgers_at(ledgers, i);

		ledger->is_fresh = false;
		ledger_set_ceiling(ledger);
		tracker->wants_credits |= ledger->is_dirty;
	}
	for (size_t i = 0; i < accounts_count(accounts); i++)
		queue_touch(tracker->queue, accounts_get(accounts, (uint32_t)i), mono_ms);
	if (tracker->wants_credits)
		loop_wake(tracker->loop);
}

struct ledger *sharing_ledger(struct tracker *tracker, struct account *account)
{
	if (account->is_configured && !is_in_place(account))
		sharing_apply(tracker);
	return account->ledger;
}

void sharing_touch(struct tracker *tracker, const struct ledger *ledger)
{
	int64_t mono_ms = loop_now(tracker->loop).mono_ms;

	for (size_t i = 0; i < ledger->n_users; i++)
		queue_touch(tracker->queue, ledger->users[i], mono_ms);
}

/* ---- on disk ---- */

static int write_link(struct account *account, struct store *store)
{
	cleanup(mem_free_p) char *link = link_name(account);
	const char *name = account->ledger->name;

	account->is_ledger_new = false;
	return store_value_put(store, link, strcmp(name, account->name) == 0 ? NULL : name);
}

int sharing_write(struct ledger *ledger, struct store *store)
{
	int r = 0;

	for (size_t i = 0; i < ledger->n_users && !r; i++) {
		if (ledger->users[i]->is_ledger_new)
			r = write_link(ledger->users[i], store);
	}
	return r;
}

void sharing_unwritten(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->n_users; i++)
		ledger->users[i]->is_ledger_new = true;
}

/* What each life begins with, and bounds. The other files of evidence*.c have the rest. */
#include "evidence.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "tokens.h"

enum {
	DRAIN_MAX_MS = 31 * 1000, /* drain_timeout, and a turn */
	SETTLED_MS = 60 * 60 * 1000,
	MEMORY_GROWTH_MAX = 1536 * 1024,
};

void evidence_new_life(void)
{
	for (size_t i = 0; i < world->n_accounts; i++) {
		struct world_account *account = &world->accounts[i];

		account->has_asked = false;
		account->n_in_flight = 0;
		/* Only the wall clock tells a new life how long ago credits were spent. */
		if (world->has_leapt)
			account->n_spent = 0;
		account->held_until_mono_ms = account->refused_since_mono_ms = 0;
		account->full_mono_ms = 0;
	}
	for (size_t i = 0; i < world->n_datacenters; i++) {
		world->datacenters[i].n_in_flight = 0;
		world->datacenters[i].full_mono_ms = 0;
	}
	world->forgotten_mono_ms = world->mono_ms;
	world->forgotten_wall_ms = 0;
	for (size_t i = 0; i < world->n_jobs; i++) {
		struct world_job *job = &world->jobs[i];

		job->told = WORD_NONE;
		job->n_not_found = 0;
		job->next_poll_mono_ms = job->due_mono_ms = 0;
		job->heard_mono_ms = world->mono_ms;
		job->refused_token = 0;
		job->is_in_flight = job->is_asked_for = job->is_revived = false;
	}
	for (size_t i = 0; i < world->n_deliveries; i++) {
		struct seen_delivery *delivery = &world->deliveries[i];

		/* What its receiver said is on disk with the end of the attempt, and by the wall
		 * clock. */
		if (delivery->state == DELIVERY_RUNNING || world->has_leapt)
			delivery->not_before_mono_ms = 0;
		if (delivery->state == DELIVERY_RUNNING)
			delivery->state = DELIVERY_PENDING;
		if (delivery->is_running)
			world_happened(world->hooks[delivery->hook].is_webhook
			                       ? HAPPENED_CALL_VANISHED
			                       : HAPPENED_HOOK_VANISHED);
		delivery->is_running = delivery->has_gone_well = delivery->has_failed_for_good =
		        false;
	}
	for (size_t i = 0; i < world->n_hooks; i++)
		world->hooks[i].held_until_mono_ms = world->hooks[i].replayed_from = 0;
	evidence_due_new_life();
	tokens_new_life();
	world->has_leapt = false;
	memset(world->n_running, 0, sizeof(world->n_running));
	world->memory_bytes = 0;
	world->born_mono_ms = world->mono_ms;
}

void evidence_leap(void)
{
	world->has_leapt = true;
	for (size_t i = 0; i < world->n_accounts; i++) {
		if (!world->accounts[i].has_asked)
			world->accounts[i].n_spent = 0;
	}
}

/* Other intervals and limits: what was due is due at another time. */
void evidence_reload(int from, int to)
{
	for (size_t i = 0; i < world->n_jobs; i++)
		world->jobs[i].due_mono_ms = 0;
	for (size_t i = 0; i < world->n_accounts; i++) {
		struct world_account *account = &world->accounts[i];

		/* Another file is another token: what was said of the old one is forgotten. */
		if (account->has_other_file[from] != account->has_other_file[to])
			account->held_until_mono_ms = 0;
	}
	evidence_reload_hooks(from, to);
}

/* ---- bounds ---- */

void evidence_look_at_stop(void)
{
	int64_t told_ms = world->told_to_stop_mono_ms, woken_ms = world->woken_mono_ms;

	if (world->was_told_to_stop &&
	        world->mono_ms - (told_ms > woken_ms ? told_ms : woken_ms) > DRAIN_MAX_MS)
		world_fail("it still runs %" PRId64 " s after it was told to stop",
		        (world->mono_ms - told_ms) / 1000);
}

/* What is kept after an hour is what this world needs, but for growing caches. */
void evidence_look_at_memory(void)
{
	struct mallinfo2 info = mallinfo2();
	size_t bytes = info.uordblks + info.hblkhd;

	/* What a power cut will take back is remembered in this process, too. */
	if (world->end.is_power_cut || world->mono_ms < world->born_mono_ms + SETTLED_MS)
		return;
	if (world->memory_bytes == 0)
		world->memory_bytes = bytes;
	if (bytes > world->memory_bytes + MEMORY_GROWTH_MAX)
		world_fail("%zu bytes of memory are in use, %zu were after an hour", bytes,
		        world->memory_bytes);
}

void evidence_no_secret(const char *where, const char *bytes, size_t len)
{
	if (len > 0 && memmem(bytes, len, WORLD_CANARY, strlen(WORLD_CANARY)))
		world_fail("a secret is in %s", where);
}

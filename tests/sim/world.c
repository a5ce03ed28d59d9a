#include "world.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake.h"

struct world *world;

static const char *const texts[WORDS] = {
        [WORD_PENDING] = "PENDING",
        [WORD_ADDED] = "ADDED",
        [WORD_QUEUED] = "QUEUED",
        [WORD_IN_PROGRESS] = "IN PROGRESS",
        [WORD_ASLEEP] = "ASLEEP",
        [WORD_COMPLETED] = "COMPLETED",
        [WORD_FAILURE] = "FAILURE",
        [WORD_FAILED] = "FAILED",
        [WORD_LOST] = "LOST",
};

const char *word_text(enum word word)
{
	return texts[word];
}

enum word word_of(const char *text)
{
	if (!text)
		return WORD_NONE;
	for (int i = 1; i < WORDS; i++) {
		if (strcmp(texts[i], text) == 0)
			return (enum word)i;
	}
	return WORDS;
}

bool word_is_final(enum word word)
{
	return word == WORD_COMPLETED || word == WORD_FAILURE || word == WORD_FAILED;
}

void world_map(void)
{
	void *memory = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE,
	        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	world = memory;
}

void world_reset(uint64_t seed)
{
	/* Gives the pages back instead of writing to them: most of it is never touched. */
	if (madvise(world, sizeof(*world), MADV_REMOVE) != 0)
		memset(world, 0, sizeof(*world));
	world->seed = seed;
	for (uint64_t dice = 0; dice < DICES; dice++)
		rng_seed(&world->rngs[dice], seed * DICES + dice);
	world->mono_ms = WORLD_START_MONO_MS;
	world->wall_ms = INT64_C(1795500000000); /* November 2026 */
}

struct now world_now(void)
{
	return (struct now){.mono_ms = world->mono_ms, .wall_ms = world->wall_ms};
}

void world_advance_to(int64_t mono_ms)
{
	if (mono_ms <= world->mono_ms)
		return;
	world->wall_ms += mono_ms - world->mono_ms;
	world->mono_ms = mono_ms;
}

uint64_t world_below(enum dice dice, uint64_t bound)
{
	return rng_below(&world->rngs[dice], bound);
}

bool world_chance(enum dice dice, double probability)
{
	return rng_unit(&world->rngs[dice]) < probability;
}

int64_t world_between(enum dice dice, int64_t lo, int64_t hi)
{
	return hi <= lo ? lo : lo + (int64_t)world_below(dice, (uint64_t)(hi - lo) + 1);
}

bool world_has(enum kind kind)
{
	return world->kinds >> kind & 1;
}

bool world_may(enum kind kind)
{
	return world_has(kind) && world->mono_ms < world->trouble_until_mono_ms;
}

void world_happened(enum happening happening)
{
	world->n_happened[happening]++;
}

void world_suspend(int64_t ms)
{
	world_advance_to(world->mono_ms + ms);
	world->woken_mono_ms = world->mono_ms;
	world->deadline_mono_ms += ms;
	for (size_t i = 0; i < world->n_jobs; i++)
		world->jobs[i].heard_mono_ms += ms;
	for (size_t i = 0; i < world->n_accounts; i++)
		world->accounts[i].well_from_mono_ms += ms;
	for (size_t i = 0; i < world->n_datacenters; i++)
		world->datacenters[i].well_from_mono_ms += ms;
}

const struct trouble *world_trouble(const struct trouble *troubles, size_t n, int64_t mono_ms)
{
	for (size_t i = 0; i < n; i++) {
		if (troubles[i].from_mono_ms <= mono_ms && mono_ms < troubles[i].to_mono_ms)
			return &troubles[i];
	}
	return NULL;
}

bool world_disk_was_full(int64_t moment_ms)
{
	for (size_t i = 0; i < world->n_fullness; i++) {
		if (world->fullness[i].from_mono_ms <= world->mono_ms &&
		        world->mono_ms < world->fullness[i].to_mono_ms + moment_ms)
			return true;
	}
	return false;
}

bool world_room_may_be_news(void)
{
	enum { LOOK_MS = 10 * 1000, SLEEP_MAX_MS = 24 * 60 * 60 * 1000 };
	bool is_woken_late = world->mono_ms - world->woken_mono_ms < LOOK_MS;

	return world_disk_was_full(is_woken_late ? LOOK_MS + SLEEP_MAX_MS : LOOK_MS);
}

bool world_disk_is_full(void)
{
	return world_disk_was_full(0);
}

static void count_kill(void)
{
	bool is_start = world->turn == 0;

	if (is_start)
		world_happened(world->was_killed_at_start ? HAPPENED_KILL_AT_START_AGAIN
		                                          : HAPPENED_KILL_AT_START);
	else
		world_happened(HAPPENED_KILL);
	world->was_killed_at_start = is_start;
	world->was_killed = true;
}

void world_step(const char *what)
{
	world->step++;
	if (world->mono_ms < world->end.from_mono_ms)
		return;
	if (++world->end_step != world->end.kill_at_step)
		return;
	fprintf(stderr, "sim: killed at step %lld: %s\n", (long long)world->step, what);
	count_kill();
	if (world->end.is_power_cut)
		fake_disk_cut_power();
	raise(SIGKILL);
}

void world_was_busy(void)
{
	world->busy_step = world->turn;
}

static void note(const char *format, va_list args)
{
	char words[800];

	if (world->failure[0])
		return; /* the first one tells the most */
	vsnprintf(words, sizeof(words), format, args);
	snprintf(world->failure, sizeof(world->failure),
	        "%s (life %d, step %lld, turn %lld, %lld s after the start)", words, world->life,
	        (long long)world->step, (long long)world->turn,
	        (long long)((world->mono_ms - WORLD_START_MONO_MS) / 1000));
}

void world_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	note(format, args);
	va_end(args);
	fprintf(stderr, "sim: %s\n", world->failure);
	_exit(1);
}

void world_note_failure(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	note(format, args);
	va_end(args);
}

int world_find_account(const char *name)
{
	/* "a12": made by the scenario, with its number in it. */
	char *end;
	long n = name && name[0] == 'a' ? strtol(name + 1, &end, 10) : -1;

	return n >= 0 && (size_t)n < world->n_accounts && strcmp(world->accounts[n].name, name) == 0
	               ? (int)n
	               : -1;
}

int world_find_job_by_id(const char *id)
{
	/* Its number is in the last six digits. */
	size_t len = id ? strlen(id) : 0;
	long n = len >= 6 ? strtol(id + len - 6, NULL, 10) : -1;

	return n >= 0 && (size_t)n < world->n_jobs && strcmp(world->jobs[n].id, id) == 0 ? (int)n
	                                                                                 : -1;
}

int world_find_job(int account, const char *id)
{
	int job = world_find_job_by_id(id);

	return job >= 0 && world->jobs[job].account == account ? job : -1;
}

int world_find_hook(const char *name)
{
	for (size_t i = 0; i < world->n_hooks; i++) {
		if (strcmp(world->hooks[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

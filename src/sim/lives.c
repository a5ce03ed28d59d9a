#include "sim/lives.h"

#include <assert.h>
#include <string.h>

#include "util/hash.h"
#include "util/mem.h"

struct lives {
	uint64_t seed;
	double speed;
	struct hash by_id;
	struct life *list; /* owned */
	size_t n, cap;
};

struct life_key {
	uint16_t dc;
	const char *id;
};

struct lives *lives_new(uint64_t seed, double speed)
{
	struct lives *lives = MEM_NEW(struct lives);

	lives->seed = seed;
	lives->speed = speed;
	return lives;
}

void lives_clear(struct lives *lives)
{
	hash_deinit(&lives->by_id);
	lives->n = 0;
}

struct lives *lives_free(struct lives *lives)
{
	if (!lives)
		return NULL;
	hash_deinit(&lives->by_id);
	free(lives->list);
	free(lives);
	return NULL;
}

static uint64_t life_hash(uint16_t dc, const char *id)
{
	return hash_bytes(id, strlen(id)) + dc * UINT64_C(0x9e3779b97f4a7c15);
}

static bool life_is_equal(const void *ctx, const void *key, uint32_t handle)
{
	const struct lives *lives = ctx;
	const struct life_key *wanted = key;
	const struct life *life = &lives->list[handle];

	return life->dc == wanted->dc && strcmp(life->id, wanted->id) == 0;
}

void lives_forget(struct lives *lives, const struct ids *ids, int dc)
{
	for (size_t i = 0; i < lives->n;) {
		struct life *life = &lives->list[i], *last = &lives->list[lives->n - 1];

		if ((dc >= 0 && life->dc != dc) || !ids_has(ids, life->id)) {
			i++;
			continue;
		}
		hash_remove(&lives->by_id, life_hash(life->dc, life->id), (uint32_t)i);
		if (life != last) {
			hash_remove(&lives->by_id, life_hash(last->dc, last->id),
			        (uint32_t)(lives->n - 1));
			*life = *last;
			hash_insert(&lives->by_id, life_hash(life->dc, life->id), (uint32_t)i);
		}
		lives->n--;
	}
}

size_t lives_count(const struct lives *lives)
{
	return lives->n;
}

const struct life *lives_at(const struct lives *lives, size_t i)
{
	return &lives->list[i];
}

struct life *lives_find(struct lives *lives, uint16_t dc, const char *id)
{
	struct life_key key = {.dc = dc, .id = id};
	uint32_t handle = hash_find(&lives->by_id, life_hash(dc, id), life_is_equal, lives, &key);

	return handle == HASH_NONE ? NULL : &lives->list[handle];
}

/*
 * What a job draws depends on the seed and the job alone, not on the order of requests, so that a
 * run can be repeated. FNV-1a (Fowler, Noll, Vo), since hash_bytes() differs between processes.
 */
static void life_seed(
        const struct lives *lives, const struct life *life, uint8_t step, struct rng *rng)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ lives->seed;

	for (const char *p = life->id; *p; p++)
		hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	hash = (hash ^ life->dc) * UINT64_C(0x100000001b3);
	hash = (hash ^ step) * UINT64_C(0x100000001b3);
	rng_seed(rng, hash);
}

static void life_enter(struct lives *lives, struct life *life, uint8_t step, int64_t mono_ms)
{
	const struct script_step *entered = &life->job->steps[step];
	struct rng rng;
	int64_t ms;

	life->step = step;
	life->n_step_polls = 0;
	life->step_since_mono_ms = mono_ms;
	life->step_until_mono_ms = INT64_MAX;
	if (!entered->is_timed || step + 1u == life->job->n_steps)
		return;
	life_seed(lives, life, life->job->shares_duration ? 0 : step, &rng);
	ms = dist_draw(&entered->lasts, &rng);
	if (life->job->shares_duration)
		ms = step == 0 ? ms / 10 : ms - ms / 10;
	life->step_until_mono_ms = mono_ms + (int64_t)((double)ms / lives->speed);
}

struct life *lives_begin(struct lives *lives, uint16_t dc, const char *id,
        const struct script_job *job, int64_t mono_ms)
{
	struct life *life;

	if (lives->n == LIVES_MAX)
		return NULL;
	if (lives->n == lives->cap) {
		lives->cap = lives->cap ? lives->cap * 2 : 64;
		lives->list = mem_resize(lives->list, lives->cap, sizeof(*lives->list));
	}
	life = &lives->list[lives->n];
	*life = (struct life){.job = job, .dc = dc};
	assert(strlen(id) <= JOB_ID_MAX);
	memcpy(life->id, id, strlen(id) + 1);
	hash_insert(&lives->by_id, life_hash(dc, id), (uint32_t)lives->n);
	lives->n++;
	life_enter(lives, life, 0, mono_ms);
	return life;
}

const struct script_step *life_look(struct lives *lives, struct life *life, int64_t mono_ms)
{
	while (life->step_until_mono_ms <= mono_ms)
		life_enter(lives, life, life->step + 1, life->step_until_mono_ms);
	return &life->job->steps[life->step];
}

void life_count_answer(struct lives *lives, struct life *life, int64_t mono_ms)
{
	const struct script_step *step = &life->job->steps[life->step];

	life->n_step_polls++;
	if (step->polls > 0 && life->n_step_polls >= step->polls &&
	        life->step + 1u < life->job->n_steps)
		life_enter(lives, life, life->step + 1, mono_ms);
}

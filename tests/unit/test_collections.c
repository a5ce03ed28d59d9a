/*
 * heap, hash, intern, texts and sorted: each against a plain model that does the same slowly, over
 * random sequences of operations, and at their edges.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "seed.h"
#include "util/hash.h"
#include "util/heap.h"
#include "util/int48.h"
#include "util/intern.h"
#include "util/mem.h"
#include "util/sorted.h"
#include "util/texts.h"

/* ---- heap ---- */

enum { HEAP_THINGS = 300, HEAP_STEPS = 40000 };

struct heap_model {
	struct heap heap;
	struct heap_node nodes[HEAP_THINGS];
	int64_t keys[HEAP_THINGS];
	bool is_in[HEAP_THINGS];
	size_t n;
};

static void heap_model_check(const struct heap_model *m)
{
	int64_t least = INT64_MAX;

	for (size_t i = 0; i < HEAP_THINGS; i++) {
		ck_assert_int_eq(heap_node_is_queued(&m->nodes[i]), m->is_in[i]);
		ck_assert_int_eq(
		        heap_key(&m->heap, &m->nodes[i]), m->is_in[i] ? m->keys[i] : INT64_MAX);
		if (m->is_in[i] && m->keys[i] < least)
			least = m->keys[i];
	}
	ck_assert_uint_eq(m->heap.n, m->n);
	ck_assert_int_eq(heap_first_key(&m->heap), least);
	if (m->n == 0)
		ck_assert_ptr_null(heap_first(&m->heap));
	else
		ck_assert_int_eq(heap_key(&m->heap, heap_first(&m->heap)), least);
}

static void heap_model_set(struct heap_model *m, size_t i, int64_t key)
{
	heap_set(&m->heap, &m->nodes[i], key);
	m->n += !m->is_in[i];
	m->is_in[i] = true;
	m->keys[i] = key;
}

static void heap_model_remove(struct heap_model *m, size_t i)
{
	heap_remove(&m->heap, &m->nodes[i]);
	m->n -= m->is_in[i];
	m->is_in[i] = false;
}

START_TEST(test_heap_against_a_model)
{
	struct heap_model *m = MEM_NEW(struct heap_model);
	struct rng rng;
	int64_t before = INT64_MIN;

	seed_rng(&rng, "test_heap_against_a_model");
	for (int step = 0; step < HEAP_STEPS; step++) {
		size_t i = rng_below(&rng, HEAP_THINGS);

		/* Few different keys, so that there are ties; growing and shrinking by turns. */
		if (rng_below(&rng, 10) < (step / 5000 % 2 ? 3 : 7))
			heap_model_set(m, i, (int64_t)rng_below(&rng, 200) - 100);
		else
			heap_model_remove(m, i);
		if (step % 50 == 0)
			heap_model_check(m);
	}
	heap_model_check(m);
	while (m->n > 0) {
		struct heap_node *first = heap_first(&m->heap);

		ck_assert_int_ge(heap_first_key(&m->heap), before);
		before = heap_first_key(&m->heap);
		heap_model_remove(m, (size_t)(first - m->nodes));
	}
	heap_model_check(m);
	heap_deinit(&m->heap);
	free(m);
}
END_TEST

START_TEST(test_heap_edges)
{
	struct heap heap = {0};
	struct heap_node a = {0}, b = {0};

	ck_assert_ptr_null(heap_first(&heap));
	ck_assert_int_eq(heap_first_key(&heap), INT64_MAX);
	heap_remove(&heap, &a);
	heap_set(&heap, &a, INT64_MAX);
	heap_set(&heap, &b, INT64_MIN);
	ck_assert_ptr_eq(heap_first(&heap), &b);
	heap_set(&heap, &a, INT64_MIN);
	heap_set(&heap, &b, 0);
	ck_assert_ptr_eq(heap_first(&heap), &a);
	heap_remove(&heap, &a);
	heap_remove(&heap, &a);
	ck_assert(!heap_node_is_queued(&a));
	ck_assert_ptr_eq(heap_first(&heap), &b);
	heap_remove(&heap, &b);
	ck_assert_uint_eq(heap.n, 0);
	heap_deinit(&heap);
	ck_assert_ptr_null(heap.slots);
}
END_TEST

/* ---- hash ---- */

enum { HASH_KEYS = 2000, HASH_STEPS = 200000 };

/* Handle i stands for the key i. A narrow hash makes long runs of collisions. */
struct hash_world {
	uint64_t n_hashes; /* how many different hashes there are */
	bool is_in[HASH_KEYS];
};

static uint64_t hash_world_of(const void *ctx, uint32_t handle)
{
	const struct hash_world *world = ctx;
	uint64_t wide = handle * UINT64_C(0x9e3779b97f4a7c15);

	return wide % world->n_hashes;
}

static bool hash_world_equal(const void *ctx, const void *key, uint32_t handle)
{
	const struct hash_world *world = ctx;

	/* Only who is in it may be asked for. */
	if (handle >= HASH_KEYS || !world->is_in[handle])
		ck_abort_msg("asked for handle %u, which is not in it", handle);
	return *(const uint32_t *)key == handle;
}

static void hash_world_run(struct hash_world *world, struct rng *rng, int n_steps)
{
	struct hash hash = {0};
	size_t n = 0;

	for (int step = 0; step < n_steps; step++) {
		uint32_t key = (uint32_t)rng_below(rng, HASH_KEYS);
		uint64_t of_key = hash_world_of(world, key);
		uint32_t found = hash_find(&hash, of_key, hash_world_equal, world, &key);

		ck_assert_uint_eq(found, world->is_in[key] ? key : HASH_NONE);
		if (rng_below(rng, 10) < (step / 6000 % 2 ? 2 : 8)) {
			if (world->is_in[key])
				continue;
			world->is_in[key] = true;
			hash_insert(&hash, of_key, key);
			n++;
		} else {
			n -= world->is_in[key];
			world->is_in[key] = false;
			hash_remove(&hash, of_key, key);
		}
		ck_assert_uint_eq(hash.n_live, n);
		ck_assert_uint_le(hash.n_used * 5, hash.n_slots * 4);
	}
	/* What is gone gives its room back: the table stays in proportion to what was in it. */
	ck_assert_uint_le(hash.n_slots, 2 * HASH_KEYS);
	hash_deinit(&hash);
	ck_assert_ptr_null(hash.slots);
}

START_TEST(test_hash_against_a_model)
{
	static const uint64_t n_hashes[] = {UINT64_MAX, 64, 1};
	static const int n_steps[] = {HASH_STEPS, HASH_STEPS / 10, HASH_STEPS / 10};
	struct hash_world *world = MEM_NEW(struct hash_world);
	struct rng rng;

	seed_rng(&rng, "test_hash_against_a_model");
	world->n_hashes = n_hashes[_i];
	hash_world_run(world, &rng, n_steps[_i]);
	free(world);
}
END_TEST

START_TEST(test_hash_empty)
{
	struct hash hash = {0};
	struct hash_world world = {.n_hashes = 1};
	uint32_t key = 0;

	ck_assert_uint_eq(hash_find(&hash, 0, hash_world_equal, &world, &key), HASH_NONE);
	hash_remove(&hash, 0, 0);
	hash_deinit(&hash);
}
END_TEST

START_TEST(test_hash_bytes)
{
	char bytes[64];
	uint64_t seen[64];

	/* Every length is told from every other, and from what only ends alike. */
	memset(bytes, 0, sizeof(bytes));
	for (size_t len = 0; len < 64; len++) {
		seen[len] = hash_bytes(bytes, len);
		ck_assert_uint_eq(seen[len], hash_bytes(bytes, len));
		for (size_t before = 0; before < len; before++)
			ck_assert_uint_ne(seen[before], seen[len]);
	}
	/* Every bit of every byte counts. */
	for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
		bytes[bit / 8] = (char)(1 << bit % 8);
		ck_assert_uint_ne(hash_bytes(bytes, sizeof(bytes)), seen[63]);
		ck_assert_uint_eq(hash_bytes(bytes, bit / 8), seen[bit / 8]);
		bytes[bit / 8] = 0;
	}
}
END_TEST

/* ---- intern ---- */

START_TEST(test_intern_shares_and_counts)
{
	struct intern_pool *pool = intern_pool_new();
	char word[] = "IN PROGRESS";
	uint32_t first = intern_get(pool, word), second, other;

	word[0] = 'X';
	ck_assert_str_eq(intern_text(pool, first), "IN PROGRESS");
	second = intern_get(pool, "IN PROGRESS");
	other = intern_get(pool, word);
	ck_assert_uint_eq(first, second);
	ck_assert_uint_ne(first, other);
	intern_put(pool, first);
	/* Still one user; the sanitizer sees if not. */
	ck_assert_str_eq(intern_text(pool, second), "IN PROGRESS");
	ck_assert_uint_eq(intern_get(pool, "IN PROGRESS"), second);
	intern_put(pool, second);
	intern_put(pool, second);
	intern_put(pool, other);
	ck_assert_uint_eq(intern_get(pool, NULL), 0);
	ck_assert_ptr_null(intern_text(pool, 0));
	intern_put(pool, 0);
	ck_assert_str_eq(intern_text(pool, intern_get(pool, "")), "");
	/* The pool frees what is left in it. */
	ck_assert_ptr_null(intern_pool_free(pool));
	ck_assert_ptr_null(intern_pool_free(NULL));
}
END_TEST

START_TEST(test_intern_against_a_model)
{
	enum { WORDS = 200, STEPS = 20000 };
	struct intern_pool *pool = intern_pool_new();
	uint32_t handles[WORDS] = {0};
	unsigned n_users[WORDS] = {0};
	struct rng rng;

	seed_rng(&rng, "test_intern_against_a_model");
	for (int step = 0; step < STEPS; step++) {
		size_t i = rng_below(&rng, WORDS);
		char word[24];

		snprintf(word, sizeof(word), "word %zu", i);
		if (n_users[i] > 0)
			ck_assert_str_eq(intern_text(pool, handles[i]), word);
		if (rng_below(&rng, 2)) {
			uint32_t handle = intern_get(pool, word);

			ck_assert(n_users[i] == 0 || handles[i] == handle);
			ck_assert_str_eq(intern_text(pool, handle), word);
			handles[i] = handle;
			n_users[i]++;
		} else if (n_users[i] > 0) {
			intern_put(pool, handles[i]);
			n_users[i]--;
		}
	}
	/* Handles are used again: no more of them than there ever were words at once. */
	for (size_t i = 0; i < WORDS; i++)
		ck_assert_uint_le(handles[i], WORDS);
	for (size_t i = 0; i < WORDS; i++) {
		for (; n_users[i] > 0; n_users[i]--)
			intern_put(pool, handles[i]);
	}
	intern_pool_free(pool);
}
END_TEST

/* ---- texts ---- */

START_TEST(test_texts_against_a_model)
{
	enum { TEXTS = 500, STEPS = 60000 };
	struct texts *texts = texts_new();
	uint32_t numbers[TEXTS] = {0}, greatest = 0;
	size_t lengths[TEXTS] = {0};
	char text[TEXTS_MAX_BYTES + 1];
	struct rng rng;

	seed_rng(&rng, "test_texts_against_a_model");
	for (int step = 0; step < STEPS; step++) {
		size_t i = rng_below(&rng, TEXTS);

		/* Its own letter from end to end: what two share would show. */
		memset(text, 'a' + (int)(i % 26), sizeof(text));
		if (numbers[i]) {
			text[lengths[i]] = '\0';
			ck_assert_str_eq(texts_get(texts, numbers[i]), text);
			texts_drop(texts, numbers[i]);
			numbers[i] = 0;
			continue;
		}
		lengths[i] = rng_below(&rng, TEXTS_MAX_BYTES + 1);
		text[lengths[i]] = '\0';
		numbers[i] = texts_add(texts, text);
		ck_assert_uint_gt(numbers[i], 0);
		if (numbers[i] > greatest)
			greatest = numbers[i];
	}
	/* What was dropped is used again: 500 texts of 256 bytes are 16,000 times eight. */
	ck_assert_uint_le(greatest, 2 * TEXTS * (TEXTS_MAX_BYTES + 1) / 8);
	ck_assert_uint_eq(texts_add(texts, NULL), 0);
	ck_assert_ptr_null(texts_get(texts, 0));
	texts_drop(texts, 0);
	ck_assert_ptr_null(texts_free(texts));
	ck_assert_ptr_null(texts_free(NULL));
}
END_TEST

/* ---- sorted ---- */

enum { SORTED_KEYS = 9000 };

/* Marks are the handles themselves: wanted are all, or those that end in some bits. */
static uint32_t sorted_marks[SORTED_KEYS];
static const struct sorted_wish sorted_all = {.marks = sorted_marks};

static void sorted_check_wish(const struct sorted *sorted, const bool *is_in, uint32_t mask,
        uint32_t bits, sorted_key_fn *key_of)
{
	struct sorted_wish wish = {.marks = sorted_marks, .mask = mask, .bits = bits};
	struct sorted_place place = sorted_seek(sorted, INT64_MIN, key_of, is_in);

	for (uint32_t i = 0; i < SORTED_KEYS; i++) {
		if (is_in[i] && (i & mask) == bits)
			ck_assert_uint_eq(sorted_next(sorted, &place, &wish), i);
	}
	ck_assert_uint_eq(sorted_next(sorted, &place, &wish), SORTED_NONE);
}

static int64_t sorted_world_key(const void *ctx, uint32_t handle)
{
	const bool *is_in = ctx;

	if (handle >= SORTED_KEYS || !is_in[handle])
		ck_abort_msg("asked for handle %u, which is not in it", handle);
	return handle * INT64_C(3);
}

static void sorted_check(const struct sorted *sorted, const bool *is_in)
{
	struct sorted_place place = sorted_seek(sorted, INT64_MIN, sorted_world_key, is_in);
	size_t n = 0, n_blocks_needed;

	for (uint32_t i = 0; i < SORTED_KEYS; i++) {
		if (!is_in[i])
			continue;
		ck_assert_uint_eq(sorted_next(sorted, &place, &sorted_all), i);
		n++;
	}
	ck_assert_uint_eq(sorted_next(sorted, &place, &sorted_all), SORTED_NONE);
	sorted_check_wish(sorted, is_in, 7, 3, sorted_world_key);
	sorted_check_wish(sorted, is_in, UINT32_MAX, SORTED_KEYS, sorted_world_key);
	n_blocks_needed = (n + SORTED_BLOCK - 1) / SORTED_BLOCK;
	ck_assert_uint_le(sorted->n_blocks, 4 * n_blocks_needed + 1);
}

/* From the front, from the back and in any order; what is added in order fills its blocks. */
START_TEST(test_sorted_against_a_model)
{
	struct sorted sorted = {0};
	bool *is_in = mem_new(SORTED_KEYS, sizeof(*is_in));
	struct rng rng;

	seed_rng(&rng, "test_sorted_against_a_model");
	for (uint32_t i = 0; i < SORTED_KEYS; i++)
		sorted_marks[i] = i;
	sorted_check(&sorted, is_in);
	for (uint32_t i = 0; i < SORTED_KEYS; i++) {
		is_in[i] = true;
		sorted_insert(&sorted, i, i * INT64_C(3), sorted_world_key, is_in);
	}
	sorted_check(&sorted, is_in);
	ck_assert_uint_eq(sorted.n_blocks, (SORTED_KEYS + SORTED_BLOCK - 1) / SORTED_BLOCK);
	for (int step = 0; step < 100000; step++) {
		uint32_t i = (uint32_t)rng_below(&rng, SORTED_KEYS);
		bool adds = rng_below(&rng, 10) < (step / 25000 % 2 ? 9 : 1);
		struct sorted_place place;

		if (adds && !is_in[i]) {
			is_in[i] = true;
			sorted_insert(&sorted, i, i * INT64_C(3), sorted_world_key, is_in);
			place = sorted_seek(&sorted, i * INT64_C(3) - 1, sorted_world_key, is_in);
			ck_assert_uint_eq(sorted_next(&sorted, &place, &sorted_all), i);
		} else if (!adds && is_in[i]) {
			sorted_remove(&sorted, i, i * INT64_C(3), sorted_world_key, is_in);
			is_in[i] = false;
		}
		if (step % 5000 == 0)
			sorted_check(&sorted, is_in);
	}
	for (uint32_t i = SORTED_KEYS; i-- > 0;) {
		if (!is_in[i])
			continue;
		sorted_remove(&sorted, i, i * INT64_C(3), sorted_world_key, is_in);
		is_in[i] = false;
	}
	ck_assert_uint_eq(sorted.n_blocks, 0);
	sorted_deinit(&sorted);
	free(is_in);
}
END_TEST

/* ---- int48 ---- */

START_TEST(test_int48)
{
	static const int64_t values[] = {0, 1, -1, 65535, 65536, -65536, -65537, INT32_MAX,
	        INT32_MIN, INT64_C(1) << 32, -(INT64_C(1) << 32) - 1, INT64_C(1780000000123),
	        INT48_MAX, INT48_MIN};

	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		ck_assert_int_eq(int48_value(int48_of(values[i])), values[i]);
	ck_assert_int_eq(int48_value(int48_of(INT64_MAX)), INT48_MAX);
	ck_assert_int_eq(int48_value(int48_of(INT64_MIN)), INT48_MIN);
	ck_assert_uint_eq(sizeof(struct int48), 6);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("collections");
	TCase *tests = tcase_create("collections");
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, test_heap_against_a_model);
	tcase_add_test(tests, test_heap_edges);
	tcase_add_loop_test(tests, test_hash_against_a_model, 0, 3);
	tcase_add_test(tests, test_hash_empty);
	tcase_add_test(tests, test_hash_bytes);
	tcase_add_test(tests, test_intern_shares_and_counts);
	tcase_add_test(tests, test_intern_against_a_model);
	tcase_add_test(tests, test_texts_against_a_model);
	tcase_add_test(tests, test_sorted_against_a_model);
	tcase_add_test(tests, test_int48);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#include "daemon/terms.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "util/hash.h"
#include "util/mem.h"

struct entry {
	struct job_terms terms;
	uint32_t n_users;
	uint32_t next_free;
};

struct terms {
	struct hash by_value;
	struct entry *entries; /* owned; [0] stands for none */
	uint32_t n, cap, first_free;
};

struct terms *terms_new(void)
{
	struct terms *terms = MEM_NEW(struct terms);

	terms->cap = 8;
	terms->entries = mem_new(terms->cap, sizeof(*terms->entries));
	terms->n = 1;
	return terms;
}

struct terms *terms_free(struct terms *terms)
{
	if (!terms)
		return NULL;
	hash_deinit(&terms->by_value);
	free(terms->entries);
	free(terms);
	return NULL;
}

static uint64_t hash_terms(const struct job_terms *of)
{
	char bytes[sizeof(of->hooks) + sizeof(of->overdue_after_ms)];

	memcpy(bytes, &of->hooks, sizeof(of->hooks));
	memcpy(bytes + sizeof(of->hooks), &of->overdue_after_ms, sizeof(of->overdue_after_ms));
	return hash_bytes(bytes, sizeof(bytes));
}

static bool is_same(const void *ctx, const void *key, uint32_t number)
{
	const struct terms *terms = ctx;
	const struct job_terms *of = key, *there = &terms->entries[number].terms;

	return there->hooks == of->hooks && there->overdue_after_ms == of->overdue_after_ms;
}

static uint32_t new_number(struct terms *terms)
{
	uint32_t number = terms->first_free;

	if (number) {
		terms->first_free = terms->entries[number].next_free;
		return number;
	}
	if (terms->n == terms->cap) {
		terms->cap *= 2;
		terms->entries = mem_resize(terms->entries, terms->cap, sizeof(*terms->entries));
	}
	return terms->n++;
}

uint32_t terms_get(struct terms *terms, const struct job_terms *of)
{
	uint64_t hash = hash_terms(of);
	uint32_t number = hash_find(&terms->by_value, hash, is_same, terms, of);

	if (number == HASH_NONE) {
		number = new_number(terms);
		terms->entries[number] = (struct entry){.terms = *of};
		hash_insert(&terms->by_value, hash, number);
	}
	terms->entries[number].n_users++;
	return number;
}

void terms_put(struct terms *terms, uint32_t number)
{
	struct entry *entry = &terms->entries[number];

	assert(number < terms->n);
	if (!number || --entry->n_users > 0)
		return;
	hash_remove(&terms->by_value, hash_terms(&entry->terms), number);
	entry->next_free = terms->first_free;
	terms->first_free = number;
}

struct job_terms terms_at(const struct terms *terms, uint32_t number)
{
	return terms->entries[number].terms;
}

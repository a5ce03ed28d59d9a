/*
 * A priority queue of things that are due: a 4-ary heap, smallest key first, that can move and
 * remove what lies in its middle. Keys stand in the heap's own array, so that sifting touches one
 * run of memory; a member is told its place through the struct heap_node that it embeds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	uint32_t place; /* 1 + index in the heap; 0 = in no heap. Zero-initialised is right. */
};

struct heap_slot {
	int64_t key;
	struct heap_node *node; /* borrowed */
};

struct heap {
	struct heap_slot *slots; /* owned */
	size_t n;
	size_t cap;
};

void heap_deinit(struct heap *h);
/* Inserts the node, or moves it if it is in this heap already. */
void heap_set(struct heap *h, struct heap_node *node, int64_t key);
/* Does nothing for a node in no heap. */
void heap_remove(struct heap *h, struct heap_node *node);
/* NULL when empty. */
struct heap_node *heap_first(const struct heap *h);
/* The smallest key; INT64_MAX when empty. */
int64_t heap_first_key(const struct heap *h);
/* The key of a node in the heap; INT64_MAX for one in no heap. */
int64_t heap_key(const struct heap *h, const struct heap_node *node);

static inline bool heap_node_is_queued(const struct heap_node *node)
{
	return node->place != 0;
}

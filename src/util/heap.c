#include "util/heap.h"

#include <assert.h>

#include "util/mem.h"

enum { HEAP_ARITY = 4 };

void heap_deinit(struct heap *h)
{
	free(h->slots);
	*h = (struct heap){0};
}

static void heap_put(struct heap *h, size_t i, struct heap_slot slot)
{
	h->slots[i] = slot;
	slot.node->place = (uint32_t)(i + 1);
}

static size_t heap_sift_up(struct heap *h, size_t i, struct heap_slot slot)
{
	while (i > 0) {
		size_t parent = (i - 1) / HEAP_ARITY;

		if (h->slots[parent].key <= slot.key)
			break;
		heap_put(h, i, h->slots[parent]);
		i = parent;
	}
	return i;
}

static size_t heap_sift_down(struct heap *h, size_t i, struct heap_slot slot)
{
	for (;;) {
		size_t first = i * HEAP_ARITY + 1, least = i;
		int64_t least_key = slot.key;

		for (size_t c = first; c < first + HEAP_ARITY && c < h->n; c++) {
			if (h->slots[c].key < least_key) {
				least = c;
				least_key = h->slots[c].key;
			}
		}
		if (least == i)
			return i;
		heap_put(h, i, h->slots[least]);
		i = least;
	}
}

static void heap_settle(struct heap *h, size_t i, struct heap_slot slot)
{
	size_t up = heap_sift_up(h, i, slot);

	if (up == i)
		i = heap_sift_down(h, i, slot);
	else
		i = up;
	heap_put(h, i, slot);
}

void heap_set(struct heap *h, struct heap_node *node, int64_t key)
{
	size_t i;

	if (node->place != 0) {
		i = node->place - 1;
		assert(i < h->n && h->slots[i].node == node);
	} else {
		if (h->n == h->cap) {
			h->cap = h->cap ? h->cap * 2 : 16;
			h->slots = mem_resize(h->slots, h->cap, sizeof(*h->slots));
		}
		i = h->n++;
	}
	heap_settle(h, i, (struct heap_slot){.key = key, .node = node});
}

void heap_remove(struct heap *h, struct heap_node *node)
{
	size_t i;

	if (node->place == 0)
		return;
	i = node->place - 1;
	assert(i < h->n && h->slots[i].node == node);
	node->place = 0;
	h->n--;
	if (i < h->n)
		heap_settle(h, i, h->slots[h->n]);
}

struct heap_node *heap_first(const struct heap *h)
{
	return h->n ? h->slots[0].node : NULL;
}

int64_t heap_first_key(const struct heap *h)
{
	return h->n ? h->slots[0].key : INT64_MAX;
}

int64_t heap_key(const struct heap *h, const struct heap_node *node)
{
	return node->place ? h->slots[node->place - 1].key : INT64_MAX;
}

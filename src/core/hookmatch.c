#include "core/hookmatch.h"

size_t hookmatch(enum event_type type, const uint32_t *candidates, size_t n, const event_set *on,
        uint32_t about, uint32_t *matched)
{
	size_t n_matched = 0;

	for (size_t i = 0; i < n; i++) {
		if (candidates[i] != about && event_set_has(on[candidates[i]], type))
			matched[n_matched++] = candidates[i];
	}
	return n_matched;
}

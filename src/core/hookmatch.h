/* Which hooks an event fires. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/event.h"

#define HOOKMATCH_NOBODY UINT32_MAX

/*
 * candidates: the hooks that the job (or account) may fire, as indexes; on[i]: the events that hook
 * i wants; about: the hook that the event speaks of (a hook.dead about a hook never goes to that
 * hook), or HOOKMATCH_NOBODY. matched has room for n; the number that match is returned, in the
 * order of the candidates.
 */
size_t hookmatch(enum event_type type, const uint32_t *candidates, size_t n, const event_set *on,
        uint32_t about, uint32_t *matched);

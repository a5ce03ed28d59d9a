/* What a hook is given, made of an event: a program its environment and its input, a webhook the
 * input as its body. For the files of daemon/hooks. */
#pragma once

#include "daemon/hooks_private.h"
#include "wire/event.h"

struct program {
	struct event_environment env;
	struct buf input;       /* one CloudEvents object and a newline */
	struct child_spec spec; /* borrows from the two above and from the hook */
};

void program_init(struct program *program, const struct hooks *hooks, const struct hook *hook,
        const struct store_event *event, uint64_t attempt, bool is_test);
void program_deinit(struct program *program);

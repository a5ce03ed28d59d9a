/*
 * net/child.h with programs that take virtual time: some succeed, some fail, hang, die of a signal,
 * cannot be started, or say that it is of no use (exit 65).
 */
#include "net/child.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "core/limits.h"
#include "evidence.h"
#include "fake.h"
#include "util/mem.h"
#include "util/str.h"

TAILQ_HEAD(programs, program);

struct program {
	TAILQ_ENTRY(program) link;
	struct alarm alarm;
	struct children *children;
	child_done_fn *fn;
	void *arg;
	uint64_t owner;
	int delivery; /* index of the evidence */
	int64_t started_mono_ms;
	enum child_end end;
	int code;
};

struct children {
	struct loop *loop;
	struct programs running, ready;
	size_t n_running;
};

int children_new(struct loop *loop, struct children **out)
{
	struct children *children = MEM_NEW(struct children);

	children->loop = loop;
	TAILQ_INIT(&children->running);
	TAILQ_INIT(&children->ready);
	*out = children;
	return 0;
}

static void program_free(struct program *program)
{
	fake_alarm_clear(program->children->loop, &program->alarm);
	free(program);
}

struct children *children_free(struct children *children)
{
	struct program *program;

	if (!children)
		return NULL;
	TAILQ_CONCAT(&children->running, &children->ready, link);
	while ((program = TAILQ_FIRST(&children->running))) {
		TAILQ_REMOVE(&children->running, program, link);
		program_free(program);
	}
	free(children);
	return NULL;
}

static void on_time(void *arg)
{
	struct program *program = arg;

	TAILQ_REMOVE(&program->children->running, program, link);
	TAILQ_INSERT_TAIL(&program->children->ready, program, link);
}

/* How long it runs; end and code are set. */
static int64_t choose_end(struct program *program, int64_t timeout_ms)
{
	bool may_fail = world->has_faults && world->mono_ms < world->trouble_until_mono_ms;
	int64_t lasts_ms = world_between(1, world_chance(0.1) ? 20000 : 500);
	uint64_t dice = may_fail ? world_below(100) : 99;

	program->end = CHILD_EXITED;
	if (dice < 12) {
		program->code = (int)world_between(1, 64);
	} else if (dice < 14) {
		program->code = HOOK_EXIT_PERMANENT;
	} else if (dice < 17) {
		program->end = CHILD_SIGNALED;
		program->code = SIGSEGV;
	} else if (dice < 20) {
		lasts_ms = INT64_MAX; /* hangs */
	} else if (dice < 22) {
		program->end = CHILD_NOT_STARTED;
		program->code = world_chance(0.5) ? ENOENT : EAGAIN;
		lasts_ms = 0;
	}
	if (lasts_ms <= timeout_ms)
		return lasts_ms;
	program->end = CHILD_TIMED_OUT;
	program->code = world_chance(0.5) ? SIGTERM : SIGKILL;
	return timeout_ms + (program->code == SIGKILL ? CHILD_KILL_AFTER_MS : 50);
}

void child_start(struct children *children, const struct child_spec *spec, child_done_fn *fn,
        void *arg, uint64_t owner)
{
	struct program *program;

	world_step("before a program");
	program = MEM_NEW(struct program);
	program->children = children;
	program->fn = fn;
	program->arg = arg;
	program->owner = owner;
	program->started_mono_ms = world->mono_ms;
	program->alarm.fn = on_time;
	program->alarm.arg = program;
	int64_t lasts_ms = choose_end(program, spec->timeout_ms);

	program->delivery = evidence_start(spec, program->end != CHILD_NOT_STARTED);
	TAILQ_INSERT_TAIL(&children->running, program, link);
	children->n_running++;
	fake_alarm_set(children->loop, &program->alarm, world->mono_ms + lasts_ms);
	world_was_busy();
	world_step("after a program");
}

void child_stop(struct children *children, uint64_t owner)
{
	struct program *program;

	TAILQ_FOREACH(program, &children->running, link)
	{
		if (program->owner != owner)
			continue;
		program->end = CHILD_TIMED_OUT;
		program->code = SIGTERM;
		fake_alarm_set(children->loop, &program->alarm, world->mono_ms + 50);
		return;
	}
}

size_t children_running(const struct children *children)
{
	return children->n_running;
}

static void deliver(struct program *program)
{
	static const char output[] = "a line of the program's\n";
	struct child_result result = {
	        .end = program->end,
	        .code = program->code,
	        .duration_ms = world->mono_ms - program->started_mono_ms,
	        .output = program->end == CHILD_NOT_STARTED ? "" : output,
	        .output_len = program->end == CHILD_NOT_STARTED ? 0 : strlen(output),
	};

	world_step("before the end of a program");
	evidence_end(program->delivery, &result);
	program->fn(program->arg, program->owner, &result);
	world_step("after the end of a program");
}

size_t children_harvest(struct children *children)
{
	struct programs batch = TAILQ_HEAD_INITIALIZER(batch);
	struct program *program;
	size_t n = 0;

	TAILQ_CONCAT(&batch, &children->ready, link);
	while ((program = TAILQ_FIRST(&batch))) {
		TAILQ_REMOVE(&batch, program, link);
		children->n_running--;
		deliver(program);
		program_free(program);
		world_was_busy();
		n++;
	}
	return n;
}

/* Every program of the simulation is fit. */
int child_check_program(const char *path, char *words, size_t size)
{
	if (path[0] == '/')
		return 0;
	str_copy(words, size, "not absolute");
	return CHILD_E_UNFIT;
}

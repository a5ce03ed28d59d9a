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
#include "util/buf.h"
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
	bool writes_much;
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
	int64_t lasts_ms =
	        world_between(DICE_HOOKS, 1, world_chance(DICE_HOOKS, 0.1) ? 20000 : 500);
	uint64_t dice = world_may(KIND_HOOKS) ? world_below(DICE_HOOKS, 100) : 99;

	program->end = CHILD_EXITED;
	if (dice < 12) {
		program->code = (int)world_between(DICE_HOOKS, 1, 64);
		world_happened(HAPPENED_HOOK_FAILED);
	} else if (dice < 14) {
		program->code = HOOK_EXIT_PERMANENT;
		world_happened(HAPPENED_HOOK_GAVE_UP);
	} else if (dice < 17) {
		program->end = CHILD_SIGNALED;
		program->code = SIGSEGV;
		world_happened(HAPPENED_HOOK_CRASHED);
	} else if (dice < 20) {
		lasts_ms = INT64_MAX;
		world_happened(HAPPENED_HOOK_HUNG);
	} else if (dice < 22) {
		program->end = CHILD_NOT_STARTED;
		program->code = world_chance(DICE_HOOKS, 0.5) ? ENOENT : EAGAIN;
		lasts_ms = 0;
		world_happened(HAPPENED_HOOK_NOT_STARTED);
	} else if (dice < 24) {
		program->writes_much = true;
		world_happened(HAPPENED_HOOK_WROTE_MUCH);
	}
	if (lasts_ms <= timeout_ms)
		return lasts_ms;
	program->end = CHILD_TIMED_OUT;
	program->code = world_chance(DICE_HOOKS, 0.5) ? SIGTERM : SIGKILL;
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

/* The last bytes of what it wrote, which may be any. */
static void add_output(const struct program *program, struct buf *output)
{
	static const char line[] = "a line of the program's\n";

	if (program->end == CHILD_NOT_STARTED)
		return;
	if (!program->writes_much) {
		buf_adds(output, line);
		return;
	}
	for (size_t i = 0; i < CHILD_OUTPUT_MAX_BYTES; i++)
		buf_addc(output, (char)(i * 37 % 256));
}

static void deliver(struct program *program)
{
	cleanup(buf_deinit) struct buf output = {0};
	struct child_result result = {
	        .end = program->end,
	        .code = program->code,
	        .duration_ms = world->mono_ms - program->started_mono_ms,
	        .output_dropped = program->writes_much ? 1 << 20 : 0,
	};

	add_output(program, &output);
	result.output = buf_str(&output);
	result.output_len = output.len;
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

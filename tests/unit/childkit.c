#include "childkit.h"

#include <check.h>
#include <stdlib.h>

#include "util/mem.h"

static const char *const no_env[] = {NULL};

void childkit_on_done(void *arg, uint64_t owner, const struct child_result *result)
{
	struct childkit_outcome *outcome = arg;

	outcome->n++;
	outcome->n_good += result->end == CHILD_EXITED && result->code == 0;
	outcome->owner = owner;
	outcome->result = *result;
	free(outcome->output);
	outcome->output = mem_strndup(result->output, result->output_len);
	outcome->result.output = outcome->output;
}

bool childkit_are_done(void *arg)
{
	struct childkit_outcome *outcome = arg;

	return outcome->n >= outcome->until;
}

void childkit_init(struct netkit *kit)
{
	netkit_init(kit);
	ck_assert_int_eq(children_new(kit->loop, &kit->children), 0);
}

void childkit_start(struct netkit *kit, const char *const *argv, const char *input,
        size_t input_len, int64_t timeout_ms, struct childkit_outcome *outcome)
{
	struct child_spec spec = {
	        .argv = argv,
	        .envp = no_env,
	        .input = input,
	        .input_len = input_len,
	        .timeout_ms = timeout_ms,
	};

	child_start(kit->children, &spec, childkit_on_done, outcome, CHILDKIT_OWNER);
}

void childkit_run(struct netkit *kit, const char *const *argv, const char *input, size_t input_len,
        int64_t timeout_ms, struct childkit_outcome *outcome)
{
	*outcome = (struct childkit_outcome){.until = 1};
	childkit_start(kit, argv, input, input_len, timeout_ms, outcome);
	ck_assert_uint_eq(outcome->n, 0);
	ck_assert(netkit_run(kit, childkit_are_done, outcome));
	ck_assert_uint_eq(outcome->owner, CHILDKIT_OWNER);
	ck_assert_uint_eq(children_running(kit->children), 0);
}

void childkit_run_shell(struct netkit *kit, const char *script, int64_t timeout_ms,
        struct childkit_outcome *outcome)
{
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};

	childkit_run(kit, argv, NULL, 0, timeout_ms, outcome);
}

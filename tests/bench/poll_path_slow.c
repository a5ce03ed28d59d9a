/* The planted slowdown: decisions that are taken a hundred times over. Linked with
 * --wrap=machine_step. */
#include "core/machine.h"

struct step __real_machine_step(const struct job *job, const struct observation *observation,
        const struct poll_policy *policy, bool is_account_lost, struct now now, uint64_t random);
struct step __wrap_machine_step(const struct job *job, const struct observation *observation,
        const struct poll_policy *policy, bool is_account_lost, struct now now, uint64_t random);

struct step __wrap_machine_step(const struct job *job, const struct observation *observation,
        const struct poll_policy *policy, bool is_account_lost, struct now now, uint64_t random)
{
	for (int i = 0; i < 99; i++)
		(void)__real_machine_step(job, observation, policy, is_account_lost, now, random);
	return __real_machine_step(job, observation, policy, is_account_lost, now, random);
}

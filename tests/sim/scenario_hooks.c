/* The hooks of a scenario: programs, and webhooks with those that they call. */
#include "scenario_private.h"

/* Each hook is one or the other in all variants; where it calls may differ. */
static void make_webhook(struct world_hook *hook, const struct scenario *scenario)
{
	hook->is_webhook = true;
	hook->is_signed = world_chance(DICE_RECEIVERS, 0.8);
	if (scenario_has_variants(scenario) && world_chance(DICE_RECEIVERS, 0.5))
		hook->moved_in = (uint8_t)(world_between(DICE_RECEIVERS, 1, 7) << 1);
	if (world_has(KIND_RECEIVERS))
		hook->n_troubles = scenario_make_troubles(
		        hook->troubles, TROUBLE_REFUSES, TROUBLE_THROTTLED, 0.3);
}

void scenario_make_hooks(const struct scenario *scenario)
{
	world->n_hooks = WORLD_HOOKS;
	world->hooks[0] = (struct world_hook){.name = "load",
	        .on = EVENT_SET_FINISHED,
	        .attempts = 20,
	        .timeout_ms = 10 * MINUTE_MS,
	        .parallel = 4};
	world->hooks[1] = (struct world_hook){.name = "all",
	        .on = event_set_by_name("*"),
	        .attempts = 20,
	        .timeout_ms = 30 * SECOND_MS,
	        .parallel = scenario->n_jobs > 1000 ? 64 : (int)world_between(DICE_SCENARIO, 1, 8)};
	/* One that gives up soon. */
	world->hooks[2] = (struct world_hook){.name = "frail",
	        .on = event_set_by_name("job.*") | event_set_by_name("account.*"),
	        .attempts = 2,
	        .timeout_ms = 5 * SECOND_MS,
	        .parallel = 2};
	if (scenario->n_jobs > 1000)
		world->n_hooks = 1;
	if (scenario->is_crowd)
		world->hooks[0].on = event_set_by_name("job.lost"); /* which none is */
	if (scenario_has_variants(scenario) && world_chance(DICE_SCENARIO, 0.5))
		world->hooks[2].absent_in = (uint8_t)(1 << world_between(DICE_SCENARIO, 1, 3));
	for (size_t i = 0; i < world->n_hooks && world->n_hooks > 1; i++) {
		if (world_chance(DICE_RECEIVERS, 0.4))
			make_webhook(&world->hooks[i], scenario);
	}
}

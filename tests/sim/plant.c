#include "plant.h"

#include <stddef.h>
#include <string.h>

static enum plant planted = PLANT_NONE;

enum { WORDS_MAX = 8 };

/* Words of which the failure must have some. */
static const struct {
	const char *name, *words[WORDS_MAX];
} plants[PLANTS] = {
        [PLANT_NONE] = {"none", {NULL}},
        [PLANT_ACK_BEFORE_RUN] = {"ack-before-run",
                {"recorded as delivered, but no attempt went well"}},
        [PLANT_TELL_BEFORE_COMMIT] = {"tell-before-commit",
                {"which is not committed", "the claim is not committed"}},
        [PLANT_DUPLICATE_EVENT] = {"duplicate-event",
                {"is committed with deliveries to hooks 0", "a transition from"}},
        [PLANT_LOST_OUTBOX_ROW] = {"lost-outbox-row", {"is committed with deliveries to hooks 0"}},
        [PLANT_POLL_FINISHED] = {"poll-finished", {"yet polled again"}},
        [PLANT_SLOW_END_ASKED_AGAIN] = {"slow-end-asked-again", {"yet polled again"}},
        [PLANT_OTHER_ID] = {"other-id",
                {"reaches a program under the id", "reaches a receiver under the id",
                        "does not read the same each time"}},
        [PLANT_INVENTED_STATE] = {"invented-state", {"is invented"}},
        [PLANT_POLL_EARLY] = {"poll-early", {"before min_interval has passed"}},
        [PLANT_TOO_MANY_IN_FLIGHT] = {"too-many-in-flight", {"requests in flight, allowed are"}},
        [PLANT_STREAM_GAP] = {"stream-gap", {"had event"}},
        [PLANT_STREAM_REPEATS] = {"stream-repeats", {"had event"}},
        [PLANT_FORGOTTEN_DELIVERY] = {"forgotten-delivery",
                {"was committed as delivered", "is delivered already, yet given once more",
                        "what is committed is"}},
        [PLANT_OUT_OF_ORDER] = {"out-of-order", {"of the same job is done"}},
        [PLANT_NO_SYNC] = {"no-sync", {"but are not on disk", "the database",
                                              "the daemon ended with 65", "comes in its place"}},
        [PLANT_NO_HOLD] = {"no-hold", {"was told to wait, yet asks"}},
        [PLANT_LOST_WAKEUP] = {"lost-wakeup", {"is forgotten: not polled"}},
        [PLANT_PUBLISH_BEFORE_COMMIT] = {"publish-before-commit",
                {"which is not committed", "had event", "it does not come to an end"}},
        [PLANT_FULL_DISK_IGNORED] = {"full-disk-ignored",
                {"are recorded", "not committed", "of the same job is done",
                        "the daemon ended with 65", "the daemon ended with 70", "is claimed for",
                        "twice in one attempt", "what is committed is"}},
        [PLANT_NO_CLAIM] = {"no-claim", {"the claim is not committed"}},
        [PLANT_RECORD_DROPPED] = {"record-dropped",
                {"of the same job is done", "it does not come to an end"}},
        [PLANT_SPLIT_COMMIT] = {"split-commit", {"is committed with deliveries to hooks 0"}},
        [PLANT_NO_RECOVERY] = {"no-recovery",
                {"of the same job is done", "it does not come to an end", "what is committed is",
                        "waits for hook"}},
        [PLANT_SEQ_REUSED] = {"seq-reused",
                {" follows ", "is not what was committed", "were announced, but are not on disk"}},
        [PLANT_BLOCKING] = {"blocking", {"though nothing stands in its way"}},
        [PLANT_DEAF] = {"deaf", {"after it was told to stop"}},
        [PLANT_HOARD] = {"hoard", {"bytes of memory"}},
        [PLANT_TOLD_SECRET] = {"told-secret", {"a secret is in"}},
        [PLANT_TOKENS_TOO_OFTEN] = {"tokens-too-often",
                {"tokens are asked for in ten minutes", "asks again"}},
        [PLANT_OVERSPEND] = {"overspend", {"spends more than"}},
        [PLANT_NEGLECT] = {"neglect", {"starves", "shares are not fair"}},
        [PLANT_WHOLE_WRITES] = {"whole-writes", {"never happened: writes torn"}},
        [PLANT_UNTIMED_DELIVERY] = {"untimed-delivery", {"is given to hook"}},
        [PLANT_UNQUEUED_RETRY] = {"unqueued-retry", {"is given to hook", "waits for hook"}},
        [PLANT_REPLAY_GAP] = {"replay-gap", {"is left out of what hook"}},
        [PLANT_REPLAY_TOO_MUCH] = {"replay-too-much", {"which nobody asked for"}},
        [PLANT_UNSETTLED] = {"unsettled",
                {"is told of, which is not committed", "what is committed is"}},
        [PLANT_FORGOTTEN_EARLY] = {"forgotten-early", {"too soon"}},
        [PLANT_NEVER_FORGOTTEN] = {"never-forgotten", {"are old enough"}},
        [PLANT_GAP_UNTOLD] = {"gap-untold", {"had event"}},
        [PLANT_UNSIGNED] = {"unsigned", {"goes out unsigned"}},
        [PLANT_OTHER_SIGNATURE] = {"other-signature", {"is not signed as it should be"}},
        [PLANT_CALL_OTHER_ID] = {"call-other-id", {"reaches a receiver under the id"}},
        [PLANT_CALLED_TWICE] = {"called-twice", {"while it runs for it"}},
        [PLANT_UNANSWERED_IS_DELIVERED] = {"unanswered-is-delivered",
                {"recorded as delivered, but no attempt went well"}},
        [PLANT_GONE_IS_PASSING] = {"gone-is-passing", {"is of no use to it, yet"}},
        [PLANT_NO_PATIENCE] = {"no-patience", {"was told to wait, yet calls"}},
};

void plant_set(enum plant plant)
{
	planted = plant;
}

bool plant_is(enum plant plant)
{
	return planted == plant;
}

bool plant_is_of_crowd_alone(enum plant plant)
{
	return plant == PLANT_OVERSPEND || plant == PLANT_NEGLECT;
}

bool plant_is_of_crowd(enum plant plant)
{
	return plant_is_of_crowd_alone(plant) || plant == PLANT_TOO_MANY_IN_FLIGHT;
}

const char *plant_name(enum plant plant)
{
	return plants[plant].name;
}

bool plant_explains(enum plant plant, const char *failure)
{
	for (size_t i = 0; i < WORDS_MAX && plants[plant].words[i]; i++) {
		if (strstr(failure, plants[plant].words[i]))
			return true;
	}
	return false;
}

enum plant plant_by_name(const char *name)
{
	int i = 0;

	while (i < PLANTS && strcmp(plants[i].name, name) != 0)
		i++;
	return (enum plant)i;
}

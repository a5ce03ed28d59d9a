#include "plant.h"

#include <stddef.h>
#include <string.h>

static enum plant planted = PLANT_NONE;

/* Words that the failure must have, one of the three at least. */
static const struct {
	const char *name, *words, *other_words, *third_words;
} plants[PLANTS] = {
        [PLANT_NONE] = {"none", NULL, NULL},
        [PLANT_ACK_BEFORE_RUN] = {"ack-before-run",
                "recorded as delivered, but no program ended well", NULL},
        [PLANT_TELL_BEFORE_COMMIT] = {"tell-before-commit", "which is not committed",
                "the claim is not committed"},
        [PLANT_DUPLICATE_EVENT] = {"duplicate-event", "is committed with deliveries to hooks 0",
                "a transition from"},
        [PLANT_LOST_OUTBOX_ROW] = {"lost-outbox-row", "is committed with deliveries to hooks 0",
                NULL},
        [PLANT_POLL_FINISHED] = {"poll-finished", "yet polled again", NULL},
        [PLANT_OTHER_ID] = {"other-id", "reaches a program under the id",
                "does not read the same each time"},
        [PLANT_INVENTED_STATE] = {"invented-state", "is invented", NULL},
        [PLANT_POLL_EARLY] = {"poll-early", "before min_interval has passed", NULL},
        [PLANT_TOO_MANY_IN_FLIGHT] = {"too-many-in-flight", "requests in flight, allowed are",
                NULL},
        [PLANT_STREAM_GAP] = {"stream-gap", "had event", NULL},
        [PLANT_STREAM_REPEATS] = {"stream-repeats", "had event", NULL},
        [PLANT_FORGOTTEN_DELIVERY] = {"forgotten-delivery", "was committed as delivered",
                "is delivered already, yet given once more"},
        [PLANT_OUT_OF_ORDER] = {"out-of-order", "of the same job is done", NULL},
        [PLANT_NO_SYNC] = {"no-sync", "but are not on disk", "the database",
                "the daemon ended with 65"},
        [PLANT_NO_HOLD] = {"no-hold", "was told to wait, yet asks", NULL},
        [PLANT_LOST_WAKEUP] = {"lost-wakeup", "is forgotten: not polled", NULL},
        [PLANT_PUBLISH_BEFORE_COMMIT] = {"publish-before-commit", "which is not committed",
                "had event"},
        [PLANT_FULL_DISK_IGNORED] = {"full-disk-ignored", "are recorded", "not committed",
                "of the same job is done"},
        [PLANT_NO_CLAIM] = {"no-claim", "the claim is not committed", NULL},
        [PLANT_RECORD_DROPPED] = {"record-dropped", "of the same job is done",
                "it does not come to an end"},
        [PLANT_SPLIT_COMMIT] = {"split-commit", "is committed with deliveries to hooks 0", NULL},
        [PLANT_NO_RECOVERY] = {"no-recovery", "of the same job is done",
                "it does not come to an end"},
        [PLANT_SEQ_REUSED] = {"seq-reused", " follows ", "is not what was committed",
                "were announced, but are not on disk"},
        [PLANT_BLOCKING] = {"blocking", "though nothing stands in its way", NULL},
        [PLANT_DEAF] = {"deaf", "after it was told to stop", NULL},
        [PLANT_HOARD] = {"hoard", "bytes of memory", NULL},
        [PLANT_TOLD_SECRET] = {"told-secret", "a secret is in", NULL},
        [PLANT_TOKENS_TOO_OFTEN] = {"tokens-too-often", "tokens are asked for in ten minutes",
                "asks again"},
        [PLANT_OVERSPEND] = {"overspend", "spends more than", NULL},
        [PLANT_NEGLECT] = {"neglect", "starves", "shares are not fair"},
        [PLANT_WHOLE_WRITES] = {"whole-writes", "never happened: writes torn", NULL},
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
	const char *words = plants[plant].words, *other_words = plants[plant].other_words;
	const char *third_words = plants[plant].third_words;

	return (words && strstr(failure, words)) || (other_words && strstr(failure, other_words)) ||
	       (third_words && strstr(failure, third_words));
}

enum plant plant_by_name(const char *name)
{
	int i = 0;

	while (i < PLANTS && strcmp(plants[i].name, name) != 0)
		i++;
	return (enum plant)i;
}

#include "plant.h"

#include <string.h>

static enum plant planted = PLANT_NONE;

static const char *const names[PLANTS] = {
        [PLANT_NONE] = "none",
        [PLANT_ACK_BEFORE_RUN] = "ack-before-run",
        [PLANT_TELL_BEFORE_COMMIT] = "tell-before-commit",
        [PLANT_DUPLICATE_EVENT] = "duplicate-event",
        [PLANT_LOST_OUTBOX_ROW] = "lost-outbox-row",
        [PLANT_POLL_FINISHED] = "poll-finished",
        [PLANT_OTHER_ID] = "other-id",
        [PLANT_INVENTED_STATE] = "invented-state",
        [PLANT_POLL_EARLY] = "poll-early",
        [PLANT_TOO_MANY_IN_FLIGHT] = "too-many-in-flight",
        [PLANT_STREAM_GAP] = "stream-gap",
        [PLANT_STREAM_REPEATS] = "stream-repeats",
        [PLANT_FORGOTTEN_DELIVERY] = "forgotten-delivery",
        [PLANT_OUT_OF_ORDER] = "out-of-order",
        [PLANT_NO_SYNC] = "no-sync",
        [PLANT_NO_HOLD] = "no-hold",
        [PLANT_LOST_WAKEUP] = "lost-wakeup",
};

void plant_set(enum plant plant)
{
	planted = plant;
}

bool plant_is(enum plant plant)
{
	return planted == plant;
}

const char *plant_name(enum plant plant)
{
	return names[plant];
}

enum plant plant_by_name(const char *name)
{
	int i = 0;

	while (i < PLANTS && strcmp(names[i], name) != 0)
		i++;
	return (enum plant)i;
}

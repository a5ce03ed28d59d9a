/*
 * Faults planted into the daemon's own doing, one at a time: a simulation that does not find them
 * would find nothing.
 */
#pragma once

#include <stdbool.h>

enum plant {
	PLANT_NONE,
	PLANT_ACK_BEFORE_RUN,
	PLANT_TELL_BEFORE_COMMIT,
	PLANT_DUPLICATE_EVENT,
	PLANT_LOST_OUTBOX_ROW,
	PLANT_POLL_FINISHED,
	PLANT_SLOW_END_ASKED_AGAIN,
	PLANT_OTHER_ID,
	PLANT_INVENTED_STATE,
	PLANT_POLL_EARLY,
	PLANT_TOO_MANY_IN_FLIGHT,
	PLANT_STREAM_GAP,
	PLANT_STREAM_REPEATS,
	PLANT_FORGOTTEN_DELIVERY,
	PLANT_OUT_OF_ORDER,
	PLANT_NO_SYNC,
	PLANT_NO_HOLD,
	PLANT_LOST_WAKEUP,
	PLANT_PUBLISH_BEFORE_COMMIT,
	PLANT_FULL_DISK_IGNORED,
	PLANT_NO_CLAIM,
	PLANT_RECORD_DROPPED,
	PLANT_SPLIT_COMMIT,
	PLANT_NO_RECOVERY,
	PLANT_SEQ_REUSED,
	PLANT_BLOCKING,
	PLANT_DEAF,
	PLANT_HOARD,
	PLANT_TOLD_SECRET,
	PLANT_TOKENS_TOO_OFTEN,
	PLANT_WHOLE_WRITES,
	PLANT_UNTIMED_DELIVERY,
	PLANT_UNQUEUED_RETRY,
	PLANT_REPLAY_GAP,
	PLANT_REPLAY_TOO_MUCH,
	PLANT_UNSETTLED,
	PLANT_FORGOTTEN_EARLY,
	PLANT_NEVER_FORGOTTEN,
	PLANT_GAP_UNTOLD,
	/* Of webhooks. */
	PLANT_UNSIGNED,
	PLANT_OTHER_SIGNATURE,
	PLANT_CALL_OTHER_ID,
	PLANT_CALLED_TWICE,
	PLANT_UNANSWERED_IS_DELIVERED,
	PLANT_GONE_IS_PASSING,
	PLANT_NO_PATIENCE,
	/* These show in a crowd. */
	PLANT_OVERSPEND,
	PLANT_NEGLECT,
	PLANTS,
};

void plant_set(enum plant plant);
bool plant_is(enum plant plant);
/* To be tried in a crowd; and nowhere else. */
bool plant_is_of_crowd(enum plant plant);
bool plant_is_of_crowd_alone(enum plant plant);
const char *plant_name(enum plant plant);
/* The failure is what this fault leads to, and not just any. */
bool plant_explains(enum plant plant, const char *failure);
/* PLANTS if there is none of that name. */
enum plant plant_by_name(const char *name);

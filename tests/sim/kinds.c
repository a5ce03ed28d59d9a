#include "kinds.h"

#include <stddef.h>
#include <string.h>

static const struct {
	const char *name, *help;
} kinds[KINDS] = {
        [KIND_OUTAGES] = {"outages", "data centers that refuse, stall, drop, fail, flap"},
        [KIND_LIES] = {"lies", "answers that nobody can use, or that are somebody else's"},
        [KIND_THROTTLING] = {"throttling", "429, with and without Retry-After"},
        [KIND_REFUSALS] = {"refusals", "scopes and permissions that are missing for a while"},
        [KIND_LOSSES] = {"losses", "jobs that Zoho does not know for a while"},
        [KIND_TOKENS] = {"tokens", "tokens that end early, and accounts servers in trouble"},
        [KIND_CREDITS] = {"credits", "accounts with few credits a day"},
        [KIND_CLOCKS] = {"clocks", "steps of the wall clock, suspends, late wakings"},
        [KIND_FULL] = {"full", "a disk without room for a while"},
        [KIND_ERRORS] = {"errors", "I/O errors of the disk"},
        [KIND_KILLS] = {"kills", "the daemon is killed"},
        [KIND_CUTS] = {"cuts", "kills that lose what was not synced"},
        [KIND_HOOKS] = {"hooks", "hooks that fail, hang, crash, give up, write much"},
        [KIND_RECEIVERS] = {"receivers",
                "webhooks whose receivers fail, throttle, are late or gone"},
        [KIND_RELOADS] = {"reloads", "other configurations, bad ones among them"},
        [KIND_STOPS] = {"stops", "the daemon is told to stop, and started again"},
        [KIND_CLIENTS] = {"clients", "readers of the stream, people who ask and wait"},
        [KIND_CHANGES] = {"changes", "people who add, remove, pause, poll, retry"},
        [KIND_RETENTION] = {"retention", "what is old is forgotten after minutes or hours"},
};

static const struct {
	enum kind kind;
	const char *name;
} happenings[HAPPENINGS] = {
        [HAPPENED_REFUSED_CONNECTION] = {KIND_OUTAGES, "connections refused"},
        [HAPPENED_STALL] = {KIND_OUTAGES, "requests without an answer"},
        [HAPPENED_DROP] = {KIND_OUTAGES, "connections cut"},
        [HAPPENED_SERVER_ERROR] = {KIND_OUTAGES, "answers 5xx"},
        [HAPPENED_NO_NAME] = {KIND_OUTAGES, "names not found"},
        [HAPPENED_BAD_TLS] = {KIND_OUTAGES, "certificates refused"},
        [HAPPENED_FLAP] = {KIND_OUTAGES, "requests while a data center flaps"},
        [HAPPENED_CUT_BODY] = {KIND_LIES, "bodies cut short"},
        [HAPPENED_OTHER_ID] = {KIND_LIES, "answers about another job"},
        [HAPPENED_ODD_STATE] = {KIND_LIES, "states from nowhere"},
        [HAPPENED_STATE_TWICE] = {KIND_LIES, "states given twice"},
        [HAPPENED_CONTENT_TYPE] = {KIND_LIES, "wrong content types"},
        [HAPPENED_REDIRECT] = {KIND_LIES, "redirects"},
        [HAPPENED_EMPTY_BODY] = {KIND_LIES, "empty bodies"},
        [HAPPENED_TRAILING_BYTES] = {KIND_LIES, "bodies that go on"},
        [HAPPENED_STRANGE_CODE] = {KIND_LIES, "codes that nobody knows"},
        [HAPPENED_HUGE_BODY] = {KIND_LIES, "bodies too large"},
        [HAPPENED_HTML] = {KIND_LIES, "pages of HTML"},
        [HAPPENED_429] = {KIND_THROTTLING, "429 without Retry-After"},
        [HAPPENED_429_RETRY_AFTER] = {KIND_THROTTLING, "429 with Retry-After"},
        [HAPPENED_SCOPE] = {KIND_REFUSALS, "scopes missing"},
        [HAPPENED_PERMISSION] = {KIND_REFUSALS, "permissions missing"},
        [HAPPENED_404] = {KIND_LOSSES, "answers 404"},
        [HAPPENED_204] = {KIND_LOSSES, "answers 204"},
        [HAPPENED_BACK_FROM_404] = {KIND_LOSSES, "jobs that came back"},
        [HAPPENED_TOKEN_ENDED] = {KIND_TOKENS, "tokens refused by the API"},
        [HAPPENED_TOKEN_MADE] = {KIND_TOKENS, "tokens made"},
        [HAPPENED_TOKEN_REFUSED] = {KIND_TOKENS, "refresh tokens refused"},
        [HAPPENED_TOKEN_THROTTLED] = {KIND_TOKENS, "accounts servers that throttle"},
        [HAPPENED_TOKEN_UNREACHABLE] = {KIND_TOKENS, "accounts servers not reached"},
        [HAPPENED_TOKEN_GARBLED] = {KIND_TOKENS, "token replies of no use"},
        [HAPPENED_TOKEN_FOREIGN] = {KIND_TOKENS, "tokens for another domain"},
        [HAPPENED_TOKEN_IN_MS] = {KIND_TOKENS, "expiries in milliseconds"},
        [HAPPENED_SECRET_CHANGED] = {KIND_TOKENS, "secrets changed"},
        [HAPPENED_CREDITS_SPENT] = {KIND_CREDITS, "times that all credits were spent"},
        [HAPPENED_LEAP_FORWARD] = {KIND_CLOCKS, "steps forward of the clock"},
        [HAPPENED_LEAP_BACK] = {KIND_CLOCKS, "steps back of the clock"},
        [HAPPENED_LEAP_WHILE_DOWN] = {KIND_CLOCKS, "steps of the clock between lives"},
        [HAPPENED_SUSPEND] = {KIND_CLOCKS, "suspends"},
        [HAPPENED_LATE_WAKE] = {KIND_CLOCKS, "late wakings"},
        [HAPPENED_NO_ROOM] = {KIND_FULL, "writes without room"},
        [HAPPENED_PART_OF_WRITE] = {KIND_FULL, "writes of which a part found room"},
        [HAPPENED_READ_ERROR] = {KIND_ERRORS, "errors of reading"},
        [HAPPENED_WRITE_ERROR] = {KIND_ERRORS, "errors of writing"},
        [HAPPENED_SYNC_ERROR] = {KIND_ERRORS, "errors of syncing"},
        [HAPPENED_OTHER_ERROR] = {KIND_ERRORS, "other I/O errors"},
        [HAPPENED_KILL] = {KIND_KILLS, "kills"},
        [HAPPENED_KILL_AT_START] = {KIND_KILLS, "kills during a start"},
        [HAPPENED_KILL_AT_START_AGAIN] = {KIND_KILLS, "kills during the start after one of these"},
        [HAPPENED_CUT] = {KIND_CUTS, "power cuts"},
        [HAPPENED_CUT_AT_START] = {KIND_CUTS, "power cuts during a start"},
        [HAPPENED_CUT_AFTER_ERROR] = {KIND_CUTS, "power cuts after an I/O error"},
        [HAPPENED_WRITE_LOST] = {KIND_CUTS, "writes lost"},
        [HAPPENED_WRITE_TORN] = {KIND_CUTS, "writes torn"},
        [HAPPENED_WRITE_OVERTOOK] = {KIND_CUTS, "writes kept though an earlier one was lost"},
        [HAPPENED_HOOK_FAILED] = {KIND_HOOKS, "programs that failed"},
        [HAPPENED_HOOK_GAVE_UP] = {KIND_HOOKS, "programs that exited with 65"},
        [HAPPENED_HOOK_CRASHED] = {KIND_HOOKS, "programs that crashed"},
        [HAPPENED_HOOK_HUNG] = {KIND_HOOKS, "programs that hung"},
        [HAPPENED_HOOK_NOT_STARTED] = {KIND_HOOKS, "programs not started"},
        [HAPPENED_HOOK_VANISHED] = {KIND_HOOKS, "programs gone with the daemon"},
        [HAPPENED_HOOK_WROTE_MUCH] = {KIND_HOOKS, "programs that wrote much"},
        [HAPPENED_CALL_ACCEPTED] = {KIND_RECEIVERS, "calls accepted"},
        [HAPPENED_CALL_REFUSED] = {KIND_RECEIVERS, "receivers not reached"},
        [HAPPENED_CALL_CUT] = {KIND_RECEIVERS, "calls cut"},
        [HAPPENED_CALL_LATE] = {KIND_RECEIVERS, "calls answered too late"},
        [HAPPENED_CALL_FAILED] = {KIND_RECEIVERS, "calls answered 5xx"},
        [HAPPENED_CALL_REJECTED] = {KIND_RECEIVERS, "calls answered 4xx"},
        [HAPPENED_CALL_GONE] = {KIND_RECEIVERS, "calls answered 410"},
        [HAPPENED_CALL_THROTTLED] = {KIND_RECEIVERS, "calls answered with Retry-After"},
        [HAPPENED_CALL_REDIRECTED] = {KIND_RECEIVERS, "calls redirected"},
        [HAPPENED_CALL_HUGE] = {KIND_RECEIVERS, "calls answered with too much"},
        [HAPPENED_CALL_ODD] = {KIND_RECEIVERS, "calls answered with odd statuses"},
        [HAPPENED_CALL_VANISHED] = {KIND_RECEIVERS, "calls gone with the daemon"},
        [HAPPENED_KEY_CHANGED] = {KIND_RECEIVERS, "keys replaced"},
        [HAPPENED_KEY_OF_NO_USE] = {KIND_RECEIVERS, "calls that could not be signed"},
        [HAPPENED_RELOAD] = {KIND_RELOADS, "reloads"},
        [HAPPENED_BAD_RELOAD] = {KIND_RELOADS, "reloads refused"},
        [HAPPENED_STOP] = {KIND_STOPS, "stops"},
        [HAPPENED_READER_LEFT] = {KIND_CLIENTS, "readers who left"},
        [HAPPENED_READER_CUT_OFF] = {KIND_CLIENTS, "readers cut off"},
        [HAPPENED_WAITER] = {KIND_CLIENTS, "waiters answered"},
        [HAPPENED_WAITER_LEFT] = {KIND_CLIENTS, "waiters who left"},
        [HAPPENED_QUESTION] = {KIND_CLIENTS, "questions answered"},
        [HAPPENED_FORBIDDEN] = {KIND_CLIENTS, "changes at the wrong door"},
        [HAPPENED_ADD] = {KIND_CHANGES, "jobs added"},
        [HAPPENED_DELETE] = {KIND_CHANGES, "jobs removed"},
        [HAPPENED_POLL] = {KIND_CHANGES, "polls asked for"},
        [HAPPENED_PAUSE] = {KIND_CHANGES, "jobs paused"},
        [HAPPENED_RESUME] = {KIND_CHANGES, "jobs resumed"},
        [HAPPENED_REVIVAL] = {KIND_CHANGES, "LOST jobs revived"},
        [HAPPENED_RETRY] = {KIND_CHANGES, "deliveries retried"},
        [HAPPENED_REPLAY] = {KIND_CHANGES, "replays"},
        [HAPPENED_REPLAYED] = {KIND_CHANGES, "past events replayed"},
        [HAPPENED_CHANGE_REFUSED] = {KIND_CHANGES, "changes refused for want of room"},
        [HAPPENED_JOB_FORGOTTEN] = {KIND_RETENTION, "jobs forgotten"},
        [HAPPENED_EVENT_FORGOTTEN] = {KIND_RETENTION, "events of accounts forgotten"},
        [HAPPENED_READER_SENT_ON] = {KIND_RETENTION, "readers told where to go on"},
};

const char *kind_name(enum kind kind)
{
	return kinds[kind].name;
}

const char *kind_help(enum kind kind)
{
	return kinds[kind].help;
}

static int find(const char *name, size_t len)
{
	int i = 0;

	while (i < KINDS && (strncmp(kinds[i].name, name, len) != 0 || kinds[i].name[len] != '\0'))
		i++;
	return i;
}

bool kinds_read(const char *names, kind_set *out)
{
	*out = 0;
	for (;;) {
		size_t len = strcspn(names, ",");
		int kind = find(names, len);

		if (kind == KINDS)
			return false;
		*out |= (kind_set)1 << kind;
		if (!names[len])
			return true;
		names += len + 1;
	}
}

const char *happening_name(enum happening happening)
{
	return happenings[happening].name;
}

enum kind happening_kind(enum happening happening)
{
	return happenings[happening].kind;
}

/*
 * bulkwatch consume: a durable, named reader of the journal that runs a program for each event,
 * as any user who may open query.sock, outside the daemon and its sandbox.
 *
 * At least once and in order: the position moves, on disk, when the program has succeeded. One that
 * fails is run again after a growing pause, and no later event overtakes it.
 */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/events.h"
#include "ctl/position.h"
#include "ctl/program.h"
#include "util/mem.h"
#include "util/rng.h"
#include "util/clock.h"
#include "util/str.h"

enum {
	RETRY_FIRST_MS = 1000,
	RETRY_MAX_MS = 60000,
	RECONNECT_MS = 1000,
	NAME_MAX = NAME_MAX_BYTES,
};

struct consumer {
	struct ctl *ctl;
	const char *name;
	const char *const *argv;
	struct client *client;
	struct position position;
	struct rng rng;
	bool skips_pruned;
	bool was_heard; /* the daemon was there */
	int code;       /* why it ended, of what on_event met */
};

/* ---- one event ---- */

/* All borrowed from the document but for data, which the caller ends. False: that is no event. */
static bool view_of(
        const struct json *json, struct event_view *view, char *instance, struct buf *data)
{
	const struct json_node *event = json_root(json);
	const char *id = json_get_string(json, event, "id");
	const char *type = json_get_string(json, event, "type");
	const char *at = json_get_string(json, event, "at");
	const char *dash = id ? strrchr(id, '-') : NULL;
	const struct json_node *job = json_get(json, event, "job");

	if (!dash || dash - id != POSITION_INSTANCE_SIZE - 1 || !type || !at)
		return false;
	memcpy(instance, id, POSITION_INSTANCE_SIZE - 1);
	instance[POSITION_INSTANCE_SIZE - 1] = '\0';
	*view = (struct event_view){
	        .instance = instance,
	        .type = event_type_by_name(type),
	        .account = json_get_string(json, event, "account"),
	        .job_id = json_get_string(json, event, "job_id"),
	        .from_state = json_get_string(json, event, "from_state"),
	        .to_state = json_get_string(json, event, "to_state"),
	};
	if (!view->type || !text_parse_time(at, &view->at_wall_ms) ||
	        !json_get_integer(json, event, "seq", &view->seq))
		return false;
	json_add_raw(json, job ? job : json_get(json, event, "data"), data);
	view->data = data->len > 0 ? buf_str(data) : "null";
	return true;
}

/* Full jitter, with a floor; the cap doubles (Brooker 2015). */
static int64_t retry_wait_ms(struct consumer *consumer, uint64_t attempt)
{
	int64_t cap = RETRY_FIRST_MS;

	for (uint64_t i = 1; i < attempt && cap < RETRY_MAX_MS; i++)
		cap *= 2;
	if (cap > RETRY_MAX_MS)
		cap = RETRY_MAX_MS;
	return cap / 2 + (int64_t)rng_below(&consumer->rng, (uint64_t)cap / 2 + 1);
}

static void say_failed(const struct consumer *consumer, const struct event_view *event,
        const struct program_result *result, int64_t wait_ms)
{
	cleanup(mem_free_p) char *how =
	        result->end == PROGRAM_EXITED ? mem_printf("exited %d", result->code)
	        : result->end == PROGRAM_SIGNALED
	                ? mem_printf("was ended by signal %d", result->code)
	                : mem_printf("cannot be started: %s", strerror(result->code));

	ctl_say("%s: event %" PRId64 ": %s %s; once more in %" PRId64 " ms", consumer->name,
	        event->seq, consumer->argv[0], how, wait_ms);
}

static void run_until_done(struct consumer *consumer, const struct event_view *event)
{
	for (uint64_t attempt = 1;; attempt++) {
		struct program_result result =
		        program_run(consumer->argv, event, consumer->name, attempt);

		if (result.end == PROGRAM_EXITED && result.code == 0)
			return;
		if (result.end == PROGRAM_EXITED && result.code == HOOK_EXIT_PERMANENT) {
			ctl_say("%s: event %" PRId64 ": %s exited %d: given up", consumer->name,
			        event->seq, consumer->argv[0], result.code);
			return;
		}
		int64_t wait_ms = retry_wait_ms(consumer, attempt);

		say_failed(consumer, event, &result, wait_ms);
		(void)poll(NULL, 0, (int)wait_ms);
	}
}

/* A seq means something in its own database alone. */
static bool is_same_database(struct consumer *consumer, const char *instance)
{
	if (!consumer->position.instance[0] || strcmp(consumer->position.instance, instance) == 0)
		return true;
	ctl_say("%s is a position in the database %s, but the daemon's is %s; remove it to begin "
	        "anew",
	        consumer->position.path, consumer->position.instance, instance);
	return false;
}

static bool consumer_on_event(void *arg, const struct json *json, const char *line, size_t len)
{
	struct consumer *consumer = arg;
	char instance[POSITION_INSTANCE_SIZE];
	cleanup(buf_deinit) struct buf data = {0};
	struct event_view event;

	(void)line, (void)len;
	consumer->was_heard = true;
	consumer->code = CTL_OTHER;
	if (!view_of(json, &event, instance, &data)) {
		ctl_say("the daemon sent an event that this version does not know");
		return false;
	}
	if (!is_same_database(consumer, instance))
		return false;
	run_until_done(consumer, &event);
	consumer->code = position_save(&consumer->position, instance, event.seq);
	return consumer->code == CTL_OK;
}

/* All up to it was sent: with a filter this keeps the position clear of what is pruned. */
static void consumer_on_quiet(void *arg, int64_t last_seq)
{
	struct consumer *consumer = arg;
	struct position *position = &consumer->position;

	consumer->was_heard = true;
	if (position->instance[0] && last_seq > position->seq)
		position_save(position, position->instance, last_seq);
}

/* ---- beginning, and going on ---- */

struct pruned {
	int64_t through; /* 0 = nothing is missing */
	char instance[POSITION_INSTANCE_SIZE];
};

static int ask_status(struct consumer *consumer, bool is_quiet, struct pruned *pruned)
{
	struct answer answer = {0};
	struct json *json = NULL;
	int code = client_ask(consumer->client,
	        &(struct client_request){.path = "/v1/status", .is_quiet = is_quiet}, &answer);

	*pruned = (struct pruned){0};
	if (code == CTL_OK)
		code = answer_parse(&answer, &json);
	if (code == CTL_OK) {
		const struct json_node *database = json_get(json, json_root(json), "database");
		const char *instance = json_get_string(json, database, "instance");

		json_get_integer(json, database, "pruned_through", &pruned->through);
		str_copy(pruned->instance, sizeof(pruned->instance), instance ? instance : "");
	}
	json_free(json);
	answer_deinit(&answer);
	return code;
}

/*
 * Where to read on after: events that are gone are skipped if that was wished, or if nobody was
 * promised them (a new name).
 */
static int place(struct consumer *consumer, const struct pruned *pruned, bool is_new)
{
	struct position *position = &consumer->position;

	if (!is_same_database(consumer, pruned->instance))
		return CTL_OTHER;
	/* A new name is known from now on: what its filter leaves out counts as read, too. */
	if (position->seq >= pruned->through)
		return position->instance[0]
		               ? CTL_OK
		               : position_save(position, pruned->instance, position->seq);
	if (!is_new && !consumer->skips_pruned) {
		ctl_say("%s stopped after event %" PRId64 ", and events up to %" PRId64
		        " are gone; --skip-pruned goes on after those",
		        consumer->name, position->seq, pruned->through);
		return CTL_OTHER;
	}
	ctl_say("%s: events %" PRId64 " to %" PRId64 " are gone: going on after them",
	        consumer->name, position->seq + 1, pruned->through);
	return position_save(position, pruned->instance, pruned->through);
}

/* Until something ends it. A daemon that went away is waited for. */
static int consume(struct consumer *consumer, const char *types, bool is_new)
{
	for (;;) {
		struct pruned pruned;
		int code = ask_status(consumer, consumer->was_heard, &pruned);

		if (code == CTL_OK) {
			consumer->was_heard = true;
			code = place(consumer, &pruned, is_new);
			if (code != CTL_OK)
				return code;
			is_new = false;
			struct events_reader reader = {
			        .client = consumer->client,
			        .after = consumer->position.seq,
			        .types = types,
			        .is_following = true,
			        .on_event = consumer_on_event,
			        .on_quiet = consumer_on_quiet,
			        .arg = consumer,
			};

			code = events_read(&reader);
			if (code == CTL_OK)
				return consumer->code; /* on_event ended it, and said why */
			if (code == CTL_OTHER && ask_status(consumer, true, &pruned) == CTL_OK &&
			        consumer->position.seq < pruned.through)
				continue; /* pruned meanwhile: place() says what becomes of it */
		}
		if (code != CTL_UNREACHABLE || !consumer->was_heard)
			return code;
		(void)poll(NULL, 0, RECONNECT_MS);
	}
}

/* --state-dir, or the first of $STATE_DIRECTORY (systemd.exec(5) separates them by colons). */
static char *state_dir(const struct args *args)
{
	const char *option = args_option(args, "state-dir");
	const char *environment = getenv("STATE_DIRECTORY");

	if (option)
		return mem_strdup(option);
	if (environment && *environment)
		return mem_strndup(environment, strcspn(environment, ":"));
	return NULL;
}

static bool is_fit_name(const char *name)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
	size_t len = strlen(name);

	return len >= 1 && len <= NAME_MAX && strchr(first, name[0]) && strspn(name, rest) == len;
}

static int run(struct consumer *consumer, const struct args *args, const char *dir)
{
	int64_t after = -1;
	int code = args_integer(args, "after", 0, INT64_MAX, &after);

	if (code == CTL_OK)
		code = position_open(&consumer->position, dir, consumer->name);
	if (code != CTL_OK)
		return code;
	bool is_new = !consumer->position.instance[0];

	if (!is_new && after >= 0) {
		ctl_say("--after is for a new name alone: %s stopped after event %" PRId64,
		        consumer->name, consumer->position.seq);
		return CTL_USAGE;
	}
	if (after > 0)
		consumer->position.seq = after;
	return consume(consumer, args_option(args, "type"), is_new);
}

int cmd_consume(struct ctl *ctl, const struct args *args)
{
	cleanup(mem_free_p) char *dir = state_dir(args);
	struct consumer consumer = {
	        .ctl = ctl,
	        .name = args->operands[0],
	        .argv = args->operands + 1,
	        .skips_pruned = args_option(args, "skip-pruned"),
	        .position = {.dir_fd = -1, .lock_fd = -1},
	};
	int code;

	if (!args_option(args, "exec") || args->n_operands < 2)
		return args_refuse(args, "consume needs --exec and a program after it");
	if (!is_fit_name(consumer.name))
		return args_refuse(args,
		        "a consumer's name is 1 to %d of a-z, 0-9, \"_\", \"-\", the "
		        "first none of the last two; not \"%s\"",
		        NAME_MAX, consumer.name);
	if (!dir)
		return args_refuse(args, "consume needs --state-dir DIR or $STATE_DIRECTORY, to "
		                         "remember where it stopped");
	signal(SIGPIPE, SIG_IGN);
	rng_seed(&consumer.rng, (uint64_t)clock_now().mono_ms);
	consumer.client = client_new(ctl, SOCKET_QUERY);
	code = consumer.client ? run(&consumer, args, dir) : CTL_CONFIG;
	client_free(consumer.client);
	position_close(&consumer.position);
	return code;
}

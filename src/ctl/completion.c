#include "ctl/completion.h"

#include <stdio.h>
#include <string.h>

#include "core/event.h"
#include "ctl/args.h"
#include "ctl/jobs.h"
#include "ctl/verbs.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/str.h"

/* Nobody waits longer for a completion, nor reads more of it. */
enum { ASK_MS = 2000, JOBS_MAX = 1000 };

/* Where the cursor stands. */
struct completer {
	struct ctl ctl; /* with the runtime directory that the words name */
	enum completion_shell shell;
	const char *current;
	const char *prefix; /* of current, which each word printed begins with: "--account=" */
	size_t prefix_len;
	const struct verb *verb;          /* NULL: not yet */
	const struct option_spec *option; /* current is its value */
	const char *first;                /* operand */
	size_t n_operands;
	bool is_ended; /* no more options */
};

/* ---- printing ---- */

/* What bash takes for the end of a word, or something of its own. Blanks are as people write them.
 */
static bool is_plain(const char *text)
{
	return !strpbrk(text, "\"'`\\$&;|<>()*?[]{}!#~:=@\t\n");
}

static void add_escaped(struct buf *line, const char *text)
{
	for (; *text; text++) {
		if (*text == ' ')
			buf_addc(line, '\\');
		buf_addc(line, *text);
	}
}

static void print_for_bash(const struct completer *at, const char *text)
{
	cleanup(buf_deinit) struct buf line = {0};
	bool is_option = at->prefix_len > 0 && at->prefix[0] == '-';

	/* It has cut an option off itself. */
	if (!is_option)
		buf_add(&line, at->prefix, at->prefix_len);
	add_escaped(&line, text);
	if (is_plain(text) &&
	        str_has_prefix(buf_str(&line), at->current + (is_option ? at->prefix_len : 0)))
		printf("%s\n", buf_str(&line));
}

static void print_word(const struct completer *at, const char *text, const char *meaning)
{
	cleanup(buf_deinit) struct buf safe = {0};

	if (at->shell == COMPLETION_BASH) {
		print_for_bash(at, text);
		return;
	}
	buf_add(&safe, at->prefix, at->prefix_len);
	text_add_safe(&safe, text, true);
	if (meaning && *meaning) {
		buf_addc(&safe, '\t');
		text_add_safe(&safe, meaning, true);
	}
	printf("%s\n", buf_str(&safe));
}

static void print_words(const struct completer *at, const char *words)
{
	while (*words) {
		size_t len = strcspn(words, " ");
		cleanup(mem_free_p) char *word = mem_strndup(words, len);

		print_word(at, word, NULL);
		words += len + strspn(words + len, " ");
	}
}

static void print_options(const struct completer *at, const struct option_spec *options)
{
	for (; options && options->name; options++) {
		cleanup(mem_free_p) char *name = mem_printf("--%s", options->name);

		print_word(at, name, options->help);
	}
}

static void print_verbs(const struct completer *at)
{
	for (size_t i = 0; i < n_verbs; i++)
		print_word(at, verbs[i].name, verbs[i].summary);
}

/* ---- what the daemon knows ---- */

/* The list `name` of the answer, its elements' `key`, with what two other members say. */
static void print_list(const struct completer *at, const char *path, const char *name,
        const char *key, const char *const meanings[2])
{
	cleanup(client_free_p) struct client *client = client_new(&at->ctl, SOCKET_QUERY);
	cleanup(answer_deinit) struct answer answer = {0};
	cleanup(json_free_p) struct json *json = NULL;
	struct client_request request = {.path = path, .timeout_ms = ASK_MS};

	if (!client || client_ask(client, &request, &answer) != CTL_OK ||
	        answer_parse(&answer, &json) != CTL_OK)
		return;
	const struct json_node *node = json_first(json, json_get(json, json_root(json), name));

	for (; node; node = json_next(json, node)) {
		const char *word = json_get_string(json, node, key);
		const char *one = json_get_string(json, node, meanings[0]);
		const char *two = json_get_string(json, node, meanings[1]);
		cleanup(mem_free_p) char *meaning = mem_printf(
		        "%s%s%s", one ? one : "", one && two ? ", " : "", two ? two : "");

		if (word)
			print_word(at, word, meaning);
	}
}

/* By account/id, and by the name if it has one. */
static void print_job(
        const struct completer *at, const struct json *json, const struct json_node *node)
{
	const char *account = json_get_string(json, node, "account");
	const char *id = json_get_string(json, node, "id");
	const char *name = json_get_string(json, node, "name");
	const char *state = json_get_string(json, node, "state");

	if (!account || !id)
		return;
	cleanup(mem_free_p) char *path = mem_printf("%s/%s", account, id);
	cleanup(mem_free_p) char *meaning = mem_printf(
	        "%s%s%s", name ? name : "", name && state ? ", " : "", state ? state : "");

	print_word(at, path, meaning);
	if (name)
		print_word(at, name, path);
}

static void print_jobs(const struct completer *at)
{
	cleanup(client_free_p) struct client *client = client_new(&at->ctl, SOCKET_QUERY);
	const char *slash = strchr(at->current, '/');
	int64_t until_mono_ms = clock_now().mono_ms + ASK_MS;
	struct jobs_pager pager;

	if (!client)
		return;
	jobs_pager_init(&pager, client);
	pager.timeout_ms = ASK_MS;
	if (slash) {
		cleanup(mem_free_p) char *account =
		        mem_strndup(at->current, (size_t)(slash - at->current));

		query_add(&pager.filter, "account", account);
	}
	for (int n = 0; n < JOBS_MAX && !pager.is_last; n += JOBS_PAGE) {
		if (clock_now().mono_ms >= until_mono_ms ||
		        jobs_pager_next(&pager, JOBS_MAX) != CTL_OK)
			break;
		const struct json_node *node =
		        json_first(pager.json, json_get(pager.json, json_root(pager.json), "jobs"));

		for (; node; node = json_next(pager.json, node))
			print_job(at, pager.json, node);
	}
	jobs_pager_deinit(&pager);
}

/* ---- what there is at a place ---- */

static void print_operand(const struct completer *at, enum operand_kind kind)
{
	static const char *const account[2] = {"datacenter", "state"};
	static const char *const hook[2] = {"state", "webhook"};
	static const char *const delivery[2] = {"hook", "job_id"};
	bool wants_dead = str_is_equal(at->first, "retry");

	if (kind == OPERAND_FILE || kind == OPERAND_COMMAND) {
		printf("%s\n", kind == OPERAND_FILE ? "files" : "commands");
		return;
	}
	printf("words\n");
	switch (kind) {
	case OPERAND_JOB:
		print_jobs(at);
		break;
	case OPERAND_ACCOUNT:
		print_list(at, "/v1/accounts", "accounts", "name", account);
		break;
	case OPERAND_HOOK:
		print_list(at, "/v1/hooks", "hooks", "name", hook);
		break;
	case OPERAND_DELIVERY:
		print_list(at, wants_dead ? "/v1/deliveries?state=dead" : "/v1/deliveries",
		        "deliveries", "id", delivery);
		break;
	case OPERAND_WORD:
		print_words(at, at->verb->words);
		break;
	default:
		break;
	}
}

/* Of a list with commas the last one. */
static void print_types(struct completer *at)
{
	const char *comma = strrchr(at->current, ',');

	if (comma) {
		at->prefix = at->current;
		at->prefix_len = (size_t)(comma + 1 - at->current);
	}
	printf("words\n");
	print_word(at, "job.*", "all of jobs");
	for (int type = EVENT_NONE + 1; type < EVENT_TYPES; type++)
		print_word(at, event_type_name((enum event_type)type), NULL);
}

/* The states that Zoho's documents have, and ours. */
#define STATES "PENDING ADDED QUEUED COMPLETED FAILURE LOST"

static void print_value(struct completer *at)
{
	static const struct {
		const char *argument;
		enum operand_kind kind;
	} kinds[] = {{"ACCOUNT", OPERAND_ACCOUNT}, {"JOB", OPERAND_JOB}, {"HOOK", OPERAND_HOOK},
	        {"FILE", OPERAND_FILE}};
	const struct option_spec *option = at->option;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(option->argument, kinds[i].argument) == 0) {
			print_operand(at, kinds[i].kind);
			return;
		}
	}
	if (strcmp(option->argument, "TYPE") == 0) {
		print_types(at);
		return;
	}
	if (strcmp(option->argument, "DIR") == 0) {
		printf("directories\n");
		return;
	}
	printf("words\n");
	if (option->words) {
		print_words(at, option->words);
	} else if (strcmp(option->argument, "STATE") == 0) {
		print_words(at, STATES);
		print_word(at, "IN PROGRESS", NULL);
	}
}

/* "--option=value", where current is that. */
static bool is_value(struct completer *at)
{
	const char *equals = strchr(at->current, '=');

	if (at->is_ended || !equals || !str_has_prefix(at->current, "--"))
		return false;
	at->option =
	        args_find_option(at->verb, at->current + 2, (size_t)(equals - at->current) - 2);
	at->prefix = at->current;
	at->prefix_len = (size_t)(equals + 1 - at->current);
	return at->option && at->option->argument;
}

static void print_all(struct completer *at)
{
	const struct verb *verb = at->verb;

	if (at->option || is_value(at)) {
		print_value(at);
	} else if (!at->is_ended && at->current[0] == '-') {
		printf("words\n");
		print_options(at, verb ? verb->options : NULL);
		print_options(at, global_options);
	} else if (!verb) {
		printf("words\n");
		print_verbs(at);
	} else if (verb->last_option && !at->is_ended) {
		printf("words\n");
		print_options(at, verb->options);
	} else if (at->n_operands >= verb->max_operands) {
		printf("words\n");
	} else {
		print_operand(at, at->n_operands == 0 ? verb->operand : verb->others);
	}
}

/* ---- reading the words before ---- */

/* Takes one; true if the next is the value of an option. */
static bool take_option(struct completer *at, const char *word)
{
	const char *name = word + strspn(word, "-");
	size_t len = strcspn(name, "=");
	const struct option_spec *option = word[1] == '-' ? args_find_option(at->verb, name, len)
	                                                  : args_find_letter(at->verb, word[1]);

	if (!option)
		return false;
	if (at->verb && at->verb->last_option && strcmp(at->verb->last_option, option->name) == 0)
		at->is_ended = true;
	if (word[1] == '-' && name[len] == '=' && strcmp(option->name, "runtime-dir") == 0)
		at->ctl.runtime_dir = name + len + 1;
	at->option = option;
	return option->argument && name[len] != '=' && (word[1] == '-' || !word[2]);
}

static void take_word(struct completer *at, const char *word)
{
	if (at->option) {
		if (strcmp(at->option->name, "runtime-dir") == 0)
			at->ctl.runtime_dir = word;
		at->option = NULL;
	} else if (!at->is_ended && strcmp(word, "--") == 0) {
		at->is_ended = true;
	} else if (!at->is_ended && word[0] == '-' && word[1]) {
		if (!take_option(at, word))
			at->option = NULL;
	} else if (!at->verb) {
		at->verb = verb_find(word);
	} else if (at->n_operands++ == 0) {
		at->first = word;
	}
}

/* bash has made three words of "--option=value". */
static char **join_words(const char *const *words, size_t *n_words)
{
	char **joined = mem_new(*n_words + 1, sizeof(*joined));
	size_t n = 0;

	for (size_t i = 0; i < *n_words; i++) {
		bool is_equals =
		        n > 0 && strcmp(words[i], "=") == 0 && str_has_prefix(joined[n - 1], "--");

		if (!is_equals) {
			joined[n++] = mem_strdup(words[i]);
			continue;
		}
		char *whole =
		        mem_printf("%s=%s", joined[n - 1], i + 1 < *n_words ? words[i + 1] : "");

		free(joined[n - 1]);
		joined[n - 1] = whole;
		i++;
	}
	*n_words = n;
	return joined;
}

void completion_print(const struct ctl *ctl, enum completion_shell shell, const char *const *words,
        size_t n_words)
{
	char **joined = join_words(words, &n_words);
	struct completer at = {
	        .ctl = *ctl,
	        .shell = shell,
	        .prefix = "",
	        .current = n_words > 0 ? joined[n_words - 1] : "",
	};

	for (size_t i = 0; i + 1 < n_words; i++)
		take_word(&at, joined[i]);
	print_all(&at);
	for (size_t i = 0; i < n_words; i++)
		free(joined[i]);
	free(joined);
}

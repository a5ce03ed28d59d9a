/*
 * A configuration as YAML, with every option that is in force. What is shown may be loaded again,
 * and gives the same: included files and jobs files are written out.
 */
#include "config/config.h"
#include "config/options.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "util/clock.h"
#include "util/str.h"

struct shower {
	const struct config *config;
	struct buf *out;
};

/* Length of the UTF-8 sequence at p, and its code point. */
static size_t show_code_point(const unsigned char *p, uint32_t *code)
{
	if (p[0] < 0x80) {
		*code = p[0];
		return 1;
	}
	if (p[0] < 0xe0) {
		*code = (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
		return 2;
	}
	if (p[0] < 0xf0) {
		*code = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
		return 3;
	}
	*code = (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
	return 4;
}

/* Line ends of Unicode's, the byte order mark, and what is no character (YAML 1.2.2, 5.1). */
static bool code_point_is_escaped(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
	       code == 0xfeff || code == 0xfffe || code == 0xffff;
}

static void show_quoted(struct buf *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	buf_addc(out, '"');
	while (*p) {
		uint32_t code;
		size_t len = show_code_point(p, &code);

		if (code == '"' || code == '\\')
			buf_addf(out, "\\%c", (int)code);
		else if (code_point_is_escaped(code))
			buf_addf(out, "\\u%04x", (unsigned)code);
		else
			buf_add(out, p, len);
		p += len;
	}
	buf_addc(out, '"');
}

/* Without quotes where every reader of YAML takes it for the same text. */
static void show_text(struct buf *out, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                            "0123456789/._-";
	static const char *const words[] = {
	        "y", "n", "yes", "no", "on", "off", "true", "false", "null", ".inf", ".nan"};
	bool is_plain = (text[0] == '/' || isalpha((unsigned char)text[0])) &&
	                text[strspn(text, plain)] == '\0';

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		is_plain = is_plain && strcasecmp(text, words[i]) != 0;
	if (is_plain)
		buf_adds(out, text);
	else
		show_quoted(out, text);
}

static void show_events(struct buf *out, event_set set)
{
	const char *separator = "";

	buf_addc(out, '[');
	for (int type = EVENT_NONE + 1; type < EVENT_TYPES; type++) {
		if (!event_set_has(set, (enum event_type)type))
			continue;
		buf_addf(out, "%s%s", separator, event_type_name((enum event_type)type));
		separator = ", ";
	}
	buf_addc(out, ']');
}

static void show_argv(struct buf *out, char *const *argv)
{
	buf_addc(out, '[');
	for (size_t i = 0; argv[i]; i++) {
		buf_adds(out, i > 0 ? ", " : "");
		show_quoted(out, argv[i]);
	}
	buf_addc(out, ']');
}

static void show_hooks(const struct shower *s, const struct config_hook_set *set)
{
	buf_addc(s->out, '[');
	for (size_t i = 0; i < set->n; i++) {
		buf_adds(s->out, i > 0 ? ", " : "");
		show_quoted(s->out, s->config->hooks[set->hooks[i]].name);
	}
	buf_addc(s->out, ']');
}

/* "key: value" of one option; nothing if it is not set. */
static void show_option(
        const struct shower *s, const struct option *option, const void *base, int indent)
{
	const void *field = (const char *)base + option->offset;
	char duration[CLOCK_DURATION_SIZE];
	bool is_pointer = option->type != OPTION_DURATION && option->type != OPTION_INTEGER &&
	                  option->type != OPTION_WORD && option->type != OPTION_EVENTS;

	if (is_pointer && !*(void *const *)field)
		return;
	buf_addf(s->out, "%*s%s: ", indent, "", option->name);
	switch (option->type) {
	case OPTION_DURATION:
		buf_adds(s->out, clock_format_duration(*(const int64_t *)field, duration));
		break;
	case OPTION_INTEGER:
		buf_addf(s->out, "%lld", (long long)*(const int64_t *)field);
		break;
	case OPTION_WORD:
		buf_adds(s->out, option->words[*(const unsigned *)field]);
		break;
	case OPTION_EVENTS:
		show_events(s->out, *(const event_set *)field);
		break;
	case OPTION_ARGV:
		show_argv(s->out, *(char **const *)field);
		break;
	default:
		show_text(s->out, *(char *const *)field);
		break;
	}
	buf_addc(s->out, '\n');
}

/* All options of the scope that have a field. */
static void show_scope(
        const struct shower *s, enum option_scope scope, const void *base, int indent)
{
	size_t n;
	const struct option *first = options_of_scope(scope, &n);

	for (size_t i = 0; i < n; i++) {
		if (first[i].is_supported && first[i].offset != OPTIONS_NO_FIELD)
			show_option(s, &first[i], base, indent);
	}
}

static void show_name(const struct shower *s, const char *name)
{
	buf_adds(s->out, "  ");
	show_text(s->out, name);
	buf_adds(s->out, ":\n");
}

static void show_jobs(const struct shower *s, const struct config_account *account)
{
	if (account->n_jobs == 0)
		return;
	buf_adds(s->out, "    jobs:\n");
	for (size_t i = 0; i < account->n_jobs; i++) {
		const struct config_job *job = &account->jobs[i];
		char duration[CLOCK_DURATION_SIZE];

		buf_addf(s->out, "      - {id: \"%s\"", job->id);
		if (job->name) {
			buf_adds(s->out, ", name: ");
			show_quoted(s->out, job->name);
		}
		if (job->has_hooks) {
			buf_adds(s->out, ", hooks: ");
			show_hooks(s, &job->hooks);
		}
		if (job->overdue_after_ms != account->poll.overdue_after_ms)
			buf_addf(s->out, ", overdue_after: %s",
			        clock_format_duration(job->overdue_after_ms, duration));
		buf_adds(s->out, "}\n");
	}
}

static void show_account(const struct shower *s, const struct config_account *account)
{
	show_name(s, account->name);
	buf_adds(s->out, "    datacenter: ");
	show_text(s->out, s->config->datacenters[account->datacenter].name);
	buf_addc(s->out, '\n');
	show_scope(s, SCOPE_ACCOUNT, account, 4);
	buf_adds(s->out, "    hooks: ");
	show_hooks(s, &account->hooks);
	buf_adds(s->out, "\n    poll:\n");
	show_scope(s, SCOPE_POLL, &account->poll, 6);
	show_jobs(s, account);
}

void config_show(const struct config *config, struct buf *out)
{
	const struct shower s = {.config = config, .out = out};

	show_scope(&s, SCOPE_ROOT, config, 0);
	buf_adds(out, "poll:\n");
	show_scope(&s, SCOPE_POLL, &config->poll, 2);
	buf_adds(out, "datacenters:\n");
	for (size_t i = 0; i < config->n_datacenters; i++) {
		show_name(&s, config->datacenters[i].name);
		show_scope(&s, SCOPE_DATACENTER, &config->datacenters[i], 4);
	}
	buf_adds(out, config->n_accounts > 0 ? "accounts:\n" : "accounts: {}\n");
	for (size_t i = 0; i < config->n_accounts; i++)
		show_account(&s, &config->accounts[i]);
	buf_adds(out, config->n_hooks > 0 ? "hooks:\n" : "hooks: {}\n");
	for (size_t i = 0; i < config->n_hooks; i++) {
		show_name(&s, config->hooks[i].name);
		show_scope(&s, SCOPE_HOOK, &config->hooks[i], 4);
	}
}

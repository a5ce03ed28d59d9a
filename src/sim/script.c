/* A script as a whole: its sections that are no jobs and no faults, its files, its problems. */
#include "sim/script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/script_read.h"
#include "util/err.h"
#include "util/mem.h"
#include "util/str.h"

enum {
	SCRIPT_LIMIT_MAX = 1000000000,
	SCRIPT_READ_BYTES = 64 * 1024,
	SCRIPT_SECRET_MAX = 1024,
	SCRIPT_WINDOW_TOKENS_MAX = 10000,
	SCRIPT_EXPIRES_MAX_S = 10 * 365 * 86400,
};

bool script_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= NAME_MAX_BYTES &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len && name[0] != '_' &&
	       name[0] != '-';
}

/* The names of the data centers that there are, in all; at most n of them. */
static size_t script_dc_names(const struct script_reader *r, const char **names, size_t n)
{
	const struct tree_node *section = tree_get(r->root, "datacenters");
	size_t n_names = 0;

	for (size_t i = 0; i < r->context->n_datacenters && n_names < n; i++)
		names[n_names++] = r->context->datacenters[i];
	if (!section || section->kind != TREE_MAP || r->context->is_fixed)
		return n_names;
	for (const struct tree_node *dc = section->first; dc && n_names < n; dc = dc->next)
		names[n_names++] = dc->key;
	return n_names;
}

/* NULL, and a problem, unless there is such a data center. */
static const char *script_known_dc(struct script_reader *r, const char *text, struct place at)
{
	const char *names[256], *nearest;
	size_t n = script_dc_names(r, names, ARRAY_LEN(names));
	char quoted[QUOTE_SIZE];

	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i], text) == 0)
			return names[i];
	}
	nearest = str_nearest(text, names, n);
	problems_add(r->problems, at, "there is no data center %s%s%s%s",
	        problems_quote(quoted, text), nearest ? "; did you mean \"" : "",
	        nearest ? nearest : "", nearest ? "\"?" : "");
	return NULL;
}

void script_read_dc(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const char *text = script_scalar(r, node, key->name);

	if (text)
		*(const char **)field = script_known_dc(r, text, node->at);
}

static void read_token(struct script_reader *r, const struct tree_node *node, void *target,
        const struct script_key *key)
{
	struct script_datacenter *dc = target;

	script_read_text(r, node, &dc->tokens[dc->n_tokens], key);
	if (dc->tokens[dc->n_tokens])
		dc->n_tokens++;
}

static void read_tokens(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	struct script_datacenter *dc = field;

	dc->tokens = config_strings_alloc(r->script->strings, (node->n + 1) * sizeof(*dc->tokens));
	script_read_list(r, node, key->name, read_token, dc, key);
}

#define FIELD(name) offsetof(struct script_datacenter, name)

static const struct script_key datacenter_keys[] = {
        {"port", script_read_integer, FIELD(port), 1, 65535},
        {"latency", script_read_dist, FIELD(latency), 0, 0},
        {"credits_per_day", script_read_integer, FIELD(credits_per_day), 1, SCRIPT_LIMIT_MAX},
        {"concurrency", script_read_integer, FIELD(concurrency), 1, SCRIPT_LIMIT_MAX},
        {"tokens", read_tokens, 0, 1, SCRIPT_SECRET_MAX},
        {"faults", script_read_faults, 0, 0, 0},
};

#undef FIELD

static void read_datacenters(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	struct script *script = r->script;

	(void)field;
	if (node->kind != TREE_MAP) {
		problems_add(r->problems, node->at, "%s must be a map of names", key->name);
		return;
	}
	for (const struct tree_node *child = node->first; child; child = child->next) {
		struct script_datacenter *dc;

		script->datacenters = script_grow(r, script->datacenters, &script->n_datacenters,
		        &r->cap_datacenters, sizeof(*dc));
		dc = &script->datacenters[script->n_datacenters - 1];
		dc->name = child->key;
		if (!script_name_is_valid(child->key))
			problems_add(r->problems, child->key_at,
			        "the name of a data center is [a-z0-9][a-z0-9_-]*, at most %d",
			        NAME_MAX_BYTES);
		else
			script_known_dc(r, child->key, child->key_at);
		r->dc = child->key;
		script_read_map(
		        r, child, "a data center", datacenter_keys, ARRAY_LEN(datacenter_keys), dc);
		r->dc = NULL;
	}
}

#define FIELD(name) offsetof(struct script_organisation, name)

static const struct script_key organisation_keys[] = {
        {"credits_per_day", script_read_integer, FIELD(credits_per_day), 1, SCRIPT_LIMIT_MAX},
        {"concurrency", script_read_integer, FIELD(concurrency), 1, SCRIPT_LIMIT_MAX},
};

#undef FIELD

static void read_organisations(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	struct script *script = r->script;

	(void)field;
	if (node->kind != TREE_MAP) {
		problems_add(r->problems, node->at, "%s must be a map of names", key->name);
		return;
	}
	for (const struct tree_node *child = node->first; child; child = child->next) {
		struct script_organisation *org;

		script->organisations = script_grow(r, script->organisations,
		        &script->n_organisations, &r->cap_organisations, sizeof(*org));
		org = &script->organisations[script->n_organisations - 1];
		org->name = child->key;
		script_read_map(r, child, "an organisation", organisation_keys,
		        ARRAY_LEN(organisation_keys), org);
	}
}

static void read_organisation(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	const struct tree_node *section = tree_get(r->root, "organisations");
	const char *text = script_scalar(r, node, key->name);
	char quoted[QUOTE_SIZE];

	if (!text)
		return;
	if (!section || section->kind != TREE_MAP || !tree_get(section, text))
		problems_add(r->problems, node->at, "there is no organisation %s",
		        problems_quote(quoted, text));
	else
		*(const char **)field = text;
}

#define FIELD(name) offsetof(struct script_client, name)

static const struct script_key client_keys[] = {
        {"dc", script_read_dc, FIELD(dc), 0, 0},
        {"client_id", script_read_text, FIELD(client_id), 1, SCRIPT_SECRET_MAX},
        {"client_secret", script_read_text, FIELD(client_secret), 1, SCRIPT_SECRET_MAX},
        {"refresh_token", script_read_text, FIELD(refresh_token), 1, SCRIPT_SECRET_MAX},
        {"organisation", read_organisation, FIELD(organisation), 0, 0},
        {"expires_in", script_read_integer, FIELD(expires_in_s), 1, SCRIPT_EXPIRES_MAX_S},
        {"tokens_per_10m", script_read_integer, FIELD(tokens_per_window), 1,
                SCRIPT_WINDOW_TOKENS_MAX},
        {"live_tokens", script_read_integer, FIELD(live_tokens), 1, LIVE_TOKENS_MAX},
};

#undef FIELD

static void read_client(struct script_reader *r, const struct tree_node *node, void *target,
        const struct script_key *key)
{
	static const char *const needed[] = {"client_id", "client_secret", "refresh_token"};
	struct script *script = r->script;
	struct script_client *client;

	(void)target;
	(void)key;
	script->clients = script_grow(
	        r, script->clients, &script->n_clients, &r->cap_clients, sizeof(*client));
	client = &script->clients[script->n_clients - 1];
	*client = (struct script_client){
	        .expires_in_s = TOKEN_EXPIRES_S,
	        .tokens_per_window = TOKENS_PER_WINDOW,
	        .live_tokens = LIVE_TOKENS_MAX,
	};
	if (!script_read_map(r, node, "a client", client_keys, ARRAY_LEN(client_keys), client))
		return;
	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		if (!tree_get(node, needed[i]))
			problems_add(r->problems, node->at, "a client needs %s", needed[i]);
	}
}

static void read_clients(struct script_reader *r, const struct tree_node *node, void *field,
        const struct script_key *key)
{
	script_read_list(r, node, key->name, read_client, field, key);
}

static const struct script_key root_keys[] = {
        {"jobs", script_read_jobs, 0, 0, 0},
        {"faults", script_read_faults, 0, 0, 0},
        {"datacenters", read_datacenters, 0, 0, 0},
        {"organisations", read_organisations, 0, 0, 0},
        {"clients", read_clients, 0, 0, 0},
};

enum { ROOT_KEYS_LIVE = 2 }; /* the first of them */

static void script_tell(struct problems *problems, struct buf *out)
{
	struct config_problems list = {0};

	problems_finish(problems, &list);
	config_problems_print(&list, out);
	config_problems_deinit(&list);
}

static int script_parse_in(const char *text, size_t len, const char *name, const char *directory,
        const struct script_context *context, struct script **out, struct buf *problems)
{
	cleanup(problems_deinit) struct problems found = {0};
	uint32_t file = problems_file(&found, name);
	struct config_strings *trees = config_strings_new();
	struct script *script = MEM_NEW(struct script);
	struct script_reader r = {
	        .script = script, .problems = &found, .context = context, .directory = directory};

	*out = NULL;
	script->strings = trees; /* texts of the tree are used as they are */
	r.root = tree_parse(text, len, file, trees, &found);
	if (r.root && r.root->kind == TREE_MAP)
		script_read_map(&r, r.root, "a script", root_keys,
		        context->is_live ? ROOT_KEYS_LIVE : ARRAY_LEN(root_keys), script);
	else if (r.root)
		problems_add(&found, r.root->at, "a script must be a map");
	if (found.n_errors == 0) {
		*out = script;
		return 0;
	}
	script_tell(&found, problems);
	script_free(script);
	return SCRIPT_E_INVALID;
}

int script_parse(const char *text, size_t len, const char *name,
        const struct script_context *context, struct script **out, struct buf *problems)
{
	return script_parse_in(text, len, name, ".", context, out, problems);
}

static int script_read_file(const char *file, struct buf *out)
{
	cleanup(mem_close_p) int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		buf_reserve(out, SCRIPT_READ_BYTES);
		n = read(fd, out->data + out->len, SCRIPT_READ_BYTES);
		out->len += n > 0 ? (size_t)n : 0;
		if (out->len > TREE_TEXT_MAX_BYTES)
			return -EFBIG;
	} while (n > 0);
	if (n < 0)
		return -errno;
	out->data[out->len] = '\0';
	return 0;
}

int script_load(const char *file, const struct script_context *context, struct script **out,
        struct buf *problems)
{
	cleanup(buf_deinit) struct buf text = {0};
	const char *slash = strrchr(file, '/');
	cleanup(mem_free_p) char *directory =
	        slash ? mem_strndup(file, (size_t)(slash - file) + 1) : mem_strdup(".");
	int error = script_read_file(file, &text);

	*out = NULL;
	if (error < 0) {
		buf_addf(problems, "%s: error: %s\n", file, err_text(error));
		return SCRIPT_E_INVALID;
	}
	return script_parse_in(text.data, text.len, file, directory, context, out, problems);
}

struct script *script_free(struct script *script)
{
	if (!script)
		return NULL;
	config_strings_free(script->strings);
	free(script);
	return NULL;
}

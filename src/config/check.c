/*
 * What several values tell only together.
 */
#include "config/loader.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "util/clock.h"
#include "util/mem.h"

struct bound {
	const char *name;
	int64_t ms;
	bool is_wrong; /* told already: ms is not what was meant */
};

/* Told at the one of the two that stands in the map: the one that was found, the second if both. */
static void check_order(struct loader *l, const struct found *found, const struct bound *low,
        const struct bound *high)
{
	const struct tree_node *low_node = found_node(found, low->name);
	const struct tree_node *high_node = found_node(found, high->name);
	char low_text[CLOCK_DURATION_SIZE], high_text[CLOCK_DURATION_SIZE];

	if (low->ms <= high->ms || low->is_wrong || high->is_wrong || (!low_node && !high_node))
		return;
	problems_add(&l->problems, (high_node ? high_node : low_node)->at,
	        "%s (%s) is longer than %s (%s)", low->name,
	        clock_format_duration(low->ms, low_text), high->name,
	        clock_format_duration(high->ms, high_text));
}

/* What an account does not say itself it takes from the top level. */
static bool is_poll_wrong(const struct loader *l, const struct found *found, const char *name)
{
	if (found_node(found, name) || !l->poll.first)
		return found_is_wrong(found, name);
	return found_is_wrong(&l->poll, name);
}

void check_poll(struct loader *l, const struct config_poll *poll, const struct found *found)
{
	struct bound low = {.name = "min_interval", .ms = poll->min_interval_ms};
	struct bound high = {.name = "max_interval", .ms = poll->max_interval_ms};

	low.is_wrong = is_poll_wrong(l, found, low.name);
	high.is_wrong = is_poll_wrong(l, found, high.name);
	check_order(l, found, &low, &high);
}

static void check_retries(
        struct loader *l, const struct config_hook *hook, const struct found *found)
{
	struct bound low = {.name = "retry_first", .ms = hook->retry_first_ms};
	struct bound high = {.name = "retry_max", .ms = hook->retry_max_ms};

	low.is_wrong = found_is_wrong(found, low.name);
	high.is_wrong = found_is_wrong(found, high.name);
	check_order(l, found, &low, &high);
}

void check_hook(struct loader *l, const struct config_hook *hook, const struct found *found,
        const struct entry *entry)
{
	const struct tree_node *exec = found_node(found, "exec"), *url = found_node(found, "url");
	const struct tree_node *secret = found_node(found, "secret_file");
	bool has_webhooks = value_is_supported(l, option_find(SCOPE_HOOK, "url"));
	struct place at = entry->node->key_at;
	char quoted[QUOTE_SIZE];

	check_retries(l, hook, found);
	problems_quote(quoted, entry->name);
	if (!exec && !url)
		problems_add(&l->problems, at, "hook %s: exec %sis required", quoted,
		        has_webhooks ? "or url " : "");
	if (!has_webhooks)
		return;
	if (exec && url)
		problems_add(&l->problems, at,
		        "hook %s: exec and url exclude one another; make two hooks", quoted);
	if (secret && !url)
		problems_add(&l->problems, secret->key_at,
		        "secret_file: it signs a webhook's requests, but there is no url");
}

void check_datacenter(struct loader *l, const struct config_datacenter *datacenter,
        const struct found *found, const struct entry *entry)
{
	const struct tree_node *api = found_node(found, "api_url");
	const struct tree_node *accounts = found_node(found, "accounts_url");
	const struct tree_node *ca = found_node(found, "ca_file");
	bool is_new = !datacenter->api_url && !datacenter->accounts_url;
	char quoted[QUOTE_SIZE];
	const char *wrong;
	int error;

	problems_quote(quoted, entry->name);
	if ((!api) != (!accounts))
		problems_add(&l->problems, entry->node->key_at,
		        "data center %s: api_url and accounts_url stand together; %s is missing",
		        quoted, api ? "accounts_url" : "api_url");
	else if (!api && is_new)
		problems_add(&l->problems, entry->node->key_at,
		        "data center %s: api_url and accounts_url are required", quoted);
	if (!ca || !datacenter->ca_file || (l->flags & LOADER_TEXT_ALONE))
		return;
	wrong = path_ca_problem(datacenter->ca_file, &error);
	problems_note(&l->problems, error);
	if (wrong)
		problems_add(&l->problems, ca->at, "ca_file: %s: %s", datacenter->ca_file, wrong);
}

/* A ready token, or the three from which tokens are made. */
static void check_credentials(
        struct loader *l, const struct found *found, const struct entry *entry)
{
	static const char *const three[] = {
	        "client_id", "client_secret_file", "refresh_token_file"};
	const struct tree_node *token = found_node(found, "access_token_file");
	struct place at = entry->node->key_at;
	char quoted[QUOTE_SIZE];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(three); i++)
		n += found_node(found, three[i]) != NULL;
	problems_quote(quoted, entry->name);
	if (token && n > 0)
		problems_add(&l->problems, at,
		        "account %s: access_token_file stands instead of client_id, "
		        "client_secret_file and refresh_token_file, not beside them",
		        quoted);
	if (token || n == ARRAY_LEN(three))
		return;
	if (n == 0)
		problems_add(&l->problems, at,
		        "account %s: client_id, client_secret_file and refresh_token_file are "
		        "required, or access_token_file alone",
		        quoted);
	for (size_t i = 0; i < ARRAY_LEN(three) && n > 0; i++) {
		if (!found_node(found, three[i]))
			problems_add(
			        &l->problems, at, "account %s: %s is required", quoted, three[i]);
	}
}

void check_account(struct loader *l, const struct found *found, const struct entry *entry)
{
	char quoted[QUOTE_SIZE];

	if (!found_node(found, "datacenter"))
		problems_add(&l->problems, entry->node->key_at,
		        "account %s: datacenter is required", problems_quote(quoted, entry->name));
	check_credentials(l, found, entry);
}

/*
 * A directory that is named is a promise of whoever wrote the file; a default one is made, or named
 * in the environment, by whoever starts the daemon.
 */
static void check_dir(
        struct loader *l, const struct found *found, const char *name, const char *path)
{
	const struct tree_node *node = found_node(found, name);
	cleanup(buf_deinit) struct buf words = {0};
	struct place whole = {0};
	const char *wrong;

	if (node ? found_is_wrong(found, name) : l->flags & LOADER_BY_ANYBODY)
		return;
	wrong = path_dir_problem(path, &words);
	if (wrong && !node)
		problems_warn(
		        &l->problems, whole, "%s: %s %s; a start needs it", name, path, wrong);
	else if (wrong && (l->flags & LOADER_BY_ANYBODY))
		problems_warn(&l->problems, node->at, "%s: %s %s", name, path, wrong);
	else if (wrong)
		problems_add(&l->problems, node->at, "%s: %s %s", name, path, wrong);
}

/* It is replaced by renaming: /dev/stdout, say, would be gone. */
static void check_textfile(struct loader *l, const struct found *found)
{
	const char *path = l->config->metrics_textfile;
	struct stat st;

	if (path && lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		problems_add(&l->problems, found_node(found, "metrics_textfile")->at,
		        "metrics_textfile: %s is not a regular file, which would be replaced",
		        path);
}

void check_root(struct loader *l, const struct found *found)
{
	/* Both sockets' names are equally long. */
	static const size_t max =
	        sizeof(((struct sockaddr_un *)0)->sun_path) - sizeof("/query.sock");
	const struct tree_node *runtime = found_node(found, "runtime_dir");
	const struct tree_node *accounts = found_node(found, "accounts");
	struct place whole = {0};
	char address[CONFIG_ADDRESS_SIZE], quoted[QUOTE_SIZE];
	uint16_t port;

	if (strlen(l->config->runtime_dir) > max)
		problems_add(&l->problems, runtime ? runtime->at : whole,
		        "runtime_dir: longer than %zu bytes, so the paths of the sockets would be "
		        "too long for the system (unix(7))",
		        max);
	if ((l->flags & LOADER_CHECK) && !(l->flags & LOADER_TEXT_ALONE)) {
		check_dir(l, found, "state_dir", l->config->state_dir);
		check_dir(l, found, "runtime_dir", l->config->runtime_dir);
	}
	if (!(l->flags & LOADER_TEXT_ALONE))
		check_textfile(l, found);
	if (l->config->metrics_listen &&
	        !config_split_address(l->config->metrics_listen, address, &port))
		problems_add(&l->problems, found_node(found, "metrics_listen")->at,
		        "metrics_listen: expected a loopback address and a port, such as "
		        "127.0.0.1:9464 or \"[::1]:9464\", found %s",
		        problems_quote(quoted, l->config->metrics_listen));
	if (l->accounts.n == 0 && !l->is_cut && (!accounts || accounts->kind == TREE_MAP))
		problems_warn(&l->problems, whole,
		        "there are no accounts, so there is nothing to "
		        "watch");
}

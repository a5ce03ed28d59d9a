/*
 * Data centers: a table of Zoho's, with overrides and additions. Never a template of the suffix:
 * ca lives in a domain of its own.
 *
 * Source: Zoho's pages on the API's domains. us eu au in cn jp stand on the page of the bulk read
 * API that this program was written from, sa and ca on the newer one.
 */
#include "config/loader.h"

#include <string.h>

#include "util/mem.h"

static const struct {
	const char *name, *api_url, *accounts_url;
} built_in[] = {
        {"us", "https://www.zohoapis.com", "https://accounts.zoho.com"},
        {"eu", "https://www.zohoapis.eu", "https://accounts.zoho.eu"},
        {"au", "https://www.zohoapis.com.au", "https://accounts.zoho.com.au"},
        {"in", "https://www.zohoapis.in", "https://accounts.zoho.in"},
        {"cn", "https://www.zohoapis.com.cn", "https://accounts.zoho.com.cn"},
        {"jp", "https://www.zohoapis.jp", "https://accounts.zoho.jp"},
        {"sa", "https://www.zohoapis.sa", "https://accounts.zoho.sa"},
        {"ca", "https://www.zohoapis.ca", "https://accounts.zohocloud.ca"},
};

/* NULL if there is none. */
static struct config_datacenter *datacenter_by_name(struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_datacenters; i++) {
		if (strcmp(config->datacenters[i].name, name) == 0)
			return &config->datacenters[i];
	}
	return NULL;
}

static char *keep(struct config *config, const char *text)
{
	return config_strings_add(config->strings, text, strlen(text));
}

static void datacenter_read(struct loader *l, const struct entry *entry)
{
	struct config_datacenter *datacenter = datacenter_by_name(l->config, entry->name);
	struct found found;

	if (!datacenter) {
		datacenter = &l->config->datacenters[l->config->n_datacenters++];
		datacenter->name = keep(l->config, entry->name);
	}
	datacenter->is_built_in = false;
	if (!value_is_kind(l, entry->name, entry->node, TREE_MAP,
	            "a mapping with api_url, accounts_url, ca_file"))
		return;
	scope_read(l, SCOPE_DATACENTER, entry->node, datacenter, &found);
	check_datacenter(l, datacenter, &found, entry);
}

void datacenters_read(struct loader *l)
{
	struct config *config = l->config;

	config->datacenters =
	        mem_new(ARRAY_LEN(built_in) + l->datacenters.n, sizeof(*config->datacenters));
	config->n_datacenters = ARRAY_LEN(built_in);
	for (size_t i = 0; i < ARRAY_LEN(built_in); i++)
		config->datacenters[i] = (struct config_datacenter){
		        .name = keep(config, built_in[i].name),
		        .api_url = keep(config, built_in[i].api_url),
		        .accounts_url = keep(config, built_in[i].accounts_url),
		        .is_built_in = true,
		};
	for (size_t i = 0; i < l->datacenters.n; i++)
		datacenter_read(l, &l->datacenters.list[i]);
}

bool datacenters_find(struct loader *l, const struct tree_node *node, size_t *datacenter)
{
	struct config *config = l->config;
	cleanup(mem_free_p) const char **names = NULL;
	struct config_datacenter *found;
	char quoted[QUOTE_SIZE], nearest[NEAREST_SIZE];

	if (!value_is_kind(l, "datacenter", node, TREE_SCALAR, "the name of a data center"))
		return false;
	found = datacenter_by_name(config, node->text);
	if (found) {
		*datacenter = (size_t)(found - config->datacenters);
		return true;
	}
	if (l->is_cut)
		return false;
	names = mem_new(config->n_datacenters, sizeof(*names));
	for (size_t i = 0; i < config->n_datacenters; i++)
		names[i] = config->datacenters[i].name;
	problems_add(&l->problems, node->at, "datacenter: there is no data center %s%s",
	        problems_quote(quoted, node->text),
	        value_nearest(nearest, node->text, names, config->n_datacenters));
	return false;
}

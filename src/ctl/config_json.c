#include "ctl/config_json.h"

#include <assert.h>
#include <string.h>

#include "config/options.h"
#include "config/tree.h"
#include "util/str.h"
#include "wire/json.h"

/* By its key alone: no name stands for a number in one place and for a text in another. */
static bool is_number(const struct tree_node *node, int64_t *number)
{
	bool is_integer = false;

	for (size_t i = 0; node->key && i < n_options && !is_integer; i++)
		is_integer = options[i].type == OPTION_INTEGER &&
		             strcmp(options[i].name, node->key) == 0;
	return is_integer && node->is_plain &&
	       str_to_int(node->text, INT64_MIN, INT64_MAX, number) == 0;
}

/* As deep as config_show() goes: six levels. */
static void write_node(struct json_out *w, const struct tree_node *node)
{
	int64_t number;

	if (node->kind == TREE_SCALAR) {
		if (is_number(node, &number))
			json_put_integer(w, node->key, number);
		else
			json_put_string(w, node->key, node->text);
		return;
	}
	if (node->kind == TREE_MAP)
		json_open_object(w, node->key);
	else
		json_open_array(w, node->key);
	for (const struct tree_node *child = node->first; child; child = child->next)
		write_node(w, child);
	if (node->kind == TREE_MAP)
		json_close_object(w);
	else
		json_close_array(w);
}

void config_json_write(const char *yaml, struct buf *out)
{
	struct config_strings *arena = config_strings_new();
	struct problems problems = {0};
	struct tree_node *root = tree_parse(yaml, strlen(yaml),
	        problems_file(&problems, "the configuration"), arena, &problems);
	struct json_out w;

	/* What is shown may be loaded again: a test says so. */
	assert(root);
	json_out_init(&w, out, false);
	write_node(&w, root);
	json_out_deinit(&w);
	problems_deinit(&problems);
	config_strings_free(arena);
}

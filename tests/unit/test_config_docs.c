/*
 * The table of options against itself and against all that repeats it: the sample file, the JSON
 * Schema, the manual page. They stand beside the tests' data: ../../config and ../../docs/man.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_tree.h>

#include "config/loader.h"
#include "config_fixture.h"
#include "util/mem.h"
#include "util/str.h"

/* A file of the project, named from its root; the caller ends *out. */
static void read_project_file(const char *name, struct buf *out)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/../../%s", config_fixture_data_dir(), name);

	config_fixture_read(path, out);
}

/* ---- the table ---- */

START_TEST(test_table)
{
	size_t n_all = 0;

	for (int scope = 0; scope < SCOPES; scope++) {
		size_t n;
		const struct option *first = options_of_scope((enum option_scope)scope, &n);

		ck_assert_uint_gt(n, 0);
		ck_assert_uint_le(n, OPTIONS_PER_SCOPE_MAX);
		n_all += n;
		for (size_t i = 0; i < n; i++) {
			const struct option *option = &first[i];

			/* The first of that name is this one: no name twice. */
			ck_assert_ptr_eq(
			        option_find((enum option_scope)scope, option->name), option);
			ck_assert_int_eq(option->help[strlen(option->help) - 1], '.');
			ck_assert(!option->needs_restart || scope == SCOPE_ROOT);
			if (option->type == OPTION_DURATION || option->type == OPTION_INTEGER)
				ck_assert_int_lt(option->min, option->max);
			ck_assert((option->type == OPTION_WORD) == (option->words != NULL));
		}
	}
	/* The options of a scope stand together, so none is left over. */
	ck_assert_uint_eq(n_all, n_options);
}
END_TEST

/* ---- the sample ---- */

static const char credential_jobs[] = "3652397000000646006 of-the-file\n";

static bool line_is_text(const char *line)
{
	return str_has_prefix(line, "# ") && line[2] != ' ';
}

/* The sample with all options switched on, and its texts as one long line. */
static void sample_split(const char *sample, struct buf *options_on, struct buf *texts)
{
	for (const char *line = sample, *end; *line; line = end) {
		end = line + strcspn(line, "\n");
		if (line_is_text(line)) {
			buf_add(texts, line + 1, (size_t)(end - line) - 1);
		} else {
			const char *from = *line == '#' ? line + 1 : line;

			buf_add(options_on, from, (size_t)(end - from));
		}
		buf_addc(options_on, '\n');
		end += *end == '\n';
	}
}

/* The node at each place of the sample where the scope may stand, in turn; NULL after the last. */
static const struct tree_node *sample_scope(
        const struct tree_node *root, enum option_scope scope, size_t i)
{
	const struct tree_node *account = tree_get(root, "accounts")->first, *job, *hook;
	size_t k = i;

	switch (scope) {
	case SCOPE_ROOT:
		return i == 0 ? root : NULL;
	case SCOPE_POLL:
		return i == 0 ? tree_get(root, "poll") : NULL;
	case SCOPE_DATACENTER:
		return i == 0 ? tree_get(root, "datacenters")->first : NULL;
	case SCOPE_ACCOUNT:
		for (; account && k > 0; k--)
			account = account->next;
		return account;
	case SCOPE_JOB:
		for (job = tree_get(account, "jobs")->first; job && job->kind != TREE_MAP;)
			job = job->next;
		return i == 0 ? job : NULL;
	case SCOPE_HOOK:
		for (hook = tree_get(root, "hooks")->first; hook && k > 0; k--)
			hook = hook->next;
		return hook;
	case SCOPES:
		break;
	}
	return NULL;
}

/* A node as it would be written in one line. */
static void node_text(const struct tree_node *node, struct buf *out)
{
	if (node->kind == TREE_SCALAR) {
		buf_adds(out, node->text);
		return;
	}
	buf_addc(out, '[');
	for (const struct tree_node *item = node->first; item; item = item->next)
		buf_addf(out, "%s%s", item->text, item->next ? ", " : "");
	buf_addc(out, ']');
}

/* Options that exclude one another stand in maps of their own. */
static void assert_sample_has(
        const struct tree_node *root, const struct option *option, const char *texts)
{
	const struct tree_node *map, *node = NULL;
	cleanup(buf_deinit) struct buf text = {0};

	for (size_t i = 0; !node && (map = sample_scope(root, option->scope, i)); i++)
		node = tree_get(map, option->name);

	ck_assert_msg(!option->is_supported == !node, "%s in %s: %s the sample", option->name,
	        option_scope_words(option->scope), node ? "is in" : "is not in");
	if (!node)
		return;
	ck_assert_msg(strstr(texts, option->help) != NULL, "the sample lacks: %s", option->help);
	if (!option->default_text)
		return;
	node_text(node, &text);
	ck_assert_msg(strcmp(buf_str(&text), option->default_text) == 0, "%s: %s in the sample",
	        option->name, buf_str(&text));
}

START_TEST(test_sample)
{
	cleanup(buf_deinit) struct buf sample = {0}, options_on = {0}, texts = {0};
	struct config_strings *arena = config_strings_new();
	struct problems problems = {0};
	const struct tree_node *root;

	read_project_file("config/bulkwatchd.yaml", &sample);
	sample_split(buf_str(&sample), &options_on, &texts);
	problems_file(&problems, "sample");
	root = tree_parse(options_on.data, options_on.len, 0, arena, &problems);
	ck_assert_uint_eq(problems.n_errors, 0);
	ck_assert_ptr_nonnull(root);
	for (size_t i = 0; i < n_options; i++)
		assert_sample_has(root, &options[i], buf_str(&texts));
	problems_deinit(&problems);
	config_strings_free(arena);
}
END_TEST

static void assert_loads(const struct config_fixture *fixture, const char *name, size_t n_jobs)
{
	cleanup(buf_deinit) struct buf words = {0};
	struct config_problems problems;
	struct config *config;
	int r = config_fixture_load(fixture, name, CONFIG_RUN, &config, &problems);

	config_fixture_print(fixture, &problems, &words);
	ck_assert_msg(r == 0, "%s", buf_str(&words));
	ck_assert_uint_eq(config->n_accounts > 0 ? config->accounts[0].n_jobs : 0, n_jobs);
	config_problems_deinit(&problems);
	config_free(config);
}

/* As it ships, and with everything switched on and the files that it names in place. */
START_TEST(test_sample_is_valid)
{
	cleanup(buf_deinit) struct buf sample = {0}, options_on = {0}, texts = {0};
	static const char ca_file[] = "/etc/ssl/certs/ca-certificates.crt";
	struct config_fixture fixture;
	char *ca_in_sample;

	config_fixture_init(&fixture);
	read_project_file("config/bulkwatchd.yaml", &sample);
	sample_split(buf_str(&sample), &options_on, &texts);
	ck_assert_ptr_nonnull(options_on.data);
	/* The system's certificates need not be installed where tests run. */
	ca_in_sample = strstr(options_on.data, ca_file);
	ck_assert_ptr_nonnull(ca_in_sample);
	memset(ca_in_sample, ' ', strlen(ca_file));
	memcpy(ca_in_sample, "ca.pem", strlen("ca.pem"));
	config_fixture_write(&fixture, "sample.yaml", sample.data, sample.len, 0644);
	config_fixture_write(&fixture, "on.yaml", options_on.data, options_on.len, 0644);
	config_fixture_write(&fixture, "acme_secret", "s", 1, 0600);
	config_fixture_write(&fixture, "acme_refresh", "r", 1, 0600);
	config_fixture_write(&fixture, "acme-us.token", "t", 1, 0600);
	config_fixture_write(&fixture, "chat_secret", "c", 1, 0600);
	config_fixture_write(
	        &fixture, "acme-eu.jobs", credential_jobs, sizeof(credential_jobs) - 1, 0644);
	setenv("CREDENTIALS_DIRECTORY", fixture.dir, 1);
	assert_loads(&fixture, "sample.yaml", 0);
	assert_loads(&fixture, "on.yaml", 3);
	unsetenv("CREDENTIALS_DIRECTORY");
	config_fixture_deinit(&fixture);
}
END_TEST

/* ---- the schema ---- */

/* yajl's macros give NULL for a value of another kind; here that is a failure. */
static const char *json_string(yajl_val value)
{
	ck_assert(YAJL_IS_STRING(value));
	return value->u.string;
}

static size_t json_array_len(yajl_val value)
{
	ck_assert(YAJL_IS_ARRAY(value));
	return value->u.array.len;
}

static yajl_val json_array_at(yajl_val value, size_t i)
{
	ck_assert_uint_lt(i, json_array_len(value));
	return value->u.array.values[i];
}

static int64_t json_integer(yajl_val value)
{
	ck_assert(YAJL_IS_INTEGER(value));
	return value->u.number.i;
}

static yajl_val schema_get(yajl_val node, const char *name)
{
	const char *path[] = {name, NULL};

	return yajl_tree_get(node, path, yajl_t_any);
}

static yajl_val schema_scope(yajl_val schema, enum option_scope scope)
{
	static const char *const names[SCOPES] = {
	        [SCOPE_POLL] = "poll",
	        [SCOPE_DATACENTER] = "datacenter",
	        [SCOPE_ACCOUNT] = "account",
	        [SCOPE_JOB] = "job",
	        [SCOPE_HOOK] = "hook",
	};

	return scope == SCOPE_ROOT ? schema : schema_get(schema_get(schema, "$defs"), names[scope]);
}

static void schema_default_text(yajl_val value, struct buf *out)
{
	if (YAJL_IS_STRING(value)) {
		buf_adds(out, json_string(value));
	} else if (YAJL_IS_NUMBER(value)) {
		buf_adds(out, value->u.number.r);
	} else if (YAJL_IS_ARRAY(value)) {
		buf_addc(out, '[');
		for (size_t i = 0; i < json_array_len(value); i++)
			buf_addf(out, "%s%s", i > 0 ? ", " : "",
			        json_string(json_array_at(value, i)));
		buf_addc(out, ']');
	}
}

static void assert_schema_words(const struct option *option, yajl_val property)
{
	yajl_val words = schema_get(property, "enum");
	size_t n = 0;

	ck_assert(YAJL_IS_ARRAY(words));
	for (size_t i = 0; option->words[i]; i++) {
		yajl_val word;

		ck_assert_uint_lt(n, json_array_len(words));
		word = json_array_at(words, n++);
		ck_assert_str_eq(json_string(word), option->words[i]);
	}
	ck_assert_uint_eq(n, json_array_len(words));
}

static void assert_schema_has(yajl_val properties, const struct option *option)
{
	yajl_val property = schema_get(properties, option->name);
	cleanup(buf_deinit) struct buf text = {0};

	ck_assert_msg(!option->is_supported == !property, "%s in %s: %s the schema", option->name,
	        option_scope_words(option->scope), property ? "is in" : "is not in");
	if (!property)
		return;
	ck_assert_str_eq(json_string(schema_get(property, "description")), option->help);
	if (option->type == OPTION_WORD)
		assert_schema_words(option, property);
	if (option->type == OPTION_INTEGER) {
		ck_assert_int_eq(json_integer(schema_get(property, "minimum")), option->min);
		ck_assert_int_eq(json_integer(schema_get(property, "maximum")), option->max);
	}
	if (schema_get(property, "default"))
		schema_default_text(schema_get(property, "default"), &text);
	ck_assert_str_eq(buf_str(&text), option->default_text ? option->default_text : "");
}

START_TEST(test_schema)
{
	cleanup(buf_deinit) struct buf text = {0};
	char error[256] = "";
	yajl_val schema, events;

	read_project_file("config/bulkwatchd.schema.json", &text);
	schema = yajl_tree_parse(buf_str(&text), error, sizeof(error));
	ck_assert_msg(schema != NULL, "%s", error);
	ck_assert_str_eq(json_string(schema_get(schema, "$schema")),
	        "https://json-schema.org/draft/2020-12/schema");
	for (size_t i = 0; i < n_options; i++)
		assert_schema_has(schema_get(schema_scope(schema, options[i].scope), "properties"),
		        &options[i]);
	for (int scope = 0; scope < SCOPES; scope++) {
		yajl_val map = schema_scope(schema, (enum option_scope)scope);
		yajl_val properties = schema_get(map, "properties");

		ck_assert(YAJL_IS_FALSE(schema_get(map, "additionalProperties")));
		ck_assert(YAJL_IS_OBJECT(properties));
		for (size_t i = 0; i < properties->u.object.len; i++)
			ck_assert_msg(option_find((enum option_scope)scope,
			                      properties->u.object.keys[i]) != NULL,
			        "%s in the schema", properties->u.object.keys[i]);
	}
	events = schema_get(schema_get(schema_get(schema, "$defs"), "event"), "enum");
	/* Each type, job.*, account.*, hook.*, and *. */
	ck_assert_uint_eq(json_array_len(events), EVENT_TYPES - 1 + 4);
	for (size_t i = 0; i < json_array_len(events); i++)
		ck_assert_uint_ne(event_set_by_name(json_string(json_array_at(events, i))), 0);
	yajl_tree_free(schema);
}
END_TEST

/* ---- the manual ---- */

/* From the heading of the scope to the next heading; the caller frees it. */
static char *manual_section(const char *manual, enum option_scope scope)
{
	static const char *const headings[SCOPES] = {"\n.Ss Top level\n", "\n.Ss Polling\n",
	        "\n.Ss Data centers\n", "\n.Ss Accounts\n", "\n.Ss Jobs\n", "\n.Ss Hooks\n"};
	const char *begin = strstr(manual, headings[scope]), *end;

	ck_assert_msg(begin != NULL, "the manual lacks %s", headings[scope]);
	begin += strlen(headings[scope]);
	end = strstr(begin, "\n.Ss ");
	ck_assert_ptr_nonnull(end);
	return mem_strndup(begin, (size_t)(end - begin));
}

static void assert_manual_has(const char *manual, const struct option *option)
{
	cleanup(mem_free_p) char *section = manual_section(manual, option->scope);
	cleanup(mem_free_p) char *heading = mem_printf("\n.It Ic %s\n", option->name);
	cleanup(mem_free_p) char *item = NULL;
	bool is_list = option->default_text && option->default_text[0] == '[';
	cleanup(mem_free_p) char *words =
	        mem_printf("Default:\n.Li %s%s%s .\n", is_list ? "\"" : "",
	                option->default_text ? option->default_text : "", is_list ? "\"" : "");
	char *begin = strstr(section, heading), *end;

	ck_assert_msg(!option->is_supported == !begin, "%s in %s: %s the manual", option->name,
	        option_scope_words(option->scope), begin ? "is in" : "is not in");
	if (!begin)
		return;
	begin += strlen(heading);
	end = strstr(begin, "\n.It ");
	item = mem_strndup(begin, end ? (size_t)(end + 1 - begin) : strlen(begin));
	if (option->default_text)
		ck_assert_msg(strstr(item, words) != NULL, "%s: %s", option->name, item);
	else
		ck_assert_msg(strstr(item, "Default:") == NULL, "%s: %s", option->name, item);
}

START_TEST(test_manual)
{
	static const char item[] = "\n.It Ic ";
	cleanup(buf_deinit) struct buf manual = {0};
	size_t n_items = 0, n_supported = 0;
	const char *at;

	read_project_file("docs/man/bulkwatchd.yaml.5", &manual);
	for (size_t i = 0; i < n_options; i++) {
		cleanup(mem_free_p) char *refused = mem_printf("\n.Ic %s ", options[i].name);

		assert_manual_has(buf_str(&manual), &options[i]);
		n_supported += options[i].is_supported;
		if (!options[i].is_supported)
			ck_assert_msg(strstr(strstr(buf_str(&manual), ".Ss Not yet supported"),
			                      refused) != NULL,
			        "the manual does not refuse %s", options[i].name);
	}
	for (at = buf_str(&manual); (at = strstr(at, item)); at += strlen(item))
		n_items++;
	ck_assert_uint_eq(n_items, n_supported);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config_docs");
	TCase *tests = tcase_create("docs");
	SRunner *runner;
	int n_failed;

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, test_table);
	tcase_add_test(tests, test_sample);
	tcase_add_test(tests, test_sample_is_valid);
	tcase_add_test(tests, test_schema);
	tcase_add_test(tests, test_manual);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

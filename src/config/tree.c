#include "config/tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "util/mem.h"
#include "util/str.h"

/* A list or map that is open at the moment. */
struct level {
	struct tree_node *node;
	struct tree_node *last; /* its newest child */
	bool has_key;           /* of a map: the next node is a value */
	const char *key;        /* NULL for a broken one: its value is read but dropped */
	struct place key_at;
};

struct builder {
	yaml_parser_t parser;
	const char *text;
	size_t len;
	uint32_t file;
	struct config_strings *arena;
	struct problems *problems;
	struct level levels[TREE_DEPTH_MAX];
	size_t depth;
	size_t n_nodes;
	size_t n_documents;
	struct tree_node *root;
	bool has_ended;
};

static struct place builder_place(const struct builder *b, yaml_mark_t mark)
{
	return (struct place){
	        .file = b->file,
	        .line = (uint32_t)mark.line + 1,
	        .column = (uint32_t)mark.column + 1,
	};
}

/* libyaml tells of a byte that it cannot read by its offset alone. */
static struct place builder_place_of_offset(const struct builder *b, size_t offset)
{
	struct place at = {.file = b->file, .line = 1, .column = 1};

	for (size_t i = 0; i < offset && i < b->len; i++) {
		unsigned char c = (unsigned char)b->text[i];

		bool is_last = i + 1 == b->len;

		if (c == '\n' || (c == '\r' && (is_last || b->text[i + 1] != '\n'))) {
			at.line++;
			at.column = 1;
		} else if ((c & 0xc0) != 0x80 && c != '\r') {
			at.column++;
		}
	}
	return at;
}

/* In the words of YAML's users instead of those of its grammar. */
static const char *syntax_words(const char *problem)
{
	static const struct {
		const char *libyaml, *ours;
	} words[] = {
	        {"did not find expected key", "a key was expected here; is the indentation right?"},
	        {"mapping values are not allowed in this context",
	                "a \": \" is not allowed here; is the indentation right, or are quotes "
	                "missing?"},
	        {"found character that cannot start any token",
	                "no value can begin with this character; put it in quotes"},
	        {"could not find expected ':'", "a \":\" was expected after the key before this"},
	        {"did not find expected <document start>",
	                "the file has more after its end; is the indentation right?"},
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(words[i].libyaml, problem) == 0)
			return words[i].ours;
	}
	return problem;
}

/* libyaml's marks count characters; its line and column are found again in the bytes. */
static bool builder_is_tab_at(const struct builder *b, yaml_mark_t mark)
{
	const char *p = b->text, *end = b->text + b->len;

	for (size_t line = 0; line < mark.line && p; line++) {
		p = memchr(p, '\n', (size_t)(end - p));
		p = p ? p + 1 : NULL;
	}
	if (!p || mark.column >= (size_t)(end - p) || p[mark.column] != '\t')
		return false;
	/* What stands before a tab that matters is indentation: a byte a character. */
	for (size_t i = 0; i < mark.column; i++) {
		if (p[i] != ' ' && p[i] != '\t')
			return false;
	}
	return true;
}

static void builder_syntax_error(struct builder *b)
{
	const yaml_parser_t *parser = &b->parser;
	struct place at = builder_place(b, parser->problem_mark);
	const char *problem = parser->problem ? parser->problem : "unreadable";

	if (parser->error == YAML_READER_ERROR) {
		at = builder_place_of_offset(b, parser->problem_offset);
		problems_add(b->problems, at, "a control character (U+%04X) in the file",
		        (unsigned)parser->problem_value);
		return;
	}
	if (builder_is_tab_at(b, parser->problem_mark)) {
		problems_add(b->problems, at, "YAML is indented with spaces, not with tabs");
		return;
	}
	if (parser->context && parser->context_mark.line != parser->problem_mark.line)
		problems_add(b->problems, at, "YAML syntax: %s (%s that begins at line %zu)",
		        syntax_words(problem), parser->context, parser->context_mark.line + 1);
	else
		problems_add(b->problems, at, "YAML syntax: %s", syntax_words(problem));
}

static struct tree_node *builder_node(struct builder *b, enum tree_kind kind, yaml_mark_t mark)
{
	struct tree_node *node = config_strings_alloc(b->arena, sizeof(*node));

	node->kind = kind;
	node->at = builder_place(b, mark);
	b->n_nodes++;
	return node;
}

static void builder_take_key(struct builder *b, struct level *level, const struct tree_node *node)
{
	level->has_key = true;
	level->key = NULL;
	level->key_at = node->at;
	if (node->kind == TREE_BROKEN)
		return;
	if (node->kind != TREE_SCALAR)
		problems_add(b->problems, node->at, "a key must be a single word");
	else if (node->is_plain && strcmp(node->text, "<<") == 0)
		problems_add(
		        b->problems, node->at, "merge keys (<<) are not taken; write the keys out");
	else
		level->key = node->text;
}

/* Hangs a new node in where the file has it. */
static void builder_place_node(struct builder *b, struct tree_node *node)
{
	struct level *level = b->depth > 0 ? &b->levels[b->depth - 1] : NULL;

	if (!level) {
		b->root = node;
		return;
	}
	if (level->node->kind == TREE_MAP && !level->has_key) {
		builder_take_key(b, level, node);
		return;
	}
	if (level->node->kind == TREE_MAP) {
		level->has_key = false;
		if (!level->key)
			return;
		node->key = level->key;
		node->key_at = level->key_at;
	}
	if (level->last)
		level->last->next = node;
	else
		level->node->first = node;
	level->last = node;
	level->node->n++;
}

/* Anchors and tags are told of, and the node is read as if it had none. */
static void builder_refuse_properties(
        struct builder *b, const yaml_char_t *anchor, const yaml_char_t *tag, yaml_mark_t mark)
{
	static const char core[] = "tag:yaml.org,2002:"; /* what "!!" stands for */
	const char *tag_text = (const char *)tag;
	char quoted[QUOTE_SIZE];

	if (anchor)
		problems_add(b->problems, builder_place(b, mark),
		        "anchors are not taken (&%s); write the value out where it is needed",
		        (const char *)anchor);
	if (tag && str_has_prefix(tag_text, core))
		problems_add(b->problems, builder_place(b, mark),
		        "tags are not taken (!!%.20s); every value is read as it is written",
		        tag_text + strlen(core));
	else if (tag)
		problems_add(b->problems, builder_place(b, mark),
		        "tags are not taken (%s); every value is read as it is written",
		        problems_quote(quoted, tag_text));
}

static void builder_scalar(struct builder *b, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	struct tree_node *node = builder_node(b, TREE_SCALAR, event->start_mark);

	builder_refuse_properties(
	        b, event->data.scalar.anchor, event->data.scalar.tag, event->start_mark);
	node->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->text = config_strings_add(b->arena, text, len);
	if (strlen(node->text) != len) {
		problems_add(b->problems, node->at, "a text must not hold a NUL character");
		node->kind = TREE_BROKEN;
	}
	builder_place_node(b, node);
}

static void builder_alias(struct builder *b, const yaml_event_t *event)
{
	struct tree_node *node = builder_node(b, TREE_BROKEN, event->start_mark);

	problems_add(b->problems, node->at, "aliases are not taken (*%s); write the value out",
	        (const char *)event->data.alias.anchor);
	builder_place_node(b, node);
}

static bool builder_open(struct builder *b, enum tree_kind kind, const yaml_event_t *event)
{
	struct tree_node *node = builder_node(b, kind, event->start_mark);

	if (kind == TREE_LIST)
		builder_refuse_properties(b, event->data.sequence_start.anchor,
		        event->data.sequence_start.tag, event->start_mark);
	else
		builder_refuse_properties(b, event->data.mapping_start.anchor,
		        event->data.mapping_start.tag, event->start_mark);
	if (b->depth == TREE_DEPTH_MAX) {
		problems_add(b->problems, node->at, "nested more than %d deep", TREE_DEPTH_MAX);
		return false;
	}
	builder_place_node(b, node);
	b->levels[b->depth++] = (struct level){.node = node};
	return true;
}

static int compare_keys(const void *va, const void *vb)
{
	const struct tree_node *a = *(struct tree_node *const *)va;
	const struct tree_node *b = *(struct tree_node *const *)vb;
	int order = strcmp(a->key, b->key);

	if (order != 0)
		return order;
	if (a->key_at.line != b->key_at.line)
		return a->key_at.line < b->key_at.line ? -1 : 1;
	return a->key_at.column < b->key_at.column ? -1 : 1;
}

static void builder_check_duplicates(struct builder *b, struct tree_node *map)
{
	char quoted[QUOTE_SIZE];
	struct tree_node **sorted, *child = map->first;

	if (map->n < 2)
		return;
	sorted = mem_new(map->n, sizeof(struct tree_node *));
	for (size_t i = 0; i < map->n; i++, child = child->next)
		sorted[i] = child;
	qsort(sorted, map->n, sizeof(*sorted), compare_keys);
	for (size_t i = 1, first = 0; i < map->n; i++) {
		if (strcmp(sorted[i]->key, sorted[first]->key) != 0) {
			first = i;
			continue;
		}
		problems_add(b->problems, sorted[i]->key_at,
		        "duplicate key %s; the first is at line %u",
		        problems_quote(quoted, sorted[i]->key), sorted[first]->key_at.line);
		sorted[i]->kind = TREE_BROKEN;
	}
	free(sorted);
}

static void builder_close(struct builder *b)
{
	struct tree_node *node;

	assert(b->depth > 0);
	node = b->levels[--b->depth].node;
	if (node->kind == TREE_MAP)
		builder_check_duplicates(b, node);
}

/* %YAML tells what libyaml has looked at already; %TAG is for tags alone. */
static void builder_directives(struct builder *b, const yaml_event_t *event)
{
	if (event->data.document_start.tag_directives.start !=
	        event->data.document_start.tag_directives.end)
		problems_add(b->problems, builder_place(b, event->start_mark),
		        "%%TAG is not taken; every value is read as it is written");
}

/* False ends the reading. */
static bool builder_event(struct builder *b, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_STREAM_END_EVENT:
		b->has_ended = true;
		return false;
	case YAML_DOCUMENT_START_EVENT:
		if (b->n_documents++ == 0) {
			builder_directives(b, event);
			return true;
		}
		problems_add(b->problems, builder_place(b, event->start_mark),
		        "a second document begins here; the file must hold one only");
		return false;
	case YAML_SCALAR_EVENT:
		builder_scalar(b, event);
		break;
	case YAML_ALIAS_EVENT:
		builder_alias(b, event);
		break;
	case YAML_SEQUENCE_START_EVENT:
		return builder_open(b, TREE_LIST, event);
	case YAML_MAPPING_START_EVENT:
		return builder_open(b, TREE_MAP, event);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		builder_close(b);
		break;
	default:
		break;
	}
	if (b->n_nodes > TREE_NODES_MAX) {
		problems_add(b->problems, builder_place(b, event->start_mark),
		        "more than %d values in one file; put jobs into a jobs_file",
		        TREE_NODES_MAX);
		return false;
	}
	return true;
}

/* True if the whole document was read; everything else is told. */
static bool builder_run(struct builder *b)
{
	bool goes_on = true;

	while (goes_on) {
		yaml_event_t event;

		if (!yaml_parser_parse(&b->parser, &event)) {
			if (b->parser.error == YAML_MEMORY_ERROR)
				mem_exhausted();
			builder_syntax_error(b);
			return false;
		}
		goes_on = builder_event(b, &event);
		yaml_event_delete(&event);
	}
	/* A second document does not spoil the first. */
	return b->has_ended || (b->n_documents > 1 && b->depth == 0);
}

static struct tree_node *last_child(const struct tree_node *node)
{
	struct tree_node *child = node->first;

	while (child && child->next)
		child = child->next;
	return child;
}

/*
 * What was read last may be half of what was meant, and what is missing in it may stand behind the
 * error: of a section that is the last thing with a name of its own, else the last value.
 */
static void builder_cut(struct builder *b)
{
	enum { DEPTH_OF_NAMED = 2 };
	struct tree_node *node = b->root;

	while (b->depth > 0)
		builder_close(b);
	if (!node || node->kind != TREE_MAP) {
		b->root = NULL;
		return;
	}
	node->is_cut = true;
	for (int depth = 1; node && depth <= DEPTH_OF_NAMED; depth++) {
		node = last_child(node);
		if (node && (depth == DEPTH_OF_NAMED || node->kind == TREE_SCALAR))
			node->kind = TREE_BROKEN;
	}
}

struct tree_node *tree_parse_part(const char *text, size_t len, uint32_t file,
        struct config_strings *arena, struct problems *problems)
{
	struct builder b = {.file = file, .arena = arena, .problems = problems};
	struct place whole = {.file = file};
	size_t bad = 0;
	bool is_whole;

	/* libyaml knows the byte order mark, but would count it as a column. */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	b.text = text;
	b.len = len;
	if (!str_is_utf8(text, len, &bad)) {
		problems_add(problems, builder_place_of_offset(&b, bad),
		        "invalid UTF-8 (byte 0x%02x)", (unsigned char)text[bad]);
		return NULL;
	}
	if (!yaml_parser_initialize(&b.parser))
		mem_exhausted();
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, len);
	is_whole = builder_run(&b);
	yaml_parser_delete(&b.parser);
	if (!is_whole)
		builder_cut(&b);
	else if (!b.root)
		problems_add(problems, whole, "the file is empty");
	return b.root;
}

struct tree_node *tree_parse(const char *text, size_t len, uint32_t file,
        struct config_strings *arena, struct problems *problems)
{
	struct tree_node *root = tree_parse_part(text, len, file, arena, problems);

	return root && !root->is_cut ? root : NULL;
}

const struct tree_node *tree_get(const struct tree_node *map, const char *key)
{
	for (const struct tree_node *child = map->first; child; child = child->next) {
		if (strcmp(child->key, key) == 0)
			return child;
	}
	return NULL;
}

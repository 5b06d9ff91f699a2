#include "train/command/yaml_text.h"

#include <stdbool.h>
#include <string.h>

/* What the tokens so far add up to. */
typedef struct yaml_counts {
    int nesting, nodes, anchors, further;
} yaml_counts;

static void count_token(const yaml_token_t *token, yaml_counts *counts)
{
    switch (token->type) {
    case YAML_BLOCK_SEQUENCE_START_TOKEN:
    case YAML_BLOCK_MAPPING_START_TOKEN:
    case YAML_FLOW_SEQUENCE_START_TOKEN:
    case YAML_FLOW_MAPPING_START_TOKEN:
        counts->nesting++;
        counts->nodes++;
        break;
    case YAML_BLOCK_END_TOKEN:
    case YAML_FLOW_SEQUENCE_END_TOKEN:
    case YAML_FLOW_MAPPING_END_TOKEN:
        counts->nesting--;
        break;
    case YAML_DOCUMENT_START_TOKEN:
        counts->further += counts->nodes > 0;
        break;
    case YAML_ANCHOR_TOKEN:
    case YAML_TAG_DIRECTIVE_TOKEN:
        counts->anchors++;
        break;
    case YAML_SCALAR_TOKEN:
    case YAML_BLOCK_ENTRY_TOKEN: /* which may have no value, as what follows may not */
    case YAML_FLOW_ENTRY_TOKEN:
    case YAML_KEY_TOKEN:
        counts->nodes++;
        break;
    default:
        break;
    }
}

static mt_status check_counts(const char *what, const yaml_token_t *token,
                              const yaml_counts *counts)
{
    const struct {
        const char *name;
        int count, most;
    } limits[] = {{"levels of nesting", counts->nesting, YAML_MOST_NESTING},
                  {"names and values", counts->nodes, YAML_MOST_NODES},
                  {"anchors and tags", counts->anchors, YAML_MOST_ANCHORS},
                  {"documents behind the first", counts->further, 0}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        if (limits[i].count > limits[i].most) {
            return mt_fail(MT_ERROR_FORMAT, "%s: line %zu: more than %d %s", what,
                           token->start_mark.line + 1, limits[i].most, limits[i].name);
        }
    }
    return MT_OK;
}

/* A text in C would end there. */
static mt_status check_text(const char *what, const yaml_token_t *token)
{
    bool is_text = token->type == YAML_SCALAR_TOKEN;
    return is_text && memchr(token->data.scalar.value, '\0', token->data.scalar.length) != NULL
               ? mt_fail(MT_ERROR_FORMAT, "%s: line %zu: a zero byte in '%s'", what,
                         token->start_mark.line + 1, (const char *)token->data.scalar.value)
               : MT_OK;
}

static mt_status fail_at_problem(const char *what, const yaml_parser_t *parser)
{
    bool lacks_memory = parser->error == YAML_MEMORY_ERROR || parser->problem == NULL;
    if (lacks_memory) { /* of which libyaml does not tell everywhere */
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its YAML", what);
    }
    return mt_fail(MT_ERROR_FORMAT, "%s: line %zu: %s", what, parser->problem_mark.line + 1,
                   parser->problem);
}

/* Walks through the tokens, which libyaml makes one by one. */
static mt_status check_limits(const char *what, yaml_parser_t *parser)
{
    yaml_counts counts = {0};
    mt_status status = MT_OK;
    bool at_end = false;
    while (status == MT_OK && !at_end) {
        yaml_token_t token;
        if (!yaml_parser_scan(parser, &token)) {
            return fail_at_problem(what, parser);
        }
        count_token(&token, &counts);
        status = check_counts(what, &token, &counts);
        if (status == MT_OK) {
            status = check_text(what, &token);
        }
        at_end = token.type == YAML_STREAM_END_TOKEN;
        yaml_token_delete(&token);
    }
    return status;
}

static mt_status load(const char *what, yaml_parser_t *parser, yaml_document_t *document)
{
    return yaml_parser_load(parser, document) ? MT_OK : fail_at_problem(what, parser);
}

static mt_status with_parser(const char *what, const char *text, size_t size,
                             yaml_document_t *document)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for a YAML parser", what);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    mt_status status =
        document != NULL ? load(what, &parser, document) : check_limits(what, &parser);
    yaml_parser_delete(&parser);
    return status;
}

mt_status yaml_text_load(const char *what, const char *text, size_t size, yaml_document_t *document)
{
    if (size > YAML_MOST_BYTES) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %zu bytes of YAML, of which at most %d are read", what,
                       size, YAML_MOST_BYTES);
    }
    mt_status status = with_parser(what, text, size, NULL);
    return status == MT_OK ? with_parser(what, text, size, document) : status;
}

yaml_node_t *yaml_text_find(yaml_document_t *document, const char *name)
{
    yaml_node_t *root = yaml_document_get_root_node(document);
    if (root == NULL || root->type != YAML_MAPPING_NODE) {
        return NULL;
    }
    yaml_node_t *found = NULL;
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        if (strcmp(yaml_text_of(yaml_document_get_node(document, pair->key)), name) == 0) {
            found = yaml_document_get_node(document, pair->value);
        }
    }
    return found;
}

const char *yaml_text_of(const yaml_node_t *node)
{
    return node != NULL && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value
                                                          : "";
}

bool yaml_text_is_null(const yaml_node_t *node)
{
    const char *text = yaml_text_of(node);
    return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (strcmp(text, "null") == 0 || strcmp(text, "~") == 0 || text[0] == '\0');
}

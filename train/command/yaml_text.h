/* YAML from files, within limits: libyaml takes a time that grows with the square of nesting, of
 * anchors and of directives, and as much memory for two bytes as for a token. */
#ifndef MT_COMMAND_YAML_TEXT_H
#define MT_COMMAND_YAML_TEXT_H

#include <mixtape/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

enum {
    YAML_MOST_BYTES = 16 << 20,
    YAML_MOST_NODES = 1 << 20, /* names, values and what holds them */
    YAML_MOST_NESTING = 64,
    YAML_MOST_ANCHORS = 1000
};

/* Parses a text, of which `what` is the name, into a document that the caller deletes.
 * MT_ERROR_FORMAT with the line for what is no YAML, exceeds a limit, or holds a zero byte. */
mt_status yaml_text_load(const char *what, const char *text, size_t size,
                         yaml_document_t *document);

/* The value of a name in the document's mapping, or NULL; the last one, as Python's YAML has it. */
yaml_node_t *yaml_text_find(yaml_document_t *document, const char *name);

/* The text of a single value; of other nodes, and of NULL, "". */
const char *yaml_text_of(const yaml_node_t *node);

/* Tells if Python's YAML takes it for None. */
bool yaml_text_is_null(const yaml_node_t *node);

#endif

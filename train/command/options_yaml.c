/* The options as config.yaml has them. */
#include "train/command/options.h"

#include "train/command/yaml_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* Text that grows as libyaml writes it. */
typedef struct growing_text {
    char *bytes;
    size_t size;
} growing_text;

static int append_bytes(void *data, unsigned char *bytes, size_t size)
{
    growing_text *text = data;
    char *grown = realloc(text->bytes, text->size + size + 1);
    if (grown == NULL) {
        return 0;
    }
    memcpy(grown + text->size, bytes, size);
    text->bytes = grown;
    text->size += size;
    text->bytes[text->size] = '\0';
    return 1;
}

static bool emit_scalar(yaml_emitter_t *emitter, const char *text, yaml_scalar_style_t style)
{
    yaml_event_t event;
    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
                                        (int)strlen(text), 1, 1, style) &&
           yaml_emitter_emit(emitter, &event);
}

static bool emit_pair(yaml_emitter_t *emitter, const char *name, const char *text, bool quoted)
{
    return emit_scalar(emitter, name, YAML_PLAIN_SCALAR_STYLE) &&
           emit_scalar(emitter, text,
                       quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE);
}

/* What config.yaml says beside the options, by its name. */
static char *fact(run_config *config, const char *name, size_t *size)
{
    const struct {
        const char *name;
        char *text;
        size_t size;
    } facts[] = {{"task", config->task, sizeof config->task},
                 {"data-digest", config->data_digest, sizeof config->data_digest},
                 {"valid-data-digest", config->valid_digest, sizeof config->valid_digest}};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        if (strcmp(facts[i].name, name) == 0) {
            *size = facts[i].size;
            return facts[i].text;
        }
    }
    return NULL;
}

static bool emit_digest(yaml_emitter_t *emitter, const char *name, const char *digest)
{
    return digest[0] == '\0' || emit_pair(emitter, name, digest, false);
}

static bool emit_config(yaml_emitter_t *emitter, const run_config *config)
{
    yaml_event_t event;
    const char *name;
    char text[TEXT_MAX];
    if (!yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) ||
        !yaml_emitter_emit(emitter, &event) ||
        !yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) ||
        !yaml_emitter_emit(emitter, &event) ||
        !yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) ||
        !yaml_emitter_emit(emitter, &event) || !emit_pair(emitter, "task", config->task, false)) {
        return false;
    }
    bool is_text;
    for (int i = 0; (name = options_row(i, config, text, &is_text)) != NULL; i++) {
        if (!emit_pair(emitter, name, text, is_text)) {
            return false;
        }
    }
    return emit_digest(emitter, "data-digest", config->data_digest) &&
           emit_digest(emitter, "valid-data-digest", config->valid_digest) &&
           yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event) &&
           yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(emitter, &event) &&
           yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

mt_status options_write_yaml(const run_config *config, char **text)
{
    yaml_emitter_t emitter;
    growing_text written = {NULL, 0};
    *text = NULL;
    if (!yaml_emitter_initialize(&emitter)) {
        return mt_fail(MT_ERROR_MEMORY, "config: no memory for a YAML emitter");
    }
    yaml_emitter_set_output(&emitter, append_bytes, &written);
    bool whole = emit_config(&emitter, config) && written.bytes != NULL;
    yaml_emitter_delete(&emitter);
    if (!whole) {
        free(written.bytes);
        return mt_fail(MT_ERROR_MEMORY, "config: no memory to write it");
    }
    *text = written.bytes;
    return MT_OK;
}

static mt_status set_pair(run_config *config, const yaml_node_t *key, const yaml_node_t *value)
{
    if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE) {
        return mt_fail(MT_ERROR_FORMAT, "config: line %zu is not `name: value`",
                       key->start_mark.line + 1);
    }
    const char *name = (const char *)key->data.scalar.value,
               *text = (const char *)value->data.scalar.value;
    size_t size;
    char *text_of_fact = fact(config, name, &size);
    if (text_of_fact != NULL) {
        snprintf(text_of_fact, size, "%s", text);
        return MT_OK;
    }
    mt_status status = options_set(config, name, text);
    return status == MT_OK ? MT_OK
                           : mt_fail(MT_ERROR_FORMAT, "config: line %zu: %s",
                                     key->start_mark.line + 1, mt_error_message());
}

static mt_status set_all(run_config *config, yaml_document_t *document)
{
    yaml_node_t *root = yaml_document_get_root_node(document);
    if (root == NULL || root->type != YAML_MAPPING_NODE) {
        return mt_fail(MT_ERROR_FORMAT, "config: not lines of `name: value`");
    }
    mt_status status = MT_OK;
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top && status == MT_OK; pair++) {
        status = set_pair(config, yaml_document_get_node(document, pair->key),
                          yaml_document_get_node(document, pair->value));
    }
    return status;
}

mt_status options_read_yaml(run_config *config, const char *text)
{
    yaml_document_t document;
    mt_status status = yaml_text_load("config", text, strlen(text), &document);
    if (status == MT_OK) {
        status = set_all(config, &document);
        yaml_document_delete(&document);
    }
    return status;
}

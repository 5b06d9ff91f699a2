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

static bool emit_list(yaml_emitter_t *emitter, const char *name, const file_list *list)
{
    yaml_event_t event;
    bool whole =
        emit_scalar(emitter, name, YAML_PLAIN_SCALAR_STYLE) &&
        yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE) &&
        yaml_emitter_emit(emitter, &event);
    for (int64_t i = 0; i < list->count && whole; i++) {
        whole = emit_scalar(emitter, list->names[i], YAML_DOUBLE_QUOTED_SCALAR_STYLE);
    }
    return whole && yaml_sequence_end_event_initialize(&event) &&
           yaml_emitter_emit(emitter, &event);
}

/* One name is a text, as it was when there was room for no more. */
static bool emit_files(yaml_emitter_t *emitter, const char *name, const file_list *list)
{
    return list->count > 1 ? emit_list(emitter, name, list)
                           : emit_pair(emitter, name, list->count == 1 ? list->names[0] : "", true);
}

static bool emit_row(yaml_emitter_t *emitter, const option_row *row, const run_config *config)
{
    char text[TEXT_MAX];
    return options_is_list(row->name)
               ? emit_files(emitter, row->name, options_list(row, config))
               : emit_pair(emitter, row->name, options_text(row, config, text), row->kind == TEXT);
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
    const option_row *row;
    if (!yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) ||
        !yaml_emitter_emit(emitter, &event) ||
        !yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) ||
        !yaml_emitter_emit(emitter, &event) ||
        !yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) ||
        !yaml_emitter_emit(emitter, &event) || !emit_pair(emitter, "task", config->task, false)) {
        return false;
    }
    bool whole = true;
    for (int i = 0; whole && (row = option_row_at(i)) != NULL; i++) {
        whole = emit_row(emitter, row, config);
    }
    return whole && emit_digest(emitter, "data-digest", config->data_digest) &&
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

static mt_status fail_at(const yaml_node_t *node, const char *why)
{
    return mt_fail(MT_ERROR_FORMAT, "config: line %zu: %s", node->start_mark.line + 1, why);
}

static mt_status set_text(run_config *config, const yaml_node_t *key, const yaml_node_t *value)
{
    const char *name = (const char *)key->data.scalar.value,
               *text = (const char *)value->data.scalar.value;
    size_t size;
    char *text_of_fact = fact(config, name, &size);
    if (text_of_fact == NULL) {
        mt_status status = options_add_kept(config, name, text);
        return status == MT_OK ? MT_OK : fail_at(value, mt_error_message());
    }
    if (strlen(text) >= size) {
        return fail_at(value, "too long");
    }
    memcpy(text_of_fact, text, strlen(text) + 1);
    return MT_OK;
}

static mt_status set_list(run_config *config, yaml_document_t *document, const yaml_node_t *key,
                          const yaml_node_t *list)
{
    mt_status status = MT_OK;
    for (const yaml_node_item_t *item = list->data.sequence.items.start;
         item < list->data.sequence.items.top && status == MT_OK; item++) {
        const yaml_node_t *value = yaml_document_get_node(document, *item);
        status = value->type == YAML_SCALAR_NODE ? set_text(config, key, value)
                                                 : fail_at(value, "not the name of a file");
    }
    return status;
}

/* How a text is read: into what, the options of a task alone, unless that is NULL, and what takes
 * names that are no options', or NULL. */
typedef struct reading {
    run_config *config;
    const char *task;
    options_beside *take;
    void *context;
} reading;

static mt_status set_pair(const reading *how, yaml_document_t *document,
                          const yaml_node_pair_t *pair)
{
    const yaml_node_t *key = yaml_document_get_node(document, pair->key),
                      *value = yaml_document_get_node(document, pair->value);
    const char *name = key->type == YAML_SCALAR_NODE ? (const char *)key->data.scalar.value : "";
    bool is_pair = key->type == YAML_SCALAR_NODE && value->type == YAML_SCALAR_NODE;
    bool is_list = options_is_list(name);
    if (how->task != NULL && !options_is_read(how->task, name)) {
        return MT_OK;
    }
    if (is_pair && how->take != NULL) {
        bool taken;
        mt_status status =
            how->take(how->context, name, (const char *)value->data.scalar.value, &taken);
        if (status != MT_OK || taken) {
            return status == MT_OK || status == MT_ERROR_MEMORY
                       ? status
                       : fail_at(value, mt_error_message());
        }
    }
    if (is_list) {
        options_empty_list(how->config, name);
    }
    if (is_pair) {
        return set_text(how->config, key, value);
    }
    return is_list && value->type == YAML_SEQUENCE_NODE
               ? set_list(how->config, document, key, value)
               : fail_at(key, "not `name: value`");
}

/* A name that stands there twice would have one of two values, by its order alone. */
static mt_status check_once(yaml_document_t *document, const yaml_node_t *root,
                            const yaml_node_pair_t *pair)
{
    const yaml_node_t *key = yaml_document_get_node(document, pair->key);
    for (yaml_node_pair_t *other = root->data.mapping.pairs.start; other < pair; other++) {
        const yaml_node_t *before = yaml_document_get_node(document, other->key);
        if (key->type == YAML_SCALAR_NODE && before->type == YAML_SCALAR_NODE &&
            strcmp((const char *)key->data.scalar.value, (const char *)before->data.scalar.value) ==
                0) {
            return fail_at(key, "this option stands there twice");
        }
    }
    return MT_OK;
}

static mt_status set_all(const reading *how, yaml_document_t *document)
{
    yaml_node_t *root = yaml_document_get_root_node(document);
    if (root == NULL || root->type != YAML_MAPPING_NODE) {
        return mt_fail(MT_ERROR_FORMAT, "config: not lines of `name: value`");
    }
    mt_status status = MT_OK;
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top && status == MT_OK; pair++) {
        status = check_once(document, root, pair);
        if (status == MT_OK) {
            status = set_pair(how, document, pair);
        }
    }
    return status;
}

static mt_status read_yaml(const reading *how, const char *text)
{
    yaml_document_t document;
    mt_status status = yaml_text_load("config", text, strlen(text), &document);
    if (status == MT_OK) {
        status = set_all(how, &document);
        yaml_document_delete(&document);
    }
    return status;
}

mt_status options_read_yaml(run_config *config, const char *text)
{
    return read_yaml(&(reading){.config = config}, text);
}

mt_status options_read_yaml_for(const char *task, run_config *config, const char *text)
{
    return read_yaml(&(reading){.config = config, .task = task}, text);
}

mt_status options_read_yaml_beside(run_config *config, const char *text, options_beside *take,
                                   void *context)
{
    return read_yaml(&(reading){.config = config, .take = take, .context = context}, text);
}

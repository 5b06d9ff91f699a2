#include "train/command/espnet_config.h"

#include <mixtape/model_fields.h>

#include "io/file.h"
#include "train/command/espnet_text.h"
#include "train/command/options.h"
#include "train/command/yaml_text.h"

#include <stdlib.h>
#include <string.h>

/* ESPnet's mappings; what their keys are the table of a model's fields tells. */
#define DECODER   "decoder_conf"
#define NORM_ARGS "normalization_args"

typedef struct espnet_file {
    const char *path;
    yaml_document_t document;
    run_config *config;
} espnet_file;

static mt_status wrong(const espnet_file *file, const yaml_node_t *at, const char *section,
                       const char *key, const char *why)
{
    return mt_fail(MT_ERROR_FORMAT, "%s: line %zu: %s: %s: %s", file->path, at->start_mark.line + 1,
                   section, key, why);
}

static const mt_model_field *find_field(const char *section, const char *key)
{
    const mt_model_field *field = mt_model_fields();
    while (field->name != NULL && (field->espnet == NULL || strcmp(field->espnet, section) != 0 ||
                                   strcmp(field->attribute, key) != 0)) {
        field++;
    }
    return field->name != NULL ? field : NULL;
}

static mt_status take_mapping(espnet_file *file, const char *section, const yaml_node_t *mapping);

static mt_status take_pair(espnet_file *file, const char *section, const yaml_node_t *key,
                           const yaml_node_t *value)
{
    const char *name = yaml_text_of(key);
    bool is_decoder = strcmp(section, DECODER) == 0;
    if (is_decoder && strcmp(name, NORM_ARGS) == 0) {
        return yaml_text_is_null(value) ? MT_OK : take_mapping(file, name, value);
    }
    const mt_model_field *field = find_field(section, name);
    if (field == NULL) {
        return wrong(file, key, section, name, "ESPnet's RWKV decoder has no such argument");
    }
    if (yaml_text_is_null(value)) {
        return MT_OK;
    }
    if (value->type != YAML_SCALAR_NODE) {
        return wrong(file, value, section, name, "not a single value");
    }
    mt_status status = options_set(file->config, field->option, yaml_text_of(value));
    /* The message begins with our option, which the file does not have. */
    return status == MT_OK ? MT_OK
                           : wrong(file, value, section, name,
                                   mt_error_message() + strlen("--") + strlen(field->option) + 1);
}

static mt_status take_mapping(espnet_file *file, const char *section, const yaml_node_t *mapping)
{
    if (mapping->type != YAML_MAPPING_NODE) {
        return mt_fail(MT_ERROR_FORMAT, "%s: line %zu: %s: not a mapping", file->path,
                       mapping->start_mark.line + 1, section);
    }
    mt_status status = MT_OK;
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
         pair < mapping->data.mapping.pairs.top && status == MT_OK; pair++) {
        status = take_pair(file, section, yaml_document_get_node(&file->document, pair->key),
                           yaml_document_get_node(&file->document, pair->value));
    }
    return status;
}

static mt_status take_decoder(espnet_file *file)
{
    const yaml_node_t *decoder = yaml_text_find(&file->document, "decoder"),
                      *conf = yaml_text_find(&file->document, DECODER);
    if (decoder == NULL) {
        return mt_fail(MT_ERROR_FORMAT, "%s: there is no `decoder: rwkv`", file->path);
    }
    if (strcmp(yaml_text_of(decoder), "rwkv") != 0) {
        return mt_fail(MT_ERROR_FORMAT, "%s: decoder is '%s', not rwkv", file->path,
                       yaml_text_of(decoder));
    }
    /* ESPnet's defaults are the library's, but for the size; -1 is how config.yaml says "all". */
    file->config->model = mt_model_config_default(0, 512);
    file->config->model.norm.partial = -1.0;
    return conf != NULL && !yaml_text_is_null(conf) ? take_mapping(file, DECODER, conf) : MT_OK;
}

mt_status espnet_config_read(const train_arguments *given, const mt_weights *init,
                             run_config *config)
{
    const char *path = given->espnet_config;
    espnet_file file = {.path = path, .config = config};
    char *text;
    size_t size;
    mt_status status = mt_file_read(path, &text, &size);
    if (status != MT_OK) {
        return status;
    }
    status = yaml_text_load(path, text, size, &file.document);
    free(text);
    if (status == MT_OK) {
        status = take_decoder(&file);
        if (status == MT_OK) {
            status = espnet_text_take(&file.document, given, init, config);
        }
        yaml_document_delete(&file.document);
    }
    return status;
}

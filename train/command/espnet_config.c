#include "train/command/espnet_config.h"

#include "io/file.h"
#include "train/command/options.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* ESPnet's names (RWKVDecoder's arguments, get_normalization's), our options, ESPnet's defaults. */
typedef struct key_row {
    const char *key, *option, *initial; /* option NULL: it changes nothing here */
} key_row;

static const key_row decoder_keys[] = {
    {"block_size", "size", "512"},
    {"context_size", "context-size", "1024"},
    {"linear_size", "linear-size", "0"},
    {"attention_size", "attention-size", "0"},
    {"normalization_type", "norm", "layer_norm"},
    {"num_blocks", "blocks", "4"},
    {"rescale_every", NULL, NULL},
    {"embed_dropout_rate", "embed-dropout", "0"},
    {"att_dropout_rate", "att-dropout", "0"},
    {"ffn_dropout_rate", "ffn-dropout", "0"},
    {"embed_pad", "embed-pad", "0"},
    {"normalization_args", NULL, NULL}, /* a mapping of its own: */
    {NULL, NULL, NULL},
};

static const key_row norm_keys[] = {
    {"eps", "norm-eps", "0"},
    {"partial", "norm-partial", "-1"},
    {NULL, NULL, NULL},
};

typedef struct espnet_file {
    const char *path;
    yaml_document_t document;
    run_config *config;
} espnet_file;

static const char *text_of(const yaml_node_t *node)
{
    return node != NULL && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value
                                                          : "";
}

/* Tells if Python's YAML takes it for None. */
static bool is_null(const yaml_node_t *node)
{
    const char *text = text_of(node);
    return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (strcmp(text, "null") == 0 || strcmp(text, "~") == 0 || text[0] == '\0');
}

static mt_status wrong(const espnet_file *file, const yaml_node_t *at, const char *section,
                       const char *key, const char *why)
{
    return mt_fail(MT_ERROR_FORMAT, "%s: line %zu: %s: %s: %s", file->path, at->start_mark.line + 1,
                   section, key, why);
}

static mt_status take_mapping(espnet_file *file, const char *section, const key_row *rows,
                              const yaml_node_t *mapping);

static mt_status take_pair(espnet_file *file, const char *section, const key_row *rows,
                           const yaml_node_t *key, const yaml_node_t *value)
{
    const char *name = text_of(key);
    while (rows->key != NULL && strcmp(rows->key, name) != 0) {
        rows++;
    }
    if (rows->key == NULL) {
        return wrong(file, key, section, name, "ESPnet's RWKV decoder has no such argument");
    }
    if (strcmp(name, "normalization_args") == 0) {
        return is_null(value) ? MT_OK : take_mapping(file, name, norm_keys, value);
    }
    if (rows->option == NULL || is_null(value)) {
        return MT_OK;
    }
    if (value->type != YAML_SCALAR_NODE) {
        return wrong(file, value, section, name, "not a single value");
    }
    mt_status status = options_set(file->config, rows->option, text_of(value));
    /* The message begins with our option, which the file does not have. */
    return status == MT_OK ? MT_OK
                           : wrong(file, value, section, name,
                                   mt_error_message() + strlen("--") + strlen(rows->option) + 1);
}

static mt_status take_mapping(espnet_file *file, const char *section, const key_row *rows,
                              const yaml_node_t *mapping)
{
    if (mapping->type != YAML_MAPPING_NODE) {
        return mt_fail(MT_ERROR_FORMAT, "%s: line %zu: %s: not a mapping", file->path,
                       mapping->start_mark.line + 1, section);
    }
    mt_status status = MT_OK;
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
         pair < mapping->data.mapping.pairs.top && status == MT_OK; pair++) {
        status = take_pair(file, section, rows, yaml_document_get_node(&file->document, pair->key),
                           yaml_document_get_node(&file->document, pair->value));
    }
    return status;
}

static yaml_node_t *find(espnet_file *file, const char *name)
{
    yaml_node_t *root = yaml_document_get_root_node(&file->document);
    if (root == NULL || root->type != YAML_MAPPING_NODE) {
        return NULL;
    }
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        if (strcmp(text_of(yaml_document_get_node(&file->document, pair->key)), name) == 0) {
            return yaml_document_get_node(&file->document, pair->value);
        }
    }
    return NULL;
}

static mt_status take_defaults(run_config *config, const key_row *rows)
{
    mt_status status = options_set(config, "time-first", "espnet");
    for (; rows->key != NULL && status == MT_OK; rows++) {
        status = rows->option != NULL ? options_set(config, rows->option, rows->initial) : MT_OK;
    }
    return status;
}

static mt_status take_decoder(espnet_file *file)
{
    const yaml_node_t *decoder = find(file, "decoder"), *conf = find(file, "decoder_conf");
    if (decoder == NULL) {
        return mt_fail(MT_ERROR_FORMAT, "%s: there is no `decoder: rwkv`", file->path);
    }
    if (strcmp(text_of(decoder), "rwkv") != 0) {
        return mt_fail(MT_ERROR_FORMAT, "%s: decoder is '%s', not rwkv", file->path,
                       text_of(decoder));
    }
    mt_status status = take_defaults(file->config, decoder_keys);
    if (status == MT_OK) {
        status = take_defaults(file->config, norm_keys);
    }
    return status == MT_OK && conf != NULL && !is_null(conf)
               ? take_mapping(file, "decoder_conf", decoder_keys, conf)
               : status;
}

mt_status espnet_config_read(const char *path, run_config *config)
{
    espnet_file file = {.path = path, .config = config};
    yaml_parser_t parser;
    char *text;
    size_t size;
    mt_status status = mt_file_read(path, &text, &size);
    if (status != MT_OK) {
        return status;
    }
    if (!yaml_parser_initialize(&parser)) {
        free(text);
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for a YAML parser", path);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    if (!yaml_parser_load(&parser, &file.document)) {
        status = mt_fail(MT_ERROR_FORMAT, "%s: line %zu: %s", path, parser.problem_mark.line + 1,
                         parser.problem != NULL ? parser.problem : "not YAML");
    } else {
        status = take_decoder(&file);
        yaml_document_delete(&file.document);
    }
    yaml_parser_delete(&parser);
    free(text);
    return status;
}

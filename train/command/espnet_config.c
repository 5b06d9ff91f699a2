#include "train/command/espnet_config.h"

#include <mixtape/model_fields.h>

#include "io/file.h"
#include "train/command/lines.h"
#include "train/command/options.h"
#include "train/command/yaml_text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ESPnet's mappings; what their keys are the table of a model's fields tells. */
#define DECODER   "decoder_conf"
#define NORM_ARGS "normalization_args"

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
    const char *name = text_of(key);
    bool is_decoder = strcmp(section, DECODER) == 0;
    if (is_decoder && strcmp(name, NORM_ARGS) == 0) {
        return is_null(value) ? MT_OK : take_mapping(file, name, value);
    }
    if (is_decoder && strcmp(name, "rescale_every") == 0) {
        return MT_OK;
    }
    const mt_model_field *field = find_field(section, name);
    if (field == NULL) {
        return wrong(file, key, section, name, "ESPnet's RWKV decoder has no such argument");
    }
    if (is_null(value)) {
        return MT_OK;
    }
    if (value->type != YAML_SCALAR_NODE) {
        return wrong(file, value, section, name, "not a single value");
    }
    mt_status status = options_set(file->config, field->option, text_of(value));
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
    /* ESPnet's defaults are the library's, but for the size; -1 is how config.yaml says "all". */
    file->config->model = mt_model_config_default(0, 512);
    file->config->model.norm.partial = -1.0;
    return conf != NULL && !is_null(conf) ? take_mapping(file, DECODER, conf) : MT_OK;
}

/* Tells if ESPnet takes it for None: by YAML, or by one of its words. */
static bool is_none(const yaml_node_t *node)
{
    static const char *const words[] = {"none", "null", "nil"};
    bool is_word = false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        is_word = is_word || strcasecmp(text_of(node), words[i]) == 0;
    }
    bool is_empty = node->type == YAML_SEQUENCE_NODE &&
                    node->data.sequence.items.start == node->data.sequence.items.top;
    return is_null(node) || is_word || is_empty;
}

/* What changes transcripts before they are split is ESPnet's alone. */
static mt_status refuse_of_text(espnet_file *file)
{
    static const char *const names[] = {"cleaner", "g2p"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const yaml_node_t *node = find(file, names[i]);
        if (node != NULL && !is_none(node)) {
            return mt_fail(MT_ERROR_FORMAT,
                           "%s: line %zu: %s: '%s' is not supported (make the transcripts with it "
                           "before, and say null)",
                           file->path, node->start_mark.line + 1, names[i],
                           node->type == YAML_SCALAR_NODE ? text_of(node) : "a list");
        }
    }
    return MT_OK;
}

/* A phoneme is no unit of Mixtape's. */
static mt_status refuse_phonemes(espnet_file *file)
{
    const yaml_node_t *type = find(file, "token_type");
    return type == NULL || strcmp(text_of(type), "phn") != 0
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT,
                         "%s: line %zu: token_type: 'phn' is not supported (split the transcripts "
                         "into phonemes before, say word, and give --unit word)",
                         file->path, type->start_mark.line + 1);
}

/* Says what of the configuration is about the text, which options give. */
static void tell_unread(espnet_file *file, const train_arguments *given)
{
    static const struct {
        const char *key, *option, *shown;
    } rows[] = {{"token_list", "token-list", "token-list"},
                {"bpemodel", "tokenizer", "bpemodel"},
                {"non_linguistic_symbols", "nlsyms", "nlsyms"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const yaml_node_t *node = find(file, rows[i].key);
        if (node != NULL && !is_none(node) && train_argument(given, rows[i].option) == NULL) {
            print_line(stderr, "%s: %s is not read: --%s gives it", file->path, rows[i].key,
                       rows[i].shown);
        }
    }
}

mt_status espnet_config_read(const train_arguments *given, run_config *config)
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
            status = refuse_of_text(&file);
        }
        if (status == MT_OK) {
            status = refuse_phonemes(&file);
        }
        if (status == MT_OK) {
            tell_unread(&file, given);
        }
        yaml_document_delete(&file.document);
    }
    return status;
}

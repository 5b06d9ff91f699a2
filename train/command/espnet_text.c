#include "train/command/espnet_text.h"

#include "train/command/lines.h"
#include "train/command/options.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SAID = 1024 };

typedef struct espnet_text {
    yaml_document_t *document;
    const train_arguments *given;
    const mt_weights *init;
    run_config *config;
    char said[SAID]; /* what is taken */
} espnet_text;

/* The value, or NULL where ESPnet takes it for None: by YAML, or by one of its words. */
static const yaml_node_t *find(const espnet_text *text, const char *key)
{
    static const char *const words[] = {"none", "null", "nil"};
    const yaml_node_t *node = yaml_text_find(text->document, key);
    bool is_none = node == NULL || yaml_text_is_null(node);
    for (size_t i = 0; i < sizeof words / sizeof *words && !is_none; i++) {
        is_none = strcasecmp(yaml_text_of(node), words[i]) == 0;
    }
    bool is_empty = !is_none && node->type == YAML_SEQUENCE_NODE &&
                    node->data.sequence.items.start == node->data.sequence.items.top;
    return is_none || is_empty ? NULL : node;
}

static mt_status refuse(const espnet_text *text, const yaml_node_t *node, const char *key,
                        const char *why)
{
    return mt_fail(MT_ERROR_FORMAT, "%s: line %zu: %s: %s", text->given->espnet_config,
                   node->start_mark.line + 1, key, why);
}

/* What changes transcripts before they are split is ESPnet's alone. */
static mt_status refuse_changes(const espnet_text *text)
{
    static const char *const names[] = {"cleaner", "g2p"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const yaml_node_t *node = find(text, names[i]);
        if (node != NULL) {
            char why[256];
            snprintf(why, sizeof why,
                     "'%.64s' is not supported (make the transcripts with it before, and say null)",
                     node->type == YAML_SCALAR_NODE ? yaml_text_of(node) : "a list");
            return refuse(text, node, names[i], why);
        }
    }
    return MT_OK;
}

/* "" where it is not told. */
static mt_status find_type(const espnet_text *text, const char **type)
{
    static const char *const types[] = {"bpe", "char", "word"};
    const yaml_node_t *node = find(text, "token_type");
    *type = node == NULL ? "" : node->type == YAML_SCALAR_NODE ? yaml_text_of(node) : "a list";
    bool is_known = node == NULL;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        is_known = is_known || strcmp(*type, types[i]) == 0;
    }
    if (is_known) {
        return MT_OK;
    }
    char why[256];
    snprintf(why, sizeof why,
             "'%.64s' is not supported (split the transcripts into its tokens before, say word, "
             "and give --unit word)",
             *type);
    return refuse(text, node, "token_type", why);
}

static void say(espnet_text *text, const char *key, const char *value)
{
    size_t used = strlen(text->said);
    snprintf(text->said + used, SAID - used, "%s%s %.256s", used > 0 ? ", " : "", key,
             value[0] != '\0' ? value : "''");
}

/* Sets the option that the command line does not give. */
static mt_status set(espnet_text *text, const char *key, const yaml_node_t *node,
                     const char *option)
{
    if (node == NULL || train_argument(text->given, option) != NULL) {
        return MT_OK;
    }
    if (node->type != YAML_SCALAR_NODE) {
        return refuse(text, node, key, "not a single value");
    }
    say(text, key, yaml_text_of(node));
    mt_status status = options_set(text->config, option, yaml_text_of(node));
    return status == MT_OK ? MT_OK : refuse(text, node, key, mt_error_message());
}

/* The tokens that ESPnet keeps in the configuration of an experiment. */
static mt_status take_tokens(espnet_text *text, const yaml_node_t *node)
{
    mt_status status = MT_OK;
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top && status == MT_OK; item++) {
        const yaml_node_t *token = yaml_document_get_node(text->document, *item);
        status = token->type == YAML_SCALAR_NODE
                     ? file_list_add(&text->config->tokens, yaml_text_of(token))
                     : refuse(text, token, "token_list", "a token that is no text");
    }
    char count[32];
    snprintf(count, sizeof count, "of %lld tokens", (long long)text->config->tokens.count);
    say(text, "token_list", count);
    return status;
}

static mt_status take_list(espnet_text *text)
{
    const yaml_node_t *node = find(text, "token_list");
    bool is_list = node != NULL && node->type == YAML_SEQUENCE_NODE;
    if (!is_list) {
        return set(text, "token_list", node, "token-list");
    }
    return train_argument(text->given, "token-list") == NULL ? take_tokens(text, node) : MT_OK;
}

/* A model that has tokens keeps them, and with them its tokenizer. */
static mt_status take_files(espnet_text *text, const char *type)
{
    bool has_own = text->init != NULL && text->init->tokens != NULL;
    bool splits = train_argument(text->given, "unit") == NULL;
    mt_status status = has_own ? MT_OK : take_list(text);
    if (status == MT_OK && !has_own && splits && strcmp(type, "char") != 0 &&
        strcmp(type, "word") != 0) {
        status = set(text, "bpemodel", find(text, "bpemodel"), "tokenizer");
    }
    return status == MT_OK && strcmp(type, "char") == 0
               ? set(text, "non_linguistic_symbols", find(text, "non_linguistic_symbols"), "nlsyms")
               : status;
}

/* A model that was trained on what its tokenizer makes of text goes on with that. */
static bool is_split_by_init(const espnet_text *text, const char *type)
{
    bool is_split = text->init != NULL && text->init->tokenizer.bytes != NULL &&
                    train_argument(text->given, "unit") == NULL &&
                    train_argument(text->given, "tokenizer") == NULL;
    if (is_split && (strcmp(type, "char") == 0 || strcmp(type, "word") == 0)) {
        print_line(stderr, "%s: token_type %s is passed over: --init has a tokenizer",
                   text->given->espnet_config, type);
    }
    return is_split;
}

mt_status espnet_text_take(yaml_document_t *document, const train_arguments *given,
                           const mt_weights *init, run_config *config)
{
    espnet_text text = {.document = document, .given = given, .init = init, .config = config};
    const char *type = "";
    if (!options_is_read(config->task, "nlsyms")) {
        return MT_OK;
    }
    mt_status status = refuse_changes(&text);
    if (status == MT_OK) {
        status = find_type(&text, &type);
    }
    if (status != MT_OK || is_split_by_init(&text, type)) {
        return status;
    }
    status = take_files(&text, type);
    if (status == MT_OK && strcmp(type, "word") == 0 && config->tokenizer[0] == '\0' &&
        train_argument(given, "tokenizer") == NULL) {
        status = set(&text, "token_type", find(&text, "token_type"), "unit");
    }
    if (status == MT_OK && text.said[0] != '\0') {
        print_line(stderr, "%s: taken of the text: %s", given->espnet_config, text.said);
    }
    return status;
}

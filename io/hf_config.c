#include "io/hf_config.h"

#include "io/file.h"
#include "io/json_file.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_BYTES = 1 << 20 };

/* The sizes, of which the weights tell all but the last themselves. */
static const struct {
    const char *key;
    size_t offset; /* in mt_model_config */
} sizes[] = {
    {"vocab_size", offsetof(mt_model_config, vocab_size)},
    {"hidden_size", offsetof(mt_model_config, block_size)},
    {"num_hidden_layers", offsetof(mt_model_config, num_blocks)},
    {"attention_hidden_size", offsetof(mt_model_config, attention_size)},
    {"intermediate_size", offsetof(mt_model_config, linear_size)},
    {"context_length", offsetof(mt_model_config, context_size)},
};
enum { SIZES = sizeof sizes / sizeof *sizes, OF_WEIGHTS = SIZES - 1 };

static int64_t *size_at(mt_model_config *config, int i)
{
    return (int64_t *)((char *)config + sizes[i].offset);
}

static int64_t size_of(const mt_model_config *config, int i)
{
    return *(const int64_t *)((const char *)config + sizes[i].offset);
}

static bool is_told(const json_t *value)
{
    return value != NULL && !json_is_null(value);
}

static mt_status wrong(const char *path, const char *key, const json_t *value, const char *expected)
{
    char text[MT_JSON_TEXT];
    return mt_fail(MT_ERROR_FORMAT, "%s: %s is %s, %s", path, key, mt_json_text(value, text),
                   expected);
}

static mt_status read_sizes(const char *path, const json_t *fields, mt_model_config *found)
{
    mt_status status = MT_OK;
    for (int i = 0; i < SIZES && status == MT_OK; i++) {
        const json_t *value = json_object_get(fields, sizes[i].key);
        *size_at(found, i) = json_integer_value(value);
        if (is_told(value) && json_integer_value(value) < 1) {
            status = wrong(path, sizes[i].key, value, "no whole number above 0");
        }
    }
    return status;
}

/* rescale_every changes no weights: transformers divides them by powers of 2 in memory, as float16
 * needs it, and multiplies what they make of it; a model that it saves is not divided. */
static mt_status read_fields(const char *path, const json_t *fields, mt_hf_config *config)
{
    const json_t *eps = json_object_get(fields, "layer_norm_epsilon");
    const json_t *tied = json_object_get(fields, "tie_word_embeddings");
    if (is_told(eps) && !(json_number_value(eps) > 0.0)) {
        return wrong(path, "layer_norm_epsilon", eps, "no number above 0");
    }
    if (is_told(tied) && !json_is_boolean(tied)) {
        return wrong(path, "tie_word_embeddings", tied, "neither true nor false");
    }
    config->eps = json_number_value(eps);
    config->tied = json_is_true(tied);
    json_int_t rescale_every = json_integer_value(json_object_get(fields, "rescale_every"));
    config->tells_rescale_every = json_is_integer(json_object_get(fields, "rescale_every"));
    /* Both ends mean never. */
    rescale_every = rescale_every < -1 ? -1 : rescale_every;
    config->sizes.rescale_every = rescale_every > INT32_MAX ? INT32_MAX : rescale_every;
    return read_sizes(path, fields, &config->sizes);
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static mt_status find_path(const char *weights, char path[PATH_MAX])
{
    const char *name = strrchr(weights, '/');
    int folder = name != NULL ? (int)(name + 1 - weights) : 0;
    int length = is_folder(weights) ? snprintf(path, PATH_MAX, "%s/config.json", weights)
                                    : snprintf(path, PATH_MAX, "%.*sconfig.json", folder, weights);
    return length >= 0 && length < PATH_MAX
               ? MT_OK
               : mt_fail(MT_ERROR_IO, "%.64s...: the path is too long", weights);
}

mt_status mt_hf_config_read(const char *weights, mt_hf_config *config)
{
    char path[PATH_MAX];
    json_t *fields;
    bool is_there = false;
    *config = (mt_hf_config){.tied = false};
    mt_status status = find_path(weights, path);
    if (status == MT_OK) {
        status = mt_file_look(path, &is_there);
    }
    if (status == MT_OK && is_there) {
        status = mt_json_read(path, MOST_BYTES, &fields);
    }
    if (status != MT_OK || !is_there) {
        return status;
    }
    const json_t *type = json_object_get(fields, "model_type");
    if (json_is_string(type) && strcmp(json_string_value(type), "rwkv") == 0) {
        status = read_fields(path, fields, config);
    } else if (is_folder(weights)) {
        status = wrong(path, "model_type", type, "and that of RWKV-4, which Mixtape has, \"rwkv\"");
    }
    json_decref(fields);
    return status;
}

mt_status mt_hf_config_check(const char *weights, const mt_hf_config *config,
                             const mt_model_config *found)
{
    for (int i = 0; i < OF_WEIGHTS; i++) {
        int64_t told = size_of(&config->sizes, i), has = size_of(found, i);
        if (told != 0 && told != has) {
            return mt_fail(MT_ERROR_FORMAT, "%s: its config.json has %s %lld, and the weights %lld",
                           weights, sizes[i].key, (long long)told, (long long)has);
        }
    }
    return MT_OK;
}

/* The model's own or, where it has none, 6 in float16, as transformers has it: the other types need
 * no divided weights. */
static json_int_t rescale_every(const mt_model_config *config, const char *torch)
{
    json_int_t own = config->rescale_every;
    return own == 0 && strcmp(torch, "float16") == 0 ? 6 : own;
}

/* The token at which transformers ends a text; without tokens its own default, Pile's. */
static json_t *end_of_text(const mt_token_list *tokens)
{
    static const char mark[] = "<sos/eos>";
    int32_t id = tokens != NULL ? mt_token_find(tokens, mark, strlen(mark)) : 0;
    return id >= 0 ? json_integer(id) : json_null();
}

mt_status mt_hf_config_write(const char *path, const mt_model_config *config, const char *torch,
                             const mt_token_list *tokens)
{
    json_t *fields = json_pack("{s:[s], s:o, s:f, s:s, s:o, s:I, s:b, s:s, s:b}", "architectures",
                               config->output_size > 0 ? "RwkvForCausalLM" : "RwkvModel",
                               "bos_token_id", end_of_text(tokens), "layer_norm_epsilon",
                               config->norm.eps, "model_type", "rwkv", "eos_token_id",
                               end_of_text(tokens), "rescale_every", rescale_every(config, torch),
                               "tie_word_embeddings", 0, "torch_dtype", torch, "use_cache", 1);
    bool whole = fields != NULL;
    for (int i = 0; i < SIZES && whole; i++) {
        whole = json_object_set_new(fields, sizes[i].key, json_integer(size_of(config, i))) == 0;
    }
    if (!whole) {
        json_decref(fields);
        fields = NULL;
    }
    mt_status status = mt_json_write(path, fields, mt_json_digits(config->norm.eps));
    json_decref(fields);
    return status;
}

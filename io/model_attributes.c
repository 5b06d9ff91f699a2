#include "io/model_attributes.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The attributes bear ESPnet's names where it has one. */
static const mt_archive_field fields[] = {
    {"vocab_size", MT_FIELD_INT, offsetof(mt_model_config, vocab_size)},
    {"input_size", MT_FIELD_INT, offsetof(mt_model_config, input_size)},
    {"output_size", MT_FIELD_INT, offsetof(mt_model_config, output_size)},
    {"block_size", MT_FIELD_INT, offsetof(mt_model_config, block_size)},
    {"attention_size", MT_FIELD_INT, offsetof(mt_model_config, attention_size)},
    {"linear_size", MT_FIELD_INT, offsetof(mt_model_config, linear_size)},
    {"context_size", MT_FIELD_INT, offsetof(mt_model_config, context_size)},
    {"num_blocks", MT_FIELD_INT, offsetof(mt_model_config, num_blocks)},
    {"eps", MT_FIELD_REAL, offsetof(mt_model_config, norm.eps)},
    {"partial", MT_FIELD_REAL, offsetof(mt_model_config, norm.partial)},
    {"embed_dropout_rate", MT_FIELD_REAL, offsetof(mt_model_config, embed_dropout)},
    {"att_dropout_rate", MT_FIELD_REAL, offsetof(mt_model_config, att_dropout)},
    {"ffn_dropout_rate", MT_FIELD_REAL, offsetof(mt_model_config, ffn_dropout)},
    {"bias", MT_FIELD_FLAG, offsetof(mt_model_config, bias)},
    {"head_bias", MT_FIELD_FLAG, offsetof(mt_model_config, head_bias)},
    {NULL},
};

static const char *const time_firsts[] = {
    [MT_TIME_FIRST_ESPNET] = "espnet", [MT_TIME_FIRST_RWKV] = "rwkv"};

#define COUNT(table) (sizeof(table) / sizeof *(table))

void mt_model_attributes_write(mt_archive *archive, const char *group,
                               const mt_model_config *config, mt_dtype dtype)
{
    mt_archive_write_text(archive, group, "dtype", mt_dtype_name(dtype));
    mt_archive_write_fields(archive, group, fields, config);
    mt_archive_write_int(archive, group, "embed_pad", config->padding_index);
    mt_archive_write_text(archive, group, "normalization_type",
                          mt_norm_kind_name(config->norm.kind));
    mt_archive_write_text(archive, group, "time_first", time_firsts[config->time_first]);
}

/* Reads a text and finds it in a list. */
static size_t read_choice(mt_archive *archive, const char *group, const char *name, size_t count,
                          const char *const *choices)
{
    char *text = mt_archive_read_text(archive, group, name);
    size_t choice = 0;
    while (text != NULL && choice < count && strcmp(text, choices[choice]) != 0) {
        choice++;
    }
    if (choice == count) {
        mt_archive_fail(archive, group, "the attribute '%s' is '%.64s'", name, text);
        choice = 0;
    }
    free(text);
    return choice;
}

void mt_model_attributes_read(mt_archive *archive, const char *group, mt_model_config *config,
                              mt_dtype *dtype)
{
    const char *norms[] = {mt_norm_kind_name(MT_LAYER_NORM), mt_norm_kind_name(MT_RMS_NORM),
                           mt_norm_kind_name(MT_SCALE_NORM), mt_norm_kind_name(MT_BASIC_NORM)};
    const char *dtypes[] = {mt_dtype_name(MT_F32), mt_dtype_name(MT_F64)};
    *config = (mt_model_config){0};
    mt_archive_read_fields(archive, group, fields, config);
    int64_t padding = mt_archive_read_int(archive, group, "embed_pad");
    /* A number that no int32_t holds becomes a value that the configuration's check refuses. */
    config->padding_index = padding >= -1 && padding <= INT32_MAX ? (int32_t)padding : INT32_MAX;
    config->norm.kind =
        (mt_norm_kind)read_choice(archive, group, "normalization_type", COUNT(norms), norms);
    config->time_first =
        (mt_time_first)read_choice(archive, group, "time_first", COUNT(time_firsts), time_firsts);
    *dtype = (mt_dtype)read_choice(archive, group, "dtype", COUNT(dtypes), dtypes);
    if (mt_archive_status(archive) == MT_OK && mt_model_config_check(config) != MT_OK) {
        mt_archive_fail(archive, group, "%s", mt_error_message());
    }
}

#include "io/model_attributes.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* By ESPnet's names where it has one. */
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

mt_status mt_model_attributes_write(mt_archive *archive, const char *group,
                                    const mt_model_config *config, mt_dtype dtype)
{
    mt_status status = mt_archive_write_text(archive, group, "dtype", mt_dtype_name(dtype));
    if (status == MT_OK) {
        status = mt_archive_write_fields(archive, group, fields, config);
    }
    if (status == MT_OK) {
        status = mt_archive_write_int(archive, group, "embed_pad", config->padding_index);
    }
    if (status == MT_OK) {
        status = mt_archive_write_text(archive, group, "normalization_type",
                                       mt_norm_kind_name(config->norm.kind));
    }
    return status == MT_OK ? mt_archive_write_text(archive, group, "time_first",
                                                   time_firsts[config->time_first])
                           : status;
}

/* Reads a text and finds it in a list. */
static mt_status read_choice(mt_archive *archive, const char *group, const char *name, size_t count,
                             const char *const *choices, size_t *choice)
{
    char *text;
    mt_status status = mt_archive_read_text(archive, group, name, &text);
    if (status != MT_OK) {
        return status;
    }
    for (*choice = 0; *choice < count && strcmp(text, choices[*choice]) != 0;) {
        ++*choice;
    }
    if (*choice == count) {
        status = mt_archive_fail(archive, group, "the attribute '%s' is '%.64s'", name, text);
    }
    free(text);
    return status;
}

static mt_status read_choices(mt_archive *archive, const char *group, mt_model_config *config,
                              mt_dtype *dtype)
{
    const char *norms[] = {mt_norm_kind_name(MT_LAYER_NORM), mt_norm_kind_name(MT_RMS_NORM),
                           mt_norm_kind_name(MT_SCALE_NORM), mt_norm_kind_name(MT_BASIC_NORM)};
    const char *dtypes[] = {mt_dtype_name(MT_F32), mt_dtype_name(MT_F64)};
    size_t norm = 0, first = 0, type = 0;
    mt_status status =
        read_choice(archive, group, "normalization_type", COUNT(norms), norms, &norm);
    if (status == MT_OK) {
        status = read_choice(archive, group, "time_first", COUNT(time_firsts), time_firsts, &first);
    }
    if (status == MT_OK) {
        status = read_choice(archive, group, "dtype", COUNT(dtypes), dtypes, &type);
    }
    config->norm.kind = (mt_norm_kind)norm;
    config->time_first = (mt_time_first)first;
    *dtype = (mt_dtype)type;
    return status;
}

static mt_status read_numbers(mt_archive *archive, const char *group, mt_model_config *config)
{
    int64_t padding = 0;
    mt_status status = mt_archive_read_fields(archive, group, fields, config);
    if (status == MT_OK) {
        status = mt_archive_read_int(archive, group, "embed_pad", &padding);
    }
    /* What no int32_t holds becomes a value that the configuration's check refuses. */
    config->padding_index = padding >= -1 && padding <= INT32_MAX ? (int32_t)padding : INT32_MAX;
    return status;
}

mt_status mt_model_attributes_read(mt_archive *archive, const char *group, mt_model_config *config,
                                   mt_dtype *dtype)
{
    *config = (mt_model_config){0};
    mt_status status = read_numbers(archive, group, config);
    if (status == MT_OK) {
        status = read_choices(archive, group, config, dtype);
    }
    if (status == MT_OK && mt_model_config_check(config) != MT_OK) {
        status = mt_archive_fail(archive, group, "%s", mt_error_message());
    }
    return status;
}

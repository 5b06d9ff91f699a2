/* The configuration of a model in the metadata of a .safetensors file: one text for each field, by
 * the names that HDF5 files have as attributes. */
#include "io/safetensors.h"

#include "io/json_file.h"

#include <mixtape/model_fields.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The name that tells that the others are ours, with the version of their meaning. */
#define OURS    MT_EXCHANGE_FORMAT
#define VERSION "1"

enum { TEXT = 32 };

/* ---- written ---- */

/* NULL: no memory. */
static json_t *real_text(double value)
{
    char text[TEXT] = "";
    json_t *number = json_real(value);
    json_dumpb(number, text, TEXT - 1,
               JSON_ENCODE_ANY | JSON_REAL_PRECISION(mt_json_digits(value)));
    json_decref(number);
    return text[0] != '\0' ? json_string(text) : NULL;
}

static json_t *field_text(const mt_model_field *field, const mt_model_config *config)
{
    if (field->type == MT_MODEL_REAL) {
        return real_text(mt_model_field_real(field, config));
    }
    int64_t value = mt_model_field_whole(field, config);
    char text[TEXT];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return json_string(field->type == MT_MODEL_CHOICE ? field->choice((int)value) : text);
}

json_t *mt_safetensors_metadata(const mt_model_config *config)
{
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    bool whole = config == NULL || json_object_set_new(metadata, OURS, json_string(VERSION)) == 0;
    for (const mt_model_field *field = mt_model_fields();
         config != NULL && field->name != NULL && whole; field++) {
        bool is_told = !field->optional || mt_model_field_whole(field, config) != 0;
        whole = !is_told ||
                json_object_set_new(metadata, field->attribute, field_text(field, config)) == 0;
    }
    if (!whole) {
        json_decref(metadata);
    }
    return whole ? metadata : NULL;
}

/* ---- read ---- */

/* The file, and what it is told to be. */
typedef struct told_model {
    const char *path;
    mt_source *source;
    mt_model_config *config;
    mt_assumed *assumed;
} told_model;

static mt_status wrong(const told_model *told, const char *name, const char *text)
{
    return mt_fail(MT_ERROR_FORMAT, "%s: its metadata have %s '%.64s'", told->path, name, text);
}

/* `errno` tells of memory that ran out within a number, which jansson does not notice. */
static mt_status read_number(const told_model *told, const char *name, const char *text,
                             json_t **number)
{
    json_error_t error;
    errno = 0;
    *number = json_loads(text, JSON_DECODE_ANY, &error);
    mt_status status = errno == ENOMEM
                           ? mt_fail(MT_ERROR_MEMORY, "%s: no memory for %s", told->path, name)
                       : json_is_number(*number) ? MT_OK
                                                 : wrong(told, name, text);
    if (status != MT_OK) {
        json_decref(*number);
        *number = NULL;
    }
    return status;
}

/* Whether the field can have it. A flag is 0 or 1. */
static bool take_whole(const told_model *told, const mt_model_field *field, json_int_t value)
{
    mt_model_field_set_whole(field, told->config, value);
    return mt_model_field_whole(field, told->config) == value;
}

static mt_status take_number(const told_model *told, const mt_model_field *field, const char *text)
{
    json_t *number;
    mt_status status = read_number(told, field->attribute, text, &number);
    if (status == MT_OK && field->type == MT_MODEL_REAL) {
        mt_model_field_set_real(field, told->config, json_number_value(number));
    } else if (status == MT_OK &&
               !(json_is_integer(number) && take_whole(told, field, json_integer_value(number)))) {
        status = wrong(told, field->attribute, text);
    }
    json_decref(number);
    return status;
}

static mt_status take_field(const told_model *told, const mt_model_field *field, const char *text)
{
    if (field->type != MT_MODEL_CHOICE) {
        return take_number(told, field, text);
    }
    int value = mt_choice_find(field->choice, text);
    if (value < 0) {
        return wrong(told, field->attribute, text);
    }
    mt_model_field_set_whole(field, told->config, value);
    return MT_OK;
}

/* What is told is assumed no more. */
static void note_told(mt_assumed *assumed, const mt_model_field *field)
{
    const struct {
        size_t offset;
        bool *assumed;
    } rows[] = {{offsetof(mt_model_config, norm.eps), &assumed->eps},
                {offsetof(mt_model_config, norm.partial), &assumed->partial},
                {offsetof(mt_model_config, context_size), &assumed->context_size}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        *rows[i].assumed = *rows[i].assumed && rows[i].offset != field->offset;
    }
}

static mt_status take_fields(const told_model *told)
{
    mt_status status = MT_OK;
    for (const mt_model_field *field = mt_model_fields(); field->name != NULL && status == MT_OK;
         field++) {
        const char *text = told->source->text(told->source, field->attribute);
        if (text != NULL) {
            status = take_field(told, field, text);
            note_told(told->assumed, field);
        }
    }
    *told->config = mt_model_config_resolved(told->config);
    if (status == MT_OK && mt_model_config_check(told->config) != MT_OK) {
        status = mt_fail(MT_ERROR_FORMAT, "%s: its metadata: %s", told->path, mt_error_message());
    }
    return status;
}

mt_status mt_safetensors_take_model(const char *path, mt_source *source, mt_model_config *config,
                                    mt_assumed *assumed)
{
    const told_model told = {path, source, config, assumed};
    const char *version = source->text != NULL ? source->text(source, OURS) : NULL;
    if (version == NULL) {
        return MT_OK;
    }
    return strcmp(version, VERSION) == 0
               ? take_fields(&told)
               : mt_fail(MT_ERROR_FORMAT, "%s: %s of version '%.16s', this program reads %s", path,
                         OURS, version, VERSION);
}

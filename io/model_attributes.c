#include "io/weights_file.h"

#include <mixtape/model_fields.h>

#include <stdlib.h>

static void write_field(mt_archive *archive, const char *group, const mt_model_field *field,
                        const mt_model_config *config)
{
    const mt_archive_field real[] = {{field->attribute, MT_FIELD_REAL, field->offset}, {NULL}};
    if (field->type == MT_MODEL_REAL) {
        mt_archive_write_fields(archive, group, real, config);
        return;
    }
    int64_t value = mt_model_field_whole(field, config);
    if (field->optional && value == 0) {
        return;
    }
    if (field->type == MT_MODEL_CHOICE) {
        mt_archive_write_text(archive, group, field->attribute, field->choice((int)value));
    } else {
        mt_archive_write_int(archive, group, field->attribute, value);
    }
}

int mt_archive_read_choice(mt_archive *archive, const char *group, const char *name,
                           mt_choice_name choice)
{
    char *text = mt_archive_read_text(archive, group, name);
    int value = text != NULL ? mt_choice_find(choice, text) : 0;
    if (value < 0) {
        mt_archive_fail(archive, group, "the attribute '%s' is '%.64s'", name, text);
    }
    free(text);
    return value < 0 ? 0 : value;
}

static void read_field(mt_archive *archive, const char *group, const mt_model_field *field,
                       mt_model_config *config)
{
    const mt_archive_field real[] = {{field->attribute, MT_FIELD_REAL, field->offset}, {NULL}};
    if (field->type == MT_MODEL_REAL) {
        mt_archive_read_fields(archive, group, real, config);
        return;
    }
    if (field->optional && !mt_archive_has_attribute(archive, group, field->attribute)) {
        return;
    }
    int64_t value = field->type == MT_MODEL_CHOICE
                        ? mt_archive_read_choice(archive, group, field->attribute, field->choice)
                        : mt_archive_read_int(archive, group, field->attribute);
    mt_model_field_set_whole(field, config, value);
    if (mt_model_field_whole(field, config) != value && mt_archive_status(archive) == MT_OK) {
        mt_archive_fail(archive, group, "the attribute '%s' is %lld", field->attribute,
                        (long long)value);
    }
}

void mt_model_attributes_write(mt_archive *archive, const char *group,
                               const mt_model_config *config, mt_dtype dtype)
{
    mt_archive_write_text(archive, group, "dtype", mt_dtype_name(dtype));
    for (int type = 0; type < MT_MODEL_FIELD_TYPES; type++) {
        for (const mt_model_field *field = mt_model_fields(); field->name != NULL; field++) {
            if ((int)field->type == type) {
                write_field(archive, group, field, config);
            }
        }
    }
}

void mt_model_attributes_read(mt_archive *archive, const char *group, mt_model_config *config,
                              mt_dtype *dtype)
{
    *config = (mt_model_config){0};
    for (const mt_model_field *field = mt_model_fields(); field->name != NULL; field++) {
        read_field(archive, group, field, config);
    }
    *dtype = (mt_dtype)mt_archive_read_choice(archive, group, "dtype", mt_model_dtype_name);
    if (mt_archive_status(archive) == MT_OK && mt_model_config_check(config) != MT_OK) {
        mt_archive_fail(archive, group, "%s", mt_error_message());
    }
}

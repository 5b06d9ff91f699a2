/* The formats of files of weights, one row each. */
#include "io/adapter_file.h"
#include "io/file.h"
#include "io/hf_folder.h"
#include "io/weights_file.h"

#include <stdlib.h>
#include <string.h>

static mt_status write_safetensors(const mt_weights *weights, const mt_layout *layout,
                                   const mt_arrays *arrays, mt_stored_type stored, const char *path)
{
    mt_model_config kept = mt_layout_kept(layout, &weights->config);
    return mt_safetensors_write(path, arrays, stored, &kept);
}

static mt_status write_folder(const mt_weights *weights, const mt_layout *layout,
                              const mt_arrays *arrays, mt_stored_type stored, const char *path)
{
    mt_model_config kept = mt_layout_kept(layout, &weights->config);
    mt_hf_contents contents = {arrays,         stored,          &kept,
                               weights->dtype, weights->tokens, &weights->tokenizer};
    return mt_hf_folder_write(path, &contents);
}

static mt_status describe_foreign_hdf5(mt_weights *weights)
{
    mt_status status = mt_archive_source(weights->file->archive, "/", &weights->file->source);
    return status == MT_OK ? mt_foreign_describe(weights) : status;
}

static const mt_format formats[] = {
    {"a checkpoint", MT_HDF5, MT_CHECKPOINT_FORMAT, true, mt_native_describe_checkpoint, NULL},
    {"an adapter", MT_HDF5, MT_ADAPTER_FORMAT, true, mt_adapter_describe_file, NULL},
    {"an exchange file", MT_HDF5, MT_EXCHANGE_FORMAT, false, mt_native_describe_exchange,
     mt_native_write_exchange},
    {"HDF5 of another program", MT_HDF5, NULL, false, describe_foreign_hdf5, NULL},
    {"safetensors", MT_SAFETENSORS, NULL, false, mt_foreign_describe, write_safetensors},
    {"a folder of Hugging Face's", MT_FOLDER, NULL, false, mt_foreign_describe, write_folder},
};
enum { FORMATS = sizeof formats / sizeof *formats };

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

mt_status mt_format_find(const mt_weights_file *file, const mt_format **format)
{
    mt_archive *archive = file->archive;
    char *attribute = archive != NULL && mt_archive_has_attribute(archive, "/", "format")
                          ? mt_archive_read_text(archive, "/", "format")
                          : NULL;
    mt_status status = archive != NULL ? mt_archive_status(archive) : MT_OK;
    *format = NULL;
    for (int i = 0; i < FORMATS && *format == NULL; i++) {
        if ((formats[i].container == MT_HDF5) == (archive != NULL) &&
            same_text(formats[i].attribute, attribute)) {
            *format = &formats[i];
        }
    }
    if (status == MT_OK && *format == NULL) {
        status = mt_archive_fail(archive, "/", "format '%.64s', expected %s or %s", attribute,
                                 MT_CHECKPOINT_FORMAT, MT_EXCHANGE_FORMAT);
    }
    free(attribute);
    return status == MT_OK && (*format)->attribute != NULL ? mt_native_check_version(archive)
                                                           : status;
}

/* Hugging Face's models are folders, unless a name says that it is a file's. */
static bool is_folder(const char *path, const mt_layout *layout)
{
    return layout->config_beside && !mt_is_hdf5(path) && !mt_is_pickle(path);
}

const mt_format *mt_format_of_name(const char *path, const mt_layout *layout)
{
    int container = mt_is_safetensors(path)   ? MT_SAFETENSORS
                    : is_folder(path, layout) ? MT_FOLDER
                                              : MT_HDF5;
    for (int i = 0; i < FORMATS; i++) {
        if (formats[i].write != NULL && (int)formats[i].container == container) {
            return &formats[i];
        }
    }
    return NULL; /* each container has a format that is written */
}

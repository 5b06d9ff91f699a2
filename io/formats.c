/* The formats of files of weights, one row each, and Mixtape's own among them. */
#include "io/file.h"
#include "io/hf_folder.h"
#include "io/kept_tokenizer.h"
#include "io/weights_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSION = 1 };

#define EXCHANGE "mixtape-weights"

/* ---- Mixtape's own files ---- */

mt_status mt_native_create(const char *path, const char *format, const mt_token_list *tokens,
                           mt_archive **archive)
{
    mt_status status = mt_archive_create(path, archive);
    if (status != MT_OK) {
        return status;
    }
    mt_archive_write_text(*archive, "/", "format", format);
    mt_archive_write_int(*archive, "/", "version", VERSION);
    if (tokens != NULL) {
        mt_archive_write_tokens(*archive, "/", "token_list", tokens);
    }
    return MT_OK;
}

/* The root's token list, which must be as long as the vocabulary; NULL where there is none. */
static mt_token_list *read_tokens(mt_archive *archive, int64_t vocab_size)
{
    mt_token_list *tokens = mt_archive_has_attribute(archive, "/", "token_list")
                                ? mt_archive_read_tokens(archive, "/", "token_list")
                                : NULL;
    if (tokens != NULL && tokens->count != vocab_size) {
        mt_archive_fail(archive, "token_list", "%d tokens for a vocabulary of %" PRId64,
                        tokens->count, vocab_size);
    }
    return tokens;
}

static void refuse_unknown(mt_archive *archive, const char *name, void *context)
{
    const mt_arrays *expected = context;
    if (mt_arrays_find(expected, name) == NULL) {
        mt_archive_fail(archive, name, "unknown: no parameter of this model");
    }
}

mt_status mt_native_check(mt_archive *archive, const char *group, const mt_parameters *parameters,
                          const mt_layout *layout)
{
    mt_arrays expected = {0};
    mt_status status = MT_OK;
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_tensor *tensor = &parameters->items[i]->tensor;
        char buffer[MT_NAME_MAX];
        const char *name = mt_name_in_layout(layout, parameters->items[i]->name, buffer);
        mt_archive_check_array(archive, group, name, tensor->dtype, tensor->rank, tensor->shape);
        status = mt_arrays_add_name(&expected, name);
    }
    if (status == MT_OK && strcmp(group, "/") == 0) {
        status = mt_arrays_add_name(&expected, MT_TOKENIZER_GROUP);
    }
    if (status == MT_OK) {
        status = mt_arrays_sort(&expected);
    }
    if (mt_archive_keep(archive, status) == MT_OK) {
        mt_archive_visit(archive, group, refuse_unknown, &expected);
    }
    mt_arrays_free(&expected);
    return mt_archive_status(archive);
}

/* The description, unless there is one already, and the values' source: of a group whose attributes
 * tell what the model is. */
static mt_status describe_group(mt_weights *weights, const char *group)
{
    mt_archive *archive = weights->file->archive;
    mt_parameters *parameters = weights->parameters;
    mt_status status = mt_archive_status(archive);
    if (status == MT_OK && parameters == NULL) {
        status = mt_model_describe(&weights->config, weights->dtype, &parameters);
        weights->parameters = parameters;
    }
    if (status == MT_OK) {
        status = mt_native_check(archive, group, parameters, weights->layout);
    }
    return status == MT_OK ? mt_archive_source(archive, group, &weights->file->source) : status;
}

static void refuse_other_groups(mt_archive *archive, const char *name, void *context)
{
    for (const char *const *expected = context; *expected != NULL; expected++) {
        if (strcmp(*expected, name) == 0) {
            return;
        }
    }
    mt_archive_fail(archive, name, "unknown: no group of this file");
}

static mt_status describe_checkpoint(mt_weights *weights)
{
    static const char *groups[] = {"model", "optimizer",        "train",
                                   "batch", MT_TOKENIZER_GROUP, NULL};
    mt_archive *archive = weights->file->archive;
    mt_archive_visit(archive, "/", refuse_other_groups, groups);
    if (weights->parameters == NULL && mt_archive_has(archive, "model") &&
        !mt_archive_has_attribute(archive, "/model", "vocab_size")) {
        mt_archive_fail(
            archive, "/model",
            "no model's configuration: parameters of a program's own, which it loads by "
            "mt_trainer_load or mt_parameters_load");
    }
    if (weights->parameters == NULL) { /* else they are a program's own */
        mt_model_attributes_read(archive, "/model", &weights->config, &weights->dtype);
        weights->file->describes = true;
        weights->tokens = read_tokens(archive, weights->config.vocab_size);
        mt_tokenizer_read(archive, &weights->tokenizer);
    }
    return describe_group(weights, "/model");
}

static mt_status describe_exchange(mt_weights *weights)
{
    mt_archive *archive = weights->file->archive;
    char *layout = mt_archive_read_text(archive, "/", "layout");
    if (layout != NULL && mt_layout_parse(layout, &weights->layout) != MT_OK) {
        mt_archive_fail(archive, "/", "%s", mt_error_message());
    }
    free(layout);
    mt_model_attributes_read(archive, "/", &weights->config, &weights->dtype);
    weights->file->describes = true;
    weights->tokens = read_tokens(archive, weights->config.vocab_size);
    mt_tokenizer_read(archive, &weights->tokenizer);
    if (mt_archive_status(archive) == MT_OK) {
        weights->config = mt_layout_kept(weights->layout, &weights->config);
    }
    return describe_group(weights, "/");
}

static mt_status write_exchange(const mt_weights *weights, const mt_layout *layout,
                                const mt_arrays *arrays, mt_stored_type stored, const char *path)
{
    mt_archive *archive;
    if (stored != MT_STORED_AS_IS) {
        return mt_fail(
            MT_ERROR_INVALID,
            "%s: HDF5 has the model's own type of numbers: another goes into a file that "
            "ends in .safetensors, or a folder",
            path);
    }
    mt_model_config kept = mt_layout_kept(layout, &weights->config);
    mt_status status = mt_native_create(path, EXCHANGE, weights->tokens, &archive);
    if (status != MT_OK) {
        return status;
    }
    mt_archive_write_text(archive, "/", "layout", layout->name);
    mt_model_attributes_write(archive, "/", &kept, weights->dtype);
    mt_archive_write_arrays(archive, "/", arrays);
    mt_tokenizer_write(archive, &weights->tokenizer);
    return mt_archive_close(archive);
}

static mt_status write_safetensors(const mt_weights *weights, const mt_layout *layout,
                                   const mt_arrays *arrays, mt_stored_type stored, const char *path)
{
    (void)weights;
    (void)layout;
    return mt_safetensors_write(path, arrays, stored);
}

static mt_status write_folder(const mt_weights *weights, const mt_layout *layout,
                              const mt_arrays *arrays, mt_stored_type stored, const char *path)
{
    mt_model_config kept = mt_layout_kept(layout, &weights->config);
    mt_hf_contents contents = {arrays,         stored,          &kept,
                               weights->dtype, weights->tokens, &weights->tokenizer};
    return mt_hf_folder_write(path, &contents);
}

/* ---- the table ---- */

static mt_status describe_foreign_hdf5(mt_weights *weights)
{
    mt_status status = mt_archive_source(weights->file->archive, "/", &weights->file->source);
    return status == MT_OK ? mt_foreign_describe(weights) : status;
}

static const mt_format formats[] = {
    {"a checkpoint", MT_HDF5, MT_CHECKPOINT_FORMAT, true, describe_checkpoint, NULL},
    {"an exchange file", MT_HDF5, EXCHANGE, false, describe_exchange, write_exchange},
    {"HDF5 of another program", MT_HDF5, NULL, false, describe_foreign_hdf5, NULL},
    {"safetensors", MT_SAFETENSORS, NULL, false, mt_foreign_describe, write_safetensors},
    {"a folder of Hugging Face's", MT_FOLDER, NULL, false, mt_foreign_describe, write_folder},
};
enum { FORMATS = sizeof formats / sizeof *formats };

static mt_status check_version(mt_archive *archive)
{
    int64_t version = mt_archive_read_int(archive, "/", "version");
    if (version != VERSION) {
        mt_archive_fail(archive, "/", "version %" PRId64 ", this program reads %d", version,
                        VERSION);
    }
    return mt_archive_status(archive);
}

mt_status mt_native_check_format(mt_archive *archive, const char *format)
{
    char *found = mt_archive_read_text(archive, "/", "format");
    if (found != NULL && strcmp(found, format) != 0) {
        mt_archive_fail(archive, "/", "format '%.64s', expected %s", found, format);
    }
    free(found);
    return check_version(archive);
}

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
                                 MT_CHECKPOINT_FORMAT, EXCHANGE);
    }
    free(attribute);
    return status == MT_OK && (*format)->attribute != NULL ? check_version(archive) : status;
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

/* ---- containers ---- */

/* A .safetensors file begins with the length of a JSON object; where neither that nor HDF5's
 * signature is found, the name tells what the file was to be. */
static mt_status find_container(const char *path, bool *is_safetensors)
{
    static const char signature[] = {'\211', 'H', 'D', 'F', '\r', '\n', '\032', '\n'};
    char bytes[sizeof signature + 1] = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    ssize_t got = read(file, bytes, sizeof bytes);
    close(file);
    bool is_hdf5 = got == sizeof bytes && memcmp(bytes, signature, sizeof signature) == 0;
    bool begins_object = got == sizeof bytes && bytes[sizeof signature] == '{';
    *is_safetensors = !is_hdf5 && (begins_object || mt_is_safetensors(path));
    return MT_OK;
}

static mt_status open_container(const char *path, mt_weights_file *file)
{
    bool is_safetensors = false;
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return mt_hf_folder_source(path, &file->source);
    }
    mt_status status = find_container(path, &is_safetensors);
    if (status != MT_OK) {
        return status;
    }
    return is_safetensors ? mt_safetensors_source(path, &file->source)
                          : mt_archive_open(path, &file->archive);
}

mt_status mt_weights_file_open(const char *path, mt_weights_file *file)
{
    *file = (mt_weights_file){.path = strdup(path)};
    if (file->path == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its name", path);
    }
    mt_status status = open_container(path, file);
    if (status != MT_OK) {
        mt_weights_file_close(file);
    }
    return status;
}

void mt_weights_file_close(mt_weights_file *file)
{
    mt_source_close(file->source);
    mt_archive_discard(file->archive);
    free(file->path);
    *file = (mt_weights_file){.path = NULL};
}

/* ---- files of arrays and nothing else ---- */

static mt_status list_arrays(mt_weights_file *file, mt_find_tensor *find, const void *context,
                             mt_arrays *arrays)
{
    mt_status status = file->source->list(file->source, arrays);
    for (int64_t i = 0; i < arrays->count && status == MT_OK && find != NULL; i++) {
        const char *name = arrays->items[i].name;
        status = find(context, name) != NULL
                     ? MT_OK
                     : mt_fail(MT_ERROR_FORMAT, "%s: %.128s: unknown: no parameter of this part",
                               file->path, name);
    }
    return status;
}

static mt_status read_array(mt_weights_file *file, const mt_tensor *tensor, mt_array *array)
{
    mt_status status = file->source->inspect(file->source, array);
    if (status == MT_OK && tensor != NULL) {
        status = mt_array_check_shape(array, file->path, tensor);
    }
    if (status == MT_OK) {
        status = mt_array_allocate(array);
    }
    if (status == MT_OK) {
        status = file->source->read(
            file->source, array->name, array->dtype, 0, mt_array_rows(array),
            (size_t)mt_array_count(array) * mt_dtype_size(array->dtype), array->data);
    }
    return status;
}

mt_status mt_arrays_read(const char *path, mt_find_tensor *find, const void *context,
                         mt_arrays *arrays)
{
    mt_weights_file file;
    *arrays = (mt_arrays){0};
    mt_status status = mt_weights_file_open(path, &file);
    if (status != MT_OK) {
        return status;
    }
    if (file.archive != NULL) {
        status = mt_archive_source(file.archive, "/", &file.source);
    }
    if (status == MT_OK) {
        status = list_arrays(&file, find, context, arrays);
    }
    for (int64_t i = 0; i < arrays->count && status == MT_OK; i++) {
        mt_array *array = &arrays->items[i];
        status = read_array(&file, find != NULL ? find(context, array->name) : NULL, array);
    }
    mt_weights_file_close(&file);
    if (status != MT_OK) {
        mt_arrays_free(arrays);
    }
    return status;
}

/* An array on its way into a group. */
typedef struct written_array {
    mt_archive *archive;
    const char *group;
    const mt_array *array;
} written_array;

static mt_status write_rows(void *context, int64_t first, int64_t rows, const void *values)
{
    const written_array *written = context;
    mt_status status = mt_array_check_values(written->array, written->group, first, rows, values);
    if (status == MT_OK) {
        mt_archive_write_rows(written->archive, written->array->dtype, first, rows, values);
    }
    return mt_archive_keep(written->archive, status);
}

void mt_archive_write_arrays(mt_archive *archive, const char *group, const mt_arrays *arrays)
{
    for (int64_t i = 0; i < arrays->count && mt_archive_status(archive) == MT_OK; i++) {
        const mt_array *array = &arrays->items[i];
        written_array written = {archive, group, array};
        mt_archive_begin_array(archive, group, array->name, array->dtype, array->rank,
                               array->shape);
        if (mt_archive_status(archive) == MT_OK) {
            mt_archive_keep(archive, mt_array_visit(array, write_rows, &written));
        }
    }
}

mt_status mt_arrays_write(const char *path, const mt_arrays *arrays)
{
    mt_archive *archive;
    if (mt_is_safetensors(path)) {
        return mt_safetensors_write(path, arrays, MT_STORED_AS_IS);
    }
    mt_status status = mt_archive_create(path, &archive);
    if (status == MT_OK) {
        mt_archive_write_arrays(archive, "/", arrays);
        status = mt_archive_close(archive);
    }
    return status;
}

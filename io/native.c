/* Mixtape's own files, checkpoints and exchange files: HDF5 with the model's configuration. */
#include "io/carried.h"
#include "io/kept_tokenizer.h"
#include "io/weights_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1 };

mt_status mt_native_check_version(mt_archive *archive)
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
    return mt_native_check_version(archive);
}

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

mt_token_list *mt_native_read_tokens(mt_archive *archive, int64_t vocab_size)
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

mt_status mt_native_describe_checkpoint(mt_weights *weights)
{
    static const char *groups[] = {"model",          "optimizer",        "train", "batch",
                                   MT_CARRIED_GROUP, MT_TOKENIZER_GROUP, NULL};
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
        weights->tokens = mt_native_read_tokens(archive, weights->config.vocab_size);
        mt_tokenizer_read(archive, &weights->tokenizer);
    }
    return describe_group(weights, "/model");
}

mt_status mt_native_describe_exchange(mt_weights *weights)
{
    mt_archive *archive = weights->file->archive;
    char *layout = mt_archive_read_text(archive, "/", "layout");
    if (layout != NULL && mt_layout_parse(layout, &weights->layout) != MT_OK) {
        mt_archive_fail(archive, "/", "%s", mt_error_message());
    }
    free(layout);
    mt_model_attributes_read(archive, "/", &weights->config, &weights->dtype);
    weights->file->describes = true;
    weights->tokens = mt_native_read_tokens(archive, weights->config.vocab_size);
    mt_tokenizer_read(archive, &weights->tokenizer);
    if (mt_archive_status(archive) == MT_OK) {
        weights->config = mt_layout_kept(weights->layout, &weights->config);
    }
    return describe_group(weights, "/");
}

mt_status mt_native_write_exchange(const mt_weights *weights, const mt_layout *layout,
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
    mt_status status = mt_native_create(path, MT_EXCHANGE_FORMAT, weights->tokens, &archive);
    if (status != MT_OK) {
        return status;
    }
    mt_archive_write_text(archive, "/", "layout", layout->name);
    mt_model_attributes_write(archive, "/", &kept, weights->dtype);
    mt_archive_write_arrays(archive, "/", arrays);
    mt_tokenizer_write(archive, &weights->tokenizer);
    return mt_archive_close(archive);
}

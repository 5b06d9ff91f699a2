#include "io/foreign.h"

#include "io/arrays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file at work. */
typedef struct foreign_file {
    const char *path;
    const mt_arrays *arrays;
    const mt_layout *layout;
} foreign_file;

/* The array that the layout has for our parameter, or NULL. */
static const mt_array *find(const foreign_file *file, const char *ours)
{
    char theirs[MT_NAME_MAX];
    return mt_layout_name(file->layout, ours, theirs) == MT_PLACED
               ? mt_arrays_find(file->arrays, theirs)
               : NULL;
}

/* Every layout has a name of its own for the first block's time_decay, but Mixtape's is ESPnet's
 * with a head. */
static mt_status find_layout(foreign_file *file)
{
    const char *first_name = NULL;
    for (const mt_layout *layout = mt_layouts; layout->name != NULL; layout++) {
        foreign_file trial = {file->path, file->arrays, layout};
        const mt_array *found = find(&trial, "rwkv_blocks.0.att.time_decay");
        if (found == NULL || (file->layout != NULL && strcmp(found->name, first_name) == 0)) {
            continue;
        }
        if (file->layout != NULL) {
            return mt_fail(MT_ERROR_FORMAT, "%s: names of two layouts: %s (%s) and %s (%s)",
                           file->path, first_name, file->layout->name, found->name, layout->name);
        }
        file->layout = layout;
        first_name = found->name;
    }
    if (file->layout == NULL) {
        bool part = mt_arrays_find(file->arrays, "proj_key.weight") != NULL;
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: no layout has its names, the first of which is %.128s%s", file->path,
                       file->arrays->count > 0 ? file->arrays->items[0].name : "none",
                       part ? " (a part of a model: import it --into one, as --part NAME)" : "");
    }
    bool headed =
        file->layout->with_head != NULL && mt_arrays_find(file->arrays, "head.weight") != NULL;
    return headed ? mt_layout_parse(file->layout->with_head, &file->layout) : MT_OK;
}

/* The array for our parameter, which must be there with this rank. */
static mt_status need(const foreign_file *file, const char *ours, int rank, const mt_array **array)
{
    char theirs[MT_NAME_MAX] = "";
    *array = find(file, ours);
    if (*array != NULL && (*array)->rank == rank) {
        return MT_OK;
    }
    mt_layout_name(file->layout, ours, theirs);
    return *array == NULL ? mt_fail(MT_ERROR_FORMAT, "%s: %s is missing (layout %s)", file->path,
                                    theirs, file->layout->name)
                          : mt_fail(MT_ERROR_FORMAT, "%s: %s: %d dimensions, expected %d",
                                    file->path, theirs, (*array)->rank, rank);
}

static int64_t count_blocks(const foreign_file *file)
{
    char name[MT_NAME_MAX];
    int64_t blocks = 0;
    do {
        snprintf(name, sizeof name, "rwkv_blocks.%lld.att.time_decay", (long long)blocks);
        blocks++;
    } while (find(file, name) != NULL);
    return blocks - 1;
}

/* By the names that each norm's parameters have. */
static mt_norm_kind norm_kind(const foreign_file *file)
{
    const mt_array *scale = find(file, "embed_norm.scale");
    return find(file, "embed_norm.eps") != NULL ? MT_BASIC_NORM
           : scale == NULL                      ? MT_LAYER_NORM
           : scale->rank == 0                   ? MT_SCALE_NORM
                                                : MT_RMS_NORM;
}

static double value_at(const mt_array *array, int64_t i)
{
    return array->dtype == MT_F64 ? ((const double *)array->data)[i]
                                  : (double)((const float *)array->data)[i];
}

static bool first_row_is_zero(const mt_array *table)
{
    for (int64_t c = 0; c < table->shape[1]; c++) {
        if (value_at(table, c) != 0.0) {
            return false;
        }
    }
    return true;
}

static mt_status find_config(const foreign_file *file, mt_model_config *config)
{
    const mt_array *embed, *decay, *hidden;
    mt_status status = need(file, "embed.weight", 2, &embed);
    if (status == MT_OK) {
        status = need(file, "rwkv_blocks.0.att.time_decay", 1, &decay);
    }
    if (status == MT_OK) {
        status = need(file, "rwkv_blocks.0.ffn.proj_key.weight", 2, &hidden);
    }
    if (status != MT_OK) {
        return status;
    }
    *config = mt_model_config_default(embed->shape[0], embed->shape[1]);
    config->attention_size = decay->shape[0];
    config->linear_size = hidden->shape[0];
    config->num_blocks = count_blocks(file);
    config->norm.kind = norm_kind(file);
    config->norm.eps = config->norm.kind == MT_LAYER_NORM ? file->layout->eps : 0.0;
    config->bias = find(file, "rwkv_blocks.0.att.proj_key.bias") != NULL;
    config->output_size = find(file, "head.weight") != NULL ? config->vocab_size : 0;
    config->head_bias = find(file, "head.bias") != NULL;
    config->padding_index = file->layout->pads && first_row_is_zero(embed) ? 0 : -1;
    *config = mt_model_config_resolved(config);
    return mt_model_config_check(config) == MT_OK
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT, "%s: %s", file->path, mt_error_message());
}

/* Copies an array to where the model's block has it. */
static mt_status take(const foreign_file *file, const mt_parameter *parameter, mt_dtype dtype,
                      void *block)
{
    const mt_tensor *tensor = &parameter->tensor;
    char theirs[MT_NAME_MAX] = "";
    const mt_array *array = find(file, parameter->name);
    if (array == NULL) {
        mt_layout_name(file->layout, parameter->name, theirs);
        return mt_fail(MT_ERROR_FORMAT, "%s: %s is missing (layout %s)", file->path, theirs,
                       file->layout->name);
    }
    mt_status status = mt_array_check(array, file->path, tensor);
    if (status != MT_OK) {
        return status;
    }
    char *place = (char *)block + parameter->offset * mt_dtype_size(dtype);
    mt_convert_reals(array->dtype, array->data, dtype, place, mt_tensor_count(tensor));
    return MT_OK;
}

/* Every array is one of the model's, but in a layout that is a part of more. */
static mt_status refuse_unknown(const foreign_file *file, const mt_parameters *described)
{
    for (int64_t i = 0; i < file->arrays->count && !file->layout->part_of_more; i++) {
        const char *name = file->arrays->items[i].name;
        bool known = false;
        for (int p = 0; p < described->count && !known; p++) {
            char theirs[MT_NAME_MAX];
            known = mt_layout_name(file->layout, described->items[p]->name, theirs) == MT_PLACED &&
                    strcmp(theirs, name) == 0;
        }
        if (!known) {
            return mt_fail(MT_ERROR_FORMAT, "%s: %.128s: unknown to layout %s", file->path, name,
                           file->layout->name);
        }
    }
    return MT_OK;
}

static mt_dtype widest(const mt_arrays *arrays)
{
    for (int64_t i = 0; i < arrays->count; i++) {
        if (arrays->items[i].dtype == MT_F64) {
            return MT_F64;
        }
    }
    return MT_F32;
}

/* Finds the layout by the names, and leaves only what is the layout's to be read. */
static mt_status choose(mt_arrays *arrays, void *context)
{
    foreign_file *file = context;
    file->arrays = arrays;
    mt_status status = find_layout(file);
    for (int64_t i = arrays->count; status == MT_OK && i-- > 0;) {
        if (file->layout->part_of_more && !mt_layout_owns(file->layout, arrays->items[i].name)) {
            mt_arrays_remove(arrays, i);
        }
    }
    return status;
}

static mt_status take_all(const foreign_file *file, mt_checkpoint *checkpoint)
{
    const mt_parameters *described = checkpoint->described;
    mt_status status = MT_OK;
    checkpoint->data = calloc((size_t)described->total, mt_dtype_size(checkpoint->dtype));
    if (checkpoint->data == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %lld values", file->path,
                       (long long)described->total);
    }
    for (int i = 0; i < described->count && status == MT_OK; i++) {
        status = take(file, described->items[i], checkpoint->dtype, checkpoint->data);
    }
    return status;
}

static mt_status make_checkpoint(const foreign_file *file, mt_checkpoint *checkpoint)
{
    mt_status status = find_config(file, &checkpoint->config);
    if (status != MT_OK) {
        return status;
    }
    checkpoint->layout = file->layout;
    checkpoint->dtype = widest(file->arrays);
    status = mt_model_describe(&checkpoint->config, checkpoint->dtype, &checkpoint->described);
    if (status == MT_OK) {
        status = refuse_unknown(file, checkpoint->described);
    }
    return status == MT_OK ? take_all(file, checkpoint) : status;
}

mt_status mt_foreign_load(const char *path, mt_checkpoint *checkpoint)
{
    mt_arrays arrays;
    foreign_file file = {.path = path};
    mt_status status = mt_arrays_read(path, choose, &file, &arrays);
    if (status == MT_OK) {
        status = make_checkpoint(&file, checkpoint);
        mt_arrays_free(&arrays);
    }
    return status;
}

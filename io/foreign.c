#include "io/foreign_names.h"
#include "io/hf_config.h"
#include "io/hf_folder.h"
#include "io/safetensors.h"
#include "io/weights_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file at work. */
typedef struct foreign_file {
    const char *path;
    mt_source *source;
    const mt_arrays *arrays; /* without their values */
    const mt_layout *layout;
    mt_hf_config told;
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
    int version = mt_rwkv_version(file->arrays);
    if (version != 4) {
        return mt_fail(MT_ERROR_FORMAT, "%s: this is RWKV-%d; Mixtape has version 4", file->path,
                       version);
    }
    for (const mt_layout *layout = mt_layouts; layout->name != NULL; layout++) {
        foreign_file trial = {.arrays = file->arrays, .layout = layout};
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

static mt_status fail_missing(const foreign_file *file, const char *ours)
{
    char theirs[MT_NAME_MAX] = "";
    mt_layout_name(file->layout, ours, theirs);
    return theirs[0] != '\0'
               ? mt_fail(MT_ERROR_FORMAT, "%s: %s is missing (layout %s)", file->path, theirs,
                         file->layout->name)
               : mt_fail(MT_ERROR_FORMAT, "%s: it is told to have %s, of which layout %s has none",
                         file->path, ours, file->layout->name);
}

/* The array for our parameter, which must be there with this rank. */
static mt_status need(const foreign_file *file, const char *ours, int rank, const mt_array **array)
{
    char theirs[MT_NAME_MAX] = "";
    *array = find(file, ours);
    if (*array == NULL) {
        return fail_missing(file, ours);
    }
    mt_layout_name(file->layout, ours, theirs);
    return (*array)->rank == rank ? MT_OK
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

/* The norm is told by the names that its parameters have. */
static mt_norm_kind norm_kind(const foreign_file *file)
{
    const mt_array *scale = find(file, "embed_norm.scale");
    return find(file, "embed_norm.eps") != NULL ? MT_BASIC_NORM
           : scale == NULL                      ? MT_LAYER_NORM
           : scale->rank == 0                   ? MT_SCALE_NORM
                                                : MT_RMS_NORM;
}

/* Reads the first row of the embedding; `zero` where it is all zeros. */
static mt_status inspect_first_row(const foreign_file *file, const mt_array *table, bool *zero)
{
    double *row = malloc((size_t)table->shape[1] * sizeof *row);
    if (row == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %lld values", file->path,
                       (long long)table->shape[1]);
    }
    mt_status status = file->source->read(file->source, table->name, MT_F64, 0, 1,
                                          (size_t)table->shape[1] * sizeof *row, row);
    *zero = true;
    for (int64_t c = 0; c < table->shape[1] && status == MT_OK; c++) {
        *zero = *zero && row[c] == 0.0;
    }
    free(row);
    return status;
}

static mt_status check_config(const foreign_file *file, const mt_model_config *config)
{
    return mt_model_config_check(config) == MT_OK
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT, "%s: %s", file->path, mt_error_message());
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
    bool pads = false;
    if (status == MT_OK && file->layout->pads) {
        status = inspect_first_row(file, embed, &pads);
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
    config->padding_index = pads ? 0 : -1;
    *config = mt_model_config_resolved(config);
    return check_config(file, config);
}

/* Every parameter has its array, of its shape. */
static mt_status check_shapes(const foreign_file *file, const mt_parameters *described)
{
    mt_status status = MT_OK;
    for (int i = 0; i < described->count && status == MT_OK; i++) {
        const mt_parameter *parameter = described->items[i];
        const mt_array *array = find(file, parameter->name);
        status = array != NULL ? mt_array_check_shape(array, file->path, &parameter->tensor)
                               : fail_missing(file, parameter->name);
    }
    return status;
}

/* Every array is one of the model's, but in a layout that is a part of more. */
static mt_status refuse_unknown(const foreign_file *file, const mt_parameters *described)
{
    const mt_arrays *arrays = file->arrays;
    bool *known = calloc((size_t)arrays->count + 1, sizeof *known);
    if (known == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %lld flags", file->path,
                       (long long)arrays->count);
    }
    for (int p = 0; p < described->count; p++) {
        const mt_array *array = find(file, described->items[p]->name);
        if (array != NULL) {
            known[array - arrays->items] = true;
        }
    }
    int64_t i = 0;
    while (i < arrays->count && (known[i] || file->layout->part_of_more)) {
        i++;
    }
    free(known);
    return i == arrays->count ? MT_OK
                              : mt_fail(MT_ERROR_FORMAT, "%s: %.128s: unknown to layout %s",
                                        file->path, arrays->items[i].name, file->layout->name);
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

static bool is_of_layout(const void *layout, const mt_array *array)
{
    return mt_layout_owns(layout, array->name);
}

/* Finds the layout by the names, and leaves only what is the layout's to be looked at: the rest may
 * be of any type. */
static mt_status choose(foreign_file *file, mt_arrays *arrays)
{
    mt_status status = find_layout(file);
    if (status == MT_OK && file->layout->part_of_more) {
        mt_arrays_filter(arrays, is_of_layout, file->layout);
    }
    if (status == MT_OK) {
        status = mt_arrays_sort(arrays);
    }
    for (int64_t i = 0; i < arrays->count && status == MT_OK; i++) {
        status = file->source->inspect(file->source, &arrays->items[i]);
    }
    return status;
}

/* The eps of basic_norm is learnt, so the file has it; only rms_norm has a partial. */
static mt_assumed assumed_of(const foreign_file *file, mt_norm_kind kind)
{
    return (mt_assumed){.eps = file->told.eps == 0.0 && kind != MT_BASIC_NORM,
                        .partial = kind == MT_RMS_NORM,
                        .context_size = file->told.sizes.context_size == 0};
}

/* What a configuration beside the file tells comes first: transformers computes with it, and a
 * person may change it. */
static mt_status take_told(const foreign_file *file, mt_weights *weights)
{
    mt_model_config *config = &weights->config;
    mt_assumed *assumed = &weights->file->assumed;
    *assumed = assumed_of(file, config->norm.kind);
    mt_status status = mt_safetensors_take_model(file->path, file->source, config, assumed);
    if (file->told.eps > 0.0 && config->norm.kind == MT_LAYER_NORM) {
        config->norm.eps = file->told.eps;
    }
    if (file->told.sizes.context_size > 0) {
        config->context_size = file->told.sizes.context_size;
    }
    if (file->told.tells_rescale_every) {
        config->rescale_every = file->told.sizes.rescale_every;
    }
    if (status == MT_OK) {
        status = check_config(file, config);
    }
    mt_assumed_in_words(assumed, config, weights->file->assumed_text);
    return status;
}

/* A head of its own is no tied one's. */
static mt_status check_tied(const foreign_file *file, const mt_weights *weights)
{
    const mt_parameter *head = mt_parameters_find(weights->parameters, "head.weight");
    const mt_parameter *embedding = mt_parameters_find(weights->parameters, "embed.weight");
    if (!file->told.tied || head == NULL) {
        return MT_OK;
    }
    const mt_array arrays[] = {mt_weights_array(weights, head),
                               mt_weights_array(weights, embedding)};
    return mt_tied_head_check(file->path, &arrays[0], &arrays[1]);
}

static mt_status describe(foreign_file *file, mt_weights *weights)
{
    mt_status status =
        file->layout->config_beside ? mt_hf_config_read(file->path, &file->told) : MT_OK;
    if (status == MT_OK) {
        status = find_config(file, &weights->config);
    }
    if (status == MT_OK) {
        status = mt_hf_config_check(file->path, &file->told, &weights->config);
    }
    if (status == MT_OK) {
        status = take_told(file, weights);
    }
    if (status != MT_OK) {
        return status;
    }
    weights->layout = file->layout;
    weights->dtype = widest(file->arrays);
    status = mt_model_describe(&weights->config, weights->dtype, &weights->parameters);
    if (status == MT_OK) {
        status = refuse_unknown(file, weights->parameters);
    }
    if (status == MT_OK) {
        status = check_shapes(file, weights->parameters);
    }
    return status == MT_OK ? check_tied(file, weights) : status;
}

mt_status mt_foreign_describe(mt_weights *weights)
{
    mt_arrays arrays = {0};
    mt_status status = mt_source_unwrap(weights->file->path, &weights->file->source);
    foreign_file file = {
        .path = weights->file->path, .source = weights->file->source, .arrays = &arrays};
    if (status == MT_OK) {
        status = file.source->list(file.source, &arrays);
    }
    if (status == MT_OK) {
        status = choose(&file, &arrays);
    }
    if (status == MT_OK) {
        status = describe(&file, weights);
    }
    mt_arrays_free(&arrays);
    return status == MT_ERROR_FORMAT && mt_hf_is_shard(file.path)
               ? mt_fail(status, "%s (one of several shards: name their folder)",
                         mt_error_message())
               : status;
}

#include "io/foreign_names.h"

#include "io/hf_config.h"

#include <stdlib.h>
#include <string.h>

/* Of torch's FSDP and its checkpoints of activations, and of torch.compile: they stand before any
 * part of a name. */
static const char *const within[] = {"_fsdp_wrapped_module.", "_checkpoint_wrapped_module.",
                                     "_orig_mod.", NULL};

/* Of torch's DataParallel and DistributedDataParallel, of DeepSpeed's engine, and of Lightning's
 * modules that have the model as an attribute: they stand before every name. */
static const char *const in_front[] = {"module.", "_forward_module.", "model.", NULL};

static const char hf_prefix[] = "rwkv.", hf_embedding[] = "rwkv.embeddings.weight",
                  hf_bare_embedding[] = "embeddings.weight", hf_head[] = "head.weight";

/* `data` of each array, which is the set's own, is its name in the file. */
typedef struct unwrapped_source {
    mt_source base;
    mt_source *under;
    mt_arrays arrays;
} unwrapped_source;

static mt_status no_memory(void)
{
    return mt_fail(MT_ERROR_MEMORY, "weights: no memory for a name");
}

/* ---- as a source ---- */

static const char *stored_name(const unwrapped_source *source, const char *name)
{
    return mt_arrays_find(&source->arrays, name)->data;
}

static mt_status list(mt_source *base, mt_arrays *arrays)
{
    const unwrapped_source *source = (unwrapped_source *)base;
    mt_status status = MT_OK;
    for (int64_t i = 0; i < source->arrays.count && status == MT_OK; i++) {
        status = mt_arrays_add_name(arrays, source->arrays.items[i].name);
    }
    return status;
}

static mt_status inspect(mt_source *base, mt_array *array)
{
    const unwrapped_source *source = (unwrapped_source *)base;
    char *name = array->name;
    array->name = (char *)(uintptr_t)stored_name(source, name);
    mt_status status = source->under->inspect(source->under, array);
    array->name = name;
    return status;
}

static mt_status read_rows(mt_source *base, const char *name, mt_dtype dtype, int64_t first,
                           int64_t rows, size_t bytes, void *values)
{
    const unwrapped_source *source = (unwrapped_source *)base;
    return source->under->read(source->under, stored_name(source, name), dtype, first, rows, bytes,
                               values);
}

static const char *text_of(mt_source *base, const char *name)
{
    mt_source *under = ((unwrapped_source *)base)->under;
    return under->text != NULL ? under->text(under, name) : NULL;
}

static void free_unwrapped(unwrapped_source *source)
{
    mt_arrays_free(&source->arrays);
    free(source);
}

static void close_unwrapped(mt_source *base)
{
    unwrapped_source *source = (unwrapped_source *)base;
    mt_source_close(source->under);
    free_unwrapped(source);
}

/* ---- names ---- */

/* The length of the first of these words that a name begins with; 0: with none. */
static size_t word_length(const char *const *words, const char *name)
{
    for (; *words != NULL; words++) {
        if (strncmp(name, *words, strlen(*words)) == 0) {
            return strlen(*words);
        }
    }
    return 0;
}

/* Leaves out the words that stand before any part of a name. */
static void cut_within(char *name)
{
    const char *from = name;
    bool begins_part = true;
    while (*from != '\0') {
        size_t length = begins_part ? word_length(within, from) : 0;
        from += length;
        if (length == 0) {
            begins_part = *from == '.';
            *name++ = *from++;
        }
    }
    *name = '\0';
}

/* The length of the words that stand before every name, one behind the other. */
static size_t length_in_front(const mt_arrays *arrays)
{
    const char *first = arrays->count > 0 ? arrays->items[0].name : "";
    size_t length = 0, word;
    while ((word = word_length(in_front, first + length)) > 0) {
        length += word;
    }
    for (int64_t i = 0; i < arrays->count; i++) {
        if (strncmp(arrays->items[i].name, first, length) != 0) {
            return 0;
        }
    }
    return length;
}

static void cut_in_front(mt_arrays *arrays)
{
    size_t length = length_in_front(arrays);
    for (int64_t i = 0; i < arrays->count; i++) {
        char *name = arrays->items[i].name;
        memmove(name, name + length, strlen(name + length) + 1);
    }
}

static mt_status add_in_front(mt_arrays *arrays, const char *prefix)
{
    mt_status status = MT_OK;
    for (int64_t i = 0; i < arrays->count && status == MT_OK; i++) {
        char *name = arrays->items[i].name;
        size_t length = strlen(prefix), rest = strlen(name) + 1;
        char *joined = malloc(length + rest);
        if (joined == NULL) {
            return no_memory();
        }
        memcpy(joined, prefix, length);
        memcpy(joined + length, name, rest);
        free(name);
        arrays->items[i].name = joined;
    }
    return status;
}

/* Adds the head that a tied model's file lacks: it is the embedding. */
static mt_status add_tied_head(mt_arrays *arrays)
{
    mt_status status = mt_arrays_add_name(arrays, hf_head);
    if (status != MT_OK) {
        return status;
    }
    mt_array *head = mt_arrays_last(arrays);
    head->data = strdup(mt_arrays_find(arrays, hf_embedding)->data);
    return head->data != NULL ? MT_OK : no_memory();
}

static mt_status refuse_same(const char *path, const mt_arrays *arrays)
{
    for (int64_t i = 1; i < arrays->count; i++) {
        const mt_array *a = arrays->sorted[i - 1], *b = arrays->sorted[i];
        if (strcmp(a->name, b->name) == 0) {
            return mt_fail(MT_ERROR_FORMAT, "%s: %.128s and %.128s are names of the same: %.128s",
                           path, (const char *)a->data, (const char *)b->data, a->name);
        }
    }
    return MT_OK;
}

static mt_status keep_stored_names(mt_arrays *arrays)
{
    for (int64_t i = 0; i < arrays->count; i++) {
        arrays->items[i].data = strdup(arrays->items[i].name);
        if (arrays->items[i].data == NULL) {
            return no_memory();
        }
    }
    return MT_OK;
}

static mt_status unwrap(const char *path, mt_arrays *arrays)
{
    mt_hf_config config = {.tied = false};
    mt_status status = keep_stored_names(arrays);
    for (int64_t i = 0; i < arrays->count && status == MT_OK; i++) {
        cut_within(arrays->items[i].name);
    }
    if (status == MT_OK) {
        cut_in_front(arrays);
    }
    bool is_bare = mt_arrays_find(arrays, hf_bare_embedding) != NULL;
    bool lacks_head =
        mt_arrays_find(arrays, hf_embedding) != NULL && mt_arrays_find(arrays, hf_head) == NULL;
    if (status == MT_OK && is_bare) {
        status = add_in_front(arrays, hf_prefix);
    } else if (status == MT_OK && lacks_head) {
        status = mt_hf_config_read(path, &config);
    }
    if (status == MT_OK && config.tied) {
        status = add_tied_head(arrays);
    }
    if (status == MT_OK) {
        status = mt_arrays_sort(arrays);
    }
    return status == MT_OK ? refuse_same(path, arrays) : status;
}

mt_status mt_source_unwrap(const char *path, mt_source **source)
{
    unwrapped_source *made = malloc(sizeof *made);
    if (made == NULL) {
        return no_memory();
    }
    *made = (unwrapped_source){{list, inspect, read_rows, close_unwrapped, text_of}, *source, {0}};
    mt_status status = made->under->list(made->under, &made->arrays);
    if (status == MT_OK) {
        status = unwrap(path, &made->arrays);
    }
    if (status != MT_OK) {
        free_unwrapped(made);
        return status;
    }
    *source = &made->base;
    return MT_OK;
}

#include "io/foreign_names.h"

#include <stdlib.h>
#include <string.h>

/* Of torch's DataParallel and DistributedDataParallel, of DeepSpeed's engine, of torch.compile, and
 * of torch's FSDP. */
static const char *const wrappers[] = {"module.", "_forward_module.", "_orig_mod.",
                                       "_fsdp_wrapped_module."};
enum { WRAPPERS = sizeof wrappers / sizeof *wrappers };

static const char hf_prefix[] = "rwkv.", hf_embedding[] = "rwkv.embeddings.weight",
                  hf_head[] = "head.weight";

typedef struct unwrapped_source {
    mt_source base;
    mt_source *under;
    char *removed;     /* from the file's names, */
    const char *added; /* to them then */
    bool tied;
} unwrapped_source;

static mt_status no_memory(void)
{
    return mt_fail(MT_ERROR_MEMORY, "weights: no memory for a name");
}

/* "a" and "b" joined, to be freed; NULL without memory. */
static char *join(const char *a, const char *b)
{
    size_t length = strlen(a), rest = strlen(b);
    char *joined = malloc(length + rest + 1);
    if (joined != NULL) {
        memcpy(joined, a, length);
        memcpy(joined + length, b, rest + 1);
    }
    return joined;
}

/* The name that the file has for one of ours. */
static char *stored_name(const unwrapped_source *source, const char *name)
{
    const char *stored = source->tied && strcmp(name, hf_head) == 0 ? hf_embedding : name;
    return join(source->removed, stored + strlen(source->added));
}

/* A file that is read in a child may say another thing the second time. */
static mt_status unwrap(const unwrapped_source *source, mt_array *array)
{
    size_t length = strlen(source->removed);
    if (strncmp(array->name, source->removed, length) != 0) {
        return mt_fail(MT_ERROR_FORMAT, "%s: it does not begin with %s any more", array->name,
                       source->removed);
    }
    char *name = join(source->added, array->name + length);
    mt_status status = name != NULL ? mt_array_rename(array, name) : no_memory();
    free(name);
    return status;
}

static mt_status list(mt_source *base, mt_arrays *arrays)
{
    const unwrapped_source *source = (unwrapped_source *)base;
    int64_t first = arrays->count;
    mt_status status = source->under->list(source->under, arrays);
    for (int64_t i = first; i < arrays->count && status == MT_OK; i++) {
        status = unwrap(source, &arrays->items[i]);
    }
    return status == MT_OK && source->tied ? mt_arrays_add_name(arrays, hf_head) : status;
}

static mt_status inspect(mt_source *base, mt_array *array)
{
    const unwrapped_source *source = (unwrapped_source *)base;
    char *name = array->name;
    array->name = stored_name(source, name);
    mt_status status =
        array->name != NULL ? source->under->inspect(source->under, array) : no_memory();
    free(array->name);
    array->name = name;
    return status;
}

static mt_status read_rows(mt_source *base, const char *name, mt_dtype dtype, int64_t first,
                           int64_t rows, size_t bytes, void *values)
{
    const unwrapped_source *source = (unwrapped_source *)base;
    char *stored = stored_name(source, name);
    mt_status status = stored != NULL ? source->under->read(source->under, stored, dtype, first,
                                                            rows, bytes, values)
                                      : no_memory();
    free(stored);
    return status;
}

static void close_unwrapped(mt_source *base)
{
    unwrapped_source *source = (unwrapped_source *)base;
    mt_source_close(source->under);
    free(source->removed);
    free(source);
}

/* The length of the wrappers' prefixes, one behind the other, that a name begins with. */
static size_t wrapped_length(const char *name)
{
    size_t length = 0;
    for (int i = 0; i < WRAPPERS;) {
        size_t bytes = strlen(wrappers[i]);
        bool begins = strncmp(name + length, wrappers[i], bytes) == 0;
        length += begins ? bytes : 0;
        i = begins ? 0 : i + 1;
    }
    return length;
}

/* The same of all names; 0 where one begins otherwise. */
static size_t common_length(const mt_arrays *arrays)
{
    size_t length = arrays->count > 0 ? wrapped_length(arrays->items[0].name) : 0;
    for (int64_t i = 0; i < arrays->count; i++) {
        if (strncmp(arrays->items[i].name, arrays->items[0].name, length) != 0) {
            return 0;
        }
    }
    return length;
}

static bool has(const mt_arrays *arrays, size_t prefix, const char *name)
{
    for (int64_t i = 0; i < arrays->count; i++) {
        if (strcmp(arrays->items[i].name + prefix, name) == 0) {
            return true;
        }
    }
    return false;
}

static mt_status examine(const char *path, const mt_arrays *arrays, unwrapped_source *source)
{
    size_t length = common_length(arrays);
    source->removed = strndup(arrays->count > 0 ? arrays->items[0].name : "", length);
    source->added = has(arrays, length, hf_embedding + strlen(hf_prefix)) ? hf_prefix : "";
    if (source->removed == NULL) {
        return no_memory();
    }
    mt_hf_config config = {.tied = false};
    bool headless = has(arrays, length, hf_embedding) && !has(arrays, length, hf_head);
    mt_status status = headless ? mt_hf_config_read(path, &config) : MT_OK;
    source->tied = config.tied;
    return status;
}

mt_status mt_source_unwrap(const char *path, mt_source **source)
{
    unwrapped_source *made = malloc(sizeof *made);
    mt_arrays arrays = {0};
    if (made == NULL) {
        return no_memory();
    }
    *made =
        (unwrapped_source){{list, inspect, read_rows, close_unwrapped}, *source, NULL, "", false};
    mt_status status = made->under->list(made->under, &arrays);
    if (status == MT_OK) {
        status = examine(path, &arrays, made);
    }
    mt_arrays_free(&arrays);
    if (status == MT_OK && (made->removed[0] != '\0' || made->added[0] != '\0' || made->tied)) {
        *source = &made->base;
        return MT_OK;
    }
    free(made->removed);
    free(made);
    return status;
}

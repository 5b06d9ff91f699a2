#include "io/hf_folder.h"

#include "io/file.h"
#include "io/hf_config.h"
#include "io/json_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_INDEX = 16 << 20, MOST_SHARDS = 4096 };

typedef struct sharded_source {
    mt_source base;
    int count, capacity;
    mt_source **shards;
    mt_arrays arrays; /* each with its shard as its source, sorted */
} sharded_source;

/* ---- as a source ---- */

static mt_status list(mt_source *base, mt_arrays *arrays)
{
    const sharded_source *source = (sharded_source *)base;
    mt_status status = MT_OK;
    for (int64_t i = 0; i < source->arrays.count && status == MT_OK; i++) {
        status = mt_arrays_add_name(arrays, source->arrays.items[i].name);
    }
    return status;
}

/* The shard that has an array of this name. */
static mt_source *shard_of(const sharded_source *source, const char *name)
{
    return mt_arrays_find(&source->arrays, name)->source;
}

static mt_status inspect(mt_source *base, mt_array *array)
{
    mt_source *shard = shard_of((sharded_source *)base, array->name);
    return shard->inspect(shard, array);
}

static mt_status read_rows(mt_source *base, const char *name, mt_dtype dtype, int64_t first,
                           int64_t rows, size_t bytes, void *values)
{
    mt_source *shard = shard_of((sharded_source *)base, name);
    return shard->read(shard, name, dtype, first, rows, bytes, values);
}

static void close_shards(mt_source *base)
{
    sharded_source *source = (sharded_source *)base;
    for (int i = 0; i < source->count; i++) {
        mt_source_close(source->shards[i]);
    }
    free(source->shards);
    mt_arrays_free(&source->arrays);
    free(source);
}

/* ---- the index ---- */

/* An index at work. */
typedef struct shard_index {
    const char *folder;
    json_t *map;   /* from names to files */
    json_t *files; /* the files that are open already, a set */
    sharded_source *source;
} shard_index;

static mt_status lies(const shard_index *index, const char *name, const char *file, const char *why)
{
    return mt_fail(MT_ERROR_FORMAT, "%s/" MT_HF_INDEX ": %.128s: %.128s: %s", index->folder, name,
                   file, why);
}

/* A shard stands in the folder itself. */
static bool is_name_of_file(const char *name)
{
    return name != NULL && name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

static mt_status add_shard(sharded_source *source, mt_source *shard)
{
    if (source->count == source->capacity) {
        int capacity = source->capacity > 0 ? 2 * source->capacity : 16;
        mt_source **shards = realloc(source->shards, (size_t)capacity * sizeof *shards);
        if (shards == NULL) {
            return mt_fail(MT_ERROR_MEMORY, "no memory for %d shards", capacity);
        }
        source->shards = shards;
        source->capacity = capacity;
    }
    source->shards[source->count++] = shard;
    return MT_OK;
}

/* What a shard holds is what the index has in it: of a name in two shards, one is elsewhere. */
static mt_status take_names(const shard_index *index, const char *file, mt_source *shard)
{
    mt_arrays *arrays = &index->source->arrays;
    int64_t first = arrays->count;
    mt_status status = shard->list(shard, arrays);
    for (int64_t i = first; i < arrays->count && status == MT_OK; i++) {
        mt_array *array = &arrays->items[i];
        const char *place = json_string_value(json_object_get(index->map, array->name));
        array->source = shard;
        if (place == NULL || strcmp(place, file) != 0) {
            status =
                mt_fail(MT_ERROR_FORMAT,
                        "%s/%.128s: it holds %.128s, which the index " MT_HF_INDEX " has in %.128s",
                        index->folder, file, array->name, place != NULL ? place : "no file");
        }
    }
    return status;
}

static mt_status open_shard(const shard_index *index, const char *file)
{
    char path[PATH_MAX];
    mt_source *shard;
    if (json_object_size(index->files) > MOST_SHARDS) {
        return mt_fail(MT_ERROR_FORMAT, "%s/" MT_HF_INDEX ": more than %d shards", index->folder,
                       MOST_SHARDS);
    }
    int length = snprintf(path, sizeof path, "%s/%s", index->folder, file);
    if (length < 0 || length >= (int)sizeof path) {
        return mt_fail(MT_ERROR_IO, "%.64s...: the path of %.128s is too long", index->folder,
                       file);
    }
    if (access(path, F_OK) != 0) {
        return mt_fail(MT_ERROR_IO, "%s/%.128s: %s, and the index " MT_HF_INDEX " names it",
                       index->folder, file, strerror(errno));
    }
    mt_status status = mt_safetensors_source(path, &shard);
    if (status != MT_OK) {
        return status;
    }
    status = add_shard(index->source, shard);
    if (status != MT_OK) {
        mt_source_close(shard);
        return status;
    }
    return take_names(index, file, shard);
}

static mt_status open_shards(const shard_index *index)
{
    const char *name;
    json_t *place;
    json_object_foreach(index->map, name, place)
    {
        const char *file = json_string_value(place);
        mt_status status = MT_OK;
        if (!is_name_of_file(file)) {
            char text[MT_JSON_TEXT];
            return lies(index, name, mt_json_text(place, text), "no name of a file in the folder");
        }
        if (json_object_get(index->files, file) == NULL) {
            status = json_object_set_new(index->files, file, json_true()) == 0
                         ? open_shard(index, file)
                         : mt_fail(MT_ERROR_MEMORY, "%s: no memory for a name", index->folder);
        }
        if (status != MT_OK) {
            return status;
        }
    }
    return mt_arrays_sort(&index->source->arrays);
}

/* Every name of the index is in its shard. */
static mt_status find_missing(const shard_index *index)
{
    const char *name;
    json_t *place;
    json_object_foreach(index->map, name, place)
    {
        if (mt_arrays_find(&index->source->arrays, name) == NULL) {
            return lies(index, name, json_string_value(place), "this file does not hold it");
        }
    }
    return MT_OK;
}

static mt_status read_index(const char *folder, const json_t *content, sharded_source *source)
{
    shard_index index = {folder, json_object_get(content, "weight_map"), json_object(), source};
    mt_status status = MT_OK;
    if (index.files == NULL) {
        status = mt_fail(MT_ERROR_MEMORY, "%s: no memory for its files", folder);
    } else if (json_object_size(index.map) == 0) {
        status = mt_fail(MT_ERROR_FORMAT,
                         "%s/" MT_HF_INDEX ": it has no weight_map, or an empty one", folder);
    }
    if (status == MT_OK) {
        status = open_shards(&index);
    }
    if (status == MT_OK) {
        status = find_missing(&index);
    }
    json_decref(index.files);
    return status;
}

static mt_status open_index(const char *folder, const char *path, mt_source **source)
{
    json_t *content;
    sharded_source *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, sizeof *made);
    }
    made->base = (mt_source){list, inspect, read_rows, close_shards, NULL};
    mt_status status = mt_json_read(path, MOST_INDEX, &content);
    if (status == MT_OK) {
        status = read_index(folder, content, made);
        json_decref(content);
    }
    if (status != MT_OK) {
        close_shards(&made->base);
        return status;
    }
    *source = &made->base;
    return MT_OK;
}

/* ---- the folder ---- */

/* A link that leads nowhere is there all the same: whoever opens it says so. */
static bool has(const char *folder, const char *name, char path[PATH_MAX])
{
    bool is_there = false;
    int length = snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return length > 0 && length < PATH_MAX && (mt_file_look(path, &is_there) != MT_OK || is_there);
}

mt_status mt_hf_folder_source(const char *folder, mt_source **source)
{
    mt_hf_config config;
    char path[PATH_MAX];
    mt_status status = mt_hf_config_read(folder, &config);
    if (status != MT_OK) {
        return status;
    }
    if (has(folder, MT_HF_WEIGHTS, path)) {
        return mt_safetensors_source(path, source);
    }
    return has(folder, MT_HF_INDEX, path) ? open_index(folder, path, source)
                                          : mt_hf_folder_refuse(folder);
}

bool mt_hf_is_shard(const char *path)
{
    char index[PATH_MAX];
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    int length = snprintf(index, sizeof index, "%.*s" MT_HF_INDEX, (int)(name - path), path);
    return strstr(name, "-of-") != NULL && length < PATH_MAX && access(index, F_OK) == 0;
}

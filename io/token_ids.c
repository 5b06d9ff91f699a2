#include "io/ascending.h"
#include "io/token_ids_list.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_ID = 8 /* bytes */ };

void mt_token_ids_close(mt_token_ids *ids)
{
    if (ids == NULL) {
        return;
    }
    for (int64_t i = 0; ids->file != NULL && i < ids->files; i++) {
        mt_ids_free_file(&ids->file[i]);
    }
    free(ids->file);
    free(ids->first_id);
    free(ids->first_document);
    free(ids->buffer);
    free(ids->values);
    free(ids);
}

static mt_status make(int64_t files, mt_token_ids **ids)
{
    mt_token_ids *made = *ids = calloc(1, sizeof *made);
    if (made != NULL) {
        made->file = calloc((size_t)files, sizeof *made->file);
        made->first_id = calloc((size_t)files, sizeof *made->first_id);
        made->first_document = calloc((size_t)files, sizeof *made->first_document);
        made->buffer = malloc((size_t)MT_IDS_PIECE * LONGEST_ID);
        made->values = malloc(MT_IDS_PIECE * sizeof *made->values);
        memset(made->open, -1, sizeof made->open);
    }
    return made != NULL && made->file != NULL && made->first_id != NULL &&
                   made->first_document != NULL && made->buffer != NULL && made->values != NULL
               ? MT_OK
               : mt_fail(MT_ERROR_MEMORY, "no memory to read %" PRId64 " files of token ids",
                         files);
}

static bool is_same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* The file before it that has the same ids, or NULL. */
static mt_ids_file *find_before(const mt_token_ids *ids, const mt_ids_file *last)
{
    mt_ids_file *found = NULL;
    for (int64_t i = 0; i < ids->files && found == NULL; i++) {
        mt_ids_file *file = &ids->file[i];
        bool is_it = file->device == last->device && file->number == last->number &&
                     is_same(file->dataset, last->dataset) && is_same(file->group, last->group);
        found = is_it ? file : NULL;
    }
    return found;
}

static mt_status check_sum(const mt_token_ids *ids, const mt_ids_file *file)
{
    return file->count <= INT64_MAX / 2 - ids->count
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT, "%s: more ids than can be counted", file->path);
}

/* An .idx and its .bin are one file, in the order of a shell's `*` or in the other. */
static mt_status take_name(mt_ids_file *file, const char *path)
{
    bool *is_named =
        mt_ids_has_suffix(path, ".idx") ? &file->is_named_by_index : &file->is_named_by_ids;
    if (*is_named) {
        return mt_fail(MT_ERROR_INVALID,
                       "%s: it is named twice (name it once; only a copy of it would count "
                       "twice)",
                       path);
    }
    *is_named = true;
    return MT_OK;
}

static mt_status add_file(mt_token_ids *ids, const char *path, mt_ids_raw raw)
{
    mt_ids_file *file = &ids->file[ids->files], *before = NULL;
    mt_status status = mt_ids_open_file(path, raw, file);
    if (status == MT_OK) {
        before = find_before(ids, file);
        status = take_name(before != NULL ? before : file, path);
    }
    if (status == MT_OK && before == NULL) {
        status = check_sum(ids, file);
    }
    if (status != MT_OK || before != NULL) {
        mt_ids_free_file(file);
        *file = (mt_ids_file){.descriptor = -1};
        return status;
    }
    mt_ids_close_file(file);
    ids->first_id[ids->files] = ids->count;
    ids->first_document[ids->files] = ids->documents;
    ids->count += file->count;
    ids->documents += file->documents;
    ids->files++;
    return MT_OK;
}

mt_status mt_token_ids_open(const char *const *paths, int64_t count, mt_ids_raw raw,
                            mt_token_ids **ids)
{
    *ids = NULL;
    if (count < 1) {
        return mt_fail(MT_ERROR_INVALID, "no files of token ids are named");
    }
    mt_status status = make(count, ids);
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        status = add_file(*ids, paths[i], raw);
    }
    if (status != MT_OK) {
        mt_token_ids_close(*ids);
        *ids = NULL;
    }
    return status;
}

int64_t mt_token_ids_count(const mt_token_ids *ids)
{
    return ids->count;
}

int64_t mt_token_ids_documents(const mt_token_ids *ids)
{
    return ids->documents;
}

const char *mt_token_ids_file(const mt_token_ids *ids, int64_t i)
{
    int64_t number = 0;
    for (int64_t f = 0; f < ids->files; f++) {
        const mt_ids_file *file = &ids->file[f];
        if (number++ == i) {
            return file->path;
        }
        if (file->index != NULL && number++ == i) {
            return file->index;
        }
    }
    return NULL;
}

mt_ids_span mt_token_ids_document(const mt_token_ids *ids, int64_t d)
{
    int64_t f = mt_find_last(ids->first_document, ids->files, d);
    const mt_ids_file *file = &ids->file[f];
    int64_t own = d - ids->first_document[f];
    int64_t first = file->starts != NULL ? file->starts[own] : own * file->row;
    int64_t end = file->starts != NULL ? file->starts[own + 1] : first + file->row;
    return (mt_ids_span){ids->first_id[f] + first, end - first, file->has_borders};
}

int64_t mt_token_ids_find(const mt_token_ids *ids, int64_t position)
{
    int64_t f = mt_find_last(ids->first_id, ids->files, position);
    const mt_ids_file *file = &ids->file[f];
    int64_t own = position - ids->first_id[f];
    return ids->first_document[f] + (file->starts != NULL
                                         ? mt_find_last(file->starts, file->documents, own)
                                         : own / file->row);
}

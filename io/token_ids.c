#include "io/token_ids.h"

#include "io/file_kind.h"
#include "io/token_ids_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As many ids are read at once, and as many files are open: folders may have thousands. */
enum { PIECE = 1 << 18, MOST_OPEN = 64, LONGEST_ID = 8 /* bytes */ };

struct mt_token_ids {
    int64_t files, count, documents;
    mt_ids_file *file;
    int64_t *first_id, *first_document; /* of each file */

    int64_t open[MOST_OPEN]; /* files; negative: none */
    int next;                /* of them, to be closed for another */

    unsigned char *bytes; /* of a piece, */
    int32_t *narrow;      /* of one that HDF5 reads, */
    int64_t *values;      /* and its ids */
};

/* ---- one file ---- */

static void close_file(mt_ids_file *file)
{
    if (file->descriptor >= 0) {
        close(file->descriptor);
    }
    mt_archive_discard(file->archive);
    file->descriptor = -1;
    file->archive = NULL;
}

static void free_file(mt_ids_file *file)
{
    close_file(file);
    free(file->path);
    free(file->index);
    free(file->starts);
    free(file->group);
    free(file->dataset);
}

static bool begins(const mt_ids_head *head, const char *bytes, size_t size)
{
    return head->size >= size && memcmp(head->bytes, bytes, size) == 0;
}

/* What is none of the formats that tell of themselves: ids alone, or something else. */
static mt_status open_untold(mt_ids_file *file, mt_ids_raw raw)
{
    enum { TELLING = 64 }; /* bytes: a few ids may happen to be letters */
    bool is_bin = mt_ids_has_suffix(file->path, ".bin");
    if (mt_ids_has_suffix(file->path, ".npz")) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: an archive of arrays (numpy.save writes the one of ids alone)",
                       file->path);
    }
    mt_status status =
        file->bytes >= TELLING || !is_bin ? mt_file_check_kind(file->path, "token ids") : MT_OK;
    if (status == MT_OK && !is_bin && raw == MT_IDS_UNSAID) {
        status = mt_fail(MT_ERROR_FORMAT,
                         "%s: not token ids that are known: .npy, .bin, .bin with .idx, or HDF5 "
                         "(--ids-type says of other files that they are integers alone)",
                         file->path);
    }
    return status == MT_OK ? mt_ids_open_raw(file, raw) : status;
}

/* `object`: of an HDF5 file, or NULL. */
static mt_status open_told(mt_ids_file *file, const char *object, mt_ids_raw raw)
{
    mt_ids_head head = {.size = file->bytes < MT_IDS_HEAD ? (size_t)file->bytes : MT_IDS_HEAD};
    mt_status status = mt_ids_read_bytes(file->path, file->descriptor, 0, head.bytes, head.size);
    if (status != MT_OK) {
        return status;
    }
    if (begins(&head, "\x89HDF\r\n\x1a\n", 8) || object != NULL ||
        mt_ids_has_suffix(file->path, ".h5") || mt_ids_has_suffix(file->path, ".hdf5")) {
        return mt_ids_open_hdf5(file, object);
    }
    if (begins(&head, "\x93NUMPY", 6)) {
        return mt_ids_open_npy(file, &head);
    }
    return mt_ids_is_llmc(&head) ? mt_ids_open_llmc(file, &head) : open_untold(file, raw);
}

/* The name of an index's .bin, of the index, or what they begin with: all three are told by an .idx
 * that is there. */
static mt_status find_index(mt_ids_file *file)
{
    bool is_one = mt_ids_has_suffix(file->path, ".idx") || mt_ids_has_suffix(file->path, ".bin") ||
                  !mt_ids_is_there(file->path);
    if (!is_one) {
        return MT_OK;
    }
    char *index = mt_ids_beside(file->path, ".idx"), *bin = mt_ids_beside(file->path, ".bin");
    bool is_lost = index == NULL || bin == NULL, is_there = !is_lost && mt_ids_is_there(index);
    if (is_there) {
        free(file->path);
        file->path = bin;
        file->index = index;
        return MT_OK;
    }
    free(index);
    free(bin);
    return is_lost ? mt_fail(MT_ERROR_MEMORY, "%s: no memory for a path", file->path) : MT_OK;
}

static mt_status open_file(const char *path, mt_ids_raw raw, mt_ids_file *file)
{
    file->descriptor = -1;
    file->path = strdup(path);
    if (file->path == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its path", path);
    }
    const char *object = mt_ids_find_object(path);
    if (object != NULL) {
        file->path[object++ - path] = '\0';
    }
    mt_status status = object == NULL ? find_index(file) : MT_OK;
    const char *bare = mt_ids_find_bare_object(file->path);
    if (status == MT_OK && bare != NULL) {
        status = mt_fail(MT_ERROR_IO, "%s: no such file (a dataset is named FILE:/PATH: %.*s:/%s)",
                         path, (int)(bare - file->path), file->path, bare + 1);
    }
    if (status == MT_OK) {
        status = mt_ids_open_bytes(file->path, &file->descriptor, &file->bytes);
    }
    if (status == MT_OK) {
        status = file->index != NULL ? mt_ids_open_index(file) : open_told(file, object, raw);
    }
    return status;
}

/* ---- all of them ---- */

void mt_token_ids_close(mt_token_ids *ids)
{
    if (ids == NULL) {
        return;
    }
    for (int64_t i = 0; ids->file != NULL && i < ids->files; i++) {
        free_file(&ids->file[i]);
    }
    free(ids->file);
    free(ids->first_id);
    free(ids->first_document);
    free(ids->bytes);
    free(ids->narrow);
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
        made->bytes = malloc((size_t)PIECE * LONGEST_ID);
        made->narrow = malloc(PIECE * sizeof *made->narrow);
        made->values = malloc(PIECE * sizeof *made->values);
        memset(made->open, -1, sizeof made->open);
    }
    return made != NULL && made->file != NULL && made->first_id != NULL &&
                   made->first_document != NULL && made->bytes != NULL && made->narrow != NULL &&
                   made->values != NULL
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
        bool is_it = is_same(file->path, last->path) && is_same(file->dataset, last->dataset) &&
                     is_same(file->group, last->group);
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
        return mt_fail(MT_ERROR_INVALID, "%s: it is named twice", path);
    }
    *is_named = true;
    return MT_OK;
}

static mt_status add_file(mt_token_ids *ids, const char *path, mt_ids_raw raw)
{
    mt_ids_file *file = &ids->file[ids->files], *before = NULL;
    mt_status status = open_file(path, raw, file);
    if (status == MT_OK) {
        before = find_before(ids, file);
        status = take_name(before != NULL ? before : file, path);
    }
    if (status == MT_OK && before == NULL) {
        status = check_sum(ids, file);
    }
    if (status != MT_OK || before != NULL) {
        free_file(file);
        *file = (mt_ids_file){.descriptor = -1};
        return status;
    }
    close_file(file);
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

/* The last of `count` ascending numbers that is at most `value`; the first is. */
static int64_t find_last(const int64_t *numbers, int64_t count, int64_t value)
{
    int64_t low = 0, high = count;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (numbers[middle] <= value) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

mt_ids_span mt_token_ids_document(const mt_token_ids *ids, int64_t d)
{
    int64_t f = find_last(ids->first_document, ids->files, d);
    const mt_ids_file *file = &ids->file[f];
    int64_t own = d - ids->first_document[f];
    int64_t first = file->starts != NULL ? file->starts[own] : own * file->row;
    int64_t end = file->starts != NULL ? file->starts[own + 1] : first + file->row;
    return (mt_ids_span){ids->first_id[f] + first, end - first, file->has_borders};
}

int64_t mt_token_ids_find(const mt_token_ids *ids, int64_t position)
{
    int64_t f = find_last(ids->first_id, ids->files, position);
    const mt_ids_file *file = &ids->file[f];
    int64_t own = position - ids->first_id[f];
    return ids->first_document[f] +
           (file->starts != NULL ? find_last(file->starts, file->documents, own) : own / file->row);
}

/* ---- reading ---- */

/* Opens a file of the list again, in the place of the one that was opened longest ago. */
static mt_status reopen(mt_token_ids *ids, int64_t f)
{
    mt_ids_file *file = &ids->file[f];
    int64_t bytes, *place = &ids->open[ids->next];
    if (file->descriptor >= 0 || file->archive != NULL) {
        return MT_OK;
    }
    if (*place >= 0) {
        close_file(&ids->file[*place]);
        *place = -1;
    }
    if (file->dataset != NULL) {
        mt_status status = mt_archive_open(file->path, &file->archive);
        if (status != MT_OK) {
            return status;
        }
    } else {
        mt_status status = mt_ids_open_bytes(file->path, &file->descriptor, &bytes);
        if (status != MT_OK) {
            return status;
        }
        if (bytes != file->bytes) {
            close_file(file);
            return mt_fail(MT_ERROR_IO,
                           "%s: %" PRId64 " bytes, and %" PRId64 " when it was first opened",
                           file->path, bytes, file->bytes);
        }
    }
    *place = f;
    ids->next = (ids->next + 1) % MOST_OPEN;
    return MT_OK;
}

/* An id, as a number of 64 bits; those above count as the largest. */
static int64_t widen(const unsigned char *bytes, mt_ids_type type)
{
    uint64_t value = 0;
    for (int i = 0; i < type.size; i++) {
        int from = type.is_swapped ? type.size - 1 - i : i;
        value |= (uint64_t)bytes[from] << 8 * i;
    }
    uint64_t sign = UINT64_C(1) << (8 * type.size - 1);
    if (type.is_signed) {
        return (int64_t)((value ^ sign) - sign);
    }
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

/* Reads at most a piece, of one document, from index `first` of a file on, into `values`. */
static mt_status read_piece(mt_token_ids *ids, int64_t f, int64_t first, int64_t count)
{
    mt_ids_file *file = &ids->file[f];
    mt_status status = reopen(ids, f);
    if (status != MT_OK) {
        return status;
    }
    if (file->dataset != NULL) {
        status = mt_ids_read_dataset(file, first, count, ids->narrow);
        for (int64_t i = 0; i < count && status == MT_OK; i++) {
            ids->values[i] = ids->narrow[i];
        }
        return status;
    }
    int size = file->type.size;
    status = mt_ids_read_bytes(file->path, file->descriptor, file->offset + first * size,
                               ids->bytes, (size_t)(count * size));
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        ids->values[i] = widen(ids->bytes + i * size, file->type);
    }
    return status;
}

/* Checks a piece that was read. */
static mt_status check_piece(const mt_token_ids *ids, int64_t f, int64_t first, int64_t count,
                             int64_t vocabulary)
{
    const mt_ids_file *file = &ids->file[f];
    for (int64_t i = 0; i < count; i++) {
        if (ids->values[i] < 0 || ids->values[i] >= vocabulary) {
            return mt_fail(MT_ERROR_FORMAT,
                           "%s: id %" PRId64 " is %" PRId64 ", not in 0 .. %" PRId64 "%s",
                           file->path, first + i, ids->values[i], vocabulary - 1,
                           file->is_untold ? " (if it is of the right --ids-type)" : "");
        }
    }
    return MT_OK;
}

/* Reads and checks a piece at a position, as long as it may be. */
static mt_status take_piece(mt_token_ids *ids, int64_t position, int64_t most, int64_t vocabulary,
                            int64_t *count)
{
    int64_t f = find_last(ids->first_id, ids->files, position);
    *count = most < PIECE ? most : PIECE;
    int64_t first = position - ids->first_id[f];
    mt_status status = read_piece(ids, f, first, *count);
    return status == MT_OK ? check_piece(ids, f, first, *count, vocabulary) : status;
}

mt_status mt_token_ids_read(mt_token_ids *ids, int64_t position, int64_t count, int64_t vocabulary,
                            int32_t *values)
{
    int64_t taken;
    mt_status status = MT_OK;
    for (int64_t done = 0; done < count && status == MT_OK; done += taken) {
        status = take_piece(ids, position + done, count - done, vocabulary, &taken);
        for (int64_t i = 0; i < taken && status == MT_OK; i++) {
            values[done + i] = (int32_t)ids->values[i];
        }
    }
    return status;
}

/* Where the ids that can be read at once from a position on end: those of a file or, of a matrix in
 * HDF5, those of a row. */
static int64_t end_of_run(const mt_token_ids *ids, int64_t position)
{
    int64_t f = find_last(ids->first_id, ids->files, position);
    const mt_ids_file *file = &ids->file[f];
    mt_ids_span row = mt_token_ids_document(ids, mt_token_ids_find(ids, position));
    return file->dataset != NULL ? row.first + row.count : ids->first_id[f] + file->count;
}

mt_status mt_token_ids_largest(mt_token_ids *ids, int64_t *largest)
{
    int64_t taken;
    mt_status status = MT_OK;
    *largest = 0;
    for (int64_t at = 0; at < ids->count && status == MT_OK; at += taken) {
        int64_t end = end_of_run(ids, at);
        status = take_piece(ids, at, end - at, MT_IDS_MOST, &taken);
        for (int64_t i = 0; i < taken && status == MT_OK; i++) {
            *largest = ids->values[i] > *largest ? ids->values[i] : *largest;
        }
    }
    return status;
}

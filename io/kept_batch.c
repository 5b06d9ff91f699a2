#include "io/kept_batch.h"

#include "io/weights_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char group[] = "/batch";
static const char carried[] = "carried";
static const char *const names[MT_KEPT_TENSORS] = {"input",  "target", "other0", "other1",
                                                   "other2", "other3", "rows"};

/* "input" of the first window, "input.1" of the second. */
static void name_tensor(int64_t window, int tensor, char name[32])
{
    if (window == 0) {
        snprintf(name, 32, "%s", names[tensor]);
    } else {
        snprintf(name, 32, "%s.%" PRId64, names[tensor], window);
    }
}

static int64_t rows_of(const mt_tensor *tensor)
{
    return tensor->rank > 0 ? tensor->shape[0] : 1;
}

/* Memory for a tensor's values; NULL, and the archive has failed. */
static void *allocate_values(mt_archive *archive, const char *name, const mt_tensor *tensor)
{
    void *values = malloc(mt_tensor_bytes(tensor));
    if (values == NULL) {
        mt_archive_keep(archive, mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", name,
                                         mt_tensor_bytes(tensor)));
    }
    return values;
}

static void write_tensor(mt_archive *archive, const char *name, const mt_tensor *tensor)
{
    void *values = allocate_values(archive, name, tensor);
    if (values == NULL) {
        return;
    }
    mt_archive_keep(archive, mt_tensor_read(tensor, values));
    mt_archive_write_array(archive, group, name, tensor->dtype, tensor->rank, tensor->shape,
                           values);
    free(values);
}

/* A file tells how many it holds: of damage that hides one nothing else might. */
static int64_t count_tensors(const mt_kept_batch *batch)
{
    int64_t count = batch->carried != NULL;
    for (int64_t k = 0; k < batch->count; k++) {
        for (int i = 0; i < MT_KEPT_TENSORS; i++) {
            count += batch->windows[k].tensors[i] != NULL;
        }
    }
    return count;
}

void mt_kept_batch_write(mt_archive *archive, const mt_kept_batch *batch)
{
    mt_archive_write_group(archive, group);
    mt_archive_write_int(archive, group, "index", batch->index);
    mt_archive_write_int(archive, group, "seed", (int64_t)batch->seed);
    if (batch->count > 1) {
        mt_archive_write_int(archive, group, "windows", batch->count);
    }
    mt_archive_write_int(archive, group, "tensors", count_tensors(batch));
    for (int64_t k = 0; k < batch->count; k++) {
        for (int i = 0; i < MT_KEPT_TENSORS; i++) {
            char name[32];
            name_tensor(k, i, name);
            if (batch->windows[k].tensors[i] != NULL) {
                write_tensor(archive, name, batch->windows[k].tensors[i]);
            }
        }
    }
    if (batch->carried != NULL) {
        write_tensor(archive, carried, batch->carried);
    }
}

/* A batch on its way to a tape. */
typedef struct read_batch {
    mt_tape *tape;
    mt_kept_batch *batch;
} read_batch;

static mt_tensor *read_tensor(mt_archive *archive, const char *name, mt_tape *tape)
{
    mt_tensor like = {.rank = 0}, *tensor = NULL;
    mt_archive_inspect_array(archive, group, name, &like.dtype, &like.rank, like.shape);
    void *values =
        mt_archive_status(archive) == MT_OK ? allocate_values(archive, name, &like) : NULL;
    if (values == NULL) {
        return NULL;
    }
    mt_archive_read_rows(archive, group, name, like.dtype, 0, rows_of(&like),
                         mt_tensor_bytes(&like), values);
    if (mt_archive_status(archive) == MT_OK) {
        tensor = mt_tape_input(tape, like.dtype, like.rank, like.shape, values, false);
    }
    free(values);
    return tensor;
}

/* The window and the tensor that a name is of; no tensor (-1) where it is of none. */
static int find_named(const char *name, int64_t count, int64_t *window)
{
    const char *dot = strchr(name, '.');
    char expected[32];
    *window = dot != NULL ? strtoll(dot + 1, NULL, 10) : 0;
    for (int i = 0; i < MT_KEPT_TENSORS && *window >= 0 && *window < count; i++) {
        name_tensor(*window, i, expected);
        if (strcmp(name, expected) == 0) {
            return i;
        }
    }
    return -1;
}

static void read_named(mt_archive *archive, const char *name, void *context)
{
    const read_batch *to = context;
    int64_t window;
    int tensor = find_named(name, to->batch->count, &window);
    if (strcmp(name, carried) == 0) {
        to->batch->carried = read_tensor(archive, name, to->tape);
    } else if (tensor >= 0) {
        to->batch->windows[window].tensors[tensor] = read_tensor(archive, name, to->tape);
    } else {
        mt_archive_fail(archive, name, "unknown: no tensor of a batch");
    }
}

/* Files of one window do not tell how many there are. */
static void read_numbers(mt_archive *archive, mt_kept_batch *batch)
{
    batch->index = mt_archive_read_int(archive, group, "index");
    batch->seed = (uint64_t)mt_archive_read_int(archive, group, "seed");
    batch->count = mt_archive_has_attribute(archive, group, "windows")
                       ? mt_archive_read_int(archive, group, "windows")
                       : 1;
    if (mt_archive_status(archive) == MT_OK && (batch->count < 1 || batch->count > MT_MOST_KEPT)) {
        mt_archive_fail(archive, group, "windows %" PRId64 ", not in 1 .. %d", batch->count,
                        MT_MOST_KEPT);
    }
    if (mt_archive_status(archive) != MT_OK) {
        return;
    }
    batch->windows = calloc((size_t)batch->count, sizeof *batch->windows);
    if (batch->windows == NULL) {
        mt_archive_keep(
            archive, mt_fail(MT_ERROR_MEMORY, "no memory for %" PRId64 " windows", batch->count));
    }
}

mt_status mt_checkpoint_read_batch(const mt_checkpoint *checkpoint, mt_tape *tape,
                                   mt_kept_batch *batch)
{
    mt_archive *archive = checkpoint->weights->file->archive;
    *batch = (mt_kept_batch){.index = 0};
    read_batch to = {tape, batch};
    if (archive == NULL || !mt_archive_has(archive, "batch")) {
        return mt_fail(MT_ERROR_INVALID, "%s: it holds no batch: it is not of a bad step",
                       checkpoint->weights->file->path);
    }
    read_numbers(archive, batch);
    bool is_told = mt_archive_has_attribute(archive, group, "tensors"); /* former files do not */
    int64_t told = is_told ? mt_archive_read_int(archive, group, "tensors") : 0;
    mt_archive_visit(archive, group, read_named, &to);
    if (mt_archive_status(archive) == MT_OK && is_told && count_tensors(batch) != told) {
        mt_archive_fail(archive, group, "%" PRId64 " tensors, expected %" PRId64,
                        count_tensors(batch), told);
    }
    mt_status status = mt_archive_status(archive);
    return status == MT_OK && mt_tape_status(tape) != MT_OK
               ? mt_fail(mt_tape_status(tape), "%s", mt_tape_error(tape))
               : status;
}

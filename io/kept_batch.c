#include "io/kept_batch.h"

#include "io/weights_file.h"

#include <stdlib.h>
#include <string.h>

static const char group[] = "/batch";
static const char *const names[MT_KEPT_TENSORS] = {"input",  "target", "other0",
                                                   "other1", "other2", "other3"};

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

void mt_kept_batch_write(mt_archive *archive, const mt_kept_batch *batch)
{
    mt_archive_write_group(archive, group);
    mt_archive_write_int(archive, group, "index", batch->index);
    mt_archive_write_int(archive, group, "seed", (int64_t)batch->seed);
    for (int i = 0; i < MT_KEPT_TENSORS; i++) {
        if (batch->tensors[i] != NULL) {
            write_tensor(archive, names[i], batch->tensors[i]);
        }
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

static void read_named(mt_archive *archive, const char *name, void *context)
{
    const read_batch *to = context;
    for (int i = 0; i < MT_KEPT_TENSORS; i++) {
        if (strcmp(name, names[i]) == 0) {
            to->batch->tensors[i] = read_tensor(archive, name, to->tape);
            return;
        }
    }
    mt_archive_fail(archive, name, "unknown: no tensor of a batch");
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
    batch->index = mt_archive_read_int(archive, group, "index");
    batch->seed = (uint64_t)mt_archive_read_int(archive, group, "seed");
    mt_archive_visit(archive, group, read_named, &to);
    mt_status status = mt_archive_status(archive);
    return status == MT_OK && mt_tape_status(tape) != MT_OK
               ? mt_fail(mt_tape_status(tape), "%s", mt_tape_error(tape))
               : status;
}

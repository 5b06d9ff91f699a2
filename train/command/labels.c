#include "train/command/labels.h"

#include "io/archive.h"

#include <inttypes.h>
#include <stdlib.h>

mt_status labels_read(const char *path, int64_t shape[MT_MAX_RANK], int32_t **labels)
{
    mt_archive *archive;
    mt_dtype dtype;
    int rank;
    *labels = NULL;
    mt_status status = mt_archive_open(path, &archive);
    if (status != MT_OK) {
        return status;
    }
    mt_archive_inspect_array(archive, "/", "labels", &dtype, &rank, shape);
    if (mt_archive_status(archive) == MT_OK &&
        (rank != 2 || dtype != MT_I32 || shape[0] < 1 || shape[1] < 1)) {
        mt_archive_fail(archive, "labels", "not integers of shape (B, U)");
    }
    if (mt_archive_status(archive) == MT_OK) {
        size_t bytes = (size_t)(shape[0] * shape[1]) * sizeof **labels;
        *labels = malloc(bytes);
        mt_archive_keep(archive, *labels != NULL ? MT_OK
                                                 : mt_fail(MT_ERROR_MEMORY,
                                                           "%s: no memory for the labels", path));
        mt_archive_read_rows(archive, "/", "labels", dtype, 0, shape[0], bytes, *labels);
    }
    return mt_archive_close(archive);
}

mt_status labels_check(const char *path, const int64_t *shape, const int32_t *labels,
                       int64_t vocabulary)
{
    for (int64_t i = 0; i < shape[0] * shape[1]; i++) {
        if (labels[i] < 0 || labels[i] >= vocabulary) {
            return mt_fail(MT_ERROR_FORMAT,
                           "%s: labels: %" PRId32 " in row %" PRId64 ", not in 0 .. %" PRId64, path,
                           labels[i], i / shape[1], vocabulary - 1);
        }
    }
    return MT_OK;
}

#include "train/command/labels.h"

#include "io/archive.h"

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

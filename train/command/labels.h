/* The labels that `mixtape forward --input` names: an HDF5 file with the dataset `labels`, integers
 * of shape (B, U). */
#ifndef MT_COMMAND_LABELS_H
#define MT_COMMAND_LABELS_H

#include <mixtape/error.h>
#include <mixtape/tensor.h>

/* Reads them to memory that the caller frees. MT_ERROR_IO, MT_ERROR_FORMAT with file and object,
 * MT_ERROR_MEMORY; *labels is then to be freed, too. */
mt_status labels_read(const char *path, int64_t shape[MT_MAX_RANK], int32_t **labels);

/* MT_ERROR_FORMAT, with the first that a vocabulary does not have. */
mt_status labels_check(const char *path, const int64_t *shape, const int32_t *labels,
                       int64_t vocabulary);

#endif

/* A block of parameters in a file: one array each. Internal. */
#ifndef MT_IO_MODEL_BLOCK_H
#define MT_IO_MODEL_BLOCK_H

#include <mixtape/layout.h>
#include <mixtape/parameter.h>

#include "archive.h"

/* Writes a block of the device's memory as one array per parameter, by our own names. */
mt_status mt_model_block_write(mt_archive *archive, const char *group,
                               const mt_parameters *parameters, const void *block);

/* Reads one array per parameter, by the names of a layout (NULL: our own), into a block of host
 * memory that the caller frees. Whatever is missing, unknown, of another type or shape, or not
 * finite is an error. */
mt_status mt_model_block_read(mt_archive *archive, const char *group,
                              const mt_parameters *parameters, const mt_layout *layout,
                              void **block);

#endif

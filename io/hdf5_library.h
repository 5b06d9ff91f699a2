/* What writing and reading HDF5 share: what libhdf5 keeps for the whole process, types and rows of
 * arrays, and what it says of its failures. Internal. */
#ifndef MT_IO_HDF5_LIBRARY_H
#define MT_IO_HDF5_LIBRARY_H

#include <mixtape/error.h>
#include <mixtape/tensor.h>

#include "io/reader.h"

#include <hdf5.h>

/* Between these HDF5 prints nothing, and loads no plugins that the environment may name: a filter
 * of a file would be code. They nest; what the program itself had set is restored. The first is
 * MT_ERROR_MEMORY where HDF5 cannot begin; the second is called even then. */
mt_status mt_hdf5_begin(const char *path);
void mt_hdf5_end(void);

/* A tensor's type, as values have it in memory. */
hid_t mt_hdf5_type(mt_dtype dtype);

/* Rows of a dataset, that is steps of its first dimension: a space of the file, and the one that
 * they have in memory. The caller closes both. */
hid_t mt_hdf5_select_rows(hid_t dataset, int64_t first, int64_t rows, hid_t *in_memory);

/* "/model" and "embed.weight" make "/model/embed.weight". */
const char *mt_hdf5_join(char path[MT_PATH_IN_FILE], const char *group, const char *name);

/* Fails with what HDF5 says of the call that failed last, and what that means: "path: embed.weight:
 * its values: damaged (HDF5 1.10.8: data error detected by Fletcher32 checksum)". It is called
 * before any other function of HDF5, which would forget. MT_ERROR_MEMORY and MT_ERROR_IO where it
 * was that, else MT_ERROR_FORMAT. */
MT_PRINTF(2, 3) mt_status mt_hdf5_fail(const char *path, const char *format, ...);

#endif

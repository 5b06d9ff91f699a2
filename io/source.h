/* A source of named arrays, which are read piece by piece: an HDF5 file, a .safetensors file, the
 * parameters of a model, or one of these with some arrays in place of its own. Internal. */
#ifndef MT_IO_SOURCE_H
#define MT_IO_SOURCE_H

#include "io/archive.h"
#include "io/arrays.h"
#include "io/fletcher32.h"
#include "optim/adam_part.h"

typedef struct mt_source mt_source;
struct mt_source {
    /* Adds the names of all arrays. This and `inspect` are NULL where who makes a source knows what
     * it holds. */
    mt_status (*list)(mt_source *source, mt_arrays *arrays);

    /* Fills in type, rank and shape of an array that has its name: MT_ERROR_FORMAT for what no
     * weight has. Types of 16 bits are MT_F32, as which they are read. */
    mt_status (*inspect)(mt_source *source, mt_array *array);

    /* Reads rows, that is steps of the first dimension, of an array as reals of a type, which is no
     * narrower than the file's. `bytes` is what they take so. */
    mt_status (*read)(mt_source *source, const char *name, mt_dtype dtype, int64_t first,
                      int64_t rows, size_t bytes, void *values);
    void (*close)(mt_source *source);

    /* A text that the file has beside its arrays, by its name, or NULL. The function is NULL where
     * there are no such texts. */
    const char *(*text)(mt_source *source, const char *name);

    /* Where in the host's memory an array's rows are, from the first on, in their own type. NULL,
     * as the function may be: they have to be read. */
    const void *(*find)(mt_source *source, const char *name, int64_t first);
};

/* The arrays of a group of an archive, which outlives the source. */
mt_status mt_archive_source(mt_archive *archive, const char *group, mt_source **source);

/* MT_ERROR_FORMAT, with the tensor and the figures, for a header that does not describe the file
 * byte for byte. */
mt_status mt_safetensors_source(const char *path, mt_source **source);

/* The data of parameters, by our own names. */
mt_status mt_parameters_source(const mt_parameters *parameters, mt_source **source);

/* An optimiser's moments, by the names of the parameters. */
mt_status mt_moments_source(const mt_adam *adam, mt_moment which, mt_source **source);

/* Another source, with these arrays, whose data are in memory, in place of those of the same names.
 * It takes both over; on failure the caller keeps them. */
mt_status mt_source_replace(mt_source *under, mt_arrays *arrays, mt_source **source);

void mt_source_close(mt_source *source); /* NULL is allowed */

/* Reads rows of an array of reals from wherever its values are, fails if one is wrong
 * (mt_array_fail_value), and adds them to the sum of a chunk, whose first bytes they are (NULL: of
 * none). */
mt_status mt_array_read(const mt_array *array, int64_t first, int64_t rows, void *values,
                        mt_chunk_sum *sum);

/* The same of many at once, of arrays of reals, whose parts threads share in one loop. It fails for
 * the first wrong value of the first of them that has one. What it is given stays the caller's. */
typedef struct mt_read_rows {
    const mt_array *array;
    int64_t first, rows;
    void *values;
    mt_chunk_sum *sum;
} mt_read_rows;
mt_status mt_arrays_read_rows(const mt_read_rows *reads, int64_t n);

/* Reads it from the first row to the last, some megabytes at a time, and hands the rows to `use`
 * (NULL: to nobody), until that fails. */
typedef mt_status (*mt_use_rows)(void *context, int64_t first, int64_t rows, const void *values);
mt_status mt_array_visit(const mt_array *array, mt_use_rows use, void *context);

#endif

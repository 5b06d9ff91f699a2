/* Named arrays in host memory: what a file of weights holds, before it is known whose it is.
 * Internal. */
#ifndef MT_IO_ARRAYS_H
#define MT_IO_ARRAYS_H

#include <mixtape/parameter.h>
#include <mixtape/tensor.h>

/* An array of MT_F32 or MT_F64. */
typedef struct mt_array {
    char *name;
    mt_dtype dtype;
    int rank;
    int64_t shape[MT_MAX_RANK];
    void *data;
} mt_array;

typedef struct mt_arrays {
    int64_t count, capacity;
    mt_array *items;
} mt_arrays;

/* Adds an array with memory for its data, for the caller to fill. MT_ERROR_MEMORY, or
 * MT_ERROR_FORMAT for a shape that no tensor has. */
mt_status mt_arrays_add(mt_arrays *arrays, const char *name, mt_dtype dtype, int rank,
                        const int64_t *shape, void **data);

/* The same in two steps: a name without data yet, and the data of what has a name. */
mt_status mt_arrays_add_name(mt_arrays *arrays, const char *name);
mt_status mt_array_allocate(mt_array *array, mt_dtype dtype, int rank, const int64_t *shape);

void mt_arrays_remove(mt_arrays *arrays, int64_t i); /* those behind it move up */
const mt_array *mt_arrays_find(const mt_arrays *arrays, const char *name); /* NULL: none */
void mt_arrays_free(mt_arrays *arrays);

/* to[i] = from[i], for n reals of either type. */
void mt_convert_reals(mt_dtype from_type, const void *from, mt_dtype to_type, void *to, int64_t n);

/* The place of the first of n reals that is not finite, and its value; -1: all are. */
int64_t mt_first_not_finite(mt_dtype dtype, const void *reals, int64_t n, double *value);

/* Whether an array of the file at `path` has a tensor's shape and finite values; MT_ERROR_FORMAT
 * names both shapes, or the first value that is not. */
mt_status mt_array_check(const mt_array *array, const char *path, const mt_tensor *tensor);

/* Puts values of either type into a tensor's data. */
mt_status mt_tensor_write_reals(mt_tensor *tensor, mt_dtype dtype, const void *values);

/* Is given what a file holds, names without data, and removes what is not to be read. */
typedef mt_status mt_arrays_choose(mt_arrays *arrays, void *context);

/* Reads the arrays of a file: of a .safetensors file where `path` ends so, else at the root of an
 * HDF5 file. `choose` (NULL: all are read) is called first, with `context`: what it removes may be
 * of any type and shape. float16 and bfloat16 are widened to MT_F32; integers refused. */
mt_status mt_arrays_read(const char *path, mt_arrays_choose *choose, void *context,
                         mt_arrays *arrays);

/* Writes such a file, atomically (io/file.h), with no more than the arrays. */
mt_status mt_arrays_write(const char *path, const mt_arrays *arrays);

#endif

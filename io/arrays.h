/* Named arrays in host memory: what a file of weights holds, before it is known whose it is.
 * Internal. */
#ifndef MT_IO_ARRAYS_H
#define MT_IO_ARRAYS_H

#include "../autograd/tensor.h"
#include "../layers/parameter.h"

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
const mt_array *mt_arrays_find(const mt_arrays *arrays, const char *name); /* NULL: none */
void mt_arrays_free(mt_arrays *arrays);

/* Reads every tensor of a .safetensors file; float16 and bfloat16 are widened to MT_F32.
 * MT_ERROR_FORMAT, with the tensor and the figures, for a header that does not describe the file
 * byte for byte. */
mt_status mt_safetensors_read(const char *path, mt_arrays *arrays);

/* Writes the arrays to a .safetensors file, atomically (io/file.h). `metadata` is pairs of key and
 * value, and ends with NULL. */
mt_status mt_safetensors_write(const char *path, const mt_arrays *arrays,
                               const char *const *metadata);

#endif

/* Named arrays: what a file of weights holds, before it is known whose it is. Internal. */
#ifndef MT_IO_ARRAYS_H
#define MT_IO_ARRAYS_H

#include <mixtape/parameter.h>
#include <mixtape/tensor.h>

struct mt_source;

/* An array of MT_F32 or MT_F64, whose values are in memory, or are a source's, or are zeros. */
typedef struct mt_array {
    char *name;
    mt_dtype dtype;
    int rank;
    int64_t shape[MT_MAX_RANK];
    bool never_negative;      /* as Adam's second moment */
    void *data;               /* or NULL */
    struct mt_source *source; /* or NULL; not owned */
    char source_name[MT_NAME_MAX];

    /* What is said of a value that it cannot hold: the file that they are read from, or NULL where
     * they are in memory, and to be saved; the group, or NULL for the root and for weights; and if
     * values that the file lacks are read as NaN. */
    const char *path, *group;
    bool may_be_missing;
} mt_array;

typedef struct mt_arrays {
    int64_t count, capacity;
    mt_array *items;
    mt_array **sorted; /* by name, for mt_arrays_find; NULL until mt_arrays_sort */
} mt_arrays;

/* Adds an array with a name and nothing else yet, or with the type and shape of a tensor. */
mt_status mt_arrays_add_name(mt_arrays *arrays, const char *name);
mt_status mt_arrays_add_like(mt_arrays *arrays, const char *name, const mt_tensor *tensor);

/* Renames an array, after which its set is to be sorted anew. */
mt_status mt_array_rename(mt_array *array, const char *name);

/* Leaves those of which `keeps` says so, in their order. */
void mt_arrays_filter(mt_arrays *arrays, bool (*keeps)(const void *context, const mt_array *array),
                      const void *context);

/* Makes mt_arrays_find fast until an array is added. */
mt_status mt_arrays_sort(mt_arrays *arrays);
mt_array *mt_arrays_find(const mt_arrays *arrays, const char *name); /* NULL: none */
mt_array *mt_arrays_last(const mt_arrays *arrays);
void mt_arrays_free(mt_arrays *arrays);

/* Tells if its shape is one that a tensor can have; gives it memory for its data. */
bool mt_array_is_weight(const mt_array *array);
mt_status mt_array_allocate(mt_array *array);

void mt_array_take_shape(mt_array *array, const mt_tensor *tensor);
int64_t mt_array_count(const mt_array *array);

/* Steps of the first dimension, of which a scalar has one. */
int64_t mt_array_rows(const mt_array *array);
int64_t mt_array_width(const mt_array *array); /* values of a row */

/* reals[i] of either type. */
double mt_real_at(mt_dtype dtype, const void *reals, int64_t i);

/* MT_ERROR_FORMAT, with both shapes, if an array of the file at `path` has not a tensor's. */
mt_status mt_array_check_shape(const mt_array *array, const char *path, const mt_tensor *tensor);

/* to[i] = from[i], for n reals of either type. */
void mt_convert_reals(mt_dtype from_type, const void *from, mt_dtype to_type, void *to, int64_t n);

/* The place of the first of n reals that is not finite, and its value; -1: all are. */
int64_t mt_first_not_finite(mt_dtype dtype, const void *reals, int64_t n, double *value);

/* The place among n values of an array of the first that it cannot hold: one that is not finite, or
 * is negative where none may be. -1: none. */
int64_t mt_array_first_wrong(const mt_array *array, const void *values, int64_t n);

/* MT_ERROR_FORMAT, or MT_ERROR_NUMERIC where the values are not a file's, with the place in the
 * array of such a value. */
mt_status mt_array_fail_value(const mt_array *array, int64_t element, double value);

/* Fails so if there is one among all of its values. */
mt_status mt_array_check_values(const mt_array *array, const void *values);

/* Rows of a piece of an array, as it is read, and as files of HDF5 have it in chunks: whole rows,
 * of so many bytes at most or one, all pieces but the last of one length, which is hardly
 * shorter. */
enum { MT_PIECE_BYTES = 16 << 20 };
int64_t mt_piece_rows(int64_t rows, int64_t row_bytes);

#endif

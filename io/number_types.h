/* The types that weights have in .safetensors files: how they are read as float32 or float64, and
 * written from these. Internal. */
#ifndef MT_IO_NUMBER_TYPES_H
#define MT_IO_NUMBER_TYPES_H

#include <mixtape/tensor.h>
#include <mixtape/weights.h>

typedef struct mt_number_type {
    const char *name, *torch; /* in the files, and in PyTorch */
    size_t size;
    mt_dtype dtype; /* as which numbers are read */

    void (*widen)(const char *from, int64_t count, void *to);

    /* From finite numbers of either type, rounded to the nearest, half-way cases to even. The place
     * of the first that is too large; -1: none is. */
    int64_t (*narrow)(mt_dtype dtype, const void *from, int64_t count, char *to);
} mt_number_type;

/* NULL: none has this name. */
const mt_number_type *mt_number_type_named(const char *name);

/* What numbers are stored as that are `dtype` in memory. */
const mt_number_type *mt_number_type_of(mt_stored_type stored, mt_dtype dtype);

#endif

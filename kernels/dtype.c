#include <mixtape/dtype.h>

#include "kernels/bfloat16.h"

#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [MT_F32] = {"f32", sizeof(float)},      [MT_F64] = {"f64", sizeof(double)},
    [MT_BF16] = {"bf16", sizeof(uint16_t)}, [MT_I32] = {"i32", sizeof(int32_t)},
    [MT_I8] = {"i8", sizeof(int8_t)},
};

size_t mt_dtype_size(mt_dtype dtype)
{
    return dtypes[dtype].size;
}

const char *mt_dtype_name(mt_dtype dtype)
{
    return dtypes[dtype].name;
}

bool mt_dtype_is_real(mt_dtype dtype)
{
    return (unsigned)dtype < MT_REAL_DTYPES;
}

mt_dtype mt_dtype_wide(mt_dtype dtype)
{
    return dtype == MT_BF16 ? MT_F32 : dtype;
}

void mt_reals_widen(mt_dtype dtype, int64_t n, double *values)
{
    if (dtype == MT_F64) {
        return;
    }
    /* From the last on, so that none is overwritten before it is read. */
    const char *reals = (const char *)values;
    for (int64_t i = n - 1; i >= 0; i--) {
        float number;
        mt_bf16 narrow;
        if (dtype == MT_BF16) {
            memcpy(&narrow, reals + (size_t)i * sizeof narrow, sizeof narrow);
            number = mt_bf16_value(narrow);
        } else {
            memcpy(&number, reals + (size_t)i * sizeof number, sizeof number);
        }
        values[i] = (double)number;
    }
}

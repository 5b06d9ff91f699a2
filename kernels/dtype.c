#include <mixtape/dtype.h>

#include "kernels/bfloat16.h"
#include "kernels/float16.h"

#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [MT_F32] = {"f32", sizeof(float)},      [MT_F64] = {"f64", sizeof(double)},
    [MT_BF16] = {"bf16", sizeof(uint16_t)}, [MT_F16] = {"f16", sizeof(uint16_t)},
    [MT_I32] = {"i32", sizeof(int32_t)},    [MT_I8] = {"i8", sizeof(int8_t)},
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
    return dtype == MT_BF16 || dtype == MT_F16 ? MT_F32 : dtype;
}

static float float_at(mt_dtype dtype, const char *reals, size_t i)
{
    float number;
    uint16_t narrow;
    if (dtype == MT_F32) {
        memcpy(&number, reals + i * sizeof number, sizeof number);
        return number;
    }
    memcpy(&narrow, reals + i * sizeof narrow, sizeof narrow);
    return dtype == MT_BF16 ? mt_bf16_value((mt_bf16){narrow}) : mt_f16_value((mt_f16){narrow});
}

void mt_reals_widen(mt_dtype dtype, int64_t n, double *values)
{
    if (dtype == MT_F64) {
        return;
    }
    /* From the last on, so that none is overwritten before it is read. */
    const char *reals = (const char *)values;
    for (int64_t i = n - 1; i >= 0; i--) {
        values[i] = (double)float_at(dtype, reals, (size_t)i);
    }
}

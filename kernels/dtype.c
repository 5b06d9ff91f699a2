#include <mixtape/dtype.h>

#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [MT_F32] = {"f32", sizeof(float)},
    [MT_F64] = {"f64", sizeof(double)},
    [MT_I32] = {"i32", sizeof(int32_t)},
};

size_t mt_dtype_size(mt_dtype dtype)
{
    return dtypes[dtype].size;
}

const char *mt_dtype_name(mt_dtype dtype)
{
    return dtypes[dtype].name;
}

void mt_reals_widen(mt_dtype dtype, int64_t n, double *values)
{
    if (dtype == MT_F64) {
        return;
    }
    /* From the last on, so that none is overwritten before it is read. */
    for (int64_t i = n - 1; i >= 0; i--) {
        float narrow;
        memcpy(&narrow, (const char *)values + (size_t)i * sizeof narrow, sizeof narrow);
        values[i] = (double)narrow;
    }
}

#include <mixtape/dtype.h>

#include <stdint.h>

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

/* The number types of a tensor. Kernels exist for the reals; MT_I32 holds indices (labels, targets)
 * and is never differentiated. MT_I8 holds weights in fewer bits, with a scale for each row
 * (mt_parameters_compact), which products alone can read.
 *
 * MT_BF16 is the upper half of a float32: its range, and 8 digits of a binary fraction. It is for
 * what is stored and multiplied: a kernel computes with it in float32 and rounds what it writes, to
 * the nearest, ties to even. What stands beside it as parameters, states, statistics and sums is
 * float32 (mt_dtype_wide).
 *
 * MT_F16 is IEEE 754's binary16, for WKV on arrays of other programs alone (mixtape/wkv.h), which
 * does with it as with MT_BF16. It is none of the reals: no operator takes a tensor of it. */
#ifndef MIXTAPE_DTYPE_H
#define MIXTAPE_DTYPE_H

#include <mixtape/api.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mt_dtype { MT_F32, MT_F64, MT_BF16, MT_F16, MT_I32, MT_I8 } mt_dtype;

enum { MT_REAL_DTYPES = 3 }; /* MT_F32, MT_F64 and MT_BF16 */

MT_API bool mt_dtype_is_real(mt_dtype dtype);

/* Bytes of one element. */
MT_API size_t mt_dtype_size(mt_dtype dtype);

/* "f32", "f64", "bf16", "f16", "i32" or "i8": the name used in options, files and messages. */
MT_API const char *mt_dtype_name(mt_dtype dtype);

/* The type of the parameters, states, statistics and sums beside reals of a type: MT_F32 for
 * MT_BF16 and MT_F16, else the type itself. */
MT_API mt_dtype mt_dtype_wide(mt_dtype dtype);

/* Makes doubles of n reals of a type, or of MT_F16, that stand at the beginning of `values`, in
 * place. */
MT_API void mt_reals_widen(mt_dtype dtype, int64_t n, double *values);

#ifdef __cplusplus
}
#endif

#endif

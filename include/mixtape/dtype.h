/* The number types of a tensor. Kernels exist for MT_F32 and MT_F64; MT_I32 holds indices (labels,
 * targets) and is never differentiated. */
#ifndef MIXTAPE_DTYPE_H
#define MIXTAPE_DTYPE_H

#include <mixtape/api.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mt_dtype { MT_F32, MT_F64, MT_I32 } mt_dtype;

enum { MT_REAL_DTYPES = 2 }; /* MT_F32 and MT_F64 */

/* Bytes of one element. */
MT_API size_t mt_dtype_size(mt_dtype dtype);

/* "f32", "f64" or "i32": the name used in options, files and messages. */
MT_API const char *mt_dtype_name(mt_dtype dtype);

/* Makes doubles of n reals of a type that stand at the beginning of `values`, in place. */
MT_API void mt_reals_widen(mt_dtype dtype, int64_t n, double *values);

#ifdef __cplusplus
}
#endif

#endif

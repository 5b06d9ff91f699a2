/* Tensors: a shape over contiguous memory of one device. Plain data, to read freely; the functions
 * of tape.h make those that live for one step, mixtape/parameter.h those that live as long as a
 * model. */
#ifndef MIXTAPE_TENSOR_H
#define MIXTAPE_TENSOR_H

#include <mixtape/api.h>
#include <mixtape/device.h>
#include <mixtape/dtype.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_MAX_RANK = 4 };

typedef struct mt_tensor mt_tensor;

struct mt_tensor {
    const char *name; /* the parameter's, or that of the operator that made it: for messages */
    mt_device *device;
    mt_dtype dtype;
    int rank; /* 0 (a scalar) .. MT_MAX_RANK */
    int64_t shape[MT_MAX_RANK];
    void *data; /* row-major, contiguous, on `device` */

    bool requires_grad;
    void *grad;      /* same shape and type; memory may exist before there is a value */
    bool has_grad;   /* whether backward has put a value into `grad` */
    mt_tensor *base; /* of a view: the tensor whose data and gradient it shares; else NULL */

    /* Of a parameter of float32: its values as MT_BF16, for products of that type
     * (mt_parameters_set_narrow). Else NULL. */
    const void *narrow;

    /* Of MT_I8: on `device`, one for each row (the first dimension), by which its integers are
     * multiplied. Else NULL. */
    const float *scales;

    /* Of a parameter that is a table (mt_parameters_set_table): a byte on `device` for each row,
     * not 0 where that row of `grad` is zero, whatever has_grad says. Else NULL. */
    uint8_t *zero_rows;
};

/* Number of elements, 1 for a scalar. */
MT_API int64_t mt_tensor_count(const mt_tensor *tensor);

/* Bytes of its data. */
MT_API size_t mt_tensor_bytes(const mt_tensor *tensor);

MT_API bool mt_tensor_same_shape(const mt_tensor *a, const mt_tensor *b);

/* The gradient, through views: NULL while there is none. */
MT_API const void *mt_tensor_grad(const mt_tensor *tensor);

/* "(8, 1024, 512)", "()" for a scalar, cut to `size` bytes; returns `text`. */
MT_API char *mt_tensor_shape_text(const mt_tensor *tensor, char *text, size_t size);

/* Copies the data (or the gradient; zeros while there is none) to host memory of mt_tensor_bytes
 * bytes, after the work that makes it; and host memory into the data, and into what `narrow` has of
 * it: MT_ERROR_INVALID for MT_I8. The host's memory is of the tensor's type. read_doubles widens
 * reals of any type, of which `values` has room for mt_tensor_count. */
MT_API mt_status mt_tensor_read(const mt_tensor *tensor, void *host);
MT_API mt_status mt_tensor_read_doubles(const mt_tensor *tensor, double *values);
MT_API mt_status mt_tensor_read_grad(const mt_tensor *tensor, void *host);
MT_API mt_status mt_tensor_write(mt_tensor *tensor, const void *host);

#ifdef __cplusplus
}
#endif

#endif

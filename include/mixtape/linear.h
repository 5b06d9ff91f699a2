/* Linear: y = x weight^T + bias, from PyTorch's initial values U(-1/sqrt(in), 1/sqrt(in)). */
#ifndef MIXTAPE_LINEAR_H
#define MIXTAPE_LINEAR_H

#include <mixtape/api.h>
#include <mixtape/operators.h>
#include <mixtape/parameter.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_linear_layer {
    mt_tensor *weight; /* (out, in) */
    mt_tensor *bias;   /* (out), or NULL */
} mt_linear_layer;

/* Adds prefix + "weight" and, if `bias`, prefix + "bias". */
MT_API mt_status mt_linear_init(mt_linear_layer *layer, mt_parameters *parameters,
                                const char *prefix, int64_t in, int64_t out, bool bias);

MT_API mt_tensor *mt_linear_forward(mt_tape *tape, const mt_linear_layer *layer, mt_tensor *x);

#ifdef __cplusplus
}
#endif

#endif

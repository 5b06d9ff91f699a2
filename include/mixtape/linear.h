/* Linear: y = x weight^T + bias, from PyTorch's initial values U(-1/sqrt(in), 1/sqrt(in)) or
 * others; with what an adapter adds to it, if it has one. */
#ifndef MIXTAPE_LINEAR_H
#define MIXTAPE_LINEAR_H

#include <mixtape/api.h>
#include <mixtape/operators.h>
#include <mixtape/parameter.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is added to a product beside its weights: scale b (a x)  (mixtape/adapter.h) */
typedef struct mt_lora {
    mt_tensor *a, *b; /* (rank, in), (out, rank) */
    double scale;
} mt_lora;

typedef struct mt_linear_layer {
    mt_tensor *weight;   /* (out, in) */
    mt_tensor *bias;     /* (out), or NULL */
    const mt_lora *lora; /* or NULL */
} mt_linear_layer;

/* Adds prefix + "weight" and, if `bias`, prefix + "bias". */
MT_API mt_status mt_linear_init(mt_linear_layer *layer, mt_parameters *parameters,
                                const char *prefix, int64_t in, int64_t out, bool bias);

/* The same from other initial values, which may be those of mt_linear_orthogonal. */
MT_API mt_status mt_linear_init_as(mt_linear_layer *layer, mt_parameters *parameters,
                                   const char *prefix, int64_t in, int64_t out, bool bias,
                                   mt_initial of_weight, mt_initial of_bias);

/* Orthogonal (mt_initial_orthogonal), so scaled that x and y are of one size: `gain`
 * sqrt(max(1, out / in)) times what is orthonormal, as RWKV-LM has it. */
MT_API mt_initial mt_linear_orthogonal(int64_t in, int64_t out, double gain);

MT_API mt_tensor *mt_linear_forward(mt_tape *tape, const mt_linear_layer *layer, mt_tensor *x);

#ifdef __cplusplus
}
#endif

#endif

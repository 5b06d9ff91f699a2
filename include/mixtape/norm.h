/* The four norms by ESPnet's names: layer_norm, rms_norm, scale_norm, basic_norm (formulas:
 * mixtape/kernels/norm.h). */
#ifndef MIXTAPE_NORM_H
#define MIXTAPE_NORM_H

#include <mixtape/api.h>
#include <mixtape/kernels/norm.h>
#include <mixtape/operators.h>
#include <mixtape/parameter.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_norm_config {
    mt_norm_kind kind;
    double eps;     /* 0: ESPnet's default for the kind (1e-12, 1e-5, 1e-5, 0.25) */
    double partial; /* rms_norm: share of the channels in the statistic; outside (0, 1) all */
} mt_norm_config;

typedef struct mt_norm {
    mt_norm_config config; /* eps resolved */
    mt_tensor *weight;     /* layer_norm "weight" (S), rms_norm "scale" (S), scale_norm "scale" (),
                              basic_norm "eps" () */
    mt_tensor *bias;       /* layer_norm "bias" (S), else NULL */
} mt_norm;

/* Adds the learnt parameters of a norm over `size` channels, at their neutral values. The set keeps
 * the first failure, and this returns it. */
MT_API mt_status mt_norm_init(mt_norm *layer, mt_parameters *parameters, const char *prefix,
                              int64_t size, mt_norm_config config);

/* y from x (..., size), of its shape. */
MT_API mt_tensor *mt_norm_forward(mt_tape *tape, const mt_norm *layer, mt_tensor *x);

/* The configuration with ESPnet's default where eps is 0. */
MT_API mt_norm_config mt_norm_config_resolved(mt_norm_config config);

/* "layer_norm" ..., NULL for what is no kind; and back, where MT_ERROR_INVALID lists the names. */
MT_API const char *mt_norm_kind_name(mt_norm_kind kind);
MT_API mt_status mt_norm_kind_parse(const char *name, mt_norm_kind *kind);

#ifdef __cplusplus
}
#endif

#endif

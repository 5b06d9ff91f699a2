/* Models whose values come from elsewhere. Internal. */
#ifndef MT_LAYERS_RESERVE_H
#define MT_LAYERS_RESERVE_H

#include <mixtape/model.h>

/* mt_model_create without initial values: every parameter is zero. */
mt_status mt_model_reserve(mt_device *device, mt_dtype dtype, const mt_model_config *config,
                           mt_model **model);

/* The blocks of parameters alone, as zeros: what mt_parameters_allocate begins with. */
mt_status mt_parameters_reserve(mt_parameters *parameters);

#endif

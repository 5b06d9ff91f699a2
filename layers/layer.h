/* What layers share while they are made: names inside names, ESPnet's initial values, and memory
 * without initial values. Internal. */
#ifndef MT_LAYERS_LAYER_H
#define MT_LAYERS_LAYER_H

#include <mixtape/adapter.h>
#include <mixtape/model.h>

#include <stdio.h>

/* "rwkv_blocks.0." and "att." make "rwkv_blocks.0.att.". */
typedef struct mt_prefix {
    char text[2 * MT_NAME_MAX]; /* mt_parameters_add refuses what exceeds MT_NAME_MAX */
} mt_prefix;

static inline mt_prefix mt_prefix_join(const char *outer, const char *inner)
{
    mt_prefix prefix;
    snprintf(prefix.text, sizeof prefix.text, "%s%s", outer, inner);
    return prefix;
}

/* What a layer carries of its input x (B, T, S) to the next stretch: its last step, wide. Carried
 * in, it becomes of x's type; NULL stays NULL. */
static inline mt_tensor *mt_carried_out(mt_tape *tape, mt_tensor *x)
{
    mt_tensor *last = mt_last_step(tape, x);
    return last != NULL ? mt_cast(tape, last, mt_dtype_wide(last->dtype)) : NULL;
}

static inline mt_tensor *mt_carried_in(mt_tape *tape, mt_tensor *carried, const mt_tensor *x)
{
    return carried != NULL && x != NULL ? mt_cast(tape, carried, x->dtype) : carried;
}

/* ESPnet's initial values (reset_parameters of its attention.py and feed_forward.py). r0 and r1 say
 * where a block stands: r0 = block_id / (num_blocks - 1), r1 = 1 - block_id / num_blocks; r0 is 0
 * for one block, where ESPnet would divide by zero. */
double mt_block_ratio_up(int64_t block_id, int64_t num_blocks);   /* r0 */
double mt_block_ratio_down(int64_t block_id, int64_t num_blocks); /* r1 */

/* (i / n)^exponent + offset for element i of n: the time mixes. */
mt_initial mt_initial_mix(double exponent, double offset);

/* -5 + 8 (h / (n - 1))^exponent for element h of n; h / (n - 1) is 0 for n = 1. */
mt_initial mt_initial_time_decay(double exponent);

/* log(0.3) + 0.5 ((h + 1) mod 3 - 1): RWKV-LM's time_first. */
mt_initial mt_initial_time_first_rwkv(void);

/* mt_linear_init with these values; RWKV-LM's are orthogonal times the gain, zeros where that is
 * 0. */
mt_status mt_linear_init_of(mt_linear_layer *layer, mt_parameters *parameters, const char *prefix,
                            int64_t in, int64_t out, bool bias, mt_initial_values values,
                            double gain);

/* A model's parts, with parameters that have no memory yet; `device` may be NULL. */
mt_status mt_model_outline(const mt_model_config *config, mt_device *device, mt_dtype dtype,
                           mt_model **model);

void mt_adapter_destroy(mt_adapter *adapter); /* NULL is allowed */

/* mt_model_adapt without initial values, for an adapter that is given others. */
mt_status mt_model_reserve_adapter(mt_model *model, const mt_adapter_config *config);

/* mt_model_create without initial values, for a model that is given others: a parameter is whatever
 * memory held until it is written or drawn. */
mt_status mt_model_reserve(mt_device *device, mt_dtype dtype, const mt_model_config *config,
                           mt_model **model);

/* The same for a model that is not to be trained: without memory for gradients. */
mt_status mt_model_reserve_frozen(mt_device *device, mt_dtype dtype, const mt_model_config *config,
                                  mt_model **model);

/* The first failure to add a parameter, or MT_OK. */
mt_status mt_parameters_status(const mt_parameters *parameters);

/* The blocks of parameters alone, of which nothing is written but the gaps between parameters: what
 * mt_parameters_allocate begins with. */
mt_status mt_parameters_reserve(mt_parameters *parameters);

/* Zeros in the gaps between parameters, of elements first .. first + count - 1 of a block that is
 * laid out as theirs are; `part` has these alone. */
mt_status mt_parameters_clear_gaps(const mt_parameters *parameters, int64_t first, int64_t count,
                                   void *part);

/* Gives back the blocks, and what is kept beside them. Tensors still point there. */
void mt_parameters_release_blocks(mt_parameters *parameters);

/* Gives one of them, by its number, the initial values that mt_parameters_allocate gives it. */
mt_status mt_parameters_draw(mt_parameters *parameters, int i, uint64_t seed);

/* mt_parameters_zero_grad where nothing but backward has written gradients since the last: what is
 * known of their rows stays so. */
void mt_parameters_renew_grad(mt_parameters *parameters);

#endif

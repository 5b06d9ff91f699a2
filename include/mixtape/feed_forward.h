/* FeedForward, RWKV's channel mixing (ESPnet: decoder/modules/rwkv/feed_forward.py).
 *
 *     y     = sigmoid(proj_receptance(mix_r)) proj_value(max(proj_key(mix_k), 0)^2)
 *     mix_i = x m_i + x' (1 - m_i) */
#ifndef MIXTAPE_FEED_FORWARD_H
#define MIXTAPE_FEED_FORWARD_H

#include <mixtape/api.h>
#include <mixtape/linear.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_feed_forward_config {
    int64_t size, hidden_size;
    int64_t block_id, num_blocks;
    bool bias;
    mt_initial_values initial_values; /* of the projections */
} mt_feed_forward_config;

typedef struct mt_feed_forward {
    mt_tensor *time_mix_key, *time_mix_receptance;         /* (1, 1, S) */
    mt_linear_layer proj_key, proj_value, proj_receptance; /* S to H, H to S, S to S */
} mt_feed_forward;

/* Adds the parameters, named prefix + "time_mix_key" ..., with their initial values. The set
 * keeps the first failure, and this returns it. */
MT_API mt_status mt_feed_forward_init(mt_feed_forward *layer, mt_parameters *parameters,
                                      const char *prefix, const mt_feed_forward_config *config);

/* y from x (B, T, S). `state`, or NULL for none: *state is the input (B, S) before x (NULL: the
 * start of a sequence), replaced by the last of x. */
MT_API mt_tensor *mt_feed_forward_forward(mt_tape *tape, const mt_feed_forward *layer, mt_tensor *x,
                                          mt_tensor **state);

#ifdef __cplusplus
}
#endif

#endif

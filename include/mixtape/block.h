/* The RWKV block:  x = x + att(norm_att(x));  x = x + ffn(norm_ffn(x)),  with dropout behind att
 * and ffn. */
#ifndef MIXTAPE_BLOCK_H
#define MIXTAPE_BLOCK_H

#include <mixtape/api.h>
#include <mixtape/feed_forward.h>
#include <mixtape/norm.h>
#include <mixtape/self_attention.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_block_config {
    mt_self_attention_config att;
    mt_feed_forward_config ffn;
    mt_norm_config norm;
    double att_dropout, ffn_dropout;
} mt_block_config;

typedef struct mt_block {
    mt_norm layer_norm_att, layer_norm_ffn;
    mt_self_attention att;
    mt_feed_forward ffn;
    double att_dropout, ffn_dropout;
} mt_block;

typedef struct mt_block_state {
    mt_self_attention_state att;
    mt_tensor *ffn; /* (B, S) */
} mt_block_state;

/* Adds the parameters of both layers and their norms, named prefix + "layer_norm_att.weight" ...,
 * with their initial values. The set keeps the first failure, and this returns it. */
MT_API mt_status mt_block_init(mt_block *block, mt_parameters *parameters, const char *prefix,
                               const mt_block_config *config);

/* `training` turns dropout on. `state` as in mt_self_attention_forward. */
MT_API mt_tensor *mt_block_forward(mt_tape *tape, const mt_block *block, mt_tensor *x,
                                   mt_block_state *state, bool training);

#ifdef __cplusplus
}
#endif

#endif

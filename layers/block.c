#include <mixtape/block.h>

#include "layers/layer.h"

mt_status mt_block_init(mt_block *block, mt_parameters *parameters, const char *prefix,
                        const mt_block_config *config)
{
    int64_t size = config->att.size;
    block->att_dropout = config->att_dropout;
    block->ffn_dropout = config->ffn_dropout;
    mt_norm_init(&block->layer_norm_att, parameters, mt_prefix_join(prefix, "layer_norm_att.").text,
                 size, config->norm);
    mt_norm_init(&block->layer_norm_ffn, parameters, mt_prefix_join(prefix, "layer_norm_ffn.").text,
                 size, config->norm);
    mt_self_attention_init(&block->att, parameters, mt_prefix_join(prefix, "att.").text,
                           &config->att);
    return mt_feed_forward_init(&block->ffn, parameters, mt_prefix_join(prefix, "ffn.").text,
                                &config->ffn);
}

mt_tensor *mt_block_forward(mt_tape *tape, const mt_block *block, mt_tensor *x,
                            mt_block_state *state, bool training)
{
    mt_tensor *att = mt_self_attention_forward(tape, &block->att,
                                               mt_norm_forward(tape, &block->layer_norm_att, x),
                                               state != NULL ? &state->att : NULL);
    x = mt_add(tape, x, mt_dropout(tape, att, training ? block->att_dropout : 0.0));

    mt_tensor *ffn =
        mt_feed_forward_forward(tape, &block->ffn, mt_norm_forward(tape, &block->layer_norm_ffn, x),
                                state != NULL ? &state->ffn : NULL);
    return mt_add(tape, x, mt_dropout(tape, ffn, training ? block->ffn_dropout : 0.0));
}

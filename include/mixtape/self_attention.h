/* SelfAttention, RWKV's time mixing (ESPnet: decoder/modules/rwkv/attention.py).
 *
 *     key = proj_key(x m_k + x' (1 - m_k));  value, receptance likewise, each with its own mix
 *     y   = proj_output(sigmoid(receptance) wkv(key, value))
 *
 * with x' = x shifted by one step of time. x, y (B, T, S); inside (B, T, A). */
#ifndef MIXTAPE_SELF_ATTENTION_H
#define MIXTAPE_SELF_ATTENTION_H

#include <mixtape/api.h>
#include <mixtape/linear.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mt_time_first { MT_TIME_FIRST_ESPNET, MT_TIME_FIRST_RWKV } mt_time_first;

/* "espnet", "rwkv", NULL for what is neither. */
MT_API const char *mt_time_first_name(mt_time_first kind);

typedef struct mt_self_attention_config {
    int64_t size, attention_size, context_size;
    int64_t block_id, num_blocks;
    /* ESPnet's is 1 everywhere, RWKV-LM's log(0.3) + 0.5 ((h+1) mod 3 - 1). */
    mt_time_first time_first;
    bool bias;                        /* of the four projections; ESPnet has it, RWKV-LM does not */
    mt_initial_values initial_values; /* of the projections */
} mt_self_attention_config;

/* ESPnet's configuration of the only block of a model: attention_size is size. */
MT_API mt_self_attention_config mt_self_attention_config_default(int64_t size,
                                                                 int64_t context_size);

typedef struct mt_self_attention {
    int64_t context_size;               /* the longest T accepted; may be changed at any time */
    mt_tensor *time_decay, *time_first; /* (A) */
    mt_tensor *time_mix_key, *time_mix_value, *time_mix_receptance; /* (1, 1, S) */
    mt_linear_layer proj_key, proj_value, proj_receptance;          /* S to A */
    mt_linear_layer proj_output;                                    /* A to S */
} mt_self_attention;

/* The tensors that are carried from one stretch of a sequence to the next. NULL members: the start
 * of a sequence. */
typedef struct mt_self_attention_state {
    mt_tensor *x;   /* (B, S): the last input */
    mt_tensor *wkv; /* (3, B, A): num, den, max */
} mt_self_attention_state;

/* Adds the parameters, named prefix + "time_decay" ... prefix + "proj_output.bias", with
 * their initial values. */
MT_API mt_status mt_self_attention_init(mt_self_attention *layer, mt_parameters *parameters,
                                        const char *prefix, const mt_self_attention_config *config);

/* y from x. `state`, or NULL for none: read as what came before x, replaced by what comes after
 * it. */
MT_API mt_tensor *mt_self_attention_forward(mt_tape *tape, const mt_self_attention *layer,
                                            mt_tensor *x, mt_self_attention_state *state);

#ifdef __cplusplus
}
#endif

#endif

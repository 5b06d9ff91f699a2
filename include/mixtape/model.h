/* The RWKV decoder and the model around it (ESPnet: decoder/rwkv_decoder.py):
 *
 *     x = dropout(embed_norm(embed(labels)));  x = block(x) for each block;  output = final_norm(x)
 *     logits = head(output)
 *
 * Parameter names are ESPnet's: embed.weight, embed_norm.*, rwkv_blocks.N.*, final_norm.*; the
 * head's are head.weight and head.bias. A model of real-valued sequences has a Linear layer,
 * input.weight and input.bias, in place of the embedding. */
#ifndef MIXTAPE_MODEL_H
#define MIXTAPE_MODEL_H

#include <mixtape/api.h>
#include <mixtape/block.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_model_config {
    int64_t vocab_size;  /* labels are 0 .. vocab_size-1; 0 for a real-valued model */
    int64_t input_size;  /* features per step of a real-valued model; 0 for one of labels */
    int64_t output_size; /* of the head: vocab_size, or the features predicted; 0: no head */
    int64_t block_size;  /* S */
    /* A; 0: S. WKV takes batches of which B A is a multiple of min(A, 32): any batch, streams of
     * one included, where A is below 32 or a multiple of it. */
    int64_t attention_size;
    int64_t linear_size;  /* H; 0: 4 S */
    int64_t context_size; /* longest T of one call; a stream of several may be of any length */
    int64_t num_blocks;
    mt_norm_config norm;
    mt_time_first time_first;
    bool bias; /* of the projections inside the blocks */
    bool head_bias;
    int32_t padding_index; /* the embedding row that is zero and never updated; -1: none */
    double embed_dropout, att_dropout, ffn_dropout;
    /* What is kept for ESPnet and transformers, which at inference halve weights every so many
     * blocks, as float16 needs it; 0 and -1: never. It changes nothing here. */
    int64_t rescale_every;
    bool recompute; /* in training, keep each block's output alone (mt_recompute) */

    /* What a new model begins with (mixtape/parameter.h), which files do not tell: embed_bound is
     * the x of RWKV-LM's embedding, where it is the learning rate; 0: 6e-4, its default. */
    mt_initial_values initial_values;
    double embed_bound;
} mt_model_config;

typedef struct mt_adapter mt_adapter; /* mixtape/adapter.h */

typedef struct mt_model mt_model;
struct mt_model {
    mt_model_config config; /* resolved: no zeros where a default stands */
    mt_dtype dtype;         /* of the values inside; parameters and states are of mt_dtype_wide */
    mt_parameters *parameters;
    mt_tensor *embed;      /* (vocab_size, S), or NULL */
    mt_linear_layer input; /* weight NULL unless real-valued */
    mt_norm embed_norm, final_norm;
    mt_block *blocks;     /* num_blocks of them */
    mt_linear_layer head; /* weight NULL if there is none */
    mt_adapter *adapter;  /* mt_model_adapt; or NULL */
};

/* The carried state of every block, as tensors of one tape: `blocks` has num_blocks elements. A
 * tensor that is NULL is that of a sequence's start (mt_model_begin), as all are at first. From one
 * tape to the next, or past its reset, mixtape/stream.h carries it, and a trainer, where it is one
 * tensor (mixtape/carried.h). */
typedef struct mt_model_state {
    mt_block_state *blocks;
    int64_t num_blocks;
} mt_model_state;

/* ESPnet's configuration with vocab_size and S given: A = S, H = 4 S, 4 blocks, context_size 1024,
 * layer_norm, ESPnet's time_first and initial values, biases, a head over the vocabulary, no
 * dropout, no recomputation. padding_index is 0, so label 0 has no embedding of its own: -1 where
 * it is a label like any other. */
MT_API mt_model_config mt_model_config_default(int64_t vocab_size, int64_t block_size);

/* The configuration with attention_size, linear_size, the norm's eps and embed_bound filled in
 * where they are 0. */
MT_API mt_model_config mt_model_config_resolved(const mt_model_config *config);

/* MT_ERROR_INVALID, with the field, its value and its range, if a model cannot be made of it.
 * Allocates nothing. */
MT_API mt_status mt_model_config_check(const mt_model_config *config);

/* Learnt values that a model of this configuration has. */
MT_API int64_t mt_model_config_size(const mt_model_config *config);

/* The names and shapes of the parameters that a model of this configuration has, without memory for
 * them: for checking a file before a model is made. The caller destroys them. */
MT_API mt_status mt_model_describe(const mt_model_config *config, mt_dtype dtype,
                                   mt_parameters **parameters);

/* Makes the model, of MT_F32, MT_F64 or MT_BF16, with initial values drawn from `seed`: those of
 * MT_BF16 are MT_F32's, from which products take a rounded copy (mt_parameters_set_narrow). The
 * caller destroys it, before the device. A model belongs to the device that made it, and with it to
 * one thread at a time; other threads open devices of their own. */
MT_API mt_status mt_model_create(mt_device *device, mt_dtype dtype, const mt_model_config *config,
                                 uint64_t seed, mt_model **model);
MT_API void mt_model_destroy(mt_model *model); /* NULL is allowed */

/* The decoder's output (B, T, S), of model->dtype, from labels (B, T) int32, or from features (B,
 * T, input_size), wide (mt_dtype_wide) as the state is. `state`, or NULL for none: read as what
 * came before, replaced by what comes after (after a failure its content is undefined). `training`
 * false turns dropout and recomputation off, and nothing else: for inference also tell the tape to
 * record nothing (mt_tape_set_recording), which then holds one block's values at a time, unless
 * there is a state. */
MT_API mt_tensor *mt_model_decode(mt_tape *tape, mt_model *model, mt_tensor *input,
                                  mt_model_state *state, bool training);

/* Changes the longest T of one call, from here on. */
MT_API void mt_model_set_context_size(mt_model *model, int64_t context_size);

/* The head on that output: (B, T, output_size), wide. */
MT_API mt_tensor *mt_model_head(mt_tape *tape, mt_model *model, mt_tensor *output);

/* The head and mt_cross_entropy in one, which of a large vocabulary never holds all logits
 * (mt_linear_cross_entropy): the loss of that output against targets (B, T) int32. */
MT_API mt_tensor *mt_model_cross_entropy(mt_tape *tape, mt_model *model, mt_tensor *output,
                                         mt_tensor *targets, int32_t ignore_index,
                                         double label_smoothing, mt_tensor **stats);

/* The same with RWKV-LM's L2Wrap (mt_linear_cross_entropy_l2wrap). */
MT_API mt_tensor *mt_model_cross_entropy_l2wrap(mt_tape *tape, mt_model *model, mt_tensor *output,
                                                mt_tensor *targets, int32_t ignore_index,
                                                double label_smoothing, double l2wrap,
                                                mt_tensor **stats);

MT_API mt_status mt_model_state_create(const mt_model *model, mt_model_state *state); /* empty */
MT_API void mt_model_state_destroy(mt_model_state *state);

/* What B sequences begin with: puts the state that was tuned (mixtape/adapter.h), on the tape, in
 * place of every tensor that is NULL; where none was, they stay so, which is the empty state. All
 * that begins a sequence asks here: mt_model_decode, streams. */
MT_API void mt_model_begin(mt_tape *tape, const mt_model *model, int64_t B, mt_model_state *state);

#ifdef __cplusplus
}
#endif

#endif

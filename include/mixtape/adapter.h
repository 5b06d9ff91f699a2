/* Adapting a model: a few values beside it are trained, and the model itself stays as it is.
 *
 *     mt_adapter_config config = mt_adapter_config_default(MT_ADAPT_LORA);
 *     mt_model_adapt(model, &config, seed);                      the model is frozen from here on
 *     mt_trainer_create(model->adapter->parameters, ...);        what is trained
 *
 * What is trained begins where the model is: before the first update the outputs are the model's.
 *
 * MT_ADAPT_STATE tunes the state that sequences begin with. For each block (S, A: model.h):
 *
 *     att.start_x, ffn.start_x (S)    the inputs before the first, at first 0
 *     att.start_num (A)               num of WKV, at first 0
 *     att.start_root_den (A)          the root of its den, at first 1e-6
 *
 * num and den are the unscaled sums of mixtape/kernels/wkv.h, with max = 0. den is a square, since
 * WKV divides by it and what is learnt may be of either sign. An exponent of den would keep it
 * above 0, too, but its gradient vanishes with den, where training begins. That of the root is much
 * larger, and Adam, which divides gradients by their own size, leaves the beginning at once. The
 * first den, 1e-12, is nothing beside e^(time_first + key) of any but the least keys.
 *
 * MT_ADAPT_LORA adds a product of two thin matrices to chosen projections (Hu et al. 2021, "LoRA:
 * Low-Rank Adaptation of Large Language Models"):
 *
 *     y = weight x + bias + (alpha / rank) B (A x)
 *
 * Their names are the projection's with lora_A (rank, in), drawn from U(-1/sqrt(in), 1/sqrt(in)),
 * and lora_B (out, rank), at first 0.
 *
 * A trainer's checkpoints of an adapter (mt_trainer_describe_adapter) hold it alone, and name the
 * file of the model. mt_weights_open opens both: LoRA is then part of the weights that it reads,
 * and a tuned state part of the model that is made of them. */
#ifndef MIXTAPE_ADAPTER_H
#define MIXTAPE_ADAPTER_H

#include <mixtape/api.h>
#include <mixtape/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mt_adapter_kind { MT_ADAPT_STATE, MT_ADAPT_LORA } mt_adapter_kind;

/* "state", "lora", NULL for what is neither. */
MT_API const char *mt_adapter_kind_name(int kind);

/* The projections of a block that LoRA may be on: those of SelfAttention, then of FeedForward. */
typedef enum mt_projection {
    MT_ATT_KEY,
    MT_ATT_VALUE,
    MT_ATT_RECEPTANCE,
    MT_ATT_OUTPUT,
    MT_FFN_KEY,
    MT_FFN_VALUE,
    MT_FFN_RECEPTANCE,
    MT_PROJECTIONS
} mt_projection;

/* "key", "value", "receptance", "output", "ffn_key", "ffn_value", "ffn_receptance"; NULL for what
 * is none. */
MT_API const char *mt_projection_name(int projection);

/* Their names with commas between them, as a set with bit i for projection i, and back.
 * MT_ERROR_INVALID for a name that there is not, with those that there are, and for none. */
enum { MT_PROJECTIONS_TEXT = 96 };
MT_API mt_status mt_projections_parse(const char *text, unsigned *set);
MT_API const char *mt_projections_text(unsigned set, char text[MT_PROJECTIONS_TEXT]);

typedef struct mt_adapter_config {
    mt_adapter_kind kind;
    int64_t rank;    /* of LoRA: at least 1, at most the sizes of each of its matrices */
    double alpha;    /* above 0 */
    unsigned int on; /* the projections: a set */
} mt_adapter_config;

/* LoRA of rank 8, alpha 16, on the four projections of SelfAttention. */
MT_API mt_adapter_config mt_adapter_config_default(mt_adapter_kind kind);

/* The learnt beginning of a block; its tensors are those above. */
typedef struct mt_block_start {
    mt_tensor *att_x, *num, *root_den, *ffn_x;
} mt_block_start;

struct mt_adapter {
    mt_adapter_config config;
    mt_parameters *parameters;
    mt_block_start *starts; /* num_blocks of them, or NULL */
    mt_lora *loras;         /* one for each projection of each block that has one, or NULL */
};

/* Freezes a model (mt_parameters_freeze), and gives it an adapter, which it owns: model->adapter.
 * Its parameters are of the model's, with initial values from `seed`. MT_ERROR_INVALID for a model
 * that has one already, and for a configuration that does not fit, with the figures; on failure the
 * model is as it was. */
MT_API mt_status mt_model_adapt(mt_model *model, const mt_adapter_config *config, uint64_t seed);

/* The names and shapes of the parameters that an adapter of such a model has, of this type, without
 * memory for them. The caller destroys them. */
MT_API mt_status mt_adapter_describe(const mt_model_config *of, const mt_adapter_config *config,
                                     mt_dtype dtype, mt_parameters **parameters);

#ifdef __cplusplus
}
#endif

#endif

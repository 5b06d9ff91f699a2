/* What is carried from one batch to the next, for training on sequences that are longer than a
 * batch: each row of a batch goes on where the same row of the batch before ended. A trainer
 * (trainer.h) keeps a row of reals for each; what they mean is the program's. Those of a model are
 * here:
 *
 *     mt_carried_of_model(model, B, &objective.carried);    before mt_trainer_create
 *     batch->begins = begins;                               in `put`: which rows begin a sequence
 *     output = mt_model_decode_carried(tape, model, batch->input, batch->carried, true);  in `loss`
 *
 * and a checkpoint has what its rows carry. mt_trainer_config.windows lets gradients flow through
 * several batches. */
#ifndef MIXTAPE_CARRIED_H
#define MIXTAPE_CARRIED_H

#include <mixtape/api.h>
#include <mixtape/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_carried {
    int64_t rows;   /* B, of every batch */
    int64_t width;  /* reals that a row carries; 0: nothing is carried */
    mt_dtype dtype; /* MT_F32 or MT_F64 */
    void *empty;    /* (width), host memory: a row at the beginning of a sequence; NULL: zeros */
} mt_carried;

/* The state of every block of a model, for batches of so many rows: for each block the attention's
 * last input (S); num, den, max of its WKV (A each); the feed-forward layer's last input (S), as
 * mt_stream_save has them, of mt_dtype_wide of the model's type. MT_ERROR_MEMORY; the caller frees
 * it, by mt_carried_free, which leaves nothing to be carried. */
MT_API mt_status mt_carried_of_model(const mt_model *model, int64_t rows, mt_carried *carried);
MT_API void mt_carried_free(mt_carried *carried);

/* mt_model_decode with a state that is one tensor (B, width): `*carried` is read as what came
 * before, and replaced by what comes after, through which gradients flow. */
MT_API mt_tensor *mt_model_decode_carried(mt_tape *tape, mt_model *model, mt_tensor *input,
                                          mt_tensor **carried, bool training);

#ifdef __cplusplus
}
#endif

#endif

/* mt_trainer_describe_adapter where the weights that a model was made of are closed by then.
 * Internal. */
#ifndef MT_TRAIN_TRAINER_ADAPTER_H
#define MT_TRAIN_TRAINER_ADAPTER_H

#include <mixtape/trainer.h>

/* `path` and `print` are what mt_weights_note said of them; the path is copied. */
mt_status trainer_describe_adapter(mt_trainer *trainer, const mt_model *model, const char *path,
                                   int64_t print, const mt_token_list *tokens,
                                   const char *run_config);

#endif

/* Exchange files: a model's weights under the names that other programs have for them. They are
 * read by mt_checkpoint_load. docs/file-formats.md describes them. */
#ifndef MIXTAPE_EXCHANGE_H
#define MIXTAPE_EXCHANGE_H

#include <mixtape/api.h>
#include <mixtape/layout.h>
#include <mixtape/model.h>
#include <mixtape/token_list.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Saves an exchange file in a layout, atomically as a checkpoint: a .safetensors file where `path`
 * ends so (without configuration and tokens), else HDF5. Where the layout has biases and the model
 * none, zeros are written. MT_ERROR_INVALID where the layout cannot hold the model. */
MT_API mt_status mt_exchange_save(const char *path, const mt_model *model, const mt_layout *layout,
                                  const mt_token_list *tokens);

#ifdef __cplusplus
}
#endif

#endif

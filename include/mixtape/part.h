/* A part of a model on its own: a SelfAttention, a FeedForward, a block. */
#ifndef MIXTAPE_PART_H
#define MIXTAPE_PART_H

#include <mixtape/api.h>
#include <mixtape/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `part` is what the part's parameters are called in the model, before the last dots:
 * "rwkv_blocks.1.att" is the SelfAttention of the second block. In a file they have their own names
 * alone: time_decay, proj_key.weight, ..., as in the state_dict of ESPnet's module. A file is
 * .safetensors where `path` ends so, else HDF5 with one dataset for each parameter at the root. */

/* Saves the part, atomically. MT_ERROR_INVALID if the model has no such part. */
MT_API mt_status mt_part_save(const char *path, const mt_model *model, const char *part);

/* Gives the file's values, of either real type, to the part. MT_ERROR_FORMAT with the name, and the
 * shapes found and expected, for what is missing, unknown, of another shape or not finite, before
 * anything is changed. */
MT_API mt_status mt_part_load(const char *path, const char *part, mt_model *model);

#ifdef __cplusplus
}
#endif

#endif

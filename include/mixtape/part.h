/* A part of a model on its own: a SelfAttention, a FeedForward, a block.
 *
 * `part` is what the part's parameters are called in the model, before the last dots:
 * "rwkv_blocks.1.att" is the SelfAttention of the second block. In a file they have their own names
 * alone: time_decay, proj_key.weight, ..., as in the state_dict of ESPnet's module. A file is
 * .safetensors where `path` ends so, else HDF5 with one dataset for each parameter at the root. */
#ifndef MIXTAPE_PART_H
#define MIXTAPE_PART_H

#include <mixtape/api.h>
#include <mixtape/weights.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Saves the part of a model, or of weights, atomically. MT_ERROR_INVALID if there is no such
 * part, and for weights with a tuned state. */
MT_API mt_status mt_part_save(const char *path, const mt_model *model, const char *part);
MT_API mt_status mt_part_convert(const mt_weights *weights, const char *part, const char *path);

/* Gives the file's values, of either real type, to the part of a model; or puts them in the place
 * of the part of weights, wherever those are read from then on. MT_ERROR_FORMAT with the name, and
 * the shapes found and expected, for what is missing, unknown, of another shape or not finite,
 * before anything is changed. */
MT_API mt_status mt_part_load(const char *path, const char *part, mt_model *model);
MT_API mt_status mt_part_replace(mt_weights *weights, const char *part, const char *path);

#ifdef __cplusplus
}
#endif

#endif

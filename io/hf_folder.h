/* A model in a folder as Hugging Face keeps it: config.json, and the weights in model.safetensors
 * or in several files, the shards, of which model.safetensors.index.json tells what is where.
 * Internal. */
#ifndef MT_IO_HF_FOLDER_H
#define MT_IO_HF_FOLDER_H

#include <mixtape/weights.h>

#include "io/source.h"

#include <stdbool.h>

/* The file of the weights, or the one that tells in which files they are. */
#define MT_HF_WEIGHTS "model.safetensors"
#define MT_HF_INDEX   "model.safetensors.index.json"

/* The arrays of all shards. MT_ERROR_FORMAT, with the name, for a configuration of another model,
 * for weights in a form that is not read, for an index that names what is not in its shard, or a
 * shard that is not in the folder, and for a shard that has what the index does not place there. */
mt_status mt_hf_folder_source(const char *folder, mt_source **source);

/* The error of a folder that has neither: what there is in place of them. */
mt_status mt_hf_folder_refuse(const char *folder);

/* Tells if a file has the name of a shard, and the index beside it. */
bool mt_hf_is_shard(const char *path);

typedef struct mt_hf_contents {
    const mt_arrays *arrays;
    mt_stored_type stored;
    const mt_model_config *config;
    mt_dtype dtype;
    const mt_token_list *tokens; /* or NULL */
    const mt_tokenizer_file *tokenizer;
} mt_hf_contents;

/* Writes a folder beside `path`, flushes it to the disk, and renames it. MT_ERROR_IO where what is
 * there is no empty folder: it would be lost. On failure nothing is left; what a process that was
 * killed left the next removes (io/new_folder.h). */
mt_status mt_hf_folder_write(const char *path, const mt_hf_contents *contents);

#endif
